package timer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service"
	"lockstep/service/timer"
	"lockstep/wire"
)

// full is a rig with some of everything.
func full(t testing.TB) *rig {
	g := newRig(t, tiny)
	g.start(1, timer.Request{Name: []byte("a"), AfterMs: 100, Payload: []byte("payload")})
	g.start(2, timer.Request{Name: []byte("b"), IntervalMs: 100, Count: 9, Kept: true})
	g.start(1, timer.Request{Name: []byte("c"), IntervalMs: 10})
	g.subscribe(1, "", true)
	g.subscribe(1, "a", false)
	g.subscribe(2, "b", true)
	g.Wait(15)
	return g
}

// A state has one snapshot, however it came about, and a snapshot one state: nothing else restores.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	g := full(t)
	other, err := timer.New(timer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.RefusesDamage(timer.ErrSnapshot, other)
}

// Timers that fire more often than the options let them are none that this service has written.
func TestTooManyFiringsAreNotRestored(t *testing.T) {
	few := timer.Options{Timers: 5, Subscriptions: 3, Firings: 1999}
	more := few
	more.Firings++
	g := newRig(t, more)
	g.start(1, timer.Request{Name: []byte("a"), IntervalMs: 1})
	g.start(2, timer.Request{Name: []byte("b"), IntervalMs: 1, Kept: true})
	b := g.Snapshot()
	for _, o := range []timer.Options{more, few} {
		s, err := timer.New(o)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(b[16:], uint32(o.Firings)) // behind magic, timers and subscriptions
		err = s.Restore(bytes.NewReader(b))
		refused := errors.Is(err, timer.ErrSnapshot) && !errors.Is(err, service.ErrUnsuited)
		if o == more && err != nil || o == few && !refused {
			t.Errorf("%d firings: %v", o.Firings, err)
		}
	}
}

func TestSnapshotSaysWhatItsWriterSays(t *testing.T) { full(t).SaysWhatItsWriterSays() }

// Two services that are asked the same from a state on that one has restored say the same, and stay in the same state.
func TestARestoredServiceGoesOnAsTheOther(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		one, two := newRig(t, tiny), newRig(t, tiny)
		step := func(q timer.Request, session, passes uint64) {
			for _, g := range []*rig{one, two} {
				g.do(1+wire.SessionID(session), q)
				g.Wait(passes)
			}
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			q := drawRequest(r, one)
			if rapid.IntRange(0, 4).Draw(r, "restore") == 0 {
				two.Restore()
			}
			session := rapid.Uint64Range(0, 2).Draw(r, "session")
			if rapid.IntRange(0, 9).Draw(r, "end") == 0 {
				one.End(1 + wire.SessionID(session))
				two.End(1 + wire.SessionID(session))
			}
			step(q, session, rapid.Uint64Range(0, 30).Draw(r, "ms"))
			if what := one.Differs(two.Rig); what != "" {
				r.Fatalf("%s differ after %+v", what, q)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(full(f).Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) { newRig(t, tiny).RestoresOnlyWhatItWrites(b) })
}

func FuzzRequest(f *testing.F) {
	g := newRig(f, tiny)
	for kind := timer.Start; kind <= timer.Subscribe; kind++ {
		q := timer.Request{Kind: kind, Name: []byte("q"), Payload: []byte("payload"), Max: 2, AfterMs: 3}
		f.Add(bytes.Clone(timer.EncodeRequest(g.builder, &q)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := full(t)
		g.Apply(3, b)
		g.Restore()
		var r timer.Response
		timer.DecodeResponse(b, &r)
	})
}
