package inspect

import (
	"encoding/json"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

// TestOrdersAndReportsHaveNames: every command and every report is shown by its name, and what is neither is not.
func TestOrdersAndReportsHaveNames(t *testing.T) {
	b := flatbuffers.NewBuilder(0)
	seen := map[string]bool{}
	for c := orderbook.NewOrder; c <= orderbook.BustTrade; c++ {
		v := ViewOrder(orderbook.EncodeRequest(b, &orderbook.Request{Command: c}))
		if v == nil || v.Action == "" || seen[v.Action] {
			t.Errorf("%v is shown as %+v", c, v)
			continue
		}
		seen[v.Action] = true
	}
	clear(seen)
	for k := orderbook.Accepted; k <= orderbook.Done; k++ {
		v := ViewReport(orderbook.EncodeEvent(b, &orderbook.Event{Kind: k}))
		if v == nil || v.Kind == "" || seen[v.Kind] {
			t.Errorf("%v is shown as %+v", k, v)
			continue
		}
		seen[v.Kind] = true
	}
	if ViewOrder([]byte("x")) != nil || ViewReport([]byte("x")) != nil {
		t.Error("bytes that are neither are shown")
	}
}

func TestWhatAnOrderIsShownAs(t *testing.T) {
	b := flatbuffers.NewBuilder(0)
	shown := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	q := orderbook.Request{Command: orderbook.NewOrder, New: match.New{ClientOrder: 1, Instrument: 2, Side: match.Sell,
		Type: match.StopLimit,
		TIF:  match.GTD, Price: 3, Stop: 4, Quantity: 5, Expire: 1e9}}
	if got, want := shown(ViewOrder(orderbook.EncodeRequest(b, &q))),
		`{"action":"new","client_order":1,"instrument":2,"side":"sell",`+
			`"type":"StopLimit","time_in_force":"GoodTillDate","price":3,"stop":4,"quantity":5,"expire":"1970-01-01T00:00:01Z"}`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	e := orderbook.Event{Kind: orderbook.MarketEvents, Count: 2, Market: []match.Event{{Kind: match.EventTraded,
		Number: 9, Order: 1,
		Execution: 2, Quantity: 3, Price: 4, Instrument: 5, Side: match.Buy}}}
	if got, want := shown(ViewReport(orderbook.EncodeEvent(b, &e))),
		`{"kind":"market","left_out":2,"events":[{"number":9,"kind":"traded",`+
			`"instrument":5,"order":1,"execution":2,"side":"buy","price":4,"quantity":3}]}`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
