// Package agent runs the parts of a node: each is an agent, a value with one method that does whatever work is
// ready, without blocking, and says how much it did.
//
// # Purpose
//
// Runner drives an agent on an operating system thread of its own; Composite makes one agent of several, which then
// share a thread; Invoker drives one inline, for tests and the simulator. What a thread does after a cycle without
// work is its idle strategy: spin, yield or park. Time is read here, once a cycle, and handed on as nowNs: no other
// package reads a clock. Stamps of what happens within a cycle come from Clock.StampNs (package tsc), which costs a few
// nanoseconds.
//
//	Runner: locked thread, CPU, bounded pin
//	  loop: nowNs = clock.NowNs()            the longest time since the cycle before is kept (RunnerOptions.Gaps)
//	        work, err = agent.DoWork(nowNs)      a Composite calls its members in order
//	        idle.Idle(work)                      nothing, PAUSE, sched_yield, or poll
//	        every 10 ms, when pinned: safe point
//
// # Thread ownership
//
// An agent belongs to the thread of its runner from Start to Done: OnStart, DoWork and OnClose are called there
// only. Stop and Err may be called from anywhere. An agent that blocks in DoWork (the journal does, on a Parker)
// implements Waker, so that Stop can end the wait.
//
// # The bounded pin
//
// The Go scheduler takes a goroutine that has run for 10 ms off its thread, locked or not, which costs a hot
// thread tens of microseconds each time. With BoundedPin a runner forbids that (procPin) and lets the scheduler
// in at a safe point every 10 ms: procUnpin; one send and one receive on a buffered channel of capacity one,
// whose unlock restores the preemption mark that a stack check erased while pinned; a call with a stack check,
// which then honours it; procPin. Without the channel a stop-the-world would wait for ever, or as good as that.
// While any thread is pinned, a stop-the-world (ReadMemStats) waits for the slowest safe point; a garbage
// collection, which stops several times, takes under two intervals, since a safe point that let something in has
// the next one come early.
//
// Code that runs pinned must not block, use channels or contended locks, or make system calls through the
// scheduler. A panic in it is fatal: the runtime prints the value and the stacks and ends the process, and no
// deferred function runs. Pin on isolated cores only, with GODEBUG=asyncpreemptoff=1 (see ExecAsyncPreemptOff).
//
// # Timers of other threads
//
// The Go runtime has a monitor thread. While goroutines block in system calls it wakes up thousands of times a second,
// on the cores of hot threads: RelaxTimers has the kernel group these wake-ups. Threads of a Runner hold to their timers.
//
// # Memory ordering
//
// Parker: the parker stores its announcement and then looks at its sources; a waker publishes and then loads the
// announcement. Go's atomics are sequentially consistent, so one of the two sees the other: no wake-up is lost.
//
// # Failure behaviour
//
// An error from DoWork ends the runner: OnClose is called, Done is closed, Err says what happened. A panic on a
// thread that is not pinned prints its message and stack and then ends the runner likewise, as an error; OnClose is
// then not called, for the state of the agent is unknown.
//
// # Limits
//
// Linux only. A parked thread waits at most as long as its Park strategy was told, since deadlines are looked at in
// DoWork only.
package agent
