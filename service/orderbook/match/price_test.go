package match

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// crossed is an engine whose instrument 1 is in an auction with n bids and n asks, each at a price of its own, all of which
// meet; each for some lots more than one.
func crossed(t testing.TB, n, fills int) *Engine {
	t.Helper()
	e := engine(t, Options{Instruments: 1, MaxInstruments: 1, PriceLimit: uint32(4 * n), MaxOrders: 2 * n, MaxFills: fills})
	e.SetState(1, 1, Auction)
	for i := range 2 * n {
		x := New{
			Account: Account(1 + i/1000), ClientOrder: ClientOrder(i), Instrument: 1, Side: Side(1 + i%2), Type: Limit, TIF: GTC,
			Quantity: uint64(3 + i%5), Price: uint32(1 + i),
		}
		if x.Side == Buy {
			x.Price += uint32(2 * n)
		}
		if reason := e.Enter(1, &x); reason != None {
			t.Fatal(reason)
		}
	}
	e.Reset()
	return e
}

// Whatever the number of prices, no call does more than so much, and what is told is what one is told at once.
func TestNoCallLooksAtMoreThanSoMany(t *testing.T) {
	for _, x := range [][2]int{{300, 1}, {300, 7}, {300, 64}, {3000, 1024}} {
		n, fills := x[0], x[1]
		e, once := crossed(t, n, fills), crossed(t, n, 3500)
		e.SetState(1, 1, Closed)
		once.SetState(1, 1, Closed)
		calls, searching := 0, 0
		var got []Event
		for ; ; calls++ {
			if e.Work() > fills || e.looks > fills {
				t.Fatalf("%d prices a side, %d a call: %d units of work in call %d", n, fills, e.Work(), calls)
			}
			if e.instruments[1].searching() {
				searching++
			}
			got = append(got, e.Events()...)
			e.Reset()
			if !e.Pending() {
				break
			}
			e.Continue(1)
		}
		if most := 4 * n / fills; searching < n/fills || searching > most+1 {
			t.Errorf("%d prices a side, %d a call: searched in %d calls", n, fills, searching)
		}
		for once.Pending() {
			once.Continue(1)
		}
		if want := once.Events(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d prices a side, %d a call: %d events, %d with more a call", n, fills, len(got), len(want))
		}
	}
}

// Somebody who makes orders smaller between all calls, or takes them off, does not make the search longer.
func TestSearchEndsWhateverIsCanceled(t *testing.T) {
	for seed := range uint64(20) {
		const n, fills = 100, 4
		rng := rand.New(rand.NewPCG(seed, 1))
		e := crossed(t, n, fills)
		e.SetState(1, 1, Continuous)
		for calls := 0; e.instruments[1].searching(); calls++ {
			if calls > 4*n/fills {
				t.Fatalf("seed %d: no end after %d calls", seed, calls)
			}
			for range 5 {
				i := ClientOrder(rng.IntN(2 * n))
				c := Cancel{Account: Account(1 + i/1000), ClientOrder: i}
				if at := e.orders.find(e.accounts.known(c.Account), i); at != 0 && rng.IntN(4) > 0 {
					c.Quantity = e.orders.at[at].left - 1
				}
				e.Cancel(&c)
			}
			e = restored(t, e)
			e.Continue(1)
		}
		for e.Pending() {
			e.Continue(1)
		}
		if in := &e.instruments[1]; in.top[0] != 0 && in.top[1] != 0 &&
			e.shelf.levels[in.top[0]].price >= e.shelf.levels[in.top[1]].price {
			t.Fatalf("seed %d: it trades, and is crossed", seed)
		}
	}
}

// restored is an engine that goes on from the snapshot of one.
func restored(t *testing.T, e *Engine) *Engine {
	t.Helper()
	var b bytes.Buffer
	if err := e.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	next := engine(t, e.Options())
	if err := next.Restore(&b); err != nil {
		t.Fatal(err)
	}
	a, c := &e.instruments[1], &next.instruments[1]
	if a.buy != c.buy || a.sell != c.sell {
		t.Fatalf("sums %d and %d, restored %d and %d", a.buy, a.sell, c.buy, c.sell)
	}
	return next
}

// A snapshot from the midst of a search is refused when the search cannot stand where it says.
func TestRestoreRefusesASearchThatCannotBe(t *testing.T) {
	for calls := range 3 {
		for name, spoil := range map[string]func(in *instrument){
			"beyond all prices": func(in *instrument) { in.at = MaxPrice + 2 },
			"in trading":        func(in *instrument) { in.state = Continuous },
			"to a halt":         func(in *instrument) { in.target = Halted },
			"a best price":      func(in *instrument) { in.price++ },
			"a best volume":     func(in *instrument) { in.volume, in.price = 1, 0 },
			"an imbalance":      func(in *instrument) { in.imbalance, in.volume, in.price = 1, 0, 0 },
		} {
			e := crossed(t, 10, 6)
			e.SetState(1, 1, Closed)
			for range calls {
				e.Continue(1)
			}
			in := &e.instruments[1]
			if !in.searching() {
				t.Fatal("it searches no longer")
			}
			if name == "a best price" {
				in.price, in.volume = in.at, max(in.volume, 1)
			}
			spoil(in)
			e.settleInstrument(in)
			var b bytes.Buffer
			if err := e.Snapshot(&b); err != nil {
				t.Fatal(err)
			}
			if err := engine(t, e.Options()).Restore(&b); err == nil {
				t.Errorf("after %d calls more: %s", calls, name)
			}
		}
	}
}

// BenchmarkAuction is a call that looks at 1024 prices of 131072.
func BenchmarkAuction(b *testing.B) {
	e := crossed(b, 1<<16, 0)
	e.options.MaxFills = 1024
	b.ResetTimer()
	for range b.N {
		in := &e.instruments[1]
		if !in.searching() {
			b.StopTimer()
			in.state, in.target, in.phase, in.price, in.volume = Auction, Continuous, starting, 0, 0
			e.start(in)
			b.StartTimer()
		}
		e.begin()
		if in.phase == summing && !e.sumSome(in) {
			continue
		}
		e.priceSome(in)
	}
}
