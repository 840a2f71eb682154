package match

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func engine(t testing.TB, o Options) *Engine {
	e, err := NewEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// told takes the events, and goes on until no work is left.
func told(e *Engine) (events []Event) {
	for e.Pending() {
		e.Continue(1)
	}
	events = slices.Clone(e.Events())
	e.Reset()
	return events
}

// An auction ends in the same way whether one call does it or many: the same events in the same order.
func TestUncrossInPartsIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []New
		for n := range rapid.IntRange(1, 40).Draw(t, "orders") {
			x := New{
				Account: Account(rapid.IntRange(1, 3).Draw(t, "account")), ClientOrder: ClientOrder(n), Instrument: 1,
				Side: Side(rapid.IntRange(1, 2).Draw(t, "side")), Type: Limit,
				TIF:      rapid.SampledFrom([]TimeInForce{Day, GTC}).Draw(t, "tif"),
				Price:    uint32(rapid.IntRange(95, 105).Draw(t, "price")),
				Quantity: uint64(rapid.IntRange(1, 20).Draw(t, "quantity")),
			}
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				x.Type, x.TIF, x.Price = Market, Day, 0
			case 1:
				x.Display = uint64(rapid.IntRange(1, int(x.Quantity)).Draw(t, "display"))
			}
			all = append(all, x)
		}
		to := rapid.SampledFrom([]State{Continuous, Closed}).Draw(t, "to")
		end := func(fills int) ([]Event, []Open) {
			e, err := NewEngine(Options{Instruments: 1, MaxInstruments: 1, MaxOrders: 64, MaxFills: fills})
			if err != nil {
				t.Fatal(err)
			}
			e.SetState(1, 1, Auction)
			for i := range all {
				if reason := e.Enter(1, &all[i]); reason != None {
					t.Fatalf("%+v: %d", all[i], reason)
				}
			}
			e.Reset()
			e.SetState(1, 1, to)
			events := told(e)
			return events, e.OpenOrders(e.OpenOrders(e.OpenOrders(nil, 1), 2), 3)
		}
		events, open := end(3500)
		partly, left := end(rapid.IntRange(1, 5).Draw(t, "fills"))
		if !slices.Equal(events, partly) || !slices.Equal(open, left) {
			t.Fatalf("at once %+v, leaves %+v\nin parts %+v, leaves %+v", events, open, partly, left)
		}
	})
}

// Stops are elected in the same order with the same effect whether one call does it or many.
func TestElectionsInPartsAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []New
		for n := range rapid.IntRange(3, 40).Draw(t, "orders") {
			x := New{
				Account: 1, ClientOrder: ClientOrder(n), Instrument: 1, Side: Side(rapid.IntRange(1, 2).Draw(t, "side")),
				Type: Limit, Quantity: uint64(rapid.IntRange(1, 9).Draw(t, "quantity")),
				Price: uint32(rapid.IntRange(95, 105).Draw(t, "price")),
			}
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				x.Type, x.Price, x.Stop = Stop, 0, x.Price
			case 1:
				x.Type, x.Stop = StopLimit, uint32(rapid.IntRange(95, 105).Draw(t, "stop"))
			}
			all = append(all, x)
		}
		play := func(elections int) (events []Event) {
			e, err := NewEngine(Options{Instruments: 1, MaxInstruments: 1, MaxOrders: 64, MaxElections: elections})
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				e.Enter(1, &all[i])
				events = append(events, told(e)...)
			}
			return events
		}
		if at, in := play(256), play(1); !slices.Equal(at, in) {
			t.Fatalf("at once %+v\nin parts %+v", at, in)
		}
	})
}

// busy is an engine in the middle of everything: an uncross, elections and switching off, each begun and not done.
func busy(t testing.TB) *Engine {
	s := &scripted{t: t, now: 10, options: Options{
		Instruments: 3, MaxInstruments: 5, PriceLimit: 1000, MaxOrders: 40, MaxAccounts: 8, MaxFills: 2, MaxElections: 1,
	}}
	s.engine = s.fresh()
	for _, line := range []string{
		"limits 3 open=9,quantity=90,rate=2", "limits 0 open=20,quantity=500,rate=1000", "kill 4",
		"define 5 low=10,high=90,max=10,collar=2,reference=50 auction",
		"buy 3/7 1@50 i=5 gtd expire=99", "buy 1/9 2 market i=5",
		"buy 1/1 3 stop stop=55 i=2", "buy 1/2 3 stop stop=54 gtc i=2", "buy 1/3 1@60 stoplimit stop=54 i=2",
		"sell 2/1 1@56 i=2 gtc", "sell 2/2 9@57 i=2 gtd expire=500 display=2",
		"state 1 auction", "buy 1/4 5@60", "buy 1/5 5@61", "buy 1/6 5@62", "buy 1/7 5@63", "sell 2/4 9@50 display=2", "sell 2/5 9@49",
		"state 3 halted", "state 1 continuous", "buy 6/1 2@56 i=2", "buy 6/2 1@9 i=2",
	} {
		n := len(s.engine.Events())
		s.line(strings.Fields(line))
		for _, v := range s.engine.Events()[n:] {
			if v.Kind == EventRejected && v.Reason != Busy {
				t.Fatalf("%s: %s", line, describe(&v))
			}
		}
	}
	if s.out.Len() > 0 {
		t.Fatal(s.out.String())
	}
	return s.engine
}

func TestRestoreRefusesWhatIsNotItsSnapshot(t *testing.T) {
	for name, e := range map[string]*Engine{"busy": busy(t), "switched off": switchedOff(t)} {
		var whole bytes.Buffer
		if err := e.Snapshot(&whole); err != nil {
			t.Fatal(err)
		}
		again := engine(t, e.Options())
		refuse := func(what string, at int, data []byte) {
			err := again.Restore(bytes.NewReader(data))
			if !errors.Is(err, ErrSnapshot) && !errors.Is(err, ErrUnsuited) {
				t.Fatalf("%s, %s %d: %v", name, what, at, err)
			}
			if unsuited := errors.Is(err, ErrUnsuited); unsuited && (at < 8 || at >= 80) {
				t.Fatalf("%s, %s %d: %v", name, what, at, err)
			}
		}
		for at := range whole.Len() {
			refuse("cut at", at, whole.Bytes()[:at])
			changed := slices.Clone(whole.Bytes())
			changed[at] ^= 1 << (at % 8)
			refuse("changed at", at, changed)
		}
		if err := again.Restore(bytes.NewReader(whole.Bytes())); err != nil || again.Hash() != e.Hash() {
			t.Fatalf("%s: %v, hash %x, want %x", name, err, again.Hash(), e.Hash())
		}
		other := e.Options()
		other.MaxFills++
		if err := engine(t, other).Restore(bytes.NewReader(whole.Bytes())); !errors.Is(err, ErrUnsuited) {
			t.Fatalf("%s: with other options: %v", name, err)
		}
	}
}

func switchedOff(t testing.TB) *Engine {
	e := busy(t)
	e.Kill(0, true)
	if !e.Pending() {
		t.Fatal("nothing is left to cancel")
	}
	return e
}

// What is restored goes on as what it was taken from.
func TestRestoredGoesOnTheSame(t *testing.T) {
	for _, e := range []*Engine{busy(t), switchedOff(t)} {
		var whole bytes.Buffer
		if err := e.Snapshot(&whole); err != nil {
			t.Fatal(err)
		}
		again := engine(t, e.Options())
		if err := again.Restore(&whole); err != nil {
			t.Fatal(err)
		}
		e.Reset()
		want, got := told(e), told(again)
		if len(want) == 0 || !slices.Equal(want, got) || e.Hash() != again.Hash() {
			t.Errorf("%+v, hash %x\nwant %+v, hash %x", got, again.Hash(), want, e.Hash())
		}
	}
}

func TestOptionsAreBounded(t *testing.T) {
	for _, o := range []Options{
		{MaxFills: 3501}, {MaxFills: -1}, {MaxOrders: 1<<22 + 1}, {MaxAccounts: -1}, {MaxOpen: 3501}, {MaxElections: 257},
		{PriceLimit: 1 << 24}, {MaxQuantity: 1<<40 + 1}, {Instruments: 9, MaxInstruments: 8}, {MaxInstruments: 1 << 16},
	} {
		if _, err := NewEngine(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Everything that an engine does, over and over: nothing of it allocates.
func TestNothingAllocates(t *testing.T) {
	e := engine(t, Options{Instruments: 2, MaxInstruments: 3, MaxOrders: 100, MaxAccounts: 3, MaxFills: 3, MaxElections: 1})
	now, depth, open := uint64(1), make([]Level, 0, 9), make([]Open, 0, 99)
	drain := func() {
		for e.Pending() {
			e.Continue(now)
		}
	}
	enter := func(account Account, name ClientOrder, n New) {
		drain()
		n.Account, n.ClientOrder, n.Instrument = account, name, max(1, n.Instrument)
		e.CheckEnter(now, &n)
		if reason := e.Enter(now, &n); reason != None {
			t.Fatalf("%+v: %d", n, reason)
		}
	}
	far := uint32(1)
	round := func() {
		now += 1e9
		far = far*7%60000 + 100
		e.Define(&Definition{ID: 3, Low: 1, High: MaxPrice, MaxQuantity: 9, State: Auction})
		e.SetLimits(1, Limits{MaxOpen: 50, MessagesPerS: 1000})
		enter(1, 1, New{Side: Buy, Type: Limit, Price: far, Quantity: 5, TIF: GTD, Expire: now + 1})
		enter(1, 2, New{Side: Sell, Type: Stop, Stop: far, Quantity: 1})
		enter(1, 3, New{Side: Sell, Type: StopLimit, Stop: far, Price: far, Quantity: 1, TIF: GTC})
		enter(1, 4, New{Side: Buy, Type: Limit, Price: far, Quantity: 9, Display: 2, PostOnly: true})
		enter(2, 1, New{Side: Sell, Type: Limit, Price: far, Quantity: 6, TIF: FOK})
		enter(2, 2, New{Side: Sell, Type: Limit, Price: far + 9, Quantity: 6, SelfMatch: CancelBoth})
		e.Replace(now, &Replace{Account: 2, ClientOrder: 2, NewClientOrder: 3, Price: far + 8, Quantity: 5})
		e.Cancel(&Cancel{Account: 2, ClientOrder: 3, Quantity: 3})
		drain()
		e.SetState(now, 2, Auction)
		enter(Account(3+now%4), 1, New{Instrument: 2, Side: Buy, Type: Market, Quantity: 9})
		enter(2, 9, New{Instrument: 2, Side: Sell, Type: Limit, Price: far, Quantity: 4, Display: 1})
		e.SetState(now, 2, Continuous)
		drain()
		depth = e.Depth(depth[:0], 1, Buy, 9)
		open = e.OpenOrders(open[:0], 1)
		e.Hash()
		e.Expire(now+1, 10)
		e.MassCancel(1, 1, Buy)
		e.Leave(2)
		e.Kill(1, true)
		e.Kill(1, false)
		e.SetState(now, 0, Closed)
		drain()
		e.SetState(now, 0, Continuous)
		e.Kill(0, true)
		drain()
		e.Kill(0, false)
		e.Reset()
	}
	for range 500 {
		round()
	}
	if n := testing.AllocsPerRun(500, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
