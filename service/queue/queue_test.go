package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"lockstep/service"
	"lockstep/service/queue"
	"lockstep/service/queue/fb"
	"lockstep/wire"
)

var (
	_ service.Checker = (*queue.Service)(nil)
	_ service.Timed   = (*queue.Service)(nil)
	_ service.Sized   = (*queue.Service)(nil)
)

// put puts a message and returns its id.
func (g *rig) put(name, payload string) uint64 {
	g.T.Helper()
	got := g.do(1, queue.Request{Kind: queue.Put, Queue: []byte(name), Payload: []byte(payload)})
	if got[0].Kind != queue.Stored {
		g.T.Fatalf("put: %+v", got)
	}
	return got[0].ID
}

// lease leases as many messages as there may be of a response.
func (g *rig) lease(name string, leaseMs uint64) []queue.Message {
	g.T.Helper()
	got := g.do(1, queue.Request{Kind: queue.Lease, Queue: []byte(name), Max: queue.MaxBatch, LeaseMs: leaseMs})
	if got[0].Kind != queue.Leased {
		g.T.Fatalf("lease: %+v", got)
	}
	return got[0].Messages
}

// counts are what Stats says of a queue.
func (g *rig) counts(name string) queue.Counts {
	g.T.Helper()
	got := g.do(1, queue.Request{Kind: queue.Stats, Queue: []byte(name)})
	if got[0].Kind != queue.Counted {
		g.T.Fatalf("stats: %+v", got)
	}
	return got[0].Counts
}

// What is leased comes again when the lease is over, not before, and not if it was deleted.
func TestAtLeastOnce(t *testing.T) {
	g := newRig(t, queue.Options{})
	id := g.put("q", "x")
	first := g.lease("q", 100)
	if len(first) != 1 || first[0].ID != id || first[0].Token == 0 || first[0].Attempts != 1 {
		t.Fatalf("%+v", first)
	}
	if g.Wait(99); len(g.lease("q", 100)) != 0 {
		t.Fatal("it comes again before its lease is over")
	}
	g.Wait(2)
	second := g.lease("q", 100)
	if len(second) != 1 || second[0].Token <= first[0].Token || second[0].Attempts != 2 {
		t.Fatalf("%+v", second)
	}
	late := g.do(1, queue.Request{Kind: queue.Delete, Queue: []byte("q"), ID: id, Token: first[0].Token})
	if late[0].Reason != fb.ReasonStaleLease {
		t.Errorf("the first lease deletes it: %+v", late)
	}
	g.do(1, queue.Request{Kind: queue.Delete, Queue: []byte("q"), ID: id, Token: second[0].Token})
	if g.Wait(1000); len(g.lease("q", 100)) != 0 {
		t.Error("it comes again though it was deleted")
	}
	if c := g.counts("q"); c.Put != 1 || c.Delivered != 2 || c.Expired != 1 || c.Deleted != 1 || c.Ready+c.Leased != 0 {
		t.Errorf("%+v", c)
	}
}

// What was taken at most once never comes again, whatever becomes of who took it.
func TestAtMostOnce(t *testing.T) {
	g := newRig(t, queue.Options{})
	g.put("q", "x")
	got := g.do(2, queue.Request{Kind: queue.Lease, Queue: []byte("q"), Mode: fb.ModeAtMostOnce, Max: 9})
	if m := got[0].Messages; len(m) != 1 || m[0].Token != 0 || string(m[0].Payload) != "x" {
		t.Fatalf("%+v", got)
	}
	g.End(2)
	if g.Wait(1_000_000); len(g.lease("q", 1)) != 0 || g.counts("q").Delivered != 1 {
		t.Error("it comes again")
	}
}

// A consumer that asks so is not given what is late; another is.
func TestLateMessagesAreDroppedForWhoAsksSo(t *testing.T) {
	g := newRig(t, queue.Options{})
	late := queue.Request{Kind: queue.Put, Queue: []byte("q"), DeadlineMs: 10}
	g.do(1, late)
	g.Wait(20)
	if got := g.lease("q", 1); len(got) != 1 || got[0].Deadline == 0 {
		t.Fatalf("%+v", got)
	}
	g.Wait(2)
	g.put("q", "in time")
	got := g.do(1, queue.Request{Kind: queue.Lease, Queue: []byte("q"), DropLate: true, Max: 9})
	if m := got[0].Messages; len(m) != 1 || string(m[0].Payload) != "in time" || got[0].Dropped != 1 {
		// the late one is behind the other: it came back
		again := g.do(1, queue.Request{Kind: queue.Lease, Queue: []byte("q"), DropLate: true, Max: 9})
		t.Fatalf("%+v, %+v", got, again)
	}
	if c := g.counts("q"); c.Late != 1 {
		t.Errorf("%+v", c)
	}
}

// A message that has had its attempts goes to the dead-letter queue, and says where it comes from; from there it can
// die again.
func TestDeadLetters(t *testing.T) {
	g := newRig(t, queue.Options{})
	for _, q := range []queue.Request{
		{Queue: []byte("q"), MaxAttempts: 2, DeadLetter: []byte("dead")},
		{Queue: []byte("dead"), MaxAttempts: 1, DeadLetter: []byte("grave")},
	} {
		q.Kind = queue.Configure
		g.do(1, q)
	}
	id := g.put("q", "x")
	for range 2 {
		if got := g.lease("q", 10); len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		g.Wait(11)
	}
	if got := g.lease("q", 10); len(got) != 0 {
		t.Fatalf("a third attempt: %+v", got)
	}
	got := g.lease("dead", 10)
	if len(got) != 1 || got[0].ID != id || string(got[0].Origin) != "q" || got[0].Attempts != 1 {
		t.Fatalf("%+v", got)
	}
	if r := g.do(1, queue.Request{Kind: queue.Remove, Queue: []byte("q")}); r[0].Reason != fb.ReasonInUse {
		t.Errorf("where a dead message comes from is removed: %+v", r)
	}
	release := queue.Request{Kind: queue.Release, Queue: []byte("dead"), ID: id, Token: got[0].Token}
	if r := g.do(1, release); !r[0].Dead {
		t.Errorf("%+v", r)
	}
	if got := g.lease("grave", 10); len(got) != 1 || string(got[0].Origin) != "dead" {
		t.Fatalf("%+v", got)
	}
	g.Restore()
	if r := g.do(1, queue.Request{Kind: queue.Remove, Queue: []byte("q")}); r[0].Kind != queue.Removed {
		t.Errorf("%+v", r)
	}
}

// Whoever waits is served in the order in which he came, by a put, by a lease that is over and by a delay that is; or
// told that there was nothing.
func TestWaiting(t *testing.T) {
	g := newRig(t, queue.Options{})
	for session := uint64(1); session <= 4; session++ {
		got := g.do(10, queue.Request{Kind: queue.Lease, Queue: []byte("q"), Request: session, WaitMs: 50, LeaseMs: 10})
		if !got[0].Waiting || got[0].Request != session {
			t.Fatalf("%+v", got)
		}
	}
	got := g.do(1, queue.Request{Kind: queue.Put, Queue: []byte("q")})
	if len(got) != 2 || got[1].to != 10 || got[1].Request != 1 || len(got[1].Messages) != 1 {
		t.Fatalf("a put: %+v", got)
	}
	if got := g.Wait(11); len(got) != 1 || got[0].Request != 2 {
		t.Fatalf("a lease that is over: %+v", got)
	}
	m := g.Got[0].Messages[0]
	g.do(1, queue.Request{Kind: queue.Delete, Queue: []byte("q"), ID: m.ID, Token: m.Token})
	g.do(1, queue.Request{Kind: queue.Put, Queue: []byte("q"), DelayMs: 5})
	if got := g.Wait(6); len(got) != 1 || got[0].Request != 3 {
		t.Fatalf("a delay that is over: %+v", got)
	}
	m = g.Got[0].Messages[0]
	g.do(1, queue.Request{Kind: queue.Delete, Queue: []byte("q"), ID: m.ID, Token: m.Token})
	if got := g.Wait(60); len(got) != 1 || got[0].Request != 4 || got[0].Waiting || len(got[0].Messages) != 0 {
		t.Fatalf("nothing: %+v", got)
	}
	if c := g.counts("q"); c.Waiting != 0 {
		t.Errorf("%+v", c)
	}
}

// What a session waits for ends with it; what it has leased does not.
func TestSessionsEnd(t *testing.T) {
	g := newRig(t, queue.Options{})
	g.put("q", "x")
	g.do(5, queue.Request{Kind: queue.Lease, Queue: []byte("q"), LeaseMs: 50})
	for range 3 {
		g.do(5, queue.Request{Kind: queue.Lease, Queue: []byte("q"), WaitMs: 1000})
	}
	g.do(6, queue.Request{Kind: queue.Lease, Queue: []byte("q"), Request: 6, WaitMs: 1000})
	g.End(5)
	if c := g.counts("q"); c.Waiting != 1 || c.Leased != 1 {
		t.Errorf("%+v", c)
	}
	if got := g.Wait(60); len(got) != 1 || got[0].to != 6 {
		t.Errorf("%+v", got)
	}
}

// A dedup key is known for as long as it is configured, whatever becomes of the message, and across a snapshot.
func TestDedup(t *testing.T) {
	g := newRig(t, queue.Options{})
	g.do(1, queue.Request{Kind: queue.Configure, Queue: []byte("q"), DedupMs: 100})
	put := queue.Request{Kind: queue.Put, Queue: []byte("q"), Key: []byte("k")}
	id := g.do(1, put)[0].ID
	g.do(1, queue.Request{Kind: queue.Lease, Queue: []byte("q"), Mode: fb.ModeAtMostOnce})
	g.Restore()
	if got := g.do(1, put); !got[0].Duplicate || got[0].ID != id {
		t.Errorf("%+v", got)
	}
	other := put
	other.Queue = []byte("r")
	if got := g.do(1, other); got[0].Duplicate {
		t.Errorf("another queue knows it: %+v", got)
	}
	g.Record.Timestamp += 100 * ms // no record has said so yet
	if got := g.do(1, put); got[0].Duplicate || got[0].ID == id {
		t.Errorf("%+v", got)
	}
	if c := g.counts("q"); c.Keys != 1 || c.Duplicates != 1 {
		t.Errorf("%+v", c)
	}
}

// Responses and records stay within what they may be, whatever is in a queue.
func TestBatchesAreBounded(t *testing.T) {
	g := newRig(t, queue.Options{})
	long := bytes.Repeat([]byte{7}, 32<<10)
	for range 3 {
		g.put("long", string(long))
	}
	got := g.lease("long", 0)
	if len(got) != 1 || !bytes.Equal(got[0].Payload, long) {
		t.Fatalf("%d messages", len(got))
	}
	name := string(bytes.Repeat([]byte{'n'}, queue.MaxName))
	g.do(1, queue.Request{Kind: queue.Configure, Queue: []byte(name), MaxAttempts: 1, DeadLetter: []byte("many")})
	for range queue.MaxBatch + 1 {
		g.put(name, string(long[:600]))
	}
	for range 2 {
		for _, m := range g.lease(name, 0) {
			g.do(1, queue.Request{Kind: queue.Release, Queue: []byte(name), ID: m.ID, Token: m.Token})
		}
	}
	if got := g.lease("many", 0); len(got) != queue.MaxBatch {
		t.Errorf("%d messages", len(got))
	}
	g.Ctx.Responses(func(_ wire.SessionID, payload []byte) {
		if len(payload) > service.MaxResponse {
			t.Errorf("a response of %d bytes", len(payload))
		}
	})
}

// Much that falls due at once is done by several records, one after the other.
func TestWhatIsDueIsDoneInPieces(t *testing.T) {
	g := newRig(t, queue.Options{Waiters: 4096})
	const n = 2000
	long := bytes.Repeat([]byte{1}, 30<<10)
	for i := range n {
		q := queue.Request{Kind: queue.Put, Queue: []byte("q"), DelayMs: 10_000}
		if i < 100 {
			q.Payload = long
		}
		g.Record.Timestamp -= 1 // all at one stamp
		g.do(1, q)
	}
	for i := range 200 {
		g.do(1, queue.Request{Kind: queue.Lease, Queue: []byte("q"), Request: uint64(i), WaitMs: 100_000})
	}
	g.Record.Timestamp += 20_000 * ms
	records, sent := 0, 0
	for {
		got, more := g.Fire()
		if !more {
			break
		}
		sent += len(got)
		if records++; g.Ctx.Work() > service.MaxWork/2 {
			t.Fatalf("%d units of work", g.Ctx.Work())
		}
	}
	if sent != 200 || records < n/512+3 {
		t.Errorf("%d records, %d responses", records, sent)
	}
	if c := g.counts("q"); c.Ready != n-200 || c.Leased != 200 {
		t.Errorf("%+v", c)
	}
}

// A queue of late messages is gone through in pieces, too.
func TestLateMessagesAreDroppedInPieces(t *testing.T) {
	g := newRig(t, queue.Options{})
	for range 1500 {
		g.do(1, queue.Request{Kind: queue.Put, Queue: []byte("q"), DeadlineMs: 1})
	}
	g.Wait(10)
	ask := queue.Request{Kind: queue.Lease, Queue: []byte("q"), DropLate: true, WaitMs: 10}
	if got := g.do(1, ask); got[0].Dropped != 1024 || got[0].Waiting {
		t.Errorf("%+v", got)
	}
	if got := g.do(1, ask); got[0].Dropped != 476 || !got[0].Waiting {
		t.Errorf("%+v", got)
	}
}

// Names and limits: the first that is in the way is named.
func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 200)
	name := []byte("q")
	for _, c := range []struct {
		reason fb.Reason
		q      queue.Request
	}{
		{fb.ReasonBadName, queue.Request{Kind: queue.Put, Queue: long}},
		{fb.ReasonBadName, queue.Request{Kind: queue.Put, Queue: []byte("a\xff")}},
		{fb.ReasonBadName, queue.Request{Kind: queue.Lease, Queue: []byte("a\tb")}},
		{fb.ReasonBadKey, queue.Request{Kind: queue.Put, Queue: name, Key: long}},
		{fb.ReasonBadPayload, queue.Request{Kind: queue.Put, Queue: name, Payload: make([]byte, 32<<10+1)}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Put, Queue: name, DelayMs: 1 << 62}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Put, Queue: name, DeadlineMs: queue.MaxTimeMs + 1}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Lease, Queue: name, LeaseMs: queue.MaxLeaseMs + 1}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Lease, Queue: name, WaitMs: queue.MaxLeaseMs + 1}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Configure, Queue: name, DedupMs: queue.MaxTimeMs + 1}},
		{fb.ReasonBadTime, queue.Request{Kind: queue.Configure, Queue: name, LeaseMs: queue.MaxLeaseMs + 1}},
		{fb.ReasonUnknownQueue, queue.Request{Kind: queue.Stats, Queue: name}},
		{fb.ReasonUnknownQueue, queue.Request{Kind: queue.Delete, Queue: name}},
	} {
		g := newRig(t, queue.Options{})
		before := g.Service.Hash()
		if got := g.do(1, c.q); len(got) != 1 || got[0].Reason != c.reason {
			t.Errorf("%s: %+v", c.reason, got)
		}
		if g.Service.Hash() != before {
			t.Errorf("%s: a refused request changed something", c.reason)
		}
	}
	g := newRig(t, queue.Options{})
	if got := g.Apply(1, []byte("hello")); got[0].Reason != fb.ReasonMalformed {
		t.Errorf("%+v", got)
	}
	id := g.put("q", "x")
	token := g.lease("q", 0)[0].Token
	extend := queue.Request{Kind: queue.Extend, Queue: name, ID: id, Token: token, LeaseMs: 1 << 60}
	if got := g.do(1, extend); got[0].Reason != fb.ReasonBadTime {
		t.Errorf("%+v", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []queue.Options{{Queues: -1}, {Waiters: 1 << 20}, {Payload: 40 << 10}, {Messages: 1 << 30}} {
		if _, err := queue.New(o); !errors.Is(err, queue.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Whatever is nearest to its limit says how full the service is: one queue of three, then five messages of six.
func TestMemory(t *testing.T) {
	g := newRig(t, tiny)
	g.put("q", fmt.Sprint(slices.Repeat([]int{1}, 200)))
	if used, limit := g.Service.Memory(); used != limit/3 || limit != 8*256 || g.Service.Name() != "queue" {
		t.Errorf("%d of %d bytes", used, limit)
	}
	for range 4 {
		g.put("q", "")
	}
	if used, limit := g.Service.Memory(); used != limit*5/6 {
		t.Errorf("5 messages of 6: %d of %d bytes", used, limit)
	}
}

// When the record of the timer is passed over, the next message has the leases end, whatever it asks for.
func TestLeasesEndWhenATimersRecordIsPassedOver(t *testing.T) {
	g := newRig(t, queue.Options{})
	g.put("q", "x")
	g.lease("q", 0)
	first, _ := g.Ctx.Timers().First()
	g.Ctx.Timers().Cancel(first.Service, first.ID)
	g.Wait(queue.DefaultLeaseMs)
	g.do(1, queue.Request{Kind: queue.List})
	g.Wait(0)
	if got := g.lease("q", 0); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}
