package kv_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service/kv"
	"lockstep/service/kv/fb"
	"lockstep/wire"
)

// model is a store as one would explain it: a map, sorted whenever that is asked for.
type model struct {
	options kv.Options
	keys    map[string]held
	watches map[watched]bool
}

type held struct {
	value   string
	version uint64
}

type watched struct {
	session wire.SessionID
	prefix  string
}

func (m *model) bytes() (n uint64) {
	for k, h := range m.keys {
		n += uint64(len(k) + len(h.value) + 64)
	}
	return n
}

// apply says what the store is to send, in words.
func (m *model) apply(session wire.SessionID, q kv.Request, sequence uint64) (out []string) {
	say := func(to wire.SessionID, format string, args ...any) {
		out = append(out, fmt.Sprintf("%d: ", to)+fmt.Sprintf(format, args...))
	}
	no := func(reason kv.Reason) []string { say(session, "refused %v", reason); return out }
	key, value := string(q.Key), string(q.Value)
	h, there := m.keys[key]
	switch q.Command {
	case kv.Range:
		if len(q.From) > kv.MaxKey || len(q.To) > kv.MaxKey || len(q.After) > kv.MaxKey {
			return no(fb.ReasonBadKey)
		}
		say(session, "%s", m.span(q))
		return out
	case kv.Watch:
		w := watched{session, key}
		switch {
		case len(key) > kv.MaxKey:
			return no(fb.ReasonBadKey)
		case !q.On:
			delete(m.watches, w)
		case !m.watches[w] && len(m.watches) == m.options.MaxWatches:
			return no(fb.ReasonTooManyWatches)
		default:
			m.watches[w] = true
		}
		say(session, "watching %v from %d", q.On, sequence)
		return out
	}
	if len(key) < 1 || len(key) > kv.MaxKey {
		return no(fb.ReasonBadKey)
	}
	if len(value) > kv.MaxValue {
		return no(fb.ReasonValueTooLong)
	}
	if q.Command == kv.Get {
		if there {
			say(session, "found %q version %d", h.value, h.version)
		} else {
			say(session, "absent")
		}
		return out
	}
	if q.Command == kv.CompareAndSet && q.Version != h.version ||
		q.Command == kv.Delete && q.Version != 0 && q.Version != h.version {
		say(session, "conflict %q version %d", h.value, h.version)
		return out
	}
	if q.Command == kv.Delete {
		say(session, "deleted %d", h.version)
		if there {
			delete(m.keys, key)
			m.tell(say, key, "", sequence, true)
		}
		return out
	}
	if !there && len(m.keys) == m.options.MaxKeys {
		return no(fb.ReasonTooManyKeys)
	}
	before := maps.Clone(m.keys)
	m.keys[key] = held{value, sequence}
	if m.bytes() > m.options.MaxBytes {
		m.keys = before
		return no(fb.ReasonTooManyBytes)
	}
	say(session, "stored %d before %d", sequence, h.version)
	m.tell(say, key, value, sequence, false)
	return out
}

func (m *model) tell(say func(wire.SessionID, string, ...any), key, value string, sequence uint64, deleted bool) {
	hear := map[wire.SessionID]bool{}
	for w := range m.watches {
		if strings.HasPrefix(key, w.prefix) {
			hear[w.session] = true
		}
	}
	leftOut := !deleted && len(hear)*(len(key)+len(value)+64) > 96<<10
	if leftOut {
		value = ""
	}
	for _, session := range slices.Sorted(maps.Keys(hear)) {
		say(session, "changed %q to %q version %d deleted %v left out %v", key, value, sequence, deleted, leftOut)
	}
}

func (m *model) span(q kv.Request) string {
	var list []string
	limit, size := int(q.Limit), 0
	if limit == 0 || limit > 1000 {
		limit = 1000
	}
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		if key < string(q.From) || len(q.To) > 0 && key >= string(q.To) || len(q.After) > 0 && key <= string(q.After) {
			continue
		}
		h := m.keys[key]
		if q.KeysOnly {
			h.value = ""
		}
		size += len(key) + len(h.value) + 64
		if len(list) == limit || size > 40<<10 && len(list) > 0 {
			return fmt.Sprintf("%v more", list)
		}
		list = append(list, fmt.Sprintf("%q=%q@%d", key, h.value, h.version))
	}
	return fmt.Sprintf("%v", list)
}

// say puts a response into the words of the model.
func say(x sent) string {
	text := ""
	switch x.Report {
	case kv.Found:
		text = fmt.Sprintf("found %q version %d", x.Value, x.Version)
	case kv.Absent:
		text = "absent"
	case kv.Stored:
		text = fmt.Sprintf("stored %d before %d", x.Version, x.Previous)
	case kv.Deleted:
		text = fmt.Sprintf("deleted %d", x.Previous)
	case kv.Entries:
		var list []string
		for _, e := range x.list {
			list = append(list, fmt.Sprintf("%q=%q@%d", e.Key, e.Value, e.Version))
		}
		text = fmt.Sprintf("%v", list)
		if x.More {
			text += " more"
		}
	case kv.Watching:
		text = fmt.Sprintf("watching %v from %d", x.On, x.Version)
	case kv.Conflict:
		text = fmt.Sprintf("conflict %q version %d", x.Value, x.Version)
	case kv.Refused:
		text = fmt.Sprintf("refused %v", x.Reason)
	case kv.Changed:
		text = fmt.Sprintf("changed %q to %q version %d deleted %v left out %v", x.Key, x.Value, x.Version, x.Response.Deleted, x.LeftOut)
	}
	return fmt.Sprintf("%d: %s", x.to, text)
}

// drawRequest draws any request, with lengths and versions that hit and miss.
func drawRequest(t *rapid.T, m *model) kv.Request {
	key := rapid.OneOf(
		rapid.SliceOfN(rapid.SampledFrom([]byte("ab/")), 1, 3),
		rapid.Map(rapid.SampledFrom([]int{0, 1, 255, 256, 257}), func(n int) []byte { return bytes.Repeat([]byte("k"), n) }),
	)
	value := rapid.OneOf(
		rapid.SliceOfN(rapid.Byte(), 0, 40),
		rapid.Map(rapid.SampledFrom([]int{100, 3000, kv.MaxValue - 1, kv.MaxValue, kv.MaxValue + 1}),
			func(n int) []byte { return bytes.Repeat([]byte("v"), n) }),
	)
	q := kv.Request{Command: rapid.SampledFrom([]kv.Command{
		kv.Get, kv.Put, kv.Put, kv.CompareAndSet, kv.CompareAndSet, kv.Delete, kv.Range, kv.Watch}).Draw(t, "command")}
	switch q.Command {
	case kv.Range:
		q.From, q.To, q.After = key.Draw(t, "from"), key.Draw(t, "to"), key.Draw(t, "after")
		q.From = q.From[:len(q.From)*rapid.IntRange(0, 1).Draw(t, "bounded below")]
		q.To = q.To[:len(q.To)*rapid.IntRange(0, 1).Draw(t, "bounded above")]
		q.After = q.After[:len(q.After)*rapid.IntRange(0, 1).Draw(t, "continued")]
		q.Limit = rapid.Uint32Range(0, 5).Draw(t, "limit")
		q.KeysOnly = rapid.Bool().Draw(t, "keys only")
		return q
	case kv.Watch:
		q.Key, q.On = key.Draw(t, "prefix"), rapid.Bool().Draw(t, "on")
		return q
	}
	q.Key = key.Draw(t, "key")
	if q.Command == kv.Put || q.Command == kv.CompareAndSet {
		q.Value = value.Draw(t, "value")
	}
	if q.Command == kv.CompareAndSet || q.Command == kv.Delete {
		q.Version = rapid.SampledFrom([]uint64{0, 1, m.keys[string(q.Key)].version}).Draw(t, "version")
	}
	return q
}

// TestStoreIsAMap compares a store with the model over random requests: every response, what Check says, and that a
// store restored from a snapshot on the way does all the same.
func TestStoreIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := kv.Options{
			MaxKeys:    rapid.IntRange(1, 20).Draw(rt, "keys"),
			MaxBytes:   rapid.Uint64Range(100, 100000).Draw(rt, "bytes"),
			MaxWatches: rapid.IntRange(1, 12).Draw(rt, "watches"),
		}
		m := &model{options: o, keys: map[string]held{}, watches: map[watched]bool{}}
		g := newRig(t, o)
		for range rapid.IntRange(1, 60).Draw(rt, "requests") {
			session := wire.SessionID(rapid.IntRange(1, 5).Draw(rt, "session"))
			if rapid.IntRange(0, 19).Draw(rt, "end") == 0 {
				g.session(session, false)
				maps.DeleteFunc(m.watches, func(w watched, _ bool) bool { return w.session == session })
				continue
			}
			q := drawRequest(rt, m)
			hash := g.store.Hash()
			refusal := g.check(session, q)
			if g.store.Hash() != hash {
				rt.Fatalf("Check(%v) has an effect", q)
			}
			got := g.apply(rt, session, q)
			var words []string
			for _, x := range got {
				words = append(words, say(x))
			}
			if want := m.apply(session, q, g.sequence); !slices.Equal(words, want) {
				rt.Fatalf("%v of session %d:\n%v, want\n%v", q, session, words, want)
			}
			checkRefusal(rt, refusal, got[0])
			if rapid.IntRange(0, 9).Draw(rt, "restore") == 0 {
				g.store = restored(rt, g, o)
			}
		}
		used, _ := g.store.Memory()
		if used != m.bytes() || g.store.Len() != len(m.keys) {
			rt.Fatalf("%d bytes in %d keys, want %d in %d", used, g.store.Len(), m.bytes(), len(m.keys))
		}
	})
}

// checkRefusal holds what Check said to what Apply did.
func checkRefusal(t *rapid.T, refusal []byte, answer sent) {
	refused := answer.Report == kv.Refused || answer.Report == kv.Conflict
	if refused != (refusal != nil) {
		t.Fatalf("Check said %x, and Apply %s", refusal, say(answer))
	}
	var x sent
	if refused && (!kv.DecodeResponse(refusal, &x.Response) || say(x)[3:] != say(answer)[3:]) {
		t.Fatalf("Check said %s, and Apply %s", say(x), say(answer))
	}
}

// restored is a store made from another's snapshot, which is the same in every way that can be seen.
func restored(t *rapid.T, g *rig, o kv.Options) *kv.Store {
	b := g.snapshot(t)
	s, err := kv.New(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := s.Restore(bytes.NewReader(b)); err != nil {
		t.Fatalf("%v", err)
	}
	again := (&rig{store: s}).snapshot(t)
	if s.Hash() != g.store.Hash() || !bytes.Equal(b, again) {
		t.Fatalf("hash %x, restored %x; snapshots equal: %v", g.store.Hash(), s.Hash(), bytes.Equal(b, again))
	}
	return s
}

// TestLayoutDoesNotMatter has a store, and one restored from it in the middle, go on with the same requests: they
// cannot be told apart, however differently the two came about.
func TestLayoutDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := kv.Options{MaxKeys: 10, MaxBytes: 50000, MaxWatches: 4}
		m := &model{options: o, keys: map[string]held{}, watches: map[watched]bool{}}
		g := newRig(t, o)
		twin := newRig(t, o)
		for i := range rapid.IntRange(1, 60).Draw(rt, "requests") {
			if i%20 == 10 {
				twin.store, twin.sequence = restored(rt, g, o), g.sequence
			}
			session, q := wire.SessionID(rapid.IntRange(1, 3).Draw(rt, "session")), drawRequest(rt, m)
			one, two := g.apply(rt, session, q), twin.apply(rt, session, q)
			if i >= 10 && (!slices.EqualFunc(one, two, func(a, b sent) bool { return say(a) == say(b) }) ||
				g.store.Hash() != twin.store.Hash() || !bytes.Equal(g.snapshot(rt), twin.snapshot(rt))) {
				rt.Fatalf("%v of session %d: they differ", q, session)
			}
			m.apply(session, q, g.sequence)
		}
	})
}
