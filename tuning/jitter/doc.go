// Package jitter measures how often and for how long a core is taken away from a thread that never gives it up.
//
// # Purpose
//
// Measure puts a thread on each core that reads the time stamp counter without rest. Two readings that are further apart than a
// threshold have a pause between them: an interrupt, another thread, a core that slept, firmware, or a hypervisor that ran
// somebody else. The pauses of a core are told as a rate, percentiles, the share of time that they took and a histogram,
// beside what the kernel counted on that core meanwhile: interrupts, softirqs, switches of the thread, time that it waited
// for its core, steal, thermal throttling, system management interrupts.
//
// # Thread ownership
//
// A meter, with its histogram, belongs to the thread that agent.Runner runs it on, in a bounded pin: the Go scheduler is let in
// between two slices of readings only, so that what it does is no pause. What the kernel counted is read by the caller's
// thread, before and after.
//
// # Failure behaviour
//
// A core that is not there, or not in the process's affinity, is an error that names it. What cannot be read of the causes
// is left out and named in the report.
//
// # Limits
//
// Pauses from 1 ns to 60 s at three significant digits. A meter takes its whole core; slices are a millisecond, safe points ten
// milliseconds apart. What happens between two slices is not seen: Core.SeenPct says how much of the time was looked at. The process must run with
// GODEBUG=asyncpreemptoff=1, else the runtime's preemption signals are pauses as well (agent.ExecAsyncPreemptOff).
package jitter
