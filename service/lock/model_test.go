package lock_test

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/service/lock/fb"
	"lockstep/wire"
)

// model is the lock service as one would explain it: a list of holds in the order in which they came about, searched
// for everything.
type model struct {
	options lock.Options
	holds   []*mhold
	hears   map[subscription]bool
	numbers int
	out     []string

	sequence, now uint64 // of the record
}

type mhold struct {
	kind, name, value string // kind: holder, waiter or announcement
	session           wire.SessionID
	token             uint64
	ttl, expires      uint64
	keep              bool
	number            int
}

type subscription struct {
	session wire.SessionID
	name    string
	prefix  bool
}

func (m *model) say(to wire.SessionID, format string, args ...any) {
	m.out = append(m.out, fmt.Sprintf("%d: ", to)+fmt.Sprintf(format, args...))
}

func (h *mhold) String() string {
	if h == nil {
		return "nobody"
	}
	return fmt.Sprintf("[%d of %d, %q until %d, kept %v]", h.token, h.session, h.value, h.expires, h.keep)
}

func (m *model) all(kind, name string) (list []*mhold) {
	for _, h := range m.holds {
		if h.kind == kind && h.name == name {
			list = append(list, h)
		}
	}
	return list
}

func (m *model) holder(name string) *mhold {
	if list := m.all("holder", name); len(list) > 0 {
		return list[0]
	}
	return nil
}

func (m *model) tell(h *mhold, change lock.Change) {
	hear := map[wire.SessionID]bool{}
	for s := range m.hears {
		if s.name == h.name || s.prefix && strings.HasPrefix(h.name, s.name) {
			hear[s.session] = true
		}
	}
	for _, session := range slices.Sorted(maps.Keys(hear)) {
		m.say(session, "changed %q %v announcement %v %v", h.name, change, h.kind == "announcement", h)
	}
}

func (m *model) drop(h *mhold) {
	m.holds = slices.DeleteFunc(m.holds, func(x *mhold) bool { return x == h })
}

func (m *model) release(h *mhold, change lock.Change) {
	m.tell(h, change)
	m.drop(h)
	if waiting := m.all("waiter", h.name); h.kind == "holder" && len(waiting) > 0 {
		next := waiting[0]
		waited := next.token
		next.kind, next.token, next.expires = "holder", m.sequence, 0
		if next.ttl > 0 {
			next.expires = m.now + next.ttl
		}
		m.say(next.session, "granted %q %d until %d waited %d", next.name, next.token, next.expires, waited)
		m.tell(next, fb.ChangeGranted)
	}
}

// timer ends what has run out, in order of time and then of age.
func (m *model) timer() {
	for {
		var first *mhold
		for _, h := range m.holds {
			if h.expires != 0 && h.expires <= m.now && (first == nil || h.expires < first.expires) {
				first = h
			}
		}
		if first == nil {
			return
		}
		if first.kind == "waiter" {
			m.say(first.session, "refused %v %q waited %d %v", fb.ReasonTimedOut, first.name, first.token, m.holder(first.name))
			m.drop(first)
		} else {
			m.release(first, fb.ChangeExpired)
		}
	}
}

func (m *model) end(session wire.SessionID) {
	maps.DeleteFunc(m.hears, func(s subscription, _ bool) bool { return s.session == session })
	for _, h := range slices.Clone(m.holds) {
		if h.session == session && h.kind == "waiter" {
			m.drop(h)
		}
	}
	for _, h := range slices.Clone(m.holds) {
		if h.session == session && !h.keep {
			m.release(h, fb.ChangeSessionEnded)
		}
	}
}

// refuse says why a request is refused; ReasonNone: it is not.
func (m *model) refuse(session wire.SessionID, q lock.Request, check bool) lock.Reason {
	o, name := &m.options, string(q.Name)
	own := 0
	for _, h := range m.holds {
		if h.session == session && (!h.keep || h.kind == "waiter") {
			own++
		}
	}
	full := len(m.holds) == o.MaxHolds
	switch q.Command {
	case lock.Acquire:
		held := m.holder(name) != nil
		switch {
		case held && (q.WaitMs == 0 || check):
			return fb.ReasonHeld
		case held && len(m.all("waiter", name)) == o.MaxWaiting:
			return fb.ReasonTooManyWaiting
		case full || (!q.Keep || held) && own == o.MaxSession:
			return fb.ReasonTooManyHolds
		}
	case lock.Announce:
		if full || !q.Keep && own == o.MaxSession || len(m.all("announcement", name)) == o.MaxAnnounced {
			return fb.ReasonTooManyHolds
		}
	case lock.Renew, lock.SetValue, lock.Release:
		if h := m.byToken(q); h == nil || h.kind == "waiter" && q.Command != lock.Release {
			return fb.ReasonUnknownToken
		}
	}
	return fb.ReasonNone
}

func (m *model) byToken(q lock.Request) *mhold {
	for _, h := range m.holds {
		if h.name == string(q.Name) && h.token == q.Token {
			return h
		}
	}
	return nil
}

// unsound says what is wrong with a request by itself.
func (m *model) unsound(session wire.SessionID, q lock.Request) lock.Reason {
	prefix := q.Command == lock.List || q.Command == lock.Subscribe && q.Prefix
	keeps := q.Command == lock.Acquire || q.Command == lock.Announce
	switch {
	case len(q.Name) > lock.MaxName || len(q.Name) == 0 && !prefix || len(q.After) > lock.MaxName:
		return fb.ReasonBadName
	case len(q.Value) > lock.MaxValue:
		return fb.ReasonValueTooLong
	case q.TTLMs > lock.MaxTimeMs || q.WaitMs > lock.MaxTimeMs || keeps && q.Keep && q.TTLMs == 0:
		return fb.ReasonBadTime
	case q.Command == lock.Subscribe && q.On && len(m.hears) == m.options.MaxSubscriptions &&
		!m.hears[subscription{session, string(q.Name), q.Prefix}]:
		return fb.ReasonTooManySubscriptions
	}
	return fb.ReasonNone
}

func (m *model) apply(session wire.SessionID, q lock.Request) {
	name := string(q.Name)
	if reason := m.unsound(session, q); reason != fb.ReasonNone {
		m.say(session, "refused %v \"\" waited 0 nobody", reason)
		return
	}
	if reason := m.refuse(session, q, false); reason != fb.ReasonNone {
		m.say(session, "refused %v %q waited 0 %v", reason, q.Name, m.holder(name))
		return
	}
	switch q.Command {
	case lock.Acquire, lock.Announce:
		m.enter(session, q)
	case lock.Renew:
		h := m.byToken(q)
		if q.TTLMs > 0 {
			h.ttl = q.TTLMs * ms
		}
		if h.ttl > 0 {
			h.expires = m.now + h.ttl
		}
		m.say(session, "renewed until %d", h.expires)
	case lock.SetValue:
		h := m.byToken(q)
		h.value = string(q.Value)
		m.say(session, "done")
		m.tell(h, fb.ChangeValueSet)
	case lock.Release:
		m.say(session, "done")
		if h := m.byToken(q); h.kind == "waiter" {
			m.drop(h)
		} else {
			m.release(h, fb.ChangeReleased)
		}
	case lock.Get:
		text := ""
		for _, h := range m.all("announcement", name) {
			if h.token > q.Token {
				text += " " + h.String()
			}
		}
		m.say(session, "state %v waiting %d announced %d:%s", m.holder(name), len(m.all("waiter", name)), len(m.all("announcement", name)), text)
	case lock.List:
		m.list(session, q)
	case lock.Subscribe:
		s := subscription{session, name, q.Prefix}
		delete(m.hears, s)
		if q.On {
			m.hears[s] = true
		}
		m.say(session, "subscribed %v from %d", q.On, m.sequence)
	}
}

func (m *model) enter(session wire.SessionID, q lock.Request) {
	m.numbers++
	before := m.holder(string(q.Name))
	h := &mhold{kind: "holder", name: string(q.Name), value: string(q.Value), session: session, token: m.sequence,
		ttl: q.TTLMs * ms, keep: q.Keep, number: m.numbers}
	if h.ttl > 0 {
		h.expires = m.now + h.ttl
	}
	switch {
	case q.Command == lock.Announce:
		h.kind = "announcement"
	case before != nil:
		h.kind, h.expires = "waiter", m.now+q.WaitMs*ms
		m.say(session, "waiting %d behind %d for %v", h.token, len(m.all("waiter", h.name)), before)
		m.holds = append(m.holds, h)
		return
	}
	m.holds = append(m.holds, h)
	m.say(session, "granted %q %d until %d waited 0", h.name, h.token, h.expires)
	m.tell(h, fb.ChangeGranted)
}

func (m *model) list(session wire.SessionID, q lock.Request) {
	names := map[string]bool{}
	for _, h := range m.holds {
		if strings.HasPrefix(h.name, string(q.Name)) && (len(q.After) == 0 || h.name > string(q.After)) {
			names[h.name] = true
		}
	}
	text, count := "names", uint32(0)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if count == q.Limit && count != 0 {
			text += " more"
			break
		}
		count++
		text += fmt.Sprintf(" %q %v waiting %d announced %d;", name, m.holder(name), len(m.all("waiter", name)), len(m.all("announcement", name)))
	}
	m.say(session, "%s", text)
}

// drawRequest draws any request, with names, tokens and times that hit and miss.
func drawRequest(t *rapid.T, m *model) lock.Request {
	name := rapid.Map(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 2, 2, 3, 4, 0, 256, 257}), func(n int) []byte {
		return bytes.Repeat([]byte("a"), n)
	})
	q := lock.Request{Command: rapid.SampledFrom([]lock.Command{lock.Acquire, lock.Acquire, lock.Acquire, lock.Announce, lock.Renew,
		lock.SetValue, lock.Release, lock.Release, lock.Get, lock.List, lock.Subscribe}).Draw(t, "command")}
	q.Name = name.Draw(t, "name")
	switch q.Command {
	case lock.Acquire, lock.Announce:
		q.TTLMs = rapid.SampledFrom([]uint64{0, 0, 5, 10, 20, lock.MaxTimeMs, lock.MaxTimeMs + 1}).Draw(t, "ttl")
		q.Keep = rapid.Bool().Draw(t, "keep")
		if q.Command == lock.Acquire {
			q.WaitMs = rapid.SampledFrom([]uint64{0, 5, 10, 20, lock.MaxTimeMs, lock.MaxTimeMs + 1}).Draw(t, "wait")
		}
	case lock.Renew:
		q.TTLMs = rapid.SampledFrom([]uint64{0, 1, 10, lock.MaxTimeMs + 1}).Draw(t, "ttl")
	case lock.List:
		q.After = name.Draw(t, "after")
		q.Limit = rapid.Uint32Range(0, 3).Draw(t, "limit")
	case lock.Subscribe:
		q.Prefix, q.On = rapid.Bool().Draw(t, "prefix"), rapid.IntRange(0, 3).Draw(t, "on") > 0
	}
	if q.Command == lock.Renew || q.Command == lock.SetValue || q.Command == lock.Release || q.Command == lock.Get {
		q.Token = rapid.Uint64Range(0, m.sequence+2).Draw(t, "token")
		if n := len(m.holds); n > 0 && rapid.IntRange(0, 9).Draw(t, "hit") > 1 {
			h := m.holds[rapid.IntRange(0, n-1).Draw(t, "hold")]
			q.Name, q.Token = []byte(h.name), h.token
		}
	}
	if q.Command == lock.Acquire || q.Command == lock.Announce || q.Command == lock.SetValue {
		n := rapid.SampledFrom([]int{0, 1, 2, 3, 40, 90, lock.MaxValue, lock.MaxValue + 1}).Draw(t, "value")
		q.Value = bytes.Repeat([]byte("v"), n)
	}
	return q
}

// TestTableIsAListOfHolds compares a table with the model over random requests, ends of sessions, and time that goes
// by: every response, what Check says, and that a table restored from a snapshot on the way does all the same.
func TestTableIsAListOfHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := lock.Options{
			MaxHolds: rapid.IntRange(1, 12).Draw(t, "holds"), MaxSession: rapid.IntRange(1, 6).Draw(t, "of a session"),
			MaxWaiting: rapid.IntRange(1, 4).Draw(t, "waiting"), MaxAnnounced: rapid.IntRange(1, 4).Draw(t, "announced"),
			MaxSubscriptions: rapid.IntRange(1, 5).Draw(t, "subscriptions"),
		}
		m := &model{options: o, hears: map[subscription]bool{}}
		g := newRig(t, o)
		for range rapid.IntRange(1, 80).Draw(t, "records") {
			session := wire.SessionID(rapid.IntRange(1, 4).Draw(t, "session"))
			var got []sent
			m.out = nil
			switch n := rapid.IntRange(0, 19).Draw(t, "do"); {
			case n == 0:
				got = g.end(t, session)
				m.sequence, m.now = g.sequence, g.now
				m.end(session)
			case n < 4:
				g.now += uint64(rapid.IntRange(1, 12).Draw(t, "ms")) * ms
			default:
				q := drawRequest(t, m)
				hash := g.table.Hash()
				refusal := g.check(session, q)
				if g.table.Hash() != hash {
					t.Fatalf("Check(%v) has an effect", q)
				}
				held := m.unsound(session, q) == fb.ReasonNone && m.refuse(session, q, true) == fb.ReasonHeld
				got = g.apply(t, session, q)
				m.sequence, m.now = g.sequence, g.now
				m.apply(session, q)
				checkRefusal(t, refusal, got[0], held)
			}
			if want := m.out; !slices.Equal(words(got), want) {
				t.Fatalf("at %d:\n%s\nwant\n%s", g.sequence, strings.Join(words(got), "\n"), strings.Join(want, "\n"))
			}
			checkTimer(t, g, m)
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 {
				g.table = restored(t, g, o)
			}
			if g.table.Len() != len(m.holds) {
				t.Fatalf("%d holds, want %d", g.table.Len(), len(m.holds))
			}
		}
	})
}

// checkTimer fires what is due, in both.
func checkTimer(t *rapid.T, g *rig, m *model) {
	m.out = nil
	got, fired := g.fire(t)
	earliest := slices.MinFunc(append(m.holds, &mhold{}), func(a, b *mhold) int { return cmp.Compare(a.expires-1, b.expires-1) })
	due := earliest.expires != 0 && earliest.expires <= g.now
	if fired {
		m.sequence, m.now = g.sequence, g.now
		m.timer()
	} else if due {
		t.Fatalf("no timer for what runs out at %d, now %d", earliest.expires, g.now)
	}
	if !slices.Equal(words(got), m.out) {
		t.Fatalf("at %d a timer:\n%s\nwant\n%s", g.sequence, strings.Join(words(got), "\n"), strings.Join(m.out, "\n"))
	}
}

// checkRefusal holds what Check said to what Apply did, which may wait for a lock that is held.
func checkRefusal(t *rapid.T, refusal []byte, answer sent, held bool) {
	if refused := answer.Report == lock.Refused; refused != (refusal != nil) && !held {
		t.Fatalf("Check said %x, and Apply %s", refusal, say(answer))
	}
	if refusal == nil {
		return
	}
	x := sent{to: answer.to}
	if !lock.DecodeResponse(refusal, &x.Response) || held && x.Reason != fb.ReasonHeld || !held && say(x) != say(answer) {
		t.Fatalf("Check said %s, and Apply %s", say(x), say(answer))
	}
}

// restored is a table made from another's snapshot, which is the same in every way that can be seen.
func restored(t fataler, g *rig, o lock.Options) *lock.Table {
	b := g.snapshot(t)
	x, err := lock.New(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := x.Restore(bytes.NewReader(b)); err != nil {
		t.Fatalf("%v", err)
	}
	again := (&rig{table: x}).snapshot(t)
	if x.Hash() != g.table.Hash() || !bytes.Equal(b, again) {
		t.Fatalf("hash %x, restored %x; snapshots equal: %v", g.table.Hash(), x.Hash(), bytes.Equal(b, again))
	}
	return x
}

// TestLayoutDoesNotMatter has a table, and one restored from it in the middle, go on with the same records: they cannot
// be told apart, however differently the two came about.
func TestLayoutDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := lock.Options{MaxHolds: 10, MaxSession: 6, MaxWaiting: 3, MaxAnnounced: 3, MaxSubscriptions: 4}
		m := &model{options: o, hears: map[subscription]bool{}}
		g, twin := newRig(t, o), newRig(t, o)
		for i := range rapid.IntRange(1, 60).Draw(t, "records") {
			if i%20 == 10 {
				twin.table, twin.sequence, twin.now = restored(t, g, o), g.sequence, g.now
				twin.ctx = service.NewContext()
				if x, ok := g.ctx.Timers().First(); ok {
					twin.ctx.Timers().Set(x) // the driver has a snapshot of these
				}
			}
			session := wire.SessionID(rapid.IntRange(1, 3).Draw(t, "session"))
			pass := uint64(rapid.IntRange(0, 12).Draw(t, "ms")) * ms
			var one, two []sent
			if rapid.IntRange(0, 19).Draw(t, "end") == 0 {
				one, two = g.end(t, session), twin.end(t, session)
				m.sequence, m.now = g.sequence, g.now
				m.end(session)
			} else {
				q := drawRequest(t, m)
				one, two = g.apply(t, session, q), twin.apply(t, session, q)
				m.sequence, m.now = g.sequence, g.now
				m.apply(session, q)
			}
			one, two = append(one, g.pass(t, pass)...), append(two, twin.pass(t, pass)...)
			m.sequence, m.now = g.sequence, g.now
			m.timer()
			if i >= 10 && (!slices.Equal(words(one), words(two)) || g.table.Hash() != twin.table.Hash() ||
				!bytes.Equal(g.snapshot(t), twin.snapshot(t))) {
				t.Fatalf("they differ:\n%s\n%s", strings.Join(words(one), "\n"), strings.Join(words(two), "\n"))
			}
		}
	})
}
