package timer_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"lockstep/service"
	"lockstep/service/timer"
	"lockstep/service/timer/fb"
	"lockstep/wire"
)

var (
	_ service.Checker = (*timer.Service)(nil)
	_ service.Timed   = (*timer.Service)(nil)
	_ service.Sized   = (*timer.Service)(nil)
)

// start starts a timer and returns when it is due.
func (g *rig) start(session wire.SessionID, q timer.Request) uint64 {
	g.T.Helper()
	q.Kind = timer.Start
	got := g.do(session, q)
	if got[0].Kind != timer.Started {
		g.T.Fatalf("start: %+v", got)
	}
	return got[0].Due
}

func (g *rig) subscribe(session wire.SessionID, name string, prefix bool) {
	g.do(session, timer.Request{Kind: timer.Subscribe, Name: []byte(name), Prefix: prefix})
}

// A timer fires once, when it is due, and tells its session.
func TestOneShot(t *testing.T) {
	g := newRig(t, timer.Options{})
	due := g.start(7, timer.Request{Name: []byte("a"), AfterMs: 10, Payload: []byte("x")})
	if got := g.Wait(9); len(got) != 0 {
		t.Fatalf("early: %+v", got)
	}
	got := g.Wait(100)
	if len(got) != 1 || got[0].to != 7 || got[0].Due != due || got[0].Number != 1 || !got[0].Last ||
		string(got[0].Payload) != "x" {
		t.Errorf("%+v", got)
	}
	if g.Timer() != 0 {
		t.Error("a timer is still set")
	}
}

// A periodic timer is due at whole intervals from its first deadline on, however late its records are.
func TestPeriodicDoesNotDrift(t *testing.T) {
	g := newRig(t, timer.Options{})
	first := g.start(1, timer.Request{Name: []byte("a"), IntervalMs: 10, Count: 1000})
	for n := uint64(1); n <= 1000; n++ {
		g.Record.Timestamp = first + (n-1)*10*ms + n%7*ms
		got, ok := g.Fire()
		if !ok || got[0].Number != n || got[0].Due != first+(n-1)*10*ms || got[0].Last != (n == 1000) {
			t.Fatalf("%d: %+v", n, got)
		}
	}
}

// Periods that ended unnoticed are told by number, not made up for.
func TestSkippedPeriods(t *testing.T) {
	g := newRig(t, timer.Options{})
	first := g.start(1, timer.Request{Name: []byte("a"), IntervalMs: 10, Count: 8})
	g.Record.Timestamp = first + 45*ms
	got, _ := g.Fire()
	if got[0].Number != 5 || got[0].Skipped != 4 || got[0].Due != first+40*ms {
		t.Errorf("%+v", got)
	}
	if _, more := g.Fire(); more {
		t.Error("it is made up for")
	}
	g.Record.Timestamp += 1000 * ms
	if got, _ := g.Fire(); got[0].Number != 8 || got[0].Skipped != 2 || !got[0].Last {
		t.Errorf("%+v", got)
	}
}

// A timer at a stamp that has been begins with the next of its periods.
func TestAtAStampThatHasBeen(t *testing.T) {
	g := newRig(t, timer.Options{})
	past := g.Record.Timestamp - 95*ms
	if due := g.start(1, timer.Request{Name: []byte("a"), At: past, IntervalMs: 10}); due != past+100*ms {
		t.Errorf("due %d ms behind", (due-past)/ms)
	}
	if due := g.start(1, timer.Request{Name: []byte("b"), At: past}); due != g.Record.Timestamp {
		t.Errorf("due %d", due)
	}
	if got := g.Wait(0); len(got) != 1 || string(got[0].Name) != "b" {
		t.Errorf("%+v", got)
	}
}

// Each who has subscribed is told once, the owner first, and nobody who has taken it back.
func TestSubscribers(t *testing.T) {
	g := newRig(t, timer.Options{})
	g.subscribe(5, "jobs.", true)
	g.subscribe(5, "jobs.a", false)
	g.subscribe(3, "", true)
	g.subscribe(4, "jobs.b", false)
	g.subscribe(9, "jobs.a", false)
	g.start(9, timer.Request{Name: []byte("jobs.a")})
	to := func() (list []wire.SessionID) {
		for _, x := range g.Wait(1) {
			list = append(list, x.to)
		}
		return list
	}
	if got := to(); fmt.Sprint(got) != fmt.Sprint([]wire.SessionID{9, 3, 5}) {
		t.Errorf("%v", got)
	}
	g.do(5, timer.Request{Kind: timer.Subscribe, Name: []byte("jobs."), Prefix: true, Off: true})
	g.End(3)
	g.start(1, timer.Request{Name: []byte("jobs.a"), Kept: true})
	if got := to(); fmt.Sprint(got) != fmt.Sprint([]wire.SessionID{5, 9}) {
		t.Errorf("%v", got)
	}
}

// The timers of a session end with it, many at once too; those that are kept do not.
func TestSessionsEnd(t *testing.T) {
	g := newRig(t, timer.Options{Timers: 20_000})
	for i := range 10_000 {
		g.start(wire.SessionID(1+i%2), timer.Request{Name: fmt.Append(nil, "t", i), AfterMs: 10 + uint64(i)})
	}
	g.start(1, timer.Request{Name: []byte("kept"), AfterMs: 50, Kept: true})
	g.End(1)
	if used, limit := g.Service.Memory(); used != 5001 || limit != 20_000 || g.Service.Name() != "timer" {
		t.Errorf("%d of %d timers", used, limit)
	}
	g.Restore()
	for _, x := range g.Wait(20_000) {
		if x.to != 2 {
			t.Fatalf("%+v", x)
		}
	}
	if used, _ := g.Service.Memory(); used != 0 {
		t.Errorf("%d timers", used)
	}
}

// A timer started in place of another is another.
func TestReplace(t *testing.T) {
	g := newRig(t, timer.Options{})
	g.start(1, timer.Request{Name: []byte("a"), AfterMs: 10})
	id := g.Record.Sequence
	if got := g.do(2, timer.Request{Kind: timer.Start, Name: []byte("a")}); got[0].Reason != fb.ReasonExists ||
		got[0].ID != id {
		t.Errorf("%+v", got)
	}
	g.start(2, timer.Request{Name: []byte("a"), AfterMs: 20, Replace: true})
	g.End(1)
	if got := g.Wait(100); len(got) != 1 || got[0].to != 2 {
		t.Errorf("%+v", got)
	}
}

// Much that falls due at once is done by several records, one after the other.
func TestWhatIsDueIsDoneInPieces(t *testing.T) {
	g := newRig(t, timer.Options{Subscriptions: 256})
	for session := range wire.SessionID(256) {
		g.subscribe(session+1, "", true)
	}
	payload := make([]byte, timer.MaxPayload)
	for i := range 300 {
		g.start(1, timer.Request{Name: fmt.Append(nil, "t", i), At: g.Record.Timestamp + 10_000*ms, Payload: payload,
			Kept: true})
	}
	g.Record.Timestamp += 20_000 * ms
	sent, records := 0, 0
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
	if sent != 300*256 || records < 64 {
		t.Errorf("%d responses by %d records", sent, records)
	}
}

func TestRefusals(t *testing.T) {
	long := bytes.Repeat([]byte{'x'}, 200)
	name := []byte("q")
	for _, c := range []struct {
		reason fb.Reason
		q      timer.Request
	}{
		{fb.ReasonBadName, timer.Request{Kind: timer.Start, Name: long}},
		{fb.ReasonBadName, timer.Request{Kind: timer.Start, Name: []byte("a\xff")}},
		{fb.ReasonBadName, timer.Request{Kind: timer.Subscribe}},
		{fb.ReasonBadName, timer.Request{Kind: timer.Subscribe, Name: long, Prefix: true}},
		{fb.ReasonBadName, timer.Request{Kind: timer.Cancel}},
		{fb.ReasonUnknownTimer, timer.Request{Kind: timer.Cancel, Name: name}},
		{fb.ReasonBadPayload, timer.Request{Kind: timer.Start, Name: name, Payload: make([]byte, 1025)}},
		{fb.ReasonBadTime, timer.Request{Kind: timer.Start, Name: name, At: 1 << 63}},
		{fb.ReasonBadTime, timer.Request{Kind: timer.Start, Name: name, AfterMs: 1 << 63}},
		{fb.ReasonBadTime, timer.Request{Kind: timer.Start, Name: name, IntervalMs: 1 << 63}},
		{fb.ReasonBadTime, timer.Request{Kind: timer.Start, Name: name, At: 1, AfterMs: 1}},
		{fb.ReasonBadCount, timer.Request{Kind: timer.Start, Name: name, Count: 1}},
		{fb.ReasonBadCount, timer.Request{Kind: timer.List, Max: 65}},
	} {
		g := newRig(t, timer.Options{})
		before := g.Service.Hash()
		if got := g.do(1, c.q); len(got) != 1 || got[0].Reason != c.reason {
			t.Errorf("%s: %+v", c.reason, got)
		}
		if g.Service.Hash() != before {
			t.Errorf("%s: a refused request changed something", c.reason)
		}
	}
	g := newRig(t, timer.Options{})
	if got := g.Apply(1, []byte("hello")); got[0].Reason != fb.ReasonMalformed {
		t.Errorf("%+v", got)
	}
}

// All periodic timers together fire no more often than the limit says, whoever started them: what is replaced,
// cancelled, over or gone with its session makes room, and a timer that fires once takes none.
func TestFiringsAreBounded(t *testing.T) {
	g := newRig(t, timer.Options{})
	start := func(name string, intervalMs uint64, want fb.Reason) {
		t.Helper()
		g.Restore() // counts them anew
		got := g.do(1, timer.Request{Kind: timer.Start, Name: []byte(name), AfterMs: 1000, IntervalMs: intervalMs, Kept: true,
			Replace: true})
		if got[0].Reason != want {
			t.Fatalf("%s, every %d ms: %+v, want %v", name, intervalMs, got, want)
		}
	}
	for i := range 49 {
		start(fmt.Sprint("fast", i), 1, fb.ReasonNone)
	}
	g.start(2, timer.Request{Name: []byte("ends"), AfterMs: 1000, IntervalMs: 2})
	g.start(2, timer.Request{Name: []byte("counts"), AfterMs: 1, IntervalMs: 3, Count: 2})
	start("slow", 7, fb.ReasonNone) // 49000 + 500 + 334 + 143
	start("more", 44, fb.ReasonNone)
	start("day", 86_400_000, fb.ReasonTooManyFirings)
	start("once", 0, fb.ReasonNone)
	start("slow", 6, fb.ReasonTooManyFirings)
	start("slow", 7, fb.ReasonNone)
	g.Wait(5) // counts is over
	start("third", 3, fb.ReasonNone)
	start("day", 86_400_000, fb.ReasonTooManyFirings)
	g.End(2)
	start("half", 2, fb.ReasonNone)
	g.do(1, timer.Request{Kind: timer.Cancel, Name: []byte("fast7")})
	start("again", 1, fb.ReasonNone)
	start("day", 86_400_000, fb.ReasonTooManyFirings)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []timer.Options{{Timers: -1}, {Timers: 1 << 20}, {Subscriptions: 1000}, {Firings: -1},
		{Firings: 1 << 20}} {
		if _, err := timer.New(o); !errors.Is(err, timer.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// When the record of the driver's timer is passed over, the next message has timers fire, whatever it asks for.
func TestTimersFireWhenARecordIsPassedOver(t *testing.T) {
	g := newRig(t, timer.Options{})
	g.start(7, timer.Request{Name: []byte("a"), AfterMs: 10})
	first, _ := g.Ctx.Timers().First()
	g.Ctx.Timers().Cancel(first.Service, first.ID)
	g.Wait(20)
	g.do(1, timer.Request{Kind: timer.List})
	if got := g.Wait(0); len(got) != 1 || got[0].Kind != timer.Fired {
		t.Errorf("%+v", got)
	}
}
