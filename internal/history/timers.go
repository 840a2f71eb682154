package history

import "fmt"

// Timers holds what a timer service says against what a timer is: it fires when it is due and not before, as often as was asked
// for, each time once, without drift, and not after it was cancelled. Whoever reads the log tells it, record by record.
type Timers struct {
	timers map[string]*timer
	gone   map[uint64]Moment // sessions that are over
	// Starts, Fired, Skipped and Cancels count what was seen of each.
	Starts, Fired, Skipped, Cancels int
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
func NewTimers() *Timers {
	return &Timers{timers: map[string]*timer{}, gone: map[uint64]Moment{}}
}

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

// Exists takes the answer that a timer is set.
func (t *Timers) Exists(at Moment, name string) error {
	if x := t.timers[name]; x == nil || t.over(at, x) {
		return timerWrong(at, name, "it is said to be set, and is not")
	}
	return nil
}

// due is when it fires next.
func (x *timer) due() uint64 { return x.First + x.fired*x.Interval }

// last is the number of its last firing, 0 if it has none.
func (x *timer) last() uint64 {
	if x.Interval == 0 {
		return 1
	}
	return x.Count
}

// silent says whether it may have fired without a word by now: it is nobody's, and perhaps nobody listened.
func (x *timer) silent(at Moment) bool { return x.Session == 0 && at.Stamp >= x.due() }

// Fires takes a firing: number from 1, of the deadline due; so many before it were skipped, because they were over as well.
func (t *Timers) Fires(at Moment, name string, number, skipped, due uint64) error {
	x := t.timers[name]
	switch {
	case x == nil || t.over(at, x):
		return timerWrong(at, name, "it fires, and is not set")
	case number != x.fired+skipped+1 && (x.Session != 0 || number <= x.fired):
		return timerWrong(at, name, "it fires as number %d after %d, with %d skipped", number, x.fired, skipped)
	case due != x.First+(number-1)*x.Interval:
		return timerWrong(at, name, "it fires for %d, and number %d is due at %d", due, number, x.First+(number-1)*x.Interval)
	case at.Stamp < due:
		return timerWrong(at, name, "it fires before it is due at %d", due)
	case x.last() != 0 && number > x.last():
		return timerWrong(at, name, "it fires as number %d of %d", number, x.last())
	case x.Interval != 0 && number != x.last() && due+x.Interval <= at.Stamp:
		return timerWrong(at, name, "it fires as number %d, and the next one is over as well", number)
	}
	x.fired = number
	t.Fired++
	t.Skipped += int(skipped)
	if number == x.last() {
		delete(t.timers, name)
	}
	return nil
}

// Cancelled takes the answer to a cancel: whether there was one.
func (t *Timers) Cancelled(at Moment, name string, was bool) error {
	x := t.timers[name]
	if x != nil && (!was && x.silent(at) && x.last() != 0 || t.over(at, x)) {
		delete(t.timers, name) // it has fired for the last time, and nobody heard
		x = nil
	}
	if was != (x != nil) {
		return timerWrong(at, name, "it is cancelled: %v, and it is set: %v", was, x != nil)
	}
	delete(t.timers, name)
	if was {
		t.Cancels++
	}
	return nil
}

// SessionOver ends the timers of a session, behind what they did at the same record.
func (t *Timers) SessionOver(at Moment, session uint64) { t.gone[session] = at }

// over says whether the session of a timer was over before a record.
func (t *Timers) over(at Moment, x *timer) bool {
	end, over := t.gone[x.Session]
	return over && end.Sequence < at.Sequence
}

// Overdue names a timer that is due before a stamp and has not fired; "" if there is none.
func (t *Timers) Overdue(at Moment) string {
	for name, x := range t.timers {
		if x.due() < at.Stamp && x.Session != 0 && !t.over(at, x) {
			return fmt.Sprintf("timer %q is due at %d and has not fired, number %d", name, x.due(), x.fired+1)
		}
	}
	return ""
}
