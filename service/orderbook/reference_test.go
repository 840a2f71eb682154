package orderbook

import (
	"slices"

	"lockstep/wire"
	"lockstep/wire/fb"
)

// reference is an order book as one would explain it: a list of orders in the order they came, searched for
// everything. It is what Book is compared with.
type reference struct {
	options    Options
	resting    []restingOrder
	orders     uint64
	executions uint64
}

type restingOrder struct {
	session wire.SessionID
	Request
	number uint64
}

// sent is an event and who gets it.
type sent struct {
	to wire.SessionID
	Event
}

func (b *reference) find(session wire.SessionID, clientOrder uint64) int {
	return slices.IndexFunc(b.resting, func(o restingOrder) bool {
		return o.session == session && o.ClientOrder == clientOrder
	})
}

// opposite returns the order that q meets first, or -1.
func (b *reference) opposite(q Request) int {
	best := -1
	for i, o := range b.resting {
		if o.Instrument != q.Instrument || o.Side == q.Side || !q.meets(o.Price) {
			continue
		}
		if best < 0 || o.Price != b.resting[best].Price && (o.Price < b.resting[best].Price) == (q.Side == fb.SideBuy) {
			best = i
		}
	}
	return best
}

func (b *reference) apply(session wire.SessionID, q Request) []sent {
	no := func(reason fb.OrderReject) []sent {
		return []sent{{session, Event{Kind: Rejected, ClientOrder: q.ClientOrder, Reason: reason}}}
	}
	if q.Instrument < 1 || q.Instrument > b.options.Instruments {
		return no(fb.OrderRejectUnknownInstrument)
	}
	at := b.find(session, q.ClientOrder)
	if q.Cancel {
		if at < 0 || b.resting[at].Instrument != q.Instrument {
			return no(fb.OrderRejectUnknownOrder)
		}
		o := b.resting[at]
		b.resting = slices.Delete(b.resting, at, at+1)
		return []sent{{session, Event{
			Kind: Canceled, ClientOrder: q.ClientOrder, Order: o.number, Quantity: o.Quantity,
		}}}
	}
	switch {
	case q.Side != fb.SideBuy && q.Side != fb.SideSell:
		return no(fb.OrderRejectBadSide)
	case q.Price < 1 || q.Price > b.options.PriceLimit:
		return no(fb.OrderRejectBadPrice)
	case q.Quantity < 1 || q.Quantity > b.options.MaxQuantity:
		return no(fb.OrderRejectBadQuantity)
	case at >= 0:
		return no(fb.OrderRejectDuplicateOrder)
	case len(b.resting) == b.options.MaxOrders:
		return no(fb.OrderRejectTooManyOrders)
	}
	return b.enter(session, q)
}

func (b *reference) enter(session wire.SessionID, q Request) []sent {
	b.orders++
	number := b.orders
	out := []sent{{session, Event{Kind: Accepted, ClientOrder: q.ClientOrder, Order: number}}}
	for fills := 0; q.Quantity > 0 && b.opposite(q) >= 0; fills++ {
		if fills == b.options.MaxFills {
			return append(out, sent{session, Event{
				Kind: Canceled, ClientOrder: q.ClientOrder, Order: number, Quantity: q.Quantity,
			}})
		}
		i := b.opposite(q)
		o := &b.resting[i]
		quantity := min(o.Quantity, q.Quantity)
		o.Quantity -= quantity
		q.Quantity -= quantity
		b.executions++
		e := Event{Kind: Executed, Execution: b.executions, Price: o.Price, Quantity: quantity}
		mine, theirs := e, e
		mine.ClientOrder, mine.Order, mine.Left = q.ClientOrder, number, q.Quantity
		theirs.ClientOrder, theirs.Order, theirs.Left = o.ClientOrder, o.number, o.Quantity
		out = append(out, sent{session, mine}, sent{o.session, theirs})
		if o.Quantity == 0 {
			b.resting = slices.Delete(b.resting, i, i+1)
		}
	}
	out[0].Quantity = q.Quantity
	if q.Quantity > 0 {
		b.resting = append(b.resting, restingOrder{session, q, number})
	}
	return out
}

func (b *reference) close(session wire.SessionID) {
	b.resting = slices.DeleteFunc(b.resting, func(o restingOrder) bool { return o.session == session })
}

// recount computes a book's hash from all of its orders.
func (b *reference) hash() uint64 {
	book := Book{orders: b.orders, executions: b.executions}
	book.pool.used = len(b.resting)
	for _, r := range b.resting {
		o := order{
			session: r.session, clientOrder: r.ClientOrder, number: r.number, left: r.Quantity,
			price: uint32(r.Price), instrument: r.Instrument, side: r.Side,
		}
		book.sum += o.hash()
	}
	return book.Hash()
}
