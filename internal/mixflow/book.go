package mixflow

import (
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// bookFlow uses all that the order book has, on a few instruments, near one price.
type bookFlow struct {
	draw
	open    []match.ClientOrder // the newest last
	orders  match.ClientOrder
	request orderbook.Request
	event   orderbook.Event
}

// What the flow keeps to: instruments are numbered from 1.
const (
	bookInstruments = 2
	bookMid         = 256
	bookSpread      = 12
	maxOpenOrders   = 32
	bookAccounts    = 3
)

// NewBook draws commands for the order book.
func NewBook(o Options) Flow { return &bookFlow{draw: newDraw(o)} }

// Next implements Flow.
func (f *bookFlow) Next() []byte {
	q := &f.request
	*q = orderbook.Request{Instrument: f.instrument()}
	switch n := f.IntN(100); {
	case n < 55:
		q.Command = orderbook.NewOrder
		f.order(&q.New)
	case n < 70 && len(f.open) > 0:
		q.Command = orderbook.ReplaceOrder
		f.replace(&q.Replace)
	case n < 84 && len(f.open) > 0:
		q.Command = orderbook.CancelOrder
		q.Cancel = match.Cancel{ClientOrder: f.open[f.IntN(len(f.open))]}
		if f.odds(30) {
			q.Cancel.Quantity = 1 + f.Uint64N(20)
		}
	case n < 86:
		q.Command, q.Side = orderbook.MassCancel, match.Side(f.IntN(3))
	case n < 90:
		q.Command, q.Levels = orderbook.DepthRequest, f.Uint32N(8)
	default:
		f.control(q)
	}
	return orderbook.EncodeRequest(f.builder, q)
}

func (f *bookFlow) instrument() match.Instrument {
	return 1 + match.Instrument(f.IntN(bookInstruments))
}

func (f *bookFlow) price() uint32 { return bookMid - bookSpread + f.Uint32N(2*bookSpread) }

// order draws an order of any kind; some cannot be.
func (f *bookFlow) order(n *match.New) {
	f.orders++
	*n = match.New{ClientOrder: f.orders, Instrument: f.instrument(), Side: match.Side(1 + f.IntN(2)), Type: match.Limit,
		TIF: match.TimeInForce(f.IntN(2)), SelfMatch: match.SelfMatch(f.IntN(4)), Price: f.price(), Quantity: 1 + f.Uint64N(20)}
	switch d := f.IntN(100); {
	case d < 40:
	case d < 50:
		n.TIF = match.IOC
		n.MinQuantity = f.Uint64N(8)
	case d < 56:
		n.TIF = match.FOK
	case d < 64:
		n.Display = 1 + f.Uint64N(n.Quantity)
	case d < 70:
		n.PostOnly = true
	case d < 78:
		n.Type, n.Price = match.Market, 0
	case d < 86:
		n.Type, n.Price, n.Stop = match.Stop, 0, f.price()
	case d < 92:
		n.Type, n.Stop = match.StopLimit, f.price()
	case f.o.StampNs != nil:
		n.TIF, n.Expire = match.GTD, f.o.StampNs()+f.time()*1e6
	}
	f.open = append(f.open, n.ClientOrder)
	f.open = f.open[max(0, len(f.open)-maxOpenOrders):]
}

func (f *bookFlow) replace(r *match.Replace) {
	i := f.IntN(len(f.open))
	*r = match.Replace{ClientOrder: f.open[i], NewClientOrder: f.open[i], Price: f.price(), Quantity: 1 + f.Uint64N(24)}
	if f.odds(70) {
		f.orders++
		r.NewClientOrder = f.orders
		f.open[i] = f.orders
	}
	if f.odds(10) {
		r.Display = 1 + f.Uint64N(r.Quantity)
	}
	if f.odds(10) {
		r.Stop = f.price()
	}
}

// control is what is about instruments and accounts. Most of the time instruments are open.
func (f *bookFlow) control(q *orderbook.Request) {
	switch n := f.IntN(100); {
	case n < 25:
		q.Command, q.State = orderbook.SetState, match.Continuous
		if f.odds(50) {
			q.State = match.State(1 + f.IntN(4))
		}
	case n < 45:
		q.Command, q.Account, q.Stay = orderbook.Login, match.Account(1+f.IntN(bookAccounts)), f.odds(50)
	case n < 65:
		q.Command, q.Off = orderbook.Subscribe, f.odds(60)
	case n < 75:
		q.Command, q.Account, q.Off = orderbook.Kill, match.Account(1+f.IntN(bookAccounts)), f.odds(80)
	case n < 85:
		q.Command, q.Account = orderbook.SetLimits, match.Account(f.IntN(1+bookAccounts))
		q.Limits = match.Limits{MaxOpen: 8 + f.Uint32N(64), MaxQuantity: 1 << 20}
		if f.odds(20) {
			q.Limits.MessagesPerS = 1 + f.Uint32N(500)
		}
	case n < 95:
		q.Command = orderbook.InstrumentsRequest
	default:
		q.Command, q.Execution = orderbook.BustTrade, f.Uint64N(100)
	}
}

// Heard implements Flow: what is no longer open is forgotten.
func (f *bookFlow) Heard(_, response []byte) {
	if !orderbook.DecodeEvent(response, &f.event) {
		return
	}
	e := &f.event
	over := e.Kind == orderbook.Rejected || (e.Kind == orderbook.Executed || e.Kind == orderbook.Canceled) && e.Left == 0
	for i := 0; over && i < len(f.open); i++ {
		if f.open[i] == match.ClientOrder(e.ClientOrder) && f.odds(90) {
			f.open = append(f.open[:i], f.open[i+1:]...)
		}
	}
}
