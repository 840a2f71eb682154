package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Moment is a record of the log: its sequence, and its stamp in nanoseconds.
type Moment struct {
	Sequence, Stamp uint64
}

// Hold is what the holder of a lock was told.
type Hold struct {
	Session uint64
	Token   uint64
	Value   string
	Expiry  uint64 // stamp; 0: none
	Bound   bool   // it ends with its session
}

// Locks holds what a lock service answers against what a lock is: in the order of the log, one holder at a time, fencing tokens
// that rise, an end only by release, expiry or the end of a session, and waiting in turn. Whoever reads the log tells it, record
// by record.
type Locks struct {
	locks map[string]*lock
	gone  map[uint64]bool // sessions that are over
	// Grants, Refusals, Expiries, Ends, Waited and Lates count what was seen of each.
	Grants, Refusals, Expiries, Ends, Waited, Lates int
}

type lock struct {
	Hold
	held    bool
	highest uint64 // token
	waiting []Hold // the token is that of the place
}

// NewLocks returns locks that nobody holds.
func NewLocks() *Locks { return &Locks{locks: map[string]*lock{}, gone: map[uint64]bool{}} }

func (l *Locks) of(name string) *lock {
	x := l.locks[name]
	if x == nil {
		x = &lock{}
		l.locks[name] = x
	}
	return x
}

func lockWrong(at Moment, name, format string, args ...any) error {
	return fmt.Errorf("%w: lock %q at sequence %d: %s", ErrViolation, name, at.Sequence, fmt.Sprintf(format, args...))
}

// over says whether the present hold can have ended by itself.
func (l *Locks) over(at Moment, x *lock) bool {
	return !x.held || x.Expiry != 0 && at.Stamp >= x.Expiry || x.Bound && l.gone[x.Session]
}

// Granted takes a grant. waited is the place of whoever waited for it, 0 for who did not.
func (l *Locks) Granted(at Moment, name string, h Hold, waited uint64) error {
	x := l.of(name)
	x.waiting = slices.DeleteFunc(x.waiting, func(w Hold) bool { return l.gone[w.Session] && w.Token != waited })
	switch {
	case !l.over(at, x):
		return lockWrong(at, name, "session %x gets it, and session %x holds it with token %d", h.Session, x.Session, x.Token)
	case h.Token != at.Sequence:
		return lockWrong(at, name, "the token is %d", h.Token)
	case h.Token <= x.highest && !l.gone[x.Session]:
		return lockWrong(at, name, "token %d comes after %d", h.Token, x.highest)
	case len(x.waiting) > 0 && x.waiting[0].Token != waited:
		return lockWrong(at, name, "session %x gets it, place %d, before session %x, which waits in place %d", h.Session, waited,
			x.waiting[0].Session, x.waiting[0].Token)
	case len(x.waiting) == 0 && waited != 0:
		return lockWrong(at, name, "session %x gets it for its place %d, and does not wait", h.Session, waited)
	}
	if waited != 0 {
		w := x.waiting[0]
		if w.Session != h.Session {
			return lockWrong(at, name, "session %x gets it for place %d, which is of session %x", h.Session, waited, w.Session)
		}
		h.Value, h.Bound = w.Value, w.Bound
		x.waiting = x.waiting[1:]
	}
	x.Hold, x.held, x.highest = h, true, h.Token
	l.Grants++
	return nil
}

// Refused takes a refusal, which names the holder.
func (l *Locks) Refused(at Moment, name string, h Hold) error {
	l.Refusals++
	return l.names(at, name, h)
}

// names holds what somebody was told of a lock that is held.
func (l *Locks) names(at Moment, name string, h Hold) error {
	x := l.of(name)
	switch {
	case !x.held:
		return lockWrong(at, name, "session %x is said to hold it, and nobody does", h.Session)
	case h != x.Hold:
		return lockWrong(at, name, "it is said to be held as %+v, and is held as %+v", h, x.Hold)
	}
	return nil
}

// Seen takes what a reader was told; a nil hold: nobody holds it.
func (l *Locks) Seen(at Moment, name string, h *Hold) error {
	if h != nil {
		return l.names(at, name, *h)
	}
	x := l.of(name)
	if !l.over(at, x) {
		return lockWrong(at, name, "nobody is said to hold it, and session %x does with token %d", x.Session, x.Token)
	}
	x.held = false
	return nil
}

// Waits takes note of a session that has its turn when the lock is free; its place has a token, and an expiry.
func (l *Locks) Waits(at Moment, name string, w Hold) error {
	x := l.of(name)
	if !x.held {
		return lockWrong(at, name, "session %x has to wait, and nobody holds it", w.Session)
	}
	x.waiting = append(x.waiting, w)
	l.Waited++
	return nil
}

// GaveUp takes note of a place that was given up: by its session, or late for its time.
func (l *Locks) GaveUp(at Moment, name string, place uint64, late bool) error {
	x := l.of(name)
	i := slices.IndexFunc(x.waiting, func(w Hold) bool { return w.Token == place })
	switch {
	case i < 0:
		return lockWrong(at, name, "place %d is given up, and nobody waits there", place)
	case late && at.Stamp < x.waiting[i].Expiry:
		return lockWrong(at, name, "place %d is given up at %d, and was to wait until %d", place, at.Stamp, x.waiting[i].Expiry)
	case late:
		l.Lates++
	}
	x.waiting = slices.Delete(x.waiting, i, i+1)
	return nil
}

// Place says whether a token is that of a place among those who wait.
func (l *Locks) Place(name string, token uint64) bool {
	return slices.ContainsFunc(l.of(name).waiting, func(w Hold) bool { return w.Token == token })
}

// Changed takes a renewal or a new value that the service carried out for whoever has the token.
func (l *Locks) Changed(at Moment, name string, token uint64, change func(*Hold)) error {
	x := l.of(name)
	if !x.held || x.Token != token {
		return lockWrong(at, name, "token %d changes it, and it is held: %v, with token %d", token, x.held, x.Token)
	}
	change(&x.Hold)
	return nil
}

// Released takes a release that the service carried out.
func (l *Locks) Released(at Moment, name string, token uint64) error {
	x := l.of(name)
	if !x.held || x.Token != token {
		return lockWrong(at, name, "token %d releases it, and it is held: %v, with token %d", token, x.held, x.Token)
	}
	x.held = false
	l.Ends++
	return nil
}

// Lost takes the answer that a token is not the holder's (any more).
func (l *Locks) Lost(at Moment, name string, token uint64) error {
	if x := l.of(name); !l.over(at, x) && x.Token == token {
		return lockWrong(at, name, "token %d is said to be nobody's, and session %x has it", token, x.Session)
	}
	return nil
}

// Expired takes note of a hold that the service ended for its time. Several may be told of one.
func (l *Locks) Expired(at Moment, name string, token uint64) error {
	x := l.of(name)
	if !x.held && x.Token == token {
		return nil
	}
	if x.Token != token || x.Expiry == 0 || at.Stamp < x.Expiry {
		return lockWrong(at, name, "token %d expires at %d; it is held: %v, as %+v", token, at.Stamp, x.held, x.Hold)
	}
	x.held = false
	l.Expiries++
	return nil
}

// SessionOver ends what a session holds and waits for.
func (l *Locks) SessionOver(session uint64) { l.gone[session] = true }

// Over says whether a session is over.
func (l *Locks) Over(session uint64) bool { return l.gone[session] }

// Overdue names a lock that is still held although it was to end before a stamp; "" if there is none.
func (l *Locks) Overdue(stamp uint64) string {
	for name, x := range l.locks {
		if x.held && x.Expiry != 0 && x.Expiry < stamp {
			return fmt.Sprintf("lock %q is held with token %d, which expired at %d", name, x.Token, x.Expiry)
		}
	}
	return ""
}

// Interval is a lock as its holder saw it: from when it was told that it has it until it asked to release it, or may have lost it.
type Interval struct {
	Name         string
	Holder       string
	Token        uint64
	FromNs, ToNs int64 // ToNs 0: until the end
}

// CheckIntervals says whether nobody held a lock while somebody else did, by the holders' own clock, and whether the tokens of
// each lock rise with time.
func CheckIntervals(all []Interval) error {
	list := slices.Clone(all)
	slices.SortFunc(list, func(a, b Interval) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.FromNs, b.FromNs), cmp.Compare(a.Token, b.Token))
	})
	for i := 1; i < len(list); i++ {
		a, b := &list[i-1], &list[i]
		switch {
		case a.Name != b.Name:
		case a.ToNs == 0 || a.ToNs > b.FromNs:
			return fmt.Errorf("%w: lock %q: %s has it from %d on, and %s had it from %d to %d", ErrViolation, a.Name, b.Holder, b.FromNs,
				a.Holder, a.FromNs, a.ToNs)
		case b.Token <= a.Token:
			return fmt.Errorf("%w: lock %q: %s has token %d from %d on, and %s had %d before", ErrViolation, a.Name, b.Holder, b.Token,
				b.FromNs, a.Holder, a.Token)
		}
	}
	return nil
}
