package timer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
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
	g.wait(15)
	return g
}

// A state has one snapshot, however it came about, and a snapshot one state: nothing else restores.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	g := full(t)
	good := g.snapshot()
	restore := func(b []byte) (*timer.Service, error) {
		s, err := timer.New(tiny)
		if err != nil {
			t.Fatal(err)
		}
		return s, s.Restore(bytes.NewReader(b))
	}
	if s, err := restore(good); err != nil || s.Hash() != g.service.Hash() {
		t.Fatalf("the good one: %v", err)
	}
	for n := range good {
		if _, err := restore(good[:n]); !errors.Is(err, timer.ErrSnapshot) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	if _, err := restore(append(bytes.Clone(good), 0)); !errors.Is(err, timer.ErrSnapshot) {
		t.Errorf("a byte more: %v", err)
	}
	for n := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[n] ^= flip
			if _, err := restore(bad); !errors.Is(err, timer.ErrSnapshot) {
				t.Fatalf("byte %d of %d is %x: %v", n, len(good), bad[n], err)
			}
		}
	}
	other, err := timer.New(timer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(bytes.NewReader(good)); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("other options: %v", err)
	}
}

// Timers that fire more often than the options let them are none that this service has written.
func TestTooManyFiringsAreNotRestored(t *testing.T) {
	few := timer.Options{Timers: 5, Subscriptions: 3, Firings: 1999}
	more := few
	more.Firings++
	g := newRig(t, more)
	g.start(1, timer.Request{Name: []byte("a"), IntervalMs: 1})
	g.start(2, timer.Request{Name: []byte("b"), IntervalMs: 1, Kept: true})
	b := g.snapshot()
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

// failing is a writer that fails after some bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestSnapshotSaysWhatItsWriterSays(t *testing.T) {
	if err := full(t).service.Snapshot(&failing{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

// Two services that are asked the same from a state on that one has restored say the same, and stay in the same state.
func TestARestoredServiceGoesOnAsTheOther(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		one, two := newRig(t, tiny), newRig(t, tiny)
		step := func(q timer.Request, session, passes uint64) {
			for _, g := range []*rig{one, two} {
				g.do(1+wire.SessionID(session), q)
				g.wait(passes)
			}
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			q := drawRequest(r, one)
			if rapid.IntRange(0, 4).Draw(r, "restore") == 0 {
				two.restore()
			}
			session := rapid.Uint64Range(0, 2).Draw(r, "session")
			if rapid.IntRange(0, 9).Draw(r, "end") == 0 {
				one.end(1 + wire.SessionID(session))
				two.end(1 + wire.SessionID(session))
			}
			step(q, session, rapid.Uint64Range(0, 30).Draw(r, "ms"))
			if one.service.Hash() != two.service.Hash() || !bytes.Equal(one.snapshot(), two.snapshot()) {
				r.Fatalf("they differ after %+v", q)
			}
			if a, b := one.timer(), two.timer(); a != b {
				r.Fatalf("their timers differ: %v, %v", a, b)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(full(f).snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := timer.New(tiny)
		if err != nil {
			t.Fatal(err)
		}
		if s.Restore(bytes.NewReader(b)) != nil {
			return
		}
		var again bytes.Buffer
		if err := s.Snapshot(&again); err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Fatalf("%v: %x was restored, and is written as %x", err, b, again.Bytes())
		}
	})
}

func FuzzRequest(f *testing.F) {
	g := newRig(f, tiny)
	for kind := timer.Start; kind <= timer.Subscribe; kind++ {
		q := timer.Request{Kind: kind, Name: []byte("q"), Payload: []byte("payload"), Max: 2, AfterMs: 3}
		f.Add(bytes.Clone(timer.EncodeRequest(g.builder, &q)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := full(t)
		g.payload(3, b)
		g.restore()
		var r timer.Response
		timer.DecodeResponse(b, &r)
	})
}
