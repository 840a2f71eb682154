package watch_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/internal/watch"
	"lockstep/wire"
)

type subscription struct {
	session wire.SessionID
	exact   bool
	key     string
}

// TestListIsASet compares a list with a map over random subscriptions, ends of sessions, and restores.
func TestListIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, want := watch.New(12), map[subscription]bool{}
		key := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 3, -1)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s := subscription{wire.SessionID(rapid.IntRange(1, 4).Draw(t, "session")), rapid.Bool().Draw(t, "exact"), key.Draw(t, "key")}
			w := watch.Watch{Session: s.session, Exact: s.exact, Key: []byte(s.key)}
			fits := want[s] || len(want) < 12
			if l.Fits(w) != fits {
				t.Fatalf("%+v fits: %v, want %v", s, !fits, fits)
			}
			switch n := rapid.IntRange(0, 9).Draw(t, "do"); {
			case n == 0:
				l.Forget(s.session)
				maps.DeleteFunc(want, func(x subscription, _ bool) bool { return x.session == s.session })
			case n < 3:
				l.Remove(w)
				delete(want, s)
			case fits:
				l.Add(w)
				want[s] = true
			}
			hear := map[wire.SessionID]bool{}
			for x := range want {
				if s.key == x.key || !x.exact && strings.HasPrefix(s.key, x.key) {
					hear[x.session] = true
				}
			}
			var got []wire.SessionID
			for x := l.After(0, []byte(s.key)); x != 0; x = l.After(x, []byte(s.key)) {
				got = append(got, x)
			}
			if !slices.Equal(got, slices.Sorted(maps.Keys(hear))) || l.Concerned([]byte(s.key)) != len(hear) || l.Len() != len(want) {
				t.Fatalf("%q concerns %v, want %v", s.key, got, hear)
			}
			for i := range l.Len() {
				if x := l.At(i); !want[subscription{x.Session, x.Exact, string(x.Key)}] {
					t.Fatalf("%+v is there", x)
				}
			}
		}
		restoreAnother(t, l)
	})
}

// restoreAnother restores a list from a snapshot: it is the same, and nothing but the whole snapshot is restored.
func restoreAnother(t *rapid.T, l *watch.List) {
	var b, again bytes.Buffer
	other := watch.New(12)
	if err := errors.Join(l.Snapshot(&b), other.Restore(bytes.NewReader(b.Bytes())), other.Snapshot(&again)); err != nil {
		t.Fatalf("%v", err)
	}
	if !bytes.Equal(b.Bytes(), again.Bytes()) || other.Hash() != l.Hash() {
		t.Fatalf("restored otherwise")
	}
	for i := range b.Len() {
		if err := other.Restore(bytes.NewReader(b.Bytes()[:i])); !errors.Is(err, watch.ErrSnapshot) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		changed := slices.Clone(b.Bytes())
		changed[i] ^= 0x41
		if err := other.Restore(bytes.NewReader(changed)); err == nil && other.Hash() == l.Hash() {
			t.Fatalf("byte %d does not matter", i)
		}
	}
}

func TestListDoesNotAllocate(t *testing.T) {
	l := watch.New(10)
	key := []byte("key")
	if n := testing.AllocsPerRun(1000, func() {
		for session := wire.SessionID(1); session <= 5; session++ {
			l.Add(watch.Watch{Session: session, Key: key[:2]})
			l.Add(watch.Watch{Session: session, Key: key, Exact: true})
		}
		if l.Concerned(key) != 5 {
			t.Fatal("not all concerned")
		}
		l.Forget(2)
		l.Remove(watch.Watch{Session: 1, Key: key, Exact: true})
		l.Remove(watch.Watch{Session: 1, Key: key[:2]})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
