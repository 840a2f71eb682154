package timer_test

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"lockstep/service/timer"
	"lockstep/service/timer/fb"
	"lockstep/wire"
)

// model is the service as one would write it down: slices, searched from the beginning.
type model struct {
	limits      timer.Options
	timers      []*modelTimer // by name
	subscribers []modelSubscription
	out         []sent
	now, number uint64 // of the record
}

type modelTimer struct {
	name          string
	id, due       uint64
	interval      uint64 // ns
	number, count uint64
	session       wire.SessionID
	payload       []byte
}

type modelSubscription struct {
	session wire.SessionID
	name    string
	prefix  bool
}

func (m *model) respond(to wire.SessionID, r timer.Response) {
	m.out = append(m.out, sent{to, tidy(r)})
}

func (m *model) find(name []byte) int {
	return slices.IndexFunc(m.timers, func(x *modelTimer) bool { return x.name == string(name) })
}

func badName(name []byte) bool {
	odd := func(c byte) bool { return c <= ' ' || c >= 0x7f }
	return len(name) == 0 || len(name) > 128 || slices.ContainsFunc(name, odd)
}

func (m *model) refuse(session wire.SessionID, q timer.Request) (fb.Reason, uint64) {
	at := m.find(q.Name)
	s := modelSubscription{session, string(q.Name), q.Prefix}
	switch {
	case q.Kind == timer.List && q.Max > 64:
		return fb.ReasonBadCount, 0
	case q.Kind == timer.List:
	case badName(q.Name) && !(q.Kind == timer.Subscribe && q.Prefix && len(q.Name) == 0):
		return fb.ReasonBadName, 0
	case q.Kind == timer.Cancel && at < 0:
		return fb.ReasonUnknownTimer, 0
	case q.Kind == timer.Subscribe && !q.Off && !slices.Contains(m.subscribers, s) &&
		len(m.subscribers) == m.limits.Subscriptions:
		return fb.ReasonTooManySubscribers, 0
	case q.Kind == timer.Start:
		switch {
		case len(q.Payload) > 1024:
			return fb.ReasonBadPayload, 0
		case q.At > 0 && q.AfterMs > 0 || q.AfterMs > 1e15 || q.IntervalMs > 1e15 || q.At > 8e18:
			return fb.ReasonBadTime, 0
		case q.Count > 0 && q.IntervalMs == 0:
			return fb.ReasonBadCount, 0
		case at >= 0 && !q.Replace:
			return fb.ReasonExists, m.timers[at].id
		case at < 0 && len(m.timers) == m.limits.Timers:
			return fb.ReasonTooManyTimers, 0
		case q.IntervalMs > 0 && m.firings(q) > m.limits.Firings:
			return fb.ReasonTooManyFirings, 0
		}
	}
	return 0, 0
}

// firings is how often all timers fire in a second once a request has started its timer.
func (m *model) firings(q timer.Request) int {
	each := func(interval uint64) int { return int(math.Ceil(1e9 / float64(interval))) }
	all := each(q.IntervalMs * ms)
	for _, x := range m.timers {
		if x.interval > 0 && x.name != string(q.Name) {
			all += each(x.interval)
		}
	}
	return all
}

func (m *model) apply(session wire.SessionID, q timer.Request) []sent {
	m.out = nil
	if reason, id := m.refuse(session, q); reason != 0 {
		m.respond(session, timer.Response{Kind: timer.Refused, Reason: reason, ID: id})
		return m.out
	}
	switch q.Kind {
	case timer.Start:
		m.start(session, q)
	case timer.Cancel:
		at := m.find(q.Name)
		m.respond(session, timer.Response{Kind: timer.Canceled, ID: m.timers[at].id})
		m.timers = slices.Delete(m.timers, at, at+1)
	case timer.Subscribe:
		s := modelSubscription{session, string(q.Name), q.Prefix}
		m.subscribers = slices.DeleteFunc(m.subscribers, func(x modelSubscription) bool { return x == s })
		if !q.Off {
			m.subscribers = append(m.subscribers, s)
		}
		m.respond(session, timer.Response{Kind: timer.Subscribed})
	case timer.List:
		r := timer.Response{Kind: timer.Listed}
		for _, x := range m.timers {
			if strings.HasPrefix(x.name, string(q.Name)) && x.name > string(q.After) &&
				len(r.Timers) < int(cmp.Or(q.Max, 64)) {
				r.Timers = append(r.Timers, timer.Timer{
					Name: []byte(x.name), ID: x.id, Due: x.due, IntervalMs: x.interval / ms, Number: x.number,
					Count: x.count,
					Owner: uint64(x.session),
				})
			}
		}
		m.respond(session, r)
	}
	return m.out
}

func (m *model) start(session wire.SessionID, q timer.Request) {
	if at := m.find(q.Name); at >= 0 {
		m.timers = slices.Delete(m.timers, at, at+1)
	}
	x := &modelTimer{name: string(q.Name), id: m.number, number: 1, count: q.Count, interval: q.IntervalMs * ms,
		payload: q.Payload}
	if !q.Kept {
		x.session = session
	}
	switch {
	case q.At > 0:
		for x.due = q.At; x.due < m.now; {
			if x.interval == 0 {
				x.due = m.now
			} else {
				x.due += x.interval
			}
		}
	case q.AfterMs > 0:
		x.due = m.now + q.AfterMs*ms
	default:
		x.due = m.now + x.interval
	}
	m.timers = append(m.timers, x)
	slices.SortFunc(m.timers, func(a, b *modelTimer) int { return cmp.Compare(a.name, b.name) })
	m.respond(session, timer.Response{Kind: timer.Started, ID: x.id, Due: x.due})
}

func (m *model) end(session wire.SessionID) {
	m.timers = slices.DeleteFunc(m.timers, func(x *modelTimer) bool { return x.session == session })
	m.subscribers = slices.DeleteFunc(m.subscribers, func(x modelSubscription) bool { return x.session == session })
}

// due lets everything fire that is due now.
func (m *model) due() []sent {
	m.out = nil
	for len(m.timers) > 0 {
		x := slices.MinFunc(m.timers, func(a, b *modelTimer) int {
			return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.id, b.id))
		})
		if x.due > m.now {
			break
		}
		r := timer.Response{Kind: timer.Fired, Name: []byte(x.name), ID: x.id, Payload: x.payload}
		for x.interval > 0 && x.due+x.interval <= m.now && (x.count == 0 || x.number < x.count) {
			x.due += x.interval
			x.number++
			r.Skipped++
		}
		r.Number, r.Due = x.number, x.due
		r.Last = x.interval == 0 || x.number == x.count
		m.tell(x, r)
		x.due += x.interval
		x.number++
		if r.Last {
			m.timers = slices.DeleteFunc(m.timers, func(y *modelTimer) bool { return x == y })
		}
	}
	return m.out
}

func (m *model) tell(x *modelTimer, r timer.Response) {
	var to []wire.SessionID
	for _, s := range m.subscribers {
		if s.session != x.session && (s.name == x.name || s.prefix && strings.HasPrefix(x.name, s.name)) {
			to = append(to, s.session)
		}
	}
	slices.Sort(to)
	if x.session != 0 {
		to = append([]wire.SessionID{x.session}, to...)
	}
	for _, s := range slices.Compact(to) {
		m.respond(s, r)
	}
}
