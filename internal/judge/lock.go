package judge

import (
	"fmt"

	"lockstep/internal/history"
	"lockstep/service/lock"
	"lockstep/service/lock/fb"
	"lockstep/wire"
)

// lockJuror judges locks. Announcements, which exclude nobody, are held against what was said of them before.
type lockJuror struct {
	locks     *history.Locks
	announced map[announced]history.Hold
	waiting   map[uint64]uint64 // time to live that those who wait asked for, by place
	said      lock.Response
	asked     lock.Request
}

// announced names an announcement.
type announced struct {
	name  string
	token uint64
}

func newLock() *lockJuror {
	return &lockJuror{locks: history.NewLocks(), announced: map[announced]history.Hold{}, waiting: map[uint64]uint64{}}
}

func (l *lockJuror) refuses(answer []byte) bool {
	return !lock.DecodeResponse(answer, &l.said) || l.said.Report == lock.Refused || l.said.Report == lock.Waiting
}

// holdOf is what a response says about a holder.
func holdOf(h *lock.Holder) history.Hold {
	return history.Hold{Session: uint64(h.Session), Token: h.Token, Value: string(h.Value), Expiry: h.Expires, Bound: !h.Keep}
}

// message implements juror.
func (l *lockJuror) message(at history.Moment, session wire.SessionID, payload []byte, said []Output) error {
	if len(said) == 0 || said[0].Session != session || !lock.DecodeResponse(said[0].Payload, &l.said) {
		return fmt.Errorf("lock: no answer among %d responses", len(said))
	}
	ok := lock.DecodeRequest(payload, &l.asked)
	if (l.said.Report == lock.Refused && l.said.Reason == fb.ReasonMalformed) == ok {
		return fmt.Errorf("lock: sound: %v, and it is answered with %+v", ok, l.said)
	}
	if !ok {
		return nil
	}
	if err := l.answered(at, session); err != nil {
		return err
	}
	return l.others(at, said[1:])
}

// answered takes the answer to a request.
func (l *lockJuror) answered(at history.Moment, session wire.SessionID) error {
	q, s := &l.asked, &l.said
	name := string(q.Name)
	if s.Report == lock.Refused {
		return l.refused(at)
	}
	switch q.Command {
	case lock.Acquire:
		return l.acquired(at, session)
	case lock.Announce:
		h := history.Hold{Session: uint64(session), Token: s.Token, Value: string(q.Value), Expiry: s.Expires, Bound: !q.Keep}
		if s.Token != at.Sequence || !rightExpiry(at, s.Expires, q.TTLMs) {
			return fmt.Errorf("lock: an announcement for %d ms is answered with %+v", q.TTLMs, s)
		}
		l.announced[announced{name, s.Token}] = h
	case lock.Renew:
		if q.TTLMs != 0 && !rightExpiry(at, s.Expires, q.TTLMs) {
			return fmt.Errorf("lock: a renewal for %d ms runs out at %d", q.TTLMs, s.Expires)
		}
		return l.change(at, name, q.Token, func(h *history.Hold) { h.Expiry = s.Expires })
	case lock.SetValue:
		return l.change(at, name, q.Token, func(h *history.Hold) { h.Value = string(q.Value) })
	case lock.Release:
		return l.released(at, name, q.Token)
	case lock.Get:
		return l.state(at, name)
	case lock.List:
		for i := range s.Count {
			n := s.NameAt(i)
			if err := l.seen(at, string(n.Name), &n.Holder); err != nil {
				return err
			}
		}
	}
	return nil
}

func rightExpiry(at history.Moment, expires, ttlMs uint64) bool {
	return ttlMs == 0 && expires == 0 || ttlMs != 0 && expires == at.Stamp+ttlMs*nsPerMs
}

// refused takes a refusal: it names the holder, if there is one.
func (l *lockJuror) refused(at history.Moment) error {
	q, s := &l.asked, &l.said
	name := string(q.Name)
	switch s.Reason {
	case fb.ReasonHeld:
		return l.locks.Refused(at, name, holdOf(&s.Holder))
	case fb.ReasonUnknownToken:
		if h, known := l.announced[announced{name, q.Token}]; known && !l.gone(at, &h) {
			return fmt.Errorf("lock: announcement %d of %q is said not to be there: %+v", q.Token, name, h)
		}
		if q.Command == lock.Release && l.locks.Place(name, q.Token) {
			return nil // its session may be over, or its time: who waits is told of that alone
		}
		return l.locks.Lost(at, name, q.Token)
	}
	return nil
}

// gone says whether an announcement can have ended by itself.
func (l *lockJuror) gone(at history.Moment, h *history.Hold) bool {
	return h.Expiry != 0 && at.Stamp >= h.Expiry || h.Bound && l.locks.Over(h.Session)
}

func (l *lockJuror) acquired(at history.Moment, session wire.SessionID) error {
	q, s := &l.asked, &l.said
	h := history.Hold{Session: uint64(session), Token: s.Token, Value: string(q.Value), Expiry: s.Expires, Bound: !q.Keep}
	switch s.Report {
	case lock.Granted:
		if !rightExpiry(at, s.Expires, q.TTLMs) || s.Waited != 0 {
			return fmt.Errorf("lock: an acquisition for %d ms is answered with %+v", q.TTLMs, s)
		}
		return l.locks.Granted(at, string(q.Name), h, 0)
	case lock.Waiting:
		if q.WaitMs == 0 || s.Token != at.Sequence {
			return fmt.Errorf("lock: an acquisition that waits %d ms is answered with %+v", q.WaitMs, s)
		}
		if err := l.locks.Seen(at, string(q.Name), new(holdOf(&s.Holder))); err != nil {
			return err
		}
		l.waiting[s.Token] = q.TTLMs
		h.Expiry = at.Stamp + q.WaitMs*nsPerMs
		return l.locks.Waits(at, string(q.Name), h)
	}
	return fmt.Errorf("lock: an acquisition is answered with %+v", s)
}

func (l *lockJuror) change(at history.Moment, name string, token uint64, change func(*history.Hold)) error {
	if h, known := l.announced[announced{name, token}]; known {
		change(&h)
		l.announced[announced{name, token}] = h
		return nil
	}
	return l.locks.Changed(at, name, token, change)
}

func (l *lockJuror) released(at history.Moment, name string, token uint64) error {
	if _, known := l.announced[announced{name, token}]; known {
		delete(l.announced, announced{name, token})
		return nil
	}
	if l.locks.Place(name, token) {
		return l.locks.GaveUp(at, name, token, false)
	}
	return l.locks.Released(at, name, token)
}

// state takes an answer to Get: the holder, and all announcements, if they are all in it.
func (l *lockJuror) state(at history.Moment, name string) error {
	s := &l.said
	if err := l.seen(at, name, &s.Holder); err != nil {
		return err
	}
	there := 0
	for i := range s.Count {
		h := s.AnnouncementAt(i)
		if known, ok := l.announced[announced{name, h.Token}]; !ok || known != holdOf(&h) {
			return fmt.Errorf("lock: %q is said to have announcement %+v, and has %+v: %v", name, h, known, ok)
		}
		there++
	}
	want := 0
	for x, h := range l.announced {
		if x.name == name && x.token > l.asked.Token && !l.gone(at, &h) {
			want++
		}
	}
	if there < want && !s.More {
		return fmt.Errorf("lock: %q is said to have %d announcements, and has %d", name, there, want)
	}
	return nil
}

func (l *lockJuror) seen(at history.Moment, name string, h *lock.Holder) error {
	if h.Token == 0 {
		return l.locks.Seen(at, name, nil)
	}
	return l.locks.Seen(at, name, new(holdOf(h)))
}

// others takes what those are told who wait or have subscribed.
func (l *lockJuror) others(at history.Moment, said []Output) error {
	for i := range said {
		if !lock.DecodeResponse(said[i].Payload, &l.said) {
			return fmt.Errorf("lock: session %x is told what is no response", said[i].Session)
		}
		if err := l.other(at, said[i].Session); err != nil {
			return err
		}
	}
	return nil
}

func (l *lockJuror) other(at history.Moment, session wire.SessionID) error {
	s := &l.said
	name := string(s.Name)
	switch {
	case s.Report == lock.Granted && s.Waited != 0:
		if !rightExpiry(at, s.Expires, l.waiting[s.Waited]) {
			return fmt.Errorf("lock: a lock for %d ms that was waited for runs out at %d", l.waiting[s.Waited], s.Expires)
		}
		return l.locks.Granted(at, name, history.Hold{Session: uint64(session), Token: s.Token, Expiry: s.Expires}, s.Waited)
	case s.Report == lock.Refused && s.Reason == fb.ReasonTimedOut:
		return l.locks.GaveUp(at, name, s.Waited, true)
	case s.Report != lock.Changed:
		return fmt.Errorf("lock: session %x is told %+v, and asked for nothing", session, s)
	case s.Announcement:
		return nil
	case s.Change == fb.ChangeExpired:
		return l.locks.Expired(at, name, s.Holder.Token)
	case s.Change == fb.ChangeGranted:
		h := holdOf(&s.Holder)
		if s.LeftOut {
			return nil
		}
		return l.locks.Seen(at, name, &h)
	}
	return nil
}

func (l *lockJuror) closed(_ history.Moment, session wire.SessionID) {
	l.locks.SessionOver(uint64(session))
}

func (l *lockJuror) end(uint64) error { return nil }
