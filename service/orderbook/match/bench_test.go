package match

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// The flow of the benchmarks: 45 % new orders that rest, 35 % cancels and 10 % replaces, 10 % orders that execute;
// 16 instruments, 64 accounts, 10,000 or 100,000 orders at rest, about. Three of four cancels and replaces are of one of the last
// 4096 orders if any of them is open, the fourth of any.
const (
	flowInstruments = 16
	flowAccounts    = 64
	flowResting     = 100_000
	flowMiddle      = 10_000
	flowRecent      = 4096
)

// step is one operation of the flow, in few bytes.
type step struct {
	what            uint8 // 0: new, 1: cancel, 2: replace
	side            Side
	tif             TimeInForce
	account         uint16
	instrument      uint16
	price           uint32
	client, client2 uint32
	quantity        uint32
}

// flow makes steps, by playing them to an engine to know what is open; the first fill of them only fill the book.
func flow(t testing.TB, n, rest int) (steps []step, fill int) {
	e, err := NewEngine(Options{MaxOpen: MaxOpen})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 11))
	var live []step // by entry
	where := map[[2]uint64]int{}
	var recent [flowRecent][2]uint64
	var client [flowAccounts + 1]uint32 // last id of each account
	some := func() step {
		if rng.IntN(4) > 0 {
			for from, n := rng.IntN(flowRecent), 0; n < flowRecent; n++ {
				if at, ok := where[recent[(from+n)%flowRecent]]; ok {
					return live[at]
				}
			}
		}
		return live[rng.IntN(len(live))]
	}
	gone := func(key [2]uint64) {
		at, ok := where[key]
		if !ok {
			return
		}
		last := len(live) - 1
		live[at] = live[last]
		where[[2]uint64{uint64(live[at].account), uint64(live[at].client)}] = at
		live = live[:last]
		delete(where, key)
	}
	play := func(s step) {
		steps = append(steps, s)
		s.apply(e)
		for _, v := range e.Events() {
			switch key := [2]uint64{uint64(v.Account), uint64(v.ClientOrder)}; v.Kind {
			case EventAccepted, EventReplaced:
				if v.Kind == EventReplaced {
					gone([2]uint64{uint64(v.Account), uint64(v.OldClientOrder)})
				}
				if v.Left > 0 {
					s.client = uint32(v.ClientOrder)
					where[key] = len(live)
					recent[v.Order%flowRecent] = key
					live = append(live, s)
				}
			case EventExecuted, EventCanceled:
				if v.Left == 0 {
					gone(key)
				}
			case EventRejected:
				t.Fatalf("%+v: %+v", s, v)
			}
		}
		e.Reset()
	}
	rests := func() step {
		account := uint16(1 + rng.IntN(flowAccounts))
		client[account]++
		s := step{
			side: Side(1 + rng.IntN(2)), tif: GTC, account: account, client: client[account],
			instrument: uint16(1 + rng.IntN(flowInstruments)), quantity: uint32(1 + rng.IntN(100)),
		}
		away := 1 + uint32(rng.ExpFloat64()*60)
		s.price = flowMiddle + away
		if s.side == Buy {
			s.price = flowMiddle - away
		}
		return s
	}
	for len(live) < rest {
		play(rests())
	}
	fill = len(steps)
	for len(steps) < fill+n {
		what := rng.IntN(100)
		switch {
		case what < 45 && len(live) < rest+2000 || len(live) < rest-2000:
			play(rests())
		case what < 80:
			s := some()
			s.what = 1
			play(s)
		case what < 90:
			s := some()
			client[s.account]++
			s.what, s.client2, s.quantity = 2, client[s.account], uint32(1+rng.IntN(100))
			if rng.IntN(2) == 0 {
				s.price = s.price - 1 + uint32(rng.IntN(3))
			}
			play(s)
		default:
			s := rests()
			s.tif, s.price = IOC, flowMiddle+50
			if s.side == Sell {
				s.price = flowMiddle - 50
			}
			play(s)
		}
	}
	return steps, fill
}

func (s *step) apply(e *Engine) {
	switch s.what {
	case 0:
		e.Enter(1, &New{
			Account: Account(s.account), ClientOrder: ClientOrder(s.client), Instrument: Instrument(s.instrument),
			Side: s.side, Type: Limit, TIF: s.tif, Price: s.price, Quantity: uint64(s.quantity),
		})
	case 1:
		e.Cancel(&Cancel{Account: Account(s.account), ClientOrder: ClientOrder(s.client)})
	case 2:
		e.Replace(1, &Replace{
			Account: Account(s.account), ClientOrder: ClientOrder(s.client), NewClientOrder: ClientOrder(s.client2),
			Price: s.price, Quantity: uint64(s.quantity),
		})
	}
}

const flowSteps = 1 << 20

// bySize has a benchmark for each of some numbers of orders at rest.
func bySize(b *testing.B, bench func(b *testing.B, steps []step, fill int)) {
	for _, rest := range []int{10_000, flowResting} {
		b.Run(fmt.Sprintf("resting=%d", rest), func(b *testing.B) {
			steps, fill := flow(b, flowSteps, rest)
			bench(b, steps, fill)
		})
	}
}

func BenchmarkEngine(b *testing.B) {
	bySize(b, func(b *testing.B, steps []step, fill int) {
		var e *Engine
		benchmark(b, steps, fill, func() { e = filled(b, steps[:fill]) }, func(s *step) {
			s.apply(e)
			e.Reset()
		})
	})
}

func BenchmarkNaive(b *testing.B) {
	bySize(b, func(b *testing.B, steps []step, fill int) {
		var n *naive
		benchmark(b, steps, fill, func() {
			n = newNaive()
			for i := range steps[:fill] {
				n.apply(&steps[i])
			}
		}, func(s *step) { n.apply(s) })
	})
}

// stretch is how many operations are timed at once.
const stretch = 1024

// benchmark plays the flow round after round, each to a book that is filled anew, out of the time that is measured. Beside
// the clock's it reports what says more on a machine that others use too: the time that the thread had of a core, and
// of all stretches of 1024 operations the time of that which one of a hundred is not slower than, and of the median.
func benchmark(b *testing.B, steps []step, fill int, refill func(), play func(*step)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var spent time.Duration
	var stretches []time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		b.StopTimer()
		refill()
		round := steps[fill:min(len(steps), fill+b.N-done)]
		stretches = slices.Grow(stretches, len(round)/stretch)
		runtime.GC()
		from := threadTime(b)
		b.StartTimer()
		for at := 0; at < len(round); at += stretch {
			some, begun := round[at:min(len(round), at+stretch)], time.Now()
			for i := range some {
				play(&some[i])
			}
			if len(some) == stretch {
				stretches = append(stretches, time.Since(begun))
			}
		}
		spent += threadTime(b) - from
		done += len(round)
	}
	b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "cpu-ns/op")
	if n := len(stretches); n >= 100 {
		slices.Sort(stretches)
		b.ReportMetric(float64(stretches[n/100].Nanoseconds())/stretch, "p1-ns/op")
		b.ReportMetric(float64(stretches[n/2].Nanoseconds())/stretch, "p50-ns/op")
	}
}

// threadTime is the time that the thread has had of a core.
func threadTime(t testing.TB) time.Duration {
	const thread = 1
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func filled(b testing.TB, steps []step) *Engine {
	e, err := NewEngine(Options{MaxOpen: MaxOpen})
	if err != nil {
		b.Fatal(err)
	}
	for i := range steps {
		steps[i].apply(e)
		e.Reset()
	}
	return e
}

// The flow's orders, executions, cancels and replaces: nothing of it allocates.
func TestFlowDoesNotAllocate(t *testing.T) {
	steps, fill := flow(t, 60_000, flowResting)
	e := filled(t, steps[:fill+30_000])
	at := fill + 30_000
	if n := testing.AllocsPerRun(25_000, func() {
		steps[at].apply(e)
		e.Reset()
		at++
	}); n != 0 {
		t.Errorf("%v allocations an operation", n)
	}
	if orders, _ := e.Open(); orders < flowResting/2 {
		t.Errorf("only %d orders are open", orders)
	}
}

// naive is what one writes first: maps from price to a slice of orders, a sorted slice of the prices, a map for the
// look-up. It tells less than the engine does.
type naive struct {
	sides  [flowInstruments + 1][3]naiveSide
	byName map[[2]uint32]*naiveOrder
	events []Event
	number uint64
	traded uint64
}

type naiveOrder struct {
	step
	number, left uint64
}

type naiveSide struct {
	prices []uint32
	levels map[uint32][]*naiveOrder
}

func newNaive() *naive {
	n := &naive{byName: map[[2]uint32]*naiveOrder{}}
	for i := range n.sides {
		for s := range n.sides[i] {
			n.sides[i][s].levels = map[uint32][]*naiveOrder{}
		}
	}
	return n
}

func (n *naive) apply(s *step) {
	n.events = n.events[:0]
	key := [2]uint32{uint32(s.account), s.client}
	if s.what == 0 {
		n.enter(&naiveOrder{step: *s, left: uint64(s.quantity)})
		return
	}
	o := n.byName[key]
	if o == nil {
		n.events = append(n.events, Event{Kind: EventRejected})
		return
	}
	executed := uint64(o.quantity) - o.left
	switch {
	case s.what == 2 && uint64(s.quantity) > executed && s.price == o.price && uint64(s.quantity)-executed <= o.left:
		delete(n.byName, key)
		o.quantity, o.left, o.client = s.quantity, uint64(s.quantity)-executed, s.client2
		n.byName[[2]uint32{uint32(s.account), s.client2}] = o
		n.events = append(n.events, Event{Kind: EventReplaced, Order: o.number, Left: o.left})
	case s.what == 2 && uint64(s.quantity) > executed:
		n.remove(o)
		next := &naiveOrder{step: *s, left: uint64(s.quantity) - executed}
		next.client = s.client2
		n.enter(next)
	default:
		n.remove(o)
		n.events = append(n.events, Event{Kind: EventCanceled, Order: o.number, Quantity: o.left})
	}
}

func (n *naive) enter(o *naiveOrder) {
	n.number++
	o.number = n.number
	n.events = append(n.events, Event{Kind: EventAccepted, Order: o.number, Quantity: o.left})
	other := &n.sides[o.instrument][Buy+Sell-o.side]
	for o.left > 0 && len(other.prices) > 0 {
		price := other.prices[0]
		if o.side == Sell {
			price = other.prices[len(other.prices)-1]
		}
		if !meets(o.side, o.price, price) {
			break
		}
		r := other.levels[price][0]
		quantity := min(o.left, r.left)
		o.left -= quantity
		r.left -= quantity
		n.traded++
		n.events = append(n.events,
			Event{Kind: EventExecuted, Order: o.number, Execution: n.traded, Price: price, Quantity: quantity, Left: o.left},
			Event{Kind: EventExecuted, Order: r.number, Execution: n.traded, Price: price, Quantity: quantity, Left: r.left})
		if r.left == 0 {
			n.remove(r)
		}
	}
	if o.left == 0 || o.tif == IOC {
		return
	}
	n.byName[[2]uint32{uint32(o.account), o.client}] = o
	s := &n.sides[o.instrument][o.side]
	if _, ok := s.levels[o.price]; !ok {
		at, _ := slices.BinarySearch(s.prices, o.price)
		s.prices = slices.Insert(s.prices, at, o.price)
	}
	s.levels[o.price] = append(s.levels[o.price], o)
}

func (n *naive) remove(o *naiveOrder) {
	delete(n.byName, [2]uint32{uint32(o.account), o.client})
	s := &n.sides[o.instrument][o.side]
	queue := s.levels[o.price]
	at := slices.Index(queue, o)
	if queue = slices.Delete(queue, at, at+1); len(queue) > 0 {
		s.levels[o.price] = queue
		return
	}
	delete(s.levels, o.price)
	at, _ = slices.BinarySearch(s.prices, o.price)
	s.prices = slices.Delete(s.prices, at, at+1)
}
