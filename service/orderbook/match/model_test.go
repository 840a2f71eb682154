package match_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"lockstep/internal/bookmodel"
	"lockstep/service/orderbook/match"
)

// engines are those that are compared with the model.
var engines = bookmodel.Engines{
	New:   func(o match.Options) (match.Book, error) { return match.NewEngine(o) },
	Again: again,
}

// again returns an engine restored from the snapshot of another: it must take all of the bytes and write the same.
func again(b match.Book) (match.Book, error) {
	engine := b.(*match.Engine)
	var first, second bytes.Buffer
	if err := engine.Snapshot(&first); err != nil {
		return nil, err
	}
	restored, err := match.NewEngine(engine.Options())
	if err != nil {
		return nil, err
	}
	rest := bytes.NewReader(first.Bytes())
	if err := restored.Restore(rest); err != nil {
		return nil, err
	}
	if rest.Len() > 0 {
		return nil, fmt.Errorf("%d bytes of %d are not read", rest.Len(), first.Len())
	}
	if err := restored.Snapshot(&second); err != nil {
		return nil, err
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		return nil, errors.New("restored, it writes other bytes")
	}
	return restored, nil
}

// flowCalls is how many calls a flow has.
const flowCalls = 2000

// TestEngineIsTheModel gives flows of all worlds to the engine and to a book that is searched for everything: the same
// returns, events, depth, open orders and work left, after every call. LOCKSTEP_BOOK_CALLS says how many calls, and
// LOCKSTEP_BOOK_SEED where to begin (`make book-long`).
func TestEngineIsTheModel(t *testing.T) {
	calls, seed := setting(t, "LOCKSTEP_BOOK_CALLS", 200_000), setting(t, "LOCKSTEP_BOOK_SEED", 1)
	worlds := bookmodel.Worlds()
	var next, done, events atomic.Uint64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for !t.Failed() {
				n := next.Add(1) - 1
				if n*flowCalls >= calls {
					return
				}
				w := worlds[(seed+n)%uint64(len(worlds))]
				compared, d, err := bookmodel.Run(engines, w, bookmodel.Random(seed+n), flowCalls)
				if err != nil || d != nil {
					t.Errorf("LOCKSTEP_BOOK_SEED=%d: %v\n%v", seed+n, err, d)
					return
				}
				done.Add(flowCalls)
				events.Add(compared)
			}
		})
	}
	group.Wait()
	t.Logf("%d calls, %d events: no difference", done.Load(), events.Load())
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// FuzzFlow lets a fuzzer choose the calls.
func FuzzFlow(f *testing.F) {
	for world := range bookmodel.Worlds() {
		f.Add(uint8(world), []byte("at the same time the other side of the book"))
	}
	worlds := bookmodel.Worlds()
	f.Fuzz(func(t *testing.T, world uint8, b []byte) {
		w := worlds[int(world)%len(worlds)]
		_, d, err := bookmodel.Run(engines, w, bookmodel.Bytes(b), min(len(b)/4, flowCalls))
		if err != nil || d != nil {
			t.Fatalf("%v\n%v", err, d)
		}
	})
}

// TestMoreStopsThanOneCallTakes: thousands of stops that one trade reaches join in parts and are elected in the same order
// as in the model.
func TestMoreStopsThanOneCallTakes(t *testing.T) {
	const stops = 4300
	d, err := bookmodel.NewDuel(engines, match.Options{Instruments: 1, MaxInstruments: 1, MaxOrders: 3 * stops, MaxFills: 40})
	if err != nil {
		t.Fatal(err)
	}
	step := func(op bookmodel.Op) {
		t.Helper()
		if what := d.Step(&op); what != "" {
			t.Fatalf("%s: %s", op.String(), what)
		}
	}
	enter := func(account, name uint64, n match.New) {
		t.Helper()
		n.Account, n.ClientOrder, n.Instrument = match.Account(account), match.ClientOrder(name), 1
		step(bookmodel.Op{Kind: bookmodel.OpEnter, Now: 1, New: n})
	}
	for i := range uint64(stops) {
		n := match.New{Side: match.Sell, Type: match.StopLimit, Stop: uint32(200 + i%7), Price: uint32(150 + i%40), Quantity: 1}
		if i%5 == 0 {
			n = match.New{Side: match.Sell, Type: match.Stop, Stop: uint32(150 + i%3), Quantity: 2}
		}
		enter(1+i/1000, i, n)
	}
	enter(9, 1, match.New{Side: match.Buy, Type: match.Limit, Price: 160, Quantity: 4 * stops})
	enter(9, 2, match.New{Side: match.Sell, Type: match.Limit, Price: 160, Quantity: 1})
	calls := 0
	for ; d.Pending(); calls++ {
		step(bookmodel.Op{Kind: bookmodel.OpContinue, Now: 2})
	}
	if calls < stops/256 {
		t.Errorf("all in %d calls", calls)
	}
	step(bookmodel.Op{Kind: bookmodel.OpSnapshot})
}

// TestUncrossBeginsAgain: an order that was to take part in an auction's end is canceled between two records of it. What is
// left then crosses at another price, and must not be left so.
func TestUncrossBeginsAgain(t *testing.T) {
	e, err := match.NewEngine(match.Options{MaxFills: 1})
	if err != nil {
		t.Fatal(err)
	}
	enter := func(account match.Account, side match.Side, price uint32, quantity uint64) {
		n := match.New{Account: account, Instrument: 1, Side: side, Type: match.Limit, Price: price, Quantity: quantity}
		if reason := e.Enter(1, &n); reason != match.None {
			t.Fatal(reason)
		}
	}
	e.SetState(1, 1, match.Auction)
	enter(1, match.Buy, 100, 8)
	enter(2, match.Buy, 99, 41)
	enter(3, match.Buy, 98, 7)
	enter(4, match.Sell, 98, 47)
	e.Reset()
	e.SetState(2, 1, match.Continuous)
	for ; len(e.Events()) == 0; e.Continue(2) {
	}
	e.Cancel(&match.Cancel{Account: 2})
	for e.Pending() {
		e.Continue(3)
	}
	var uncrossed, traded []match.Event
	for _, v := range e.Events() {
		switch v.Kind {
		case match.EventUncrossed:
			uncrossed = append(uncrossed, v)
		case match.EventTraded:
			traded = append(traded, v)
		}
	}
	if len(uncrossed) != 2 || uncrossed[0].Price != 99 || uncrossed[0].Quantity != 47 || uncrossed[1].Price != 98 ||
		uncrossed[1].Quantity != 7 {
		t.Errorf("uncrossed: %+v", uncrossed)
	}
	if len(traded) != 2 || traded[0].Quantity != 8 || traded[1].Quantity != 7 || traded[1].Price != 98 {
		t.Errorf("traded: %+v", traded)
	}
	bids, asks := e.Depth(nil, 1, match.Buy, 9), e.Depth(nil, 1, match.Sell, 9)
	if len(bids) != 0 || len(asks) != 1 || asks[0].Quantity != 32 {
		t.Errorf("bids %+v, asks %+v", bids, asks)
	}
}
