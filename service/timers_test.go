package service_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// The set of pending timers against a map.
func TestTimersAgainstAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const limit = 50
	for range 20 {
		timers, model := service.NewTimers(limit), map[[2]uint64]uint64{}
		for step := range 4000 {
			key := [2]uint64{rng.Uint64N(3), rng.Uint64N(40)}
			deadline, known := model[key]
			switch rng.IntN(5) {
			case 0, 1:
				x := service.Timer{Service: uint16(key[0]), ID: key[1], Deadline: rng.Uint64N(100)}
				want := known || len(model) < limit
				if got := timers.Set(x); got != want {
					t.Fatalf("step %d: Set %v, want %v", step, got, want)
				}
				if want {
					model[key] = x.Deadline
				}
			case 2:
				if got := timers.Cancel(uint16(key[0]), key[1]); got != known {
					t.Fatalf("step %d: Cancel %v, want %v", step, got, known)
				}
				delete(model, key)
			case 3:
				if got, ok := timers.Deadline(uint16(key[0]), key[1]); ok != known || got != deadline {
					t.Fatalf("step %d: Deadline %d %v, want %d %v", step, got, ok, deadline, known)
				}
			case 4:
				first, ok := timers.First()
				if ok != (len(model) > 0) || ok && first.Deadline != slices.Min(slices.Collect(maps.Values(model))) ||
					ok && model[[2]uint64{uint64(first.Service), first.ID}] != first.Deadline || timers.Len() != len(model) {
					t.Fatalf("step %d: First %+v %v of %v", step, first, ok, model)
				}
			}
		}
		last := service.Timer{}
		for timers.Len() > 0 {
			first, _ := timers.First()
			if first.Deadline < last.Deadline || first.Deadline == last.Deadline && first.Service < last.Service {
				t.Fatalf("%+v behind %+v", first, last)
			}
			timers.Cancel(first.Service, first.ID)
			last = first
		}
	}
}

// alarm is a service that sets timers: a message is an id, a deadline and 1 to set, 2 to take back. It answers session 1
// when one fires.
type alarm struct {
	fired []string
	errs  []error
	again uint64 // set anew when it fires, so much later
	quiet bool   // it does not panic
}

func (s *alarm) Name() string { return "alarm" }

func (s *alarm) Apply(ctx *service.Context, _ *wire.Record, b []byte) {
	id, deadline := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	if b[16] == 1 {
		s.errs = append(s.errs, ctx.SetTimer(id, deadline))
	} else {
		ctx.CancelTimer(id)
	}
}

func (s *alarm) OnTimer(ctx *service.Context, id, deadline uint64) {
	s.fired = append(s.fired, fmt.Sprintf("%d@%d", id, deadline))
	ctx.Respond(1, []byte("ring"))
	if s.again > 0 {
		_ = ctx.SetTimer(id, deadline+s.again)
	}
	if id == 13 && !s.quiet {
		panic("told to")
	}
}

func (s *alarm) OnSession(*service.Context, wire.SessionID, bool) {}

// Snapshot writes the timers that fired.
func (s *alarm) Snapshot(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(s.fired, " "))
	return err
}

func (s *alarm) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.fired = strings.Fields(string(b))
	return err
}

func (s *alarm) Hash() uint64 { return uint64(len(s.fired)) }

func setting(id, deadline uint64, what byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, id)
	return append(binary.LittleEndian.AppendUint64(b, deadline), what)
}

// fire appends a timer record, with a stamp.
func (r *rig) fire(id, deadline, stamp uint64) {
	b := make([]byte, wire.TimerRecordSize)
	x := wire.TimerRecord{ID: id, Deadline: deadline}
	r.chain.Timestamp = max(r.chain.Timestamp, stamp-1)
	r.append(wire.Record{Kind: wire.RecordTimer, Service: service.OrderBook}, b[:x.Put(b)])
}

// alarmRig is a leader's driver with the alarm and an open session 1.
func alarmRig(t *testing.T, limits service.Limits, again uint64) (*rig, *alarm) {
	a := &alarm{again: again}
	r := newRig(t, rigOptions{orderbook: a, limits: limits})
	r.lead()
	r.open(1)
	r.do()
	r.received()
	return r, a
}

// Apply is the judge of timers: a record fires one that is pending with just that deadline, once, and not early.
func TestTimerFiresOnce(t *testing.T) {
	r, a := alarmRig(t, service.Limits{}, 0)
	r.message(1, 1, service.OrderBook, setting(7, 1000, 1))
	r.message(1, 2, service.OrderBook, setting(8, 1000, 1))
	r.message(1, 3, service.OrderBook, setting(8, 2000, 1)) // anew
	r.message(1, 4, service.OrderBook, setting(9, 1000, 1))
	r.message(1, 5, service.OrderBook, setting(9, 0, 2)) // taken back
	r.fire(7, 1000, 500)                                 // early
	r.fire(7, 1000, 1000)
	r.fire(7, 1000, 1001) // of another leader
	r.fire(8, 1000, 1002) // of before it was set anew
	r.fire(9, 1000, 1003) // taken back before
	r.fire(99, 1, 1004)   // never set
	r.fire(8, 2000, 2500)
	r.do()
	if got, want := fmt.Sprint(a.fired), "[7@1000 8@2000]"; got != want {
		t.Errorf("fired %s, want %s", got, want)
	}
	var responses int
	for _, e := range r.received() {
		if e.Kind == service.EgressResponse && e.Correlation == 0 && e.payload == "ring" {
			responses++
		}
	}
	if responses != 2 {
		t.Errorf("%d responses", responses)
	}
}

// A timer that fires may be set again.
func TestTimerMaySetItselfAgain(t *testing.T) {
	r, a := alarmRig(t, service.Limits{}, 10)
	r.message(1, 1, service.OrderBook, setting(7, 1000, 1))
	for n := range uint64(3) {
		r.fire(7, 1000+10*n, 1000+10*n)
	}
	r.do()
	if got, want := fmt.Sprint(a.fired), "[7@1000 7@1010 7@1020]"; got != want {
		t.Errorf("fired %s, want %s", got, want)
	}
}

func TestTooManyTimersAreRefused(t *testing.T) {
	r, a := alarmRig(t, service.Limits{Timers: 2}, 0)
	for n := range uint64(3) {
		r.message(1, n+1, service.OrderBook, setting(n, 1000, 1))
	}
	r.message(1, 4, service.OrderBook, setting(1, 5, 1)) // pending already
	r.message(1, 5, service.OrderBook, setting(0, 0, 2))
	r.message(1, 6, service.OrderBook, setting(9, 5, 1)) // room again
	r.do()
	others := errors.Join(append(a.errs[:2:2], a.errs[3:]...)...)
	if len(a.errs) != 5 || !errors.Is(a.errs[2], service.ErrTimers) || others != nil {
		t.Errorf("%v", a.errs)
	}
}

// The ingress hears of what is pending when it begins to lead, and of every change from then on.
func TestTimersAreDumpedAndTold(t *testing.T) {
	r, _ := alarmRig(t, service.Limits{}, 0)
	r.message(1, 1, service.OrderBook, setting(7, 1000, 1))
	r.message(1, 2, service.OrderBook, setting(8, 500, 1))
	r.message(1, 3, service.OrderBook, setting(7, 0, 2))
	r.do()
	told := func() (s string) {
		for _, e := range r.received() {
			switch e.Kind {
			case service.EgressTimer:
				s += fmt.Sprintf("%d@%d ", e.Correlation, e.Response)
			case service.EgressTimerCanceled:
				s += fmt.Sprintf("-%d@%d ", e.Correlation, e.Response)
			case service.EgressReady:
				s += "ready "
			}
		}
		return s
	}
	if got, want := told(), "7@1000 8@500 -7@1000 "; got != want {
		t.Errorf("live: %q, want %q", got, want)
	}
	at := r.append(wire.Record{Kind: wire.RecordTerm, Term: 9}, nil)
	r.command(service.Command{Kind: service.CommandLead, Term: 9, Position: at})
	r.do()
	r.run()
	if got, want := told(), "8@500 ready "; got != want {
		t.Errorf("dump: %q, want %q", got, want)
	}
}

// A timer on which the service fails halts apply, and can be passed over: it is no longer pending then.
func TestPoisonousTimerIsPassedOver(t *testing.T) {
	r, a := alarmRig(t, service.Limits{}, 0)
	r.message(1, 1, service.OrderBook, setting(13, 1000, 1))
	at := r.chain.Position
	r.fire(13, 1000, 1000)
	r.do()
	if h := r.driver.Status().Halt; h == nil || h.Position() != at || h.Record.Kind != wire.RecordTimer {
		t.Fatalf("halt %v", h)
	}
	a.fired = nil
	r.skip(at)
	r.fire(13, 1000, 1001)
	r.do()
	if r.driver.Status().Halt != nil || len(a.fired) > 0 || r.progress.Applied() != r.chain.Position {
		t.Errorf("halt %v, fired %v", r.driver.Status().Halt, a.fired)
	}
}

func TestTimersDoNotAllocate(t *testing.T) {
	timers := service.NewTimers(1 << 10)
	n := uint64(0)
	if allocs := testing.AllocsPerRun(100, func() {
		for range 1 << 10 {
			n++
			timers.Set(service.Timer{Service: 2, ID: n, Deadline: n * 7919 % 1000})
		}
		for timers.Len() > 0 {
			first, _ := timers.First()
			timers.Cancel(first.Service, first.ID)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
