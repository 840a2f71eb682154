package orderbook

import (
	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// flush counts what the engine has done, and answers with it: each private event to whom it is for, then the public ones, in one
// response to each subscriber that wants any.
func (b *Book) flush(ctx *service.Context) {
	events := b.engine.Events()
	ctx.Count(1 + len(events) + b.engine.Work())
	public := 0
	account, session := match.Account(0), wire.SessionID(0)
	for i := range events {
		x := &events[i]
		if x.Kind.Public() {
			public++
			continue
		}
		if x.Account != account {
			account, session = x.Account, b.parties.session(x.Account)
		}
		if simbug.On(simbug.LoseFill) && x.Kind == match.EventExecuted && x.Left > 0 {
			continue
		}
		b.event.report(x)
		b.respond(ctx, session)
	}
	if public > 0 && b.subscribers.some > 0 {
		b.tellMarket(ctx, events)
	}
}

// report is what an owner is told of an event.
func (e *Event) report(x *match.Event) {
	*e = Event{ClientOrder: uint64(x.ClientOrder), Order: x.Order,
		Quantity: x.Quantity, Left: x.Left, Instrument: uint32(x.Instrument), Side: x.Side}
	switch x.Kind {
	case match.EventAccepted:
		e.Kind = Accepted
	case match.EventRejected:
		e.Kind, e.Reason = Rejected, x.Reason
	case match.EventExecuted:
		e.Kind, e.Execution, e.Price = Executed, x.Execution, x.Price
	case match.EventCanceled:
		e.Kind, e.Cancel = Canceled, x.Cancel
	case match.EventReplaced:
		e.Kind, e.ClientOrder, e.NewClientOrder = Replaced, uint64(x.OldClientOrder), uint64(x.ClientOrder)
	case match.EventTriggered:
		e.Kind = Triggered
	default:
		e.Kind, e.Count = MassCanceled, uint32(x.Quantity)
	}
}

// tellMarket tells every subscriber the public events that it wants, as many as fit; the first ones, and how many are
// left out.
func (b *Book) tellMarket(ctx *service.Context, events []match.Event) {
	const overhead = 128 // of a response
	room := max(MaxBytes-b.sent, 0) / b.subscribers.some
	most := min(max(room-overhead, 0)/marketBytes, MaxMarket)
	for i := range b.subscribers.list {
		s := &b.subscribers.list[i]
		if s.session == 0 {
			continue
		}
		b.market = b.market[:0]
		leftOut := uint32(0)
		for j := range events {
			switch x := &events[j]; {
			case !x.Kind.Public() || !s.wants(x.Instrument):
			case len(b.market) < most:
				b.market = append(b.market, *x)
			default:
				leftOut++
			}
		}
		if len(b.market) == 0 && leftOut == 0 {
			continue
		}
		ctx.Count(len(b.market))
		b.event = Event{Kind: MarketEvents, Market: b.market, Count: leftOut}
		b.respond(ctx, s.session)
	}
}

// respond answers a session with the event. Nobody (0) is told what becomes of the orders of an account that no
// session is bound to: the response goes nowhere, but who looks at what a log causes sees it.
func (b *Book) respond(ctx *service.Context, session wire.SessionID) {
	payload := EncodeEvent(b.builder, &b.event)
	b.sent += len(payload)
	ctx.Respond(session, payload)
}

func (b *Book) reject(ctx *service.Context, session wire.SessionID, clientOrder uint64, reason match.Reason) {
	b.event = Event{Kind: Rejected, ClientOrder: clientOrder, Reason: reason}
	b.respond(ctx, session)
}

// Check implements service.Checker: the response that Apply would refuse the message with; nil: it would not. What is
// about instruments, limits, kill switch and busts is Malformed in a transaction.
func (b *Book) Check(ctx *service.Context, r *wire.Record, payload []byte) []byte {
	q := &b.request
	if !DecodeRequest(payload, q) {
		return b.refuse(0, match.Malformed)
	}
	account := OwnAccount(r.Session)
	if i, ok := b.parties.bySession.get(uint64(r.Session)); ok && b.parties.list[i].bound {
		account = b.parties.list[i].account
	}
	before, reason, clientOrder := b.engine.Work(), match.None, match.ClientOrder(0)
	switch q.Command {
	case NewOrder:
		q.New.Account, clientOrder = account, q.New.ClientOrder
		reason = b.engine.CheckEnter(ctx.Timestamp(), &q.New)
	case CancelOrder:
		q.Cancel.Account, clientOrder = account, q.Cancel.ClientOrder
		reason = b.engine.CheckCancel(&q.Cancel)
	case ReplaceOrder:
		q.Replace.Account, clientOrder = account, q.Replace.ClientOrder
		reason = b.engine.CheckReplace(ctx.Timestamp(), &q.Replace)
	case MassCancel:
		reason = b.engine.CheckMassCancel(account, q.Instrument, q.Side)
	case Login:
		if q.Account == 0 || q.Account >= ownAccount {
			reason = match.BadAccount
		}
	case DepthRequest:
		if _, _, _, _, ok := b.engine.Lookup(q.Instrument); !ok {
			reason = match.UnknownInstrument
		}
	case InstrumentsRequest:
	case Subscribe:
		switch {
		case q.Instrument > match.Instrument(b.options.MaxInstruments):
			reason = match.UnknownInstrument
		case !q.Off && b.subscribers.find(r.Session) == nil && b.subscribers.find(0) == nil:
			reason = match.TooManySubscribers
		}
	case BustTrade:
		reason = match.BustUnsupported
	default:
		reason = match.Malformed
	}
	ctx.Count(b.engine.Work() - before)
	if reason == match.None {
		return nil
	}
	return b.refuse(uint64(clientOrder), reason)
}

// refuse is a Rejected that stays good until the next Check.
func (b *Book) refuse(clientOrder uint64, reason match.Reason) []byte {
	e := Event{Kind: Rejected, ClientOrder: clientOrder, Reason: reason}
	return EncodeEvent(b.refusal, &e)
}
