package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come at once, before it gives up: a machine may be busy.
const patience = 2 * time.Minute

// scripted is an agent that does what the test says.
type scripted struct {
	name    string
	onStart func(nowNs int64) error
	doWork  func(nowNs int64) (int, error)
	onClose func() error
}

func (s *scripted) Name() string { return s.name }

func (s *scripted) OnStart(nowNs int64) error {
	if s.onStart == nil {
		return nil
	}
	return s.onStart(nowNs)
}

func (s *scripted) DoWork(nowNs int64) (int, error) {
	if s.doWork == nil {
		return 0, nil
	}
	return s.doWork(nowNs)
}

func (s *scripted) OnClose() error {
	if s.onClose == nil {
		return nil
	}
	return s.onClose()
}

func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

func options(idle Idle) RunnerOptions {
	return RunnerOptions{CPU: NoCPU, Idle: idle, Clock: System{}}
}

func TestRunnerStartsWorksAndStopsOnOneThread(t *testing.T) {
	for name, idle := range map[string]Idle{"spin": Spin{}, "yield": Yield{}, "none": NoIdle{}} {
		t.Run(name, func(t *testing.T) {
			var trace []string
			var thread int
			worked := make(chan struct{})
			note := func(what string) {
				if thread == 0 {
					thread = unix.Gettid()
				}
				if thread != unix.Gettid() {
					what += " on another thread"
				}
				if n := len(trace); n == 0 || trace[n-1] != what {
					trace = append(trace, what)
				}
			}
			last := int64(-1)
			a := &scripted{name: "a",
				onStart: func(now int64) error { note("start"); last = now; return nil },
				doWork: func(now int64) (int, error) {
					note("work")
					if now < last {
						t.Errorf("time went from %d to %d", last, now)
					}
					last = now
					select {
					case <-worked:
					default:
						close(worked)
					}
					return 0, nil
				},
				onClose: func() error { note("close"); return nil },
			}
			r := NewRunner(a, options(idle))
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, "a duty cycle", worked)
			if err := r.Err(); err != nil {
				t.Errorf("Err while running: %v", err)
			}
			if err := r.Stop(); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if err := r.Stop(); err != nil {
				t.Errorf("a second Stop: %v", err)
			}
			await(t, "Done", r.Done())
			if got := strings.Join(trace, ", "); got != "start, work, close" {
				t.Errorf("the agent saw %s", got)
			}
		})
	}
}

func TestRunnerEndsWithTheErrorOfItsAgent(t *testing.T) {
	broken, closing := errors.New("broken"), errors.New("closing")
	closed := false
	r := NewRunner(&scripted{name: "core",
		doWork:  func(int64) (int, error) { return 0, broken },
		onClose: func() error { closed = true; return closing },
	}, options(Yield{}))
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", r.Done())
	if err := r.Err(); !errors.Is(err, broken) || !errors.Is(err, closing) || !strings.Contains(err.Error(), "core") {
		t.Errorf("Err is %v", err)
	}
	if !closed {
		t.Error("OnClose was not called")
	}
	if err := r.Stop(); !errors.Is(err, broken) {
		t.Errorf("Stop returns %v", err)
	}
}

func TestRunnerDoesNotRunWhatCannotStart(t *testing.T) {
	refused := errors.New("refused")
	never := &scripted{name: "never",
		onStart: func(int64) error { return refused },
		doWork:  func(int64) (int, error) { t.Error("DoWork was called"); return 0, nil },
		onClose: func() error { t.Error("OnClose was called"); return nil },
	}
	parker, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	defer parker.Close()
	pinnedPark := options(NewPark(parker, 1))
	pinnedPark.BoundedPin = true
	noSuchCore := options(Yield{})
	noSuchCore.CPU = 1000
	for message, o := range map[string]RunnerOptions{
		"refused":                 options(Yield{}),
		"a clock are required":    {CPU: NoCPU, Idle: Yield{}},
		"parks cannot be pinned":  pinnedPark,
		"run never on core 1000 ": noSuchCore,
	} {
		r := NewRunner(never, o)
		if err := r.Start(); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("Start returns %v, want an error with %q", err, message)
		}
		await(t, "Done", r.Done())
		if err := r.Stop(); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("Stop returns %v, want an error with %q", err, message)
		}
	}
}

func TestRunnerTurnsAPanicIntoAnError(t *testing.T) {
	for where, a := range map[string]*scripted{
		"start": {name: "core", onStart: func(int64) error { panic("the impossible") }},
		"work":  {name: "core", doWork: func(int64) (int, error) { panic("the impossible") }},
	} {
		a.onClose = func() error { t.Error("OnClose was called after a panic"); return nil }
		r := NewRunner(a, options(Yield{}))
		startErr := r.Start()
		if (startErr != nil) != (where == "start") {
			t.Errorf("%s: Start returns %v", where, startErr)
		}
		await(t, "the end", r.Done())
		if err := r.Err(); err == nil || err.Error() != "agent: core panicked: the impossible" {
			t.Errorf("%s: Err is %v", where, err)
		}
	}
}

// blocker is an agent like the journal: its DoWork blocks on a parker.
type blocker struct {
	scripted
	parker  *Parker
	blocked chan struct{}
}

func (b *blocker) DoWork(int64) (int, error) {
	b.parker.Announce()
	select {
	case b.blocked <- struct{}{}:
	default:
	}
	b.parker.Block(-1)
	return 0, nil
}

func (b *blocker) OnClose() error { return b.parker.Close() }
func (b *blocker) Wake()          { b.parker.Wake() }

func TestStopWakesAnAgentThatBlocks(t *testing.T) {
	for range 200 {
		parker, err := NewParker()
		if err != nil {
			t.Fatal(err)
		}
		b := &blocker{scripted: scripted{name: "journal"}, parker: parker, blocked: make(chan struct{}, 1)}
		// In a composite, which passes the wake-up on.
		r := NewRunner(NewComposite("disk", &scripted{name: "other"}, b), options(NoIdle{}))
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, "the agent to block", b.blocked)
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			if err := r.Stop(); err != nil {
				t.Error(err)
			}
		}()
		await(t, "Stop", stopped)
	}
}

func TestStopWakesAThreadThatParks(t *testing.T) {
	parker, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	defer parker.Close()
	r := NewRunner(&scripted{name: "quiet"}, options(NewPark(parker, time.Hour.Nanoseconds())))
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { _ = r.Stop(); close(stopped) }()
	await(t, "Stop", stopped)
}

func TestRunnerRunsOnTheCoreGiven(t *testing.T) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	core := 0
	for !allowed.IsSet(core) {
		core++
	}
	var got unix.CPUSet
	var affinityErr error
	o := options(Yield{})
	o.CPU = core
	r := NewRunner(&scripted{name: "core", onStart: func(int64) error {
		affinityErr = unix.SchedGetaffinity(0, &got)
		return nil
	}}, o)
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if affinityErr != nil || got.Count() != 1 || !got.IsSet(core) {
		t.Errorf("the agent may run on %d cores, want core %d only (%v)", got.Count(), core, affinityErr)
	}
}

func TestCompositeRunsMembersInOrder(t *testing.T) {
	var trace strings.Builder
	member := func(name string, startErr, workErr, closeErr error) Agent {
		return &scripted{name: name,
			onStart: func(now int64) error { fmt.Fprintf(&trace, "+%s@%d ", name, now); return startErr },
			doWork:  func(now int64) (int, error) { fmt.Fprintf(&trace, "%s@%d ", name, now); return 2, workErr },
			onClose: func() error { fmt.Fprintf(&trace, "-%s ", name); return closeErr },
		}
	}
	bad, worse := errors.New("bad"), errors.New("worse")

	i := NewInvoker(NewComposite("all", member("a", nil, nil, bad), member("b", nil, nil, nil)))
	if err := i.Start(1); err != nil {
		t.Fatal(err)
	}
	if work, err := i.Invoke(2); work != 4 || err != nil {
		t.Errorf("Invoke = %d, %v, want 4", work, err)
	}
	if err := i.Close(); !errors.Is(err, bad) {
		t.Errorf("Close returns %v", err)
	}
	if got, want := trace.String(), "+a@1 +b@1 a@2 b@2 -b -a "; got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	trace.Reset()
	i = NewInvoker(NewComposite("all", member("a", nil, nil, nil), member("b", bad, nil, nil), member("c", nil, nil, nil)))
	if err := i.Start(1); !errors.Is(err, bad) || !strings.Contains(err.Error(), "start b") {
		t.Errorf("Start returns %v", err)
	}
	if got, want := trace.String(), "+a@1 +b@1 -a "; got != want {
		t.Errorf("a failing start: got %s, want %s", got, want)
	}

	trace.Reset()
	i = NewInvoker(NewComposite("all", member("a", nil, worse, nil), member("b", nil, nil, nil)))
	if err := i.Start(1); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := i.Invoke(2); !errors.Is(err, worse) || !errors.Is(i.Err(), worse) {
			t.Errorf("Invoke returns %v", err)
		}
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
	if got, want := trace.String(), "+a@1 +b@1 a@2 -b -a "; got != want {
		t.Errorf("a failing cycle: got %s, want %s", got, want)
	}
}

func TestDutyCycleDoesNotAllocate(t *testing.T) {
	parker, err := NewParker()
	if err != nil {
		t.Fatal(err)
	}
	defer parker.Close()
	var clock Clock = System{}
	c := NewComposite("all", &scripted{name: "a"}, &scripted{name: "b"})
	for _, idle := range []Idle{Spin{}, Yield{}, NewPark(parker, 1), NoIdle{}} {
		if n := testing.AllocsPerRun(100, func() {
			work, err := c.DoWork(clock.NowNs())
			if err != nil {
				t.Fatal(err)
			}
			idle.Idle(work)
			parker.WakeIfParked()
			parker.Wake()
			idle.Idle(work)
			clock.WallNs()
		}); n != 0 {
			t.Errorf("%T: %v allocations a cycle, want none", idle, n)
		}
	}
}
