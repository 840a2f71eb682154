package orderflow

import (
	"bytes"
	"hash/fnv"
	"testing"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

func TestSameOptionsGiveTheSameFlow(t *testing.T) {
	a, b := New(Options{Seed: 7, Client: 3}), New(Options{Seed: 7, Client: 3})
	other := New(Options{Seed: 7, Client: 4})
	differs := false
	for i := range 10000 {
		x, kx := a.Next()
		y, ky := b.Next()
		if kx != ky || !bytes.Equal(x, y) {
			t.Fatalf("message %d differs between two generators of the same options", i)
		}
		z, _ := other.Next()
		differs = differs || !bytes.Equal(x, z)
	}
	if !differs {
		t.Error("another client has the same flow")
	}
}

// A seed that somebody noted down must give the same flow in every version.
func TestFlowIsPinned(t *testing.T) {
	g := New(Options{Seed: 1})
	h := fnv.New64a()
	for range 1000 {
		payload, _ := g.Next()
		h.Write(payload)
	}
	if got, want := h.Sum64(), uint64(0xf25a5565be09014f); got != want {
		t.Errorf("the first 1000 messages of seed 1 have the hash %#x, had %#x", got, want)
	}
}

func TestMixIsAsDocumented(t *testing.T) {
	const messages = 200000
	var sent [5]int
	g := New(Options{Seed: 2})
	for range messages {
		_, kind := g.Next()
		sent[kind]++
	}
	for kind, percent := range map[Kind]int{Passive: 37, Crossing: 9, Cancel: 48, Replace: 4, Stop: 2} {
		if got := sent[kind] * 100 / messages; got < percent-1 || got > percent+1 {
			t.Errorf("kind %d: %d %% of the messages, documented are %d %%", kind, got, percent)
		}
	}
}

// Several clients on one book: nothing they send is invalid, they trade with one another, and the book stays small.
func TestFlowKeepsABookAlive(t *testing.T) {
	const clients, open = 4, 100
	book, err := orderbook.New(orderbook.Options{Instruments: 8})
	if err != nil {
		t.Fatal(err)
	}
	var flows [clients]*Generator
	for i := range flows {
		flows[i] = New(Options{Seed: 5, Client: uint64(i), Open: open})
	}
	ctx := service.NewContext()
	var events [16]int
	var e orderbook.Event
	for i := range 100000 {
		payload, kind := flows[i%clients].Next()
		r := wire.Record{Session: wire.SessionID(1 + i%clients)}
		ctx.Begin(&r)
		book.Apply(ctx, &r, payload)
		ctx.Responses(func(_ wire.SessionID, payload []byte) {
			if !orderbook.DecodeEvent(payload, &e) {
				t.Fatalf("message %d: an event that does not decode", i)
			}
			events[e.Kind]++
			if e.Kind == orderbook.Rejected && kind != Cancel && kind != Replace {
				t.Fatalf("message %d: an order is rejected: %v", i, e.Reason)
			}
		})
		if book.Resting() > clients*open {
			t.Fatalf("message %d: %d orders on the book", i, book.Resting())
		}
	}
	for _, kind := range []orderbook.EventKind{
		orderbook.Accepted, orderbook.Executed, orderbook.Canceled, orderbook.Rejected, orderbook.Replaced,
		orderbook.Triggered,
	} {
		if events[kind] < 500 {
			t.Errorf("only %d events of kind %v in 100000 messages", events[kind], kind)
		}
	}
	t.Logf("events by kind: %v", events)
}

func TestNextDoesNotAllocate(t *testing.T) {
	g := New(Options{Seed: 3})
	for range 1000 {
		g.Next()
	}
	if n := testing.AllocsPerRun(10000, func() { g.Next() }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}

func BenchmarkNext(b *testing.B) {
	g := New(Options{Seed: 3})
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
