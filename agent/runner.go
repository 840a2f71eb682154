package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lockstep/internal/counters"
)

// NoCPU as RunnerOptions.CPU leaves it to the kernel where the thread runs.
const NoCPU = -1

// safePointEveryNs is how long a pinned thread holds the scheduler off when the options do not say.
const safePointEveryNs = 10_000_000

// A safe point that takes longer than stoppedNs let something in. A garbage collection stops the threads several times:
// the next safe point then comes stoppedFaster times as early, so that all of it takes little longer than one interval.
const (
	stoppedNs     = 20_000
	stoppedFaster = 10
)

// RunnerOptions say how an agent is run.
type RunnerOptions struct {
	CPU   int   // the core to run on; NoCPU: any (0 is the first core)
	Idle  Idle  // required; NoIdle for an agent that blocks in DoWork
	Clock Clock // required
	// BoundedPin keeps the Go scheduler from taking the thread's goroutine off it between two safe points. For
	// isolated cores, and for agents that neither allocate nor block; not with Park.
	BoundedPin bool
	// SafePointEveryNs is the longest time between two safe points; 0 is 10 ms.
	SafePointEveryNs int64
	// Gaps is where the longest time between two duty cycles is told, under GapCounter and StallCounter; nil: nowhere. For
	// agents that do not block.
	Gaps *counters.File
}

// Runner runs one agent on a thread of its own, from Start until Stop or an error.
type Runner struct {
	agent   Agent
	options RunnerOptions
	gaps    *gaps
	before  ThreadUse    // of its thread when it began, written before thread
	thread  atomic.Int64 // the kernel's id of it; 0: not started
	stop    atomic.Bool
	started chan error
	done    chan struct{}
	err     error // written before done is closed

	closing sync.Mutex // held while Stop wakes the agent, and taken before the agent closes what it is woken by
	closed  bool
}

// NewRunner makes a runner that is not started yet.
func NewRunner(a Agent, o RunnerOptions) *Runner {
	if o.SafePointEveryNs == 0 {
		o.SafePointEveryNs = safePointEveryNs
	}
	r := &Runner{agent: a, options: o, gaps: newGaps(o.Gaps, a.Name()), started: make(chan error, 1),
		done: make(chan struct{})}
	if park, ok := o.Idle.(*Park); ok {
		park.gaps, park.clock = r.gaps, o.Clock
	}
	return r
}

// Use is what the kernel says of the runner's thread since Start: an error before, and once it has ended. Any thread. Cold.
func (r *Runner) Use() (ThreadUse, error) {
	id := int(r.thread.Load())
	if id == 0 {
		return ThreadUse{}, fmt.Errorf("agent: %s has not started", r.agent.Name())
	}
	u, err := readThread(id)
	u.subtract(&r.before)
	return u, err
}

// Pinned says whether the Go scheduler is let in at safe points only. Any thread.
func (r *Runner) Pinned() bool { return r.options.BoundedPin }

// CPU is the core that the thread is to run on, NoCPU: any. Any thread.
func (r *Runner) CPU() int { return r.options.CPU }

// Start starts the thread, and returns when the agent's OnStart has, with its error: Done is then closed already. It
// must be called once.
func (r *Runner) Start() error {
	if err := r.options.check(r.agent.Name()); err != nil {
		r.err = err
		close(r.done)
		return err
	}
	go r.run()
	return <-r.started
}

func (o *RunnerOptions) check(name string) error {
	if o.Idle == nil || o.Clock == nil {
		return fmt.Errorf("agent: run %s: an idle strategy and a clock are required", name)
	}
	if _, parks := o.Idle.(*Park); parks && o.BoundedPin {
		return fmt.Errorf("agent: run %s: a thread that parks cannot be pinned: choose idle strategy spin or yield", name)
	}
	return nil
}

// Stop ends the agent after the cycle under way, waits for its OnClose, and returns Err. It wakes an agent and an
// idle strategy that block, if they implement Waker. Any thread but the agent's own; any number of times, after Start.
func (r *Runner) Stop() error {
	r.stop.Store(true)
	r.wake()
	<-r.done
	return r.err
}

func (r *Runner) wake() {
	r.closing.Lock()
	defer r.closing.Unlock()
	if r.closed {
		return
	}
	for _, sleeper := range []any{r.options.Idle, r.agent} {
		if w, ok := sleeper.(Waker); ok {
			w.Wake()
		}
	}
}

// Done is closed when the agent has ended, by Stop or by itself. Any thread.
func (r *Runner) Done() <-chan struct{} { return r.done }

// Err is what ended the agent: nil while it runs and after an orderly Stop. Any thread.
func (r *Runner) Err() error {
	select {
	case <-r.done:
		return r.err
	default:
		return nil
	}
}

// run is the thread. It ends locked, so that the thread, with its affinity and name, ends with it.
func (r *Runner) run() {
	runtime.LockOSThread()
	defer close(r.done)
	defer func() {
		if v := recover(); v != nil {
			r.err = fmt.Errorf("agent: %s panicked: %v", r.agent.Name(), v)
			fmt.Fprintf(os.Stderr, "%v\n%s", r.err, debug.Stack())
			r.report(r.err)
		}
	}()
	err := r.setUp()
	if err == nil {
		if err = r.agent.OnStart(r.options.Clock.NowNs()); err != nil {
			err = fmt.Errorf("agent: start %s: %w", r.agent.Name(), err)
		}
	}
	r.err = err
	r.report(err)
	if err != nil {
		return
	}
	if err = r.loop(); err != nil {
		err = fmt.Errorf("agent: %s: %w", r.agent.Name(), err)
	}
	r.closing.Lock()
	r.closed = true
	r.closing.Unlock()
	if closeErr := r.agent.OnClose(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("agent: close %s: %w", r.agent.Name(), closeErr))
	}
	r.err = err
}

// report lets Start return; only the first call counts.
func (r *Runner) report(err error) {
	select {
	case r.started <- err:
	default:
	}
}

// setUp names the thread, has it hold to its timers, and gives it its core.
func (r *Runner) setUp() error {
	r.before, _ = readThread(unix.Gettid()) // it may have been another goroutine's; without /proc nothing is told anyway
	r.thread.Store(int64(unix.Gettid()))
	keepTime()
	if unix.Gettid() != unix.Getpid() { // the main thread's name is the process's
		name := r.agent.Name()
		_ = os.WriteFile("/proc/thread-self/comm", []byte(name[:min(len(name), 15)]), 0) // only for who looks on
	}
	if r.options.CPU == NoCPU {
		return nil
	}
	var set unix.CPUSet
	set.Set(r.options.CPU)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("agent: run %s on core %d (is it there, and in this process's cpuset?): %w",
			r.agent.Name(), r.options.CPU, err)
	}
	return nil
}

// loop is the duty cycle.
func (r *Runner) loop() error {
	agent, idle, clock, gaps := r.agent, r.options.Idle, r.options.Clock, r.gaps
	if r.options.BoundedPin {
		return r.loopPinned()
	}
	gaps.start(clock.NowNs())
	for !r.stop.Load() {
		now := clock.NowNs()
		gaps.cycle(now)
		work, err := agent.DoWork(now)
		if err != nil {
			return err
		}
		idle.Idle(work)
	}
	return nil
}

// loopPinned is the duty cycle with the scheduler let in at safe points only.
func (r *Runner) loopPinned() error {
	agent, idle, clock, gaps := r.agent, r.options.Idle, r.options.Clock, r.gaps
	gate := make(chan struct{}, 1)
	now := clock.NowNs()
	gaps.start(now)
	due := now + r.options.SafePointEveryNs
	procPin()
	for !r.stop.Load() {
		now = clock.NowNs()
		gaps.cycle(now)
		work, err := agent.DoWork(now)
		if err != nil {
			procUnpin()
			return err
		}
		idle.Idle(work)
		if now >= due {
			procUnpin()
			safePoint(gate)
			procPin()
			after := clock.NowNs()
			due = after + r.options.SafePointEveryNs
			if after-now > stoppedNs {
				due = after + r.options.SafePointEveryNs/stoppedFaster
			}
		}
	}
	procUnpin()
	return nil
}

// safePoint lets a stop-the-world or another goroutine in. The stack checks of code that ran pinned have erased the
// preemption mark, and procUnpin does not restore it; the unlock inside a channel operation does, and the call after
// it honours it.
func safePoint(gate chan struct{}) {
	gate <- struct{}{}
	<-gate
	stackChecked(0)
}

// stackChecked is a call whose prologue checks the stack, which its frame is large enough for.
//
//go:noinline
func stackChecked(i byte) byte {
	var frame [512]byte
	for j := range frame {
		frame[j] = i + byte(j)
	}
	return frame[i]
}
