package history

import "fmt"

// Timers holds what a timer service says against what a timer is: it fires when it is due and not before, as often as was asked
// for, each time once, without drift, and not after it was cancelled. Whoever reads the log tells it, record by record.
type Timers struct {
	timers map[string]*timer
	// Starts, Fired and Cancels count what was seen of each.
	Starts, Fired, Cancels int
}

// Start describes a timer.
type Start struct {
	First    uint64 // stamp at which it is due first
	Interval uint64 // ns; 0: it fires once
	Count    uint64 // how often; 0: without end
	Session  uint64 // it ends with this session; 0: it stays
}

type timer struct {
	Start
	fired uint64
}

// NewTimers returns no timers.
func NewTimers() *Timers { return &Timers{timers: map[string]*timer{}} }

func timerWrong(at Moment, name, format string, args ...any) error {
	return fmt.Errorf("%w: timer %q at sequence %d, stamp %d: %s", ErrViolation, name, at.Sequence, at.Stamp, fmt.Sprintf(format, args...))
}

// Started takes a timer that was set, in place of the one of its name.
func (t *Timers) Started(at Moment, name string, s Start) error {
	if s.First < at.Stamp {
		return timerWrong(at, name, "it is due at %d, before it was set", s.First)
	}
	t.timers[name] = &timer{Start: s}
	t.Starts++
	return nil
}

// Exists says whether a timer is set.
func (t *Timers) Exists(name string) bool { return t.timers[name] != nil }

// due is when it fires next.
func (x *timer) due() uint64 { return x.First + x.fired*x.Interval }

// Fires takes a firing: number from 1, of the deadline due.
func (t *Timers) Fires(at Moment, name string, number, due uint64) error {
	x := t.timers[name]
	switch {
	case x == nil:
		return timerWrong(at, name, "it fires, and is not set")
	case number != x.fired+1:
		return timerWrong(at, name, "it fires as number %d after %d", number, x.fired)
	case due != x.due():
		return timerWrong(at, name, "it fires for %d, and is due at %d", due, x.due())
	case at.Stamp < due:
		return timerWrong(at, name, "it fires before it is due at %d", due)
	}
	x.fired++
	t.Fired++
	if x.Interval == 0 || x.Count != 0 && x.fired == x.Count {
		delete(t.timers, name)
	}
	return nil
}

// Cancelled takes the answer to a cancel: whether there was one.
func (t *Timers) Cancelled(at Moment, name string, was bool) error {
	if was != (t.timers[name] != nil) {
		return timerWrong(at, name, "it is cancelled: %v, and it is set: %v", was, t.timers[name] != nil)
	}
	delete(t.timers, name)
	if was {
		t.Cancels++
	}
	return nil
}

// SessionOver ends the timers of a session.
func (t *Timers) SessionOver(session uint64) {
	for name, x := range t.timers {
		if x.Session == session && session != 0 {
			delete(t.timers, name)
		}
	}
}

// Overdue names a timer that is due before a stamp and has not fired; "" if there is none.
func (t *Timers) Overdue(stamp uint64) string {
	for name, x := range t.timers {
		if x.due() < stamp {
			return fmt.Sprintf("timer %q is due at %d and has not fired, number %d", name, x.due(), x.fired+1)
		}
	}
	return ""
}
