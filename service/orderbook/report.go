package orderbook

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
	"lockstep/wire/flat"
)

// EventKind says what an event reports.
type EventKind = fb.OrderReport

// The kinds of events.
const (
	Accepted     = fb.OrderReportAccepted
	Rejected     = fb.OrderReportRejected
	Executed     = fb.OrderReportExecuted
	Canceled     = fb.OrderReportCanceled
	Replaced     = fb.OrderReportReplaced
	Triggered    = fb.OrderReportTriggered
	MassCanceled = fb.OrderReportMassCanceled
	LoggedIn     = fb.OrderReportLoggedIn
	LoggedOut    = fb.OrderReportLoggedOut
	Subscribed   = fb.OrderReportSubscribed
	MarketEvents = fb.OrderReportMarketEvents
	Depth        = fb.OrderReportDepth
	Instruments  = fb.OrderReportInstruments
	Done         = fb.OrderReportDone
)

// Event is an OrderEvent, flat. The comments name the kinds that a field is of.
type Event struct {
	Kind           EventKind
	Reason         match.Reason       // Rejected
	Cancel         match.CancelReason // Canceled
	Side           match.Side         // Accepted, Executed, Replaced
	State          match.State        // Depth
	Off            bool               // Subscribed
	Instrument     uint32             // Accepted, Executed, Replaced, Subscribed, Depth
	Price          uint32             // Executed: ticks
	Last           uint32             // Depth: price of the last trade; 0: none
	Count          uint32             // MassCanceled: orders; LoggedIn: open orders; MarketEvents: those left out; Done
	Account        uint64             // LoggedIn, LoggedOut
	ClientOrder    uint64             // of an order: its id (Replaced: the old one)
	NewClientOrder uint64             // Replaced
	Order          uint64             // of an order, but Rejected: the book's number, dense from 1
	Execution      uint64             // Executed: dense from 1, the same for both sides
	Quantity       uint64             // Accepted, Replaced: all of it; Executed; Canceled: what was taken off
	Left           uint64             // Executed, Canceled: left of it; Accepted, Replaced, Triggered: will rest
	Next           uint64             // Subscribed, Depth: next market event; Instruments: ask for those after it
	Market         []match.Event      // MarketEvents; Decode reuses the memory of these
	Bids, Asks     []match.Level      // Depth: best first
	Definitions    []match.Definition // Instruments
}

// EncodeEvent encodes an event: what the book answers with. Like EncodeRequest it reuses the builder.
func EncodeEvent(b *flatbuffers.Builder, e *Event) []byte {
	b.Reset()
	return flat.Finish(b, byte(e.Kind), e.encode(b))
}

func (e *Event) encode(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	switch e.Kind {
	case Accepted:
		fb.AcceptedStart(b)
		fb.AcceptedAddClientOrder(b, e.ClientOrder)
		fb.AcceptedAddOrder(b, e.Order)
		fb.AcceptedAddQuantity(b, e.Quantity)
		fb.AcceptedAddResting(b, e.Left)
		fb.AcceptedAddInstrument(b, e.Instrument)
		fb.AcceptedAddSide(b, fb.Side(e.Side))
		return fb.AcceptedEnd(b)
	case Rejected:
		fb.RejectedStart(b)
		fb.RejectedAddClientOrder(b, e.ClientOrder)
		fb.RejectedAddReason(b, fb.Reject(e.Reason))
		return fb.RejectedEnd(b)
	case Executed:
		fb.ExecutedStart(b)
		fb.ExecutedAddClientOrder(b, e.ClientOrder)
		fb.ExecutedAddOrder(b, e.Order)
		fb.ExecutedAddExecution(b, e.Execution)
		fb.ExecutedAddQuantity(b, e.Quantity)
		fb.ExecutedAddLeft(b, e.Left)
		fb.ExecutedAddPrice(b, e.Price)
		fb.ExecutedAddInstrument(b, e.Instrument)
		fb.ExecutedAddSide(b, fb.Side(e.Side))
		return fb.ExecutedEnd(b)
	case Canceled:
		fb.CanceledStart(b)
		fb.CanceledAddClientOrder(b, e.ClientOrder)
		fb.CanceledAddOrder(b, e.Order)
		fb.CanceledAddQuantity(b, e.Quantity)
		fb.CanceledAddLeft(b, e.Left)
		fb.CanceledAddReason(b, fb.CancelReason(e.Cancel))
		return fb.CanceledEnd(b)
	case Replaced:
		fb.ReplacedStart(b)
		fb.ReplacedAddClientOrder(b, e.ClientOrder)
		fb.ReplacedAddNewClientOrder(b, e.NewClientOrder)
		fb.ReplacedAddOrder(b, e.Order)
		fb.ReplacedAddQuantity(b, e.Quantity)
		fb.ReplacedAddResting(b, e.Left)
		fb.ReplacedAddInstrument(b, e.Instrument)
		fb.ReplacedAddSide(b, fb.Side(e.Side))
		return fb.ReplacedEnd(b)
	case Triggered:
		fb.TriggeredStart(b)
		fb.TriggeredAddClientOrder(b, e.ClientOrder)
		fb.TriggeredAddOrder(b, e.Order)
		fb.TriggeredAddResting(b, e.Left)
		return fb.TriggeredEnd(b)
	case MassCanceled:
		fb.MassCanceledStart(b)
		fb.MassCanceledAddCount(b, e.Count)
		return fb.MassCanceledEnd(b)
	}
	return e.encodeOther(b)
}

// encodeOther is encode for what is about no order.
func (e *Event) encodeOther(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	switch e.Kind {
	case LoggedIn:
		fb.LoggedInStart(b)
		fb.LoggedInAddAccount(b, e.Account)
		fb.LoggedInAddOpen(b, e.Count)
		return fb.LoggedInEnd(b)
	case LoggedOut:
		fb.LoggedOutStart(b)
		fb.LoggedOutAddAccount(b, e.Account)
		return fb.LoggedOutEnd(b)
	case Subscribed:
		fb.SubscribedStart(b)
		fb.SubscribedAddNext(b, e.Next)
		fb.SubscribedAddInstrument(b, e.Instrument)
		fb.SubscribedAddOff(b, e.Off)
		return fb.SubscribedEnd(b)
	case MarketEvents:
		return encodeMarket(b, e.Market, e.Count)
	case Depth:
		bids := encodeLevels(b, e.Bids)
		asks := encodeLevels(b, e.Asks)
		fb.DepthStart(b)
		fb.DepthAddNext(b, e.Next)
		fb.DepthAddInstrument(b, e.Instrument)
		fb.DepthAddLast(b, e.Last)
		fb.DepthAddBids(b, bids)
		fb.DepthAddAsks(b, asks)
		fb.DepthAddState(b, fb.State(e.State))
		return fb.DepthEnd(b)
	case Instruments:
		list := encodeDefinitions(b, e.Definitions)
		fb.InstrumentsStart(b)
		fb.InstrumentsAddInstruments(b, list)
		fb.InstrumentsAddNext(b, uint32(e.Next))
		return fb.InstrumentsEnd(b)
	}
	fb.DoneStart(b)
	fb.DoneAddCount(b, e.Count)
	return fb.DoneEnd(b)
}

func encodeMarket(b *flatbuffers.Builder, list []match.Event, leftOut uint32) flatbuffers.UOffsetT {
	fb.MarketEventsStartEventsVector(b, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		x := &list[i]
		fb.CreateMarketEvent(b, x.Number, x.Order, x.Execution, x.Quantity, uint32(x.Instrument), x.Price,
			fb.MarketKind(x.Kind-match.EventAdded+1), fb.Side(x.Side), fb.State(x.State))
	}
	events := b.EndVector(len(list))
	fb.MarketEventsStart(b)
	fb.MarketEventsAddEvents(b, events)
	fb.MarketEventsAddLeftOut(b, leftOut)
	return fb.MarketEventsEnd(b)
}

func encodeLevels(b *flatbuffers.Builder, list []match.Level) flatbuffers.UOffsetT {
	fb.DepthStartBidsVector(b, len(list))
	for i := len(list) - 1; i >= 0; i-- {
		fb.CreateLevel(b, list[i].Quantity, list[i].Price, list[i].Orders)
	}
	return b.EndVector(len(list))
}

// DecodeEvent reads an OrderEvent from anywhere. It reports false when that is not one.
func DecodeEvent(payload []byte, e *Event) bool {
	*e = Event{Market: e.Market[:0], Bids: e.Bids[:0], Asks: e.Asks[:0], Definitions: e.Definitions[:0]}
	if len(payload) > wire.MaxRecord {
		return false
	}
	var table flatbuffers.Table
	kind, ok := flat.Open(payload, eventTable, &table)
	if !ok {
		return false
	}
	e.Kind = EventKind(kind)
	switch e.Kind {
	case Accepted:
		t := fb.Accepted{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.Order, e.Quantity, e.Left = t.ClientOrder(), t.Order(), t.Quantity(), t.Resting()
		e.Instrument, e.Side = t.Instrument(), match.Side(t.Side())
	case Rejected:
		t := fb.Rejected{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.Reason = t.ClientOrder(), match.Reason(t.Reason())
	case Executed:
		t := fb.Executed{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.Order, e.Execution = t.ClientOrder(), t.Order(), t.Execution()
		e.Quantity, e.Left, e.Price = t.Quantity(), t.Left(), t.Price()
		e.Instrument, e.Side = t.Instrument(), match.Side(t.Side())
	case Canceled:
		t := fb.Canceled{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.Order, e.Quantity, e.Left = t.ClientOrder(), t.Order(), t.Quantity(), t.Left()
		e.Cancel = match.CancelReason(t.Reason())
	case Replaced:
		t := fb.Replaced{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.NewClientOrder, e.Order = t.ClientOrder(), t.NewClientOrder(), t.Order()
		e.Quantity, e.Left, e.Instrument, e.Side = t.Quantity(), t.Resting(), t.Instrument(), match.Side(t.Side())
	case Triggered:
		t := fb.Triggered{}
		t.Init(table.Bytes, table.Pos)
		e.ClientOrder, e.Order, e.Left = t.ClientOrder(), t.Order(), t.Resting()
	case MassCanceled:
		t := fb.MassCanceled{}
		t.Init(table.Bytes, table.Pos)
		e.Count = t.Count()
	default:
		return e.decodeOther(&table)
	}
	return true
}

// decodeOther is DecodeEvent for what is about no order.
func (e *Event) decodeOther(table *flatbuffers.Table) (ok bool) {
	switch e.Kind {
	case LoggedIn:
		t := fb.LoggedIn{}
		t.Init(table.Bytes, table.Pos)
		e.Account, e.Count = t.Account(), t.Open()
	case LoggedOut:
		t := fb.LoggedOut{}
		t.Init(table.Bytes, table.Pos)
		e.Account = t.Account()
	case Subscribed:
		t := fb.Subscribed{}
		t.Init(table.Bytes, table.Pos)
		e.Instrument, e.Off, e.Next = t.Instrument(), t.Off(), t.Next()
	case MarketEvents:
		t := fb.MarketEvents{}
		t.Init(table.Bytes, table.Pos)
		e.Count = t.LeftOut()
		return e.decodeMarket(&t)
	case Depth:
		t := fb.Depth{}
		t.Init(table.Bytes, table.Pos)
		e.Instrument, e.State, e.Last, e.Next = t.Instrument(), match.State(t.State()), t.Last(), t.Next()
		e.Bids = decodeLevels(e.Bids, t.BidsLength(), t.Bids)
		e.Asks = decodeLevels(e.Asks, t.AsksLength(), t.Asks)
	case Instruments:
		t := fb.Instruments{}
		t.Init(table.Bytes, table.Pos)
		e.Next = uint64(t.Next())
		e.Definitions, ok = decodeDefinitions(e.Definitions, t.InstrumentsLength(), t.Instruments)
		return ok
	case Done:
		t := fb.Done{}
		t.Init(table.Bytes, table.Pos)
		e.Count = t.Count()
	default:
		return false
	}
	return true
}

func (e *Event) decodeMarket(t *fb.MarketEvents) bool {
	for i := range t.EventsLength() {
		var x fb.MarketEvent
		if !t.Events(&x, i) || x.Kind() < fb.MarketKindAdded || x.Kind() > fb.MarketKindDefined {
			return false
		}
		e.Market = append(e.Market, match.Event{Kind: match.EventAdded + match.Kind(x.Kind()) - 1, Number: x.Number(),
			Order: x.Order(), Execution: x.Execution(), Quantity: x.Quantity(), Instrument: match.Instrument(x.Instrument()),
			Price: x.Price(), Side: match.Side(x.Side()), State: match.State(x.State())})
	}
	return true
}

func decodeLevels(dst []match.Level, n int, at func(*fb.Level, int) bool) []match.Level {
	for i := range n {
		var l fb.Level
		at(&l, i)
		dst = append(dst, match.Level{Price: l.Price(), Orders: l.Orders(), Quantity: l.Quantity()})
	}
	return dst
}
