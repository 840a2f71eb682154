package queue_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"lockstep/service/queue"
	"lockstep/wire"
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
	other, err := queue.New(queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.RefusesDamage(queue.ErrSnapshot, other)
}

func TestSnapshotSaysWhatItsWriterSays(t *testing.T) { full(t).SaysWhatItsWriterSays() }

// Two services that are asked the same from a state on that one has restored say the same, and stay in the same state.
func TestARestoredServiceGoesOnAsTheOther(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		one, two := newRig(t, tiny), newRig(t, tiny)
		m := &model{limits: tiny}
		step := func(q queue.Request, session, passes uint64) {
			for _, g := range []*rig{one, two} {
				g.do(1+wire.SessionID(session), q)
				g.Wait(passes)
			}
			m.number = one.Record.Sequence
		}
		for range rapid.IntRange(1, 30).Draw(r, "steps") {
			q := drawRequest(r, m)
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
	for kind := queue.Put; kind <= queue.Peek; kind++ {
		q := queue.Request{Kind: kind, Queue: []byte("q"), Key: []byte("k"), Payload: []byte("payload"), Max: 2,
			WaitMs: 3}
		f.Add(bytes.Clone(queue.EncodeRequest(g.builder, &q)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g := full(t)
		g.Apply(3, b)
		g.Restore()
		var r queue.Response
		queue.DecodeResponse(b, &r)
	})
}
