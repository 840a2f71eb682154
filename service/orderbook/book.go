package orderbook

import (
	"errors"
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/wire"
	"lockstep/wire/fb"
)

// Options are the limits of a book. They change what is answered, so they must be the same on every node. Zero
// fields take the default.
type Options struct {
	Instruments uint32 // numbered 1 .. Instruments; default 16
	PriceLimit  uint64 // prices are 1 .. PriceLimit ticks; default 65535, at most 262143
	MaxQuantity uint64 // quantities are 1 .. MaxQuantity lots; default 2^32
	MaxOrders   int    // resting at once, all instruments together; default 131072
	MaxFills    int    // resting orders that one new order executes against at most; default 1024, at most 3500
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("orderbook: unusable options")

func (o *Options) defaults() error {
	if o.Instruments == 0 {
		o.Instruments = 16
	}
	if o.PriceLimit == 0 {
		o.PriceLimit = 65535
	}
	if o.MaxQuantity == 0 {
		o.MaxQuantity = 1 << 32
	}
	if o.MaxOrders == 0 {
		o.MaxOrders = 1 << 17
	}
	if o.MaxFills == 0 {
		o.MaxFills = 1024
	}
	switch {
	case o.PriceLimit >= maxPrices:
		return fmt.Errorf("%w: price limit %d is above %d", ErrOptions, o.PriceLimit, maxPrices-1)
	case o.MaxOrders < 1 || o.MaxOrders > 1<<28:
		return fmt.Errorf("%w: %d resting orders: must be 1 .. 2^28", ErrOptions, o.MaxOrders)
	case o.MaxFills < 1 || o.MaxFills > 3500:
		return fmt.Errorf("%w: %d fills an order: must be 1 .. 3500", ErrOptions, o.MaxFills)
	}
	return nil
}

// instrument is the book of one instrument. A price holds orders of one side only, because the book is never
// crossed: so both sides share the levels.
type instrument struct {
	levels []level
	bids   prices
	asks   prices
}

// Book is the order book service.
type Book struct {
	options     Options
	instruments []instrument // [0] is not used
	pool        pool
	accounts    map[wire.SessionID]*account
	orders      uint64 // last order number given out
	executions  uint64 // last execution number given out
	sum         uint64 // of the hashes of all resting orders
	request     Request
	builder     *flatbuffers.Builder
}

// New returns an empty book.
func New(o Options) (*Book, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	b := &Book{options: o, builder: flatbuffers.NewBuilder(256)}
	b.clear()
	return b, nil
}

func (b *Book) clear() {
	o := &b.options
	b.instruments = make([]instrument, o.Instruments+1)
	for i := range b.instruments[1:] {
		b.instruments[i+1] = instrument{
			levels: make([]level, o.PriceLimit+1),
			bids:   newPrices(o.PriceLimit + 1),
			asks:   newPrices(o.PriceLimit + 1),
		}
	}
	b.pool = newPool(o.MaxOrders)
	b.accounts = make(map[wire.SessionID]*account, 1024)
	b.orders, b.executions, b.sum = 0, 0, 0
}

// Name implements service.Service.
func (b *Book) Name() string { return "orderbook" }

// Hash implements service.Service.
func (b *Book) Hash() uint64 {
	h := service.Mix(b.orders, b.executions)
	return service.Mix(service.Mix(h, uint64(b.pool.used)), b.sum)
}

// Resting returns how many orders are on the book. Driver's thread.
func (b *Book) Resting() int { return b.pool.used }

// Apply implements service.Service.
func (b *Book) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	if !DecodeRequest(payload, &b.request) {
		b.reject(ctx, r.Session, 0, fb.OrderRejectMalformed)
		return
	}
	if b.request.Cancel {
		b.cancel(ctx, r.Session, &b.request)
		return
	}
	b.enter(ctx, r.Session, &b.request)
}

// OnSession takes the orders of a session that ends off the book: nobody could ever cancel them. There is nobody to
// be told.
func (b *Book) OnSession(_ *service.Context, session wire.SessionID, opened bool) {
	if opened {
		b.account(session)
		return
	}
	a := b.accounts[session]
	if a == nil {
		return
	}
	for a.head != 0 {
		b.remove(a.head)
	}
	delete(b.accounts, session)
}

// account returns the list of a session, made when the session opens (or is restored).
func (b *Book) account(session wire.SessionID) *account {
	a := b.accounts[session]
	if a == nil {
		a = &account{}
		b.accounts[session] = a
	}
	return a
}

// check returns why a new order cannot be taken, or OrderRejectNone.
func (b *Book) check(session wire.SessionID, q *Request) fb.OrderReject {
	switch {
	case q.Instrument == 0 || q.Instrument > b.options.Instruments:
		return fb.OrderRejectUnknownInstrument
	case q.Side != fb.SideBuy && q.Side != fb.SideSell:
		return fb.OrderRejectBadSide
	case q.Price == 0 || q.Price > b.options.PriceLimit:
		return fb.OrderRejectBadPrice
	case q.Quantity == 0 || q.Quantity > b.options.MaxQuantity:
		return fb.OrderRejectBadQuantity
	case b.pool.find(session, q.ClientOrder) != 0:
		return fb.OrderRejectDuplicateOrder
	case b.pool.full():
		return fb.OrderRejectTooManyOrders
	}
	return fb.OrderRejectNone
}

// enter takes a new order: Accepted, an Executed to each side for every execution, and what is left rests. Against
// more than MaxFills orders it does not execute: what would be left then is canceled, so that the book is never
// crossed and the work that one message causes is bounded.
func (b *Book) enter(ctx *service.Context, session wire.SessionID, q *Request) {
	if reason := b.check(session, q); reason != fb.OrderRejectNone {
		b.reject(ctx, session, q.ClientOrder, reason)
		return
	}
	b.orders++
	number := b.orders
	in := &b.instruments[q.Instrument]
	left, crossed := b.preview(in, q)
	resting := left
	if crossed {
		resting = 0
	}
	ctx.Respond(session, encodeAccepted(b.builder, q.ClientOrder, number, resting))
	b.execute(ctx, session, q, in, number, left)
	switch {
	case left == 0:
	case crossed:
		ctx.Respond(session, encodeCanceled(b.builder, q.ClientOrder, number, left))
	default:
		b.rest(session, q, in, number, left)
	}
}

// best returns the price that an order of the given side meets first.
func (in *instrument) best(side fb.Side) (uint64, bool) {
	if side == fb.SideBuy {
		return in.asks.lowest()
	}
	return in.bids.highest()
}

// further returns the price that an order of the given side meets after price.
func (in *instrument) further(side fb.Side, price uint64) (uint64, bool) {
	if side == fb.SideBuy {
		return in.asks.after(price)
	}
	return in.bids.before(price)
}

// meets tells whether an order may execute at a price of the other side.
func (q *Request) meets(price uint64) bool {
	if q.Side == fb.SideBuy {
		return price <= q.Price
	}
	return price >= q.Price
}

// preview returns what will be left of a new order when it has executed, and whether it would then still meet an
// order. It changes nothing.
func (b *Book) preview(in *instrument, q *Request) (left uint64, crossed bool) {
	left = q.Quantity
	fills := 0
	for price, ok := in.best(q.Side); ok && q.meets(price); price, ok = in.further(q.Side, price) {
		for i := in.levels[price].head; i != 0; i = b.pool.orders[i].next {
			if fills == b.options.MaxFills {
				return left, true
			}
			fills++
			if b.pool.orders[i].left >= left {
				return 0, false
			}
			left -= b.pool.orders[i].left
		}
	}
	return left, false
}

// execute matches a new order until only the quantity `until` is left of it, best price first, oldest first, at the
// price of the resting order.
func (b *Book) execute(
	ctx *service.Context, session wire.SessionID, q *Request, in *instrument, number, until uint64,
) {
	for left := q.Quantity; left > until; {
		price, _ := in.best(q.Side)
		i := in.levels[price].head
		o := &b.pool.orders[i]
		quantity := min(left, o.left)
		b.sum -= o.hash()
		left -= quantity
		o.left -= quantity
		b.sum += o.hash()
		b.executions++
		e := Event{Execution: b.executions, Price: price, Quantity: quantity}
		e.ClientOrder, e.Order, e.Left = q.ClientOrder, number, left
		ctx.Respond(session, encodeExecuted(b.builder, &e))
		e.ClientOrder, e.Order, e.Left = o.clientOrder, o.number, o.left
		ctx.Respond(o.session, encodeExecuted(b.builder, &e))
		if o.left == 0 {
			b.remove(i)
		}
	}
}

// rest puts what is left of a new order at the end of its price's queue.
func (b *Book) rest(session wire.SessionID, q *Request, in *instrument, number, left uint64) {
	i := b.pool.take(session, q.ClientOrder)
	o := &b.pool.orders[i]
	o.number, o.left, o.side = number, left, q.Side
	o.price, o.instrument = uint32(q.Price), q.Instrument
	b.sum += o.hash()

	l := &in.levels[q.Price]
	if l.head == 0 {
		l.head = i
		in.side(o.side).add(q.Price)
	} else {
		b.pool.orders[l.tail].next = i
		o.prev = l.tail
	}
	l.tail = i

	a := b.account(session)
	o.nextOwn = a.head
	if a.head != 0 {
		b.pool.orders[a.head].prevOwn = i
	}
	a.head = i
}

// side returns the set of prices at which orders of a side rest.
func (in *instrument) side(s fb.Side) *prices {
	if s == fb.SideBuy {
		return &in.bids
	}
	return &in.asks
}

// remove takes an order off the book.
func (b *Book) remove(i uint32) {
	orders := b.pool.orders
	o := &orders[i]
	b.sum -= o.hash()

	in := &b.instruments[o.instrument]
	l := &in.levels[o.price]
	if o.prev != 0 {
		orders[o.prev].next = o.next
	} else {
		l.head = o.next
	}
	if o.next != 0 {
		orders[o.next].prev = o.prev
	} else {
		l.tail = o.prev
	}
	if l.head == 0 {
		in.side(o.side).remove(uint64(o.price))
	}

	if o.prevOwn != 0 {
		orders[o.prevOwn].nextOwn = o.nextOwn
	} else {
		b.accounts[o.session].head = o.nextOwn
	}
	if o.nextOwn != 0 {
		orders[o.nextOwn].prevOwn = o.prevOwn
	}
	b.pool.give(i)
}

// cancel takes a session's own order off the book: Canceled, or Rejected when there is no such order (any more).
func (b *Book) cancel(ctx *service.Context, session wire.SessionID, q *Request) {
	if q.Instrument == 0 || q.Instrument > b.options.Instruments {
		b.reject(ctx, session, q.ClientOrder, fb.OrderRejectUnknownInstrument)
		return
	}
	i := b.pool.find(session, q.ClientOrder)
	if i == 0 || b.pool.orders[i].instrument != q.Instrument {
		b.reject(ctx, session, q.ClientOrder, fb.OrderRejectUnknownOrder)
		return
	}
	number, left := b.pool.orders[i].number, b.pool.orders[i].left
	b.remove(i)
	ctx.Respond(session, encodeCanceled(b.builder, q.ClientOrder, number, left))
}

func (b *Book) reject(ctx *service.Context, session wire.SessionID, clientOrder uint64, reason fb.OrderReject) {
	ctx.Respond(session, encodeRejected(b.builder, clientOrder, reason))
}
