package queue_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service"
	"lockstep/service/queue"
)

// full is a rig with some of everything.
func full(t testing.TB) *rig {
	g := newRig(t, tiny)
	name, dead := []byte("q"), []byte("dead")
	g.do(1, queue.Request{Kind: queue.Configure, Queue: name, MaxAttempts: 1, DeadLetter: dead})
	g.do(1, queue.Request{Kind: queue.Put, Queue: name, Key: []byte("k"), Payload: make([]byte, 300), DeadlineMs: 9})
	m := g.lease("q", 100)[0]
	g.do(1, queue.Request{Kind: queue.Release, Queue: name, ID: m.ID, Token: m.Token})
	g.do(1, queue.Request{Kind: queue.Put, Queue: name, DelayMs: 1000})
	g.put("dead", "ready")
	g.do(1, queue.Request{Kind: queue.Lease, Queue: dead})
	g.do(2, queue.Request{Kind: queue.Lease, Queue: name, WaitMs: 500, DropLate: true})
	return g
}

// A state has one snapshot, however it came about, and a snapshot one state: nothing else restores.
func TestDamagedSnapshotsAreRefused(t *testing.T) {
	g := full(t)
	good := g.snapshot()
	restore := func(b []byte) (*queue.Service, error) {
		s, err := queue.New(tiny)
		if err != nil {
			t.Fatal(err)
		}
		return s, s.Restore(bytes.NewReader(b))
	}
	if s, err := restore(good); err != nil || s.Hash() != g.service.Hash() {
		t.Fatalf("the good one: %v", err)
	}
	for n := range good {
		if _, err := restore(good[:n]); !errors.Is(err, queue.ErrSnapshot) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	if _, err := restore(append(bytes.Clone(good), 0)); !errors.Is(err, queue.ErrSnapshot) {
		t.Errorf("a byte more: %v", err)
	}
	for n := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[n] ^= flip
			if _, err := restore(bad); !errors.Is(err, queue.ErrSnapshot) {
				t.Fatalf("byte %d of %d is %x: %v", n, len(good), bad[n], err)
			}
		}
	}
	other, err := queue.New(queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(bytes.NewReader(good)); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("other options: %v", err)
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
		m := &model{limits: tiny}
		step := func(q queue.Request, session, passes uint64) {
			for _, g := range []*rig{one, two} {
				g.do(session1+wireSession(session), q)
				g.wait(passes)
			}
			m.number = one.record.Sequence
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			q := drawRequest(r, m)
			if rapid.IntRange(0, 4).Draw(r, "restore") == 0 {
				two.restore()
			}
			session := rapid.Uint64Range(0, 2).Draw(r, "session")
			if rapid.IntRange(0, 9).Draw(r, "end") == 0 {
				one.end(session1 + wireSession(session))
				two.end(session1 + wireSession(session))
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
		s, err := queue.New(tiny)
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
	for kind := queue.Put; kind <= queue.Peek; kind++ {
		q := queue.Request{Kind: kind, Queue: []byte("q"), Key: []byte("k"), Payload: []byte("payload"), Max: 2,
			WaitMs: 3}
		f.Add(bytes.Clone(queue.EncodeRequest(g.builder, &q)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := full(t)
		g.payload(3, b)
		g.restore()
		var r queue.Response
		queue.DecodeResponse(b, &r)
	})
}
