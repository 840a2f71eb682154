package bookmodel

import (
	"testing"

	"lockstep/service/orderbook/match"
)

// modelOnly duels the model with itself.
var modelOnly = Engines{New: func(o match.Options) (match.Book, error) { return New(o), nil }}

// TestFlowsReachEverything: a comparison says nothing about what no flow ever does.
func TestFlowsReachEverything(t *testing.T) {
	var reasons, cancels, kinds [256]int
	for i, w := range Worlds() {
		model := New(w.Options)
		flow := NewFlow(w, Random(uint64(i)), model)
		for range 10_000 {
			op := flow.Next()
			if op.Kind == OpSnapshot {
				continue
			}
			model.Reset()
			r := op.Apply(model)
			if op.Kind != OpExpire {
				for _, reason := range r {
					reasons[min(reason, 255)]++
				}
			}
			for _, e := range model.Events() {
				kinds[e.Kind]++
				cancels[e.Cancel]++
			}
		}
	}
	notOfTheEngine := map[match.Reason]bool{match.Malformed: true, match.BustUnsupported: true, match.TooManySubscribers: true}
	for reason := match.None; reason <= match.BadAccount; reason++ {
		if reasons[reason] < 20 && !notOfTheEngine[reason] {
			t.Errorf("reason %d was given %d times", reason, reasons[reason])
		}
	}
	for why := match.Requested; why <= match.Collared; why++ {
		if cancels[why] < 20 {
			t.Errorf("cancel reason %d was given %d times", why, cancels[why])
		}
	}
	for _, r := range [][2]match.Kind{{match.EventAccepted, match.EventMassCanceled}, {match.EventAdded, match.EventDefined}} {
		for kind := r[0]; kind <= r[1]; kind++ {
			if kinds[kind] < 100 {
				t.Errorf("event kind %d happened %d times", kind, kinds[kind])
			}
		}
	}
	t.Log("reasons", reasons[:32], "cancels", cancels[:13], "kinds", kinds[:23])
}

// TestModelKeepsQuantities: whatever happens, of every order what was accepted is what executed, was canceled and is open,
// and every execution has two sides.
func TestModelKeepsQuantities(t *testing.T) {
	for i, w := range Worlds() {
		model := New(w.Options)
		flow := NewFlow(w, Random(uint64(i)+100), model)
		sides := map[uint64]int{}
		for step := range 5000 {
			op := flow.Next()
			model.Reset()
			op.Apply(model)
			for _, e := range model.Events() {
				if e.Kind == match.EventExecuted {
					sides[e.Execution]++
				}
			}
			for _, o := range model.orders {
				if o.executed+o.left != o.Quantity || o.left == 0 || o.place == resting && (o.shown == 0 || o.shown > o.left) {
					t.Fatalf("world %s, step %d: %+v", w.Name, step, *o)
				}
			}
		}
		if len(sides) != int(model.lastExecution) || len(sides) < 50 {
			t.Errorf("world %s: %d executions, the last is %d", w.Name, len(sides), model.lastExecution)
		}
		for execution, n := range sides {
			if n != 2 {
				t.Errorf("world %s: execution %d has %d sides", w.Name, execution, n)
			}
		}
	}
}

// slips is a model with a fault.
type slips struct{ *Model }

// TestDuelFindsADifferenceAndMakesItShort: with an engine that misses one kind of event.
func TestDuelFindsADifferenceAndMakesItShort(t *testing.T) {
	e := Engines{New: func(o match.Options) (match.Book, error) { return &slips{New(o)}, nil }}
	_, d, err := Run(e, Worlds()[0], Random(1), 5000)
	if err != nil || d == nil {
		t.Fatalf("no difference: %v", err)
	}
	if len(d.Ops) > 6 {
		t.Errorf("a flow of %d calls:\n%s", len(d.Ops), d)
	}
	if _, d, err = Run(modelOnly, Worlds()[0], Random(1), 5000); d != nil || err != nil {
		t.Errorf("with itself: %v %v", d, err)
	}
}

// Cancel forgets the public event of a cancel that makes an order smaller.
func (s *slips) Cancel(c *match.Cancel) match.Reason {
	reason := s.Model.Cancel(c)
	if last := len(s.events) - 1; last >= 0 && s.events[last].Kind == match.EventReduced {
		s.events = s.events[:last]
	}
	return reason
}
