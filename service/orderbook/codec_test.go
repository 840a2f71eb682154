package orderbook_test

import (
	"reflect"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// definitions with every field other than its default.
var definitions = []match.Definition{
	{ID: 1, Symbol: [16]byte{'A'}, Low: 2, High: 3, MaxQuantity: 4, Collar: 5, Reference: 6, State: match.Auction},
	{ID: 7, Low: 2, High: 3, MaxQuantity: 1 << 40, State: match.Halted},
}

// requests are one of every command.
func requests() []orderbook.Request {
	return []orderbook.Request{
		{Command: orderbook.NewOrder, New: match.New{ClientOrder: 1 << 60, Instrument: 2, Side: match.Sell,
			Type: match.StopLimit,
			TIF:  match.GTD, SelfMatch: match.CancelBoth, PostOnly: true, Price: 3, Stop: 4, Quantity: 5, MinQuantity: 6,
			Display: 7, Expire: 8}},
		{Command: orderbook.CancelOrder, Cancel: match.Cancel{ClientOrder: 1, Quantity: 2}},
		{Command: orderbook.ReplaceOrder, Replace: match.Replace{ClientOrder: 1, NewClientOrder: 2, Price: 3, Stop: 4,
			Quantity: 5, Display: 6}},
		{Command: orderbook.MassCancel, Instrument: 1, Side: match.Buy},
		{Command: orderbook.Login, Account: 1, Stay: true},
		{Command: orderbook.Subscribe, Instrument: 1, Off: true},
		{Command: orderbook.DepthRequest, Instrument: 1, Levels: 2},
		{Command: orderbook.InstrumentsRequest, Instrument: 1},
		{Command: orderbook.DefineInstruments, Definitions: definitions},
		{Command: orderbook.SetState, Instrument: 1, State: match.Halted},
		{Command: orderbook.SetLimits, Account: 1, Limits: match.Limits{MaxOpen: 2, MaxQuantity: 3, MessagesPerS: 4}},
		{Command: orderbook.Kill, Account: 1, Off: true},
		{Command: orderbook.BustTrade, Execution: 1},
	}
}

// events are one of every kind.
func events() []orderbook.Event {
	return []orderbook.Event{
		{Kind: orderbook.Accepted, ClientOrder: 1, Order: 2, Quantity: 3, Left: 4, Instrument: 5, Side: match.Sell},
		{Kind: orderbook.Rejected, ClientOrder: 1, Reason: match.Throttled},
		{Kind: orderbook.Executed, ClientOrder: 1, Order: 2, Execution: 3, Quantity: 4, Left: 5, Price: 6, Instrument: 7,
			Side: match.Buy},
		{Kind: orderbook.Canceled, ClientOrder: 1, Order: 2, Quantity: 3, Left: 4, Cancel: match.Collared},
		{Kind: orderbook.Replaced, ClientOrder: 1, NewClientOrder: 2, Order: 3, Quantity: 4, Left: 5, Instrument: 6,
			Side: match.Sell},
		{Kind: orderbook.Triggered, ClientOrder: 1, Order: 2, Left: 3},
		{Kind: orderbook.MassCanceled, Count: 1},
		{Kind: orderbook.LoggedIn, Account: 1, Count: 2},
		{Kind: orderbook.LoggedOut, Account: 1},
		{Kind: orderbook.Subscribed, Instrument: 1, Off: true, Next: 2},
		{Kind: orderbook.MarketEvents, Count: 1, Market: []match.Event{
			{Kind: match.EventTraded, Number: 1, Order: 2, Execution: 3, Quantity: 4, Instrument: 5, Price: 6, Side: match.Sell},
			{Kind: match.EventState, Number: 2, Instrument: 5, State: match.Closed}}},
		{Kind: orderbook.Depth, Instrument: 1, State: match.Halted, Last: 2, Next: 3,
			Bids: []match.Level{{Price: 1, Orders: 2, Quantity: 3}, {Price: 4, Orders: 5, Quantity: 6}},
			Asks: []match.Level{{Price: 7}}},
		{Kind: orderbook.Instruments, Next: 9, Definitions: definitions},
		{Kind: orderbook.Done, Count: 1},
	}
}

func TestWhatIsEncodedDecodes(t *testing.T) {
	b := flatbuffers.NewBuilder(0)
	var q orderbook.Request
	for _, x := range requests() {
		if !orderbook.DecodeRequest(orderbook.EncodeRequest(b, &x), &q) || !equalRequests(&q, &x) {
			t.Errorf("%+v\nbecame %+v", x, q)
		}
	}
	if n := len(requests()); n != int(orderbook.BustTrade) {
		t.Errorf("%d commands are tried", n)
	}
	var e orderbook.Event
	for _, x := range events() {
		if !orderbook.DecodeEvent(orderbook.EncodeEvent(b, &x), &e) || !equalEvents(&e, &x) {
			t.Errorf("%+v\nbecame %+v", x, e)
		}
	}
	if n := len(events()); n != int(orderbook.Done) {
		t.Errorf("%d kinds are tried", n)
	}
}

// equalRequests and equalEvents compare what is in slices, not whether they are nil.
func equalRequests(a, b *orderbook.Request) bool {
	x, y := *a, *b
	x.Definitions, y.Definitions = nil, nil
	return reflect.DeepEqual(x, y) && slices.Equal(a.Definitions, b.Definitions)
}

func equalEvents(a, b *orderbook.Event) bool {
	x, y := *a, *b
	x.Definitions, x.Market, x.Bids, x.Asks = nil, nil, nil, nil
	y.Definitions, y.Market, y.Bids, y.Asks = nil, nil, nil, nil
	return reflect.DeepEqual(x, y) && slices.Equal(a.Definitions, b.Definitions) && slices.Equal(a.Market, b.Market) &&
		slices.Equal(a.Bids, b.Bids) && slices.Equal(a.Asks, b.Asks)
}

func TestWhatIsNoRequestDoesNotDecode(t *testing.T) {
	b := flatbuffers.NewBuilder(0)
	var q orderbook.Request
	long := make([]match.Definition, orderbook.MaxListed)
	if !orderbook.DecodeRequest(orderbook.EncodeRequest(b, &orderbook.Request{Command: orderbook.DefineInstruments,
		Definitions: long}), &q) {
		t.Error("as many instruments as one message may define do not decode")
	}
	for _, symbol := range []string{"two words", "new\nline", "\xff"} {
		d := match.Definition{ID: 1}
		copy(d.Symbol[:], symbol)
		if orderbook.DecodeRequest(orderbook.EncodeRequest(b, &orderbook.Request{Command: orderbook.DefineInstruments,
			Definitions: []match.Definition{d}}), &q) {
			t.Errorf("symbol %q decodes", symbol)
		}
	}
	for _, payload := range [][]byte{nil, {1, 2, 3}, make([]byte, 64), orderbook.EncodeRequest(b,
		&orderbook.Request{Command: 99})} {
		if orderbook.DecodeRequest(payload, &q) {
			t.Errorf("%x decodes", payload)
		}
	}
}

// FuzzRequest: whatever decodes is encoded to something that decodes to the same.
func FuzzRequest(f *testing.F) {
	b := flatbuffers.NewBuilder(0)
	for _, q := range requests() {
		f.Add(slices.Clone(orderbook.EncodeRequest(b, &q)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var q, again orderbook.Request
		if !orderbook.DecodeRequest(payload, &q) {
			return
		}
		if !orderbook.DecodeRequest(orderbook.EncodeRequest(flatbuffers.NewBuilder(0), &q), &again) || !equalRequests(&q,
			&again) {
			t.Errorf("%+v became %+v", q, again)
		}
	})
}

// FuzzEvent: the same of events.
func FuzzEvent(f *testing.F) {
	b := flatbuffers.NewBuilder(0)
	for _, e := range events() {
		f.Add(slices.Clone(orderbook.EncodeEvent(b, &e)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var e, again orderbook.Event
		if !orderbook.DecodeEvent(payload, &e) || len(e.Definitions) > orderbook.MaxListed {
			return
		}
		if !orderbook.DecodeEvent(orderbook.EncodeEvent(flatbuffers.NewBuilder(0), &e), &again) || !equalEvents(&e, &again) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}
