package history

import (
	"errors"
	"strings"
	"testing"
)

// step is something that a ledger is told, at a record with this sequence and stamp.
type step[L any] struct {
	sequence, stamp uint64
	tell            func(l L, at Moment) error
}

// tellAll tells a ledger everything; the last step alone may be wrong, and must be if why says so.
func tellAll[L any](t *testing.T, l L, why string, steps []step[L]) {
	t.Helper()
	for i, s := range steps {
		err := s.tell(l, Moment{s.sequence, s.stamp})
		switch wrong := why != "" && i == len(steps)-1; {
		case !wrong && err != nil:
			t.Errorf("step %d: %v", i, err)
		case wrong && (!errors.Is(err, ErrViolation) || !strings.Contains(err.Error(), why)):
			t.Errorf("the last step: %v, want %q", err, why)
		}
	}
}

func TestLocksKnowRightFromWrong(t *testing.T) {
	type L = *Locks
	grant := func(session, expiry uint64) func(L, Moment) error {
		return func(l L, at Moment) error {
			return l.Granted(at, "a", Hold{Session: session, Token: at.Sequence, Value: "v", Expiry: expiry, Bound: true}, 0)
		}
	}
	token := func(token, expiry uint64) func(L, Moment) error {
		return func(l L, at Moment) error {
			return l.Granted(at, "a", Hold{Session: 9, Token: token, Expiry: expiry}, 0)
		}
	}
	refuse := func(h Hold) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Refused(at, "a", h) }
	}
	seen := func(h *Hold) func(L, Moment) error { return func(l L, at Moment) error { return l.Seen(at, "a", h) } }
	release := func(token uint64) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Released(at, "a", token) }
	}
	lost := func(token uint64) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Lost(at, "a", token) }
	}
	expire := func(token uint64) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Expired(at, "a", token) }
	}
	waits := func(session uint64) func(L, Moment) error {
		return func(l L, at Moment) error {
			return l.Waits(at, "a", Hold{Session: session, Token: at.Sequence, Expiry: 50})
		}
	}
	turn := func(session, place uint64) func(L, Moment) error {
		return func(l L, at Moment) error {
			return l.Granted(at, "a", Hold{Session: session, Token: at.Sequence}, place)
		}
	}
	gaveUp := func(place uint64, late bool) func(L, Moment) error {
		return func(l L, at Moment) error { return l.GaveUp(at, "a", place, late) }
	}
	over := func(session uint64) func(L, Moment) error {
		return func(l L, _ Moment) error { l.SessionOver(session); return nil }
	}
	renew := func(token, expiry uint64) func(L, Moment) error {
		return func(l L, at Moment) error {
			return l.Changed(at, "a", token, func(h *Hold) { h.Expiry = expiry })
		}
	}
	for what, x := range map[string]struct {
		why   string
		steps []step[L]
	}{
		"one after the other":               {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, release(1)}, {3, 12, grant(2, 0)}}},
		"two at once":                       {"session 1 holds it", []step[L]{{1, 10, grant(1, 0)}, {2, 11, grant(2, 0)}}},
		"before its expiry":                 {"session 1 holds it", []step[L]{{1, 10, grant(1, 20)}, {2, 19, grant(2, 0)}}},
		"at its expiry":                     {"", []step[L]{{1, 10, grant(1, 20)}, {2, 20, grant(2, 0)}}},
		"renewed, then taken too early":     {"holds it", []step[L]{{1, 10, grant(1, 20)}, {2, 15, renew(1, 30)}, {3, 25, grant(2, 0)}}},
		"renewed by an older token":         {"token 1 changes it", []step[L]{{1, 10, grant(1, 0)}, {2, 11, release(1)}, {3, 12, grant(2, 0)}, {4, 13, renew(1, 9)}}},
		"a token that is not the sequence":  {"the token is 7", []step[L]{{1, 10, token(7, 0)}}},
		"a token again":                     {"the token is 1", []step[L]{{1, 10, grant(1, 0)}, {2, 11, release(1)}, {3, 12, token(1, 0)}}},
		"released by another token":         {"token 5 releases it", []step[L]{{1, 10, grant(1, 0)}, {2, 11, release(5)}}},
		"refused while free":                {"nobody does", []step[L]{{1, 10, refuse(Hold{Session: 1, Token: 1})}}},
		"refused in the name of another":    {"and is held as", []step[L]{{1, 10, grant(1, 0)}, {2, 11, refuse(Hold{Session: 2, Token: 1, Value: "v", Bound: true})}}},
		"refused":                           {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, refuse(Hold{Session: 1, Token: 1, Value: "v", Bound: true})}}},
		"seen free while held":              {"nobody is said to hold it", []step[L]{{1, 10, grant(1, 20)}, {2, 11, seen(nil)}}},
		"told lost while it holds":          {"token 1 is said to be nobody's", []step[L]{{1, 10, grant(1, 20)}, {2, 11, lost(1)}}},
		"told lost when it is":              {"", []step[L]{{1, 10, grant(1, 20)}, {2, 20, lost(1)}}},
		"expired early":                     {"token 1 expires at 19", []step[L]{{1, 10, grant(1, 20)}, {2, 19, expire(1)}}},
		"expired without an expiry":         {"token 1 expires", []step[L]{{1, 10, grant(1, 0)}, {2, 19, expire(1)}}},
		"its session is over":               {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, over(1)}, {3, 12, grant(2, 0)}}},
		"somebody waits and is passed over": {"before session 2, which waits", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {3, 12, release(1)}, {4, 13, grant(3, 0)}}},
		"in turn":                           {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {3, 11, waits(3)}, {4, 12, gaveUp(2, false)}, {5, 12, release(1)}, {6, 13, turn(3, 3)}}},
		"in the turn of another":            {"which is of session 2", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {5, 12, release(1)}, {6, 13, turn(3, 2)}}},
		"the session before is over":        {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {3, 11, waits(3)}, {4, 12, over(2)}, {5, 12, release(1)}, {6, 13, turn(3, 3)}}},
		"a turn of nobody":                  {"does not wait", []step[L]{{1, 10, grant(1, 0)}, {5, 12, release(1)}, {6, 13, turn(3, 3)}}},
		"waited long enough":                {"", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {3, 50, gaveUp(2, true)}}},
		"waited too little":                 {"was to wait until 50", []step[L]{{1, 10, grant(1, 0)}, {2, 11, waits(2)}, {3, 49, gaveUp(2, true)}}},
		"waiting for what is free":          {"nobody holds it", []step[L]{{1, 10, waits(2)}}},
		"giving up without waiting":         {"nobody waits there", []step[L]{{1, 10, gaveUp(2, false)}}},
	} {
		t.Run(what, func(t *testing.T) { tellAll(t, NewLocks(), x.why, x.steps) })
	}
	l := NewLocks()
	_ = grant(1, 20)(l, Moment{1, 10})
	if l.Overdue(20) != "" || l.Overdue(21) == "" {
		t.Errorf("overdue at 20: %q, at 21: %q", l.Overdue(20), l.Overdue(21))
	}
}

func TestIntervalsOfHolders(t *testing.T) {
	for what, x := range map[string]struct {
		ok  bool
		all []Interval
	}{
		"one after the other":      {true, []Interval{{"a", "x", 1, 1, 5}, {"a", "y", 2, 5, 9}, {"b", "z", 1, 1, 0}}},
		"at once":                  {false, []Interval{{"a", "x", 1, 1, 6}, {"a", "y", 2, 5, 9}}},
		"within":                   {false, []Interval{{"a", "x", 1, 1, 0}, {"a", "y", 2, 5, 9}}},
		"tokens that go back":      {false, []Interval{{"a", "x", 7, 1, 4}, {"a", "y", 2, 5, 9}}},
		"a token that comes twice": {false, []Interval{{"a", "x", 2, 1, 4}, {"a", "y", 2, 5, 9}}},
	} {
		if err := CheckIntervals(x.all); (err == nil) != x.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestQueuesKnowRightFromWrong(t *testing.T) {
	type L = *Queues
	put := func(p Put) func(L, Moment) error {
		return func(q L, at Moment) error { p.Queue = "q"; return q.Put(at, at.Sequence, p) }
	}
	repeat := func(id uint64, key string) func(L, Moment) error {
		return func(q L, at Moment) error { return q.Repeat(at, id, Put{Queue: "q", Key: key}) }
	}
	hand := func(id uint64, attempt uint32, until uint64) func(L, Moment) error {
		return func(q L, at Moment) error {
			return q.Hand(at, "q", Lease{ID: id, Attempt: attempt, Token: at.Sequence, Until: until})
		}
	}
	done := func(id, token uint64) func(L, Moment) error {
		return func(q L, at Moment) error { return q.Acknowledged(at, id, token) }
	}
	back := func(id, token, from uint64, dead bool) func(L, Moment) error {
		return func(q L, at Moment) error { return q.Returned(at, id, token, from, dead) }
	}
	ends := func(attempts uint32, to string) func(L, Moment) error {
		return func(q L, at Moment) error { q.Configured(at, "q", attempts, to); return nil }
	}
	from := func(id uint64, queue, origin string, attempt uint32) func(L, Moment) error {
		return func(q L, at Moment) error {
			return q.Hand(at, queue, Lease{ID: id, Attempt: attempt, Token: at.Sequence, Until: at.Stamp + 9, Origin: origin})
		}
	}
	longer := func(id, token, until uint64) func(L, Moment) error {
		return func(q L, at Moment) error { return q.Extended(at, id, token, until) }
	}
	notHeld := func(id, token uint64) func(L, Moment) error {
		return func(q L, at Moment) error { return q.NotHeld(at, "q", id, token) }
	}
	count := func(n int) func(L, Moment) error {
		return func(q L, at Moment) error { return q.Counted(at, "q", n) }
	}
	for what, x := range map[string]struct {
		why   string
		steps []step[L]
	}{
		"put, handed, done":                  {"", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, done(1, 2)}, {4, 13, count(0)}}},
		"nobody put it":                      {"nobody put it there", []step[L]{{2, 11, hand(1, 1, 20)}}},
		"again within its lease":             {"is leased until 20", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 19, hand(1, 2, 40)}}},
		"again after its lease":              {"", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 20, hand(1, 2, 40)}}},
		"again within a longer one":          {"is leased until 30", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, longer(1, 2, 30)}, {4, 25, hand(1, 2, 40)}}},
		"again when given back":              {"", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, back(1, 2, 0, false)}, {4, 13, hand(1, 2, 40)}}},
		"again with the same count":          {"attempt 1 after 1", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 20, hand(1, 1, 40)}}},
		"again when done":                    {"was acknowledged", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, done(1, 2)}, {4, 21, hand(1, 2, 40)}}},
		"at most once comes twice":           {"handed out at most once", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 0)}, {3, 99, hand(1, 2, 0)}}},
		"before its time":                    {"is not to be before 50", []step[L]{{1, 10, put(Put{From: 50})}, {2, 49, hand(1, 1, 60)}}},
		"done by an older token":             {"does not hold it", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 20, hand(1, 2, 40)}, {4, 21, done(1, 2)}}},
		"told that it is not held":           {"is said not to hold it", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, notHeld(1, 2)}}},
		"one key, two messages":              {"once more", []step[L]{{1, 10, put(Put{Key: "k", Remembered: 20})}, {2, 11, put(Put{Key: "k", Remembered: 20})}}},
		"one key, one message":               {"", []step[L]{{1, 10, put(Put{Key: "k", Remembered: 20})}, {2, 11, repeat(1, "k")}, {3, 12, count(1)}}},
		"a repeat of another one":            {"is said to stand for it", []step[L]{{1, 10, put(Put{Key: "k", Remembered: 20})}, {2, 10, put(Put{})}, {3, 11, repeat(2, "k")}}},
		"a repeat of nothing":                {"is said to stand for it", []step[L]{{1, 11, repeat(1, "k")}}},
		"one key, forgotten":                 {"", []step[L]{{1, 10, put(Put{Key: "k", Remembered: 20})}, {2, 20, put(Put{Key: "k", Remembered: 30})}, {3, 21, repeat(2, "k")}}},
		"late and not there":                 {"", []step[L]{{1, 10, put(Put{Deadline: 20})}, {2, 20, count(0)}}},
		"late too early":                     {"has 0 messages", []step[L]{{1, 10, put(Put{Deadline: 20})}, {2, 19, count(0)}}},
		"dead":                               {"", []step[L]{{1, 9, ends(1, "dead")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 20, from(2, "dead", "q", 1)}}},
		"dead, and handed out where it died": {"and died in", []step[L]{{1, 9, ends(1, "dead")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 20, hand(2, 2, 30)}}},
		"dead too early":                     {"is in \"q\"", []step[L]{{1, 9, ends(1, "dead")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 19, from(2, "dead", "q", 1)}}},
		"dead after too few":                 {"is in \"q\"", []step[L]{{1, 9, ends(2, "dead")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 20, from(2, "dead", "q", 1)}}},
		"given back, and dead":               {"", []step[L]{{1, 9, ends(1, "dead")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 12, back(2, 3, 0, true)}, {5, 13, count(0)}, {6, 14, from(2, "dead", "q", 1)}}},
		"given back, not dead":               {"it goes on after 1 attempts of 1", []step[L]{{1, 9, ends(1, "")}, {2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 12, back(2, 3, 0, false)}}},
		"dead for no reason":                 {"is said to be dead", []step[L]{{2, 10, put(Put{})}, {3, 11, hand(2, 1, 20)}, {4, 12, back(2, 3, 0, true)}}},
		"before a return's delay":            {"is not to be before 50", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 12, back(1, 2, 50, false)}, {4, 49, hand(1, 2, 60)}}},
		"lost":                               {"has 0 messages, and must have 1", []step[L]{{1, 10, put(Put{})}, {2, 11, hand(1, 1, 20)}, {3, 30, count(0)}}},
		"more than was put":                  {"has 2 messages", []step[L]{{1, 10, put(Put{})}, {3, 30, count(2)}}},
	} {
		t.Run(what, func(t *testing.T) { tellAll(t, NewQueues(), x.why, x.steps) })
	}
}

func TestTimersKnowRightFromWrong(t *testing.T) {
	type L = *Timers
	start := func(s Start) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Started(at, "t", s) }
	}
	fire := func(number, due uint64) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Fires(at, "t", number, 0, due) }
	}
	late := func(number, skipped, due uint64) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Fires(at, "t", number, skipped, due) }
	}
	cancel := func(was bool) func(L, Moment) error {
		return func(l L, at Moment) error { return l.Cancelled(at, "t", was) }
	}
	over := func(session uint64) func(L, Moment) error {
		return func(l L, at Moment) error { l.SessionOver(at, session); return nil }
	}
	for what, x := range map[string]struct {
		why   string
		steps []step[L]
	}{
		"once":                   {"", []step[L]{{1, 10, start(Start{Session: 7, First: 20})}, {2, 25, fire(1, 20)}}},
		"twice":                  {"is not set", []step[L]{{1, 10, start(Start{Session: 7, First: 20})}, {2, 25, fire(1, 20)}, {3, 26, fire(2, 20)}}},
		"early":                  {"before it is due", []step[L]{{1, 10, start(Start{Session: 7, First: 20})}, {2, 19, fire(1, 20)}}},
		"without drift":          {"", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10})}, {2, 25, fire(1, 20)}, {3, 31, fire(2, 30)}}},
		"with drift":             {"is due at 30", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10})}, {2, 25, fire(1, 20)}, {3, 36, fire(2, 35)}}},
		"one is left out":        {"as number 3 after 1", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10})}, {2, 25, fire(1, 20)}, {3, 46, fire(3, 40)}}},
		"more often than wanted": {"is not set", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10, Count: 1})}, {2, 25, fire(1, 20)}, {3, 36, fire(2, 30)}}},
		"after a cancel":         {"is not set", []step[L]{{1, 10, start(Start{Session: 7, First: 20})}, {2, 11, cancel(true)}, {3, 36, fire(1, 20)}}},
		"after its session":      {"is not set", []step[L]{{1, 10, start(Start{First: 20, Session: 4})}, {2, 11, over(4)}, {3, 36, fire(1, 20)}}},
		"a cancel of nothing":    {"it is cancelled: true", []step[L]{{1, 10, cancel(true)}}},
		"a cancel that is denied": {"it is cancelled: false",
			[]step[L]{{1, 10, start(Start{Session: 7, First: 20})}, {2, 11, cancel(false)}}},
		"skipped":                  {"", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10})}, {2, 45, late(3, 2, 40)}, {3, 51, fire(4, 50)}}},
		"skipped without a reason": {"the next one is over", []step[L]{{1, 10, start(Start{Session: 7, First: 20, Interval: 10})}, {2, 45, fire(1, 20)}}},
		"nobody heard the first":   {"", []step[L]{{1, 10, start(Start{First: 20, Interval: 10})}, {3, 31, fire(2, 30)}}},
		"nobody heard the last":    {"", []step[L]{{1, 10, start(Start{First: 20})}, {3, 21, cancel(false)}}},
		"due before it is set":     {"before it was set", []step[L]{{1, 10, start(Start{First: 9})}}},
	} {
		t.Run(what, func(t *testing.T) { tellAll(t, NewTimers(), x.why, x.steps) })
	}
	l := NewTimers()
	_ = start(Start{Session: 7, First: 20})(l, Moment{1, 10})
	if l.Overdue(Moment{2, 20}) != "" || l.Overdue(Moment{2, 21}) == "" {
		t.Errorf("overdue at 20: %q, at 21: %q", l.Overdue(Moment{2, 20}), l.Overdue(Moment{2, 21}))
	}
}
