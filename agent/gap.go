package agent

import (
	"fmt"
	"math"

	"lockstep/internal/counters"
)

const (
	// gapWindowNs is how long a window is: what is published as of the last second is of this one and the one before.
	gapWindowNs = 1_000_000_000
	// StallNs is how long a gap is from which on it is counted.
	StallNs = 1_000_000
)

// gaps is the gauge of a hot loop: the longest time between the starts of two duty cycles. It belongs to the loop's
// thread, and costs it a subtraction and two comparisons a cycle: the time is the one that the cycle has read anyway.
type gaps struct {
	last    int64 // start of the cycle before
	turn    int64 // when the window ends
	limit   int64 // what is not longer needs no note: the longest of the window, StallNs at most
	longest int64 // of this window
	before  int64 // of the window before
	all     int64 // since the start

	max, second, stalls, windows *counters.Counter
}

// newGaps makes the gauge of a thread, in file; nil: nobody reads it.
func newGaps(file *counters.File, thread string) *gaps {
	if file == nil {
		return &gaps{max: &counters.Counter{}, second: &counters.Counter{}, stalls: &counters.Counter{},
			windows: &counters.Counter{}}
	}
	return &gaps{
		max:     file.Counter(GapCounter(thread, "max"), gapHelp),
		second:  file.Counter(GapCounter(thread, "second"), gapHelp),
		stalls:  file.Counter(StallCounter(thread), "Gaps of a millisecond or more between two duty cycles."),
		windows: file.Counter(WindowCounter(thread), "Seconds that a hot thread has gone through: none while it is stuck."),
	}
}

const gapHelp = "Longest time between the starts of two duty cycles, nanoseconds."

// GapCounter names the gauge of a thread's longest gap, in nanoseconds: since the start (of "max"), or of the last one
// to two seconds (of "second").
func GapCounter(thread, of string) string {
	return fmt.Sprintf("lockstep_thread_gap_ns{thread=%q,of=%q}", thread, of)
}

// StallCounter names the counter of a thread's gaps of StallNs or more.
func StallCounter(thread string) string {
	return fmt.Sprintf("lockstep_thread_stalls_total{thread=%q}", thread)
}

// WindowCounter names the counter of the windows of a second that a thread has gone through. It grows about once a second as long
// as the thread has duty cycles, and not at all while it is stuck in one.
func WindowCounter(thread string) string {
	return fmt.Sprintf("lockstep_thread_windows_total{thread=%q}", thread)
}

// start begins before the first cycle.
func (g *gaps) start(now int64) { g.last, g.turn = now, now+gapWindowNs }

// cycle notes that a cycle starts.
func (g *gaps) cycle(now int64) {
	gap := now - g.last
	g.last = now
	if gap > g.limit || now >= g.turn {
		g.note(now, gap)
	}
}

// blocks notes that the thread goes to sleep, as it is told to: what passes until the next cycle is no gap.
func (g *gaps) blocks(now int64) {
	g.cycle(now)
	g.last = math.MaxInt64
}

// note publishes a gap that is worth it, and turns the window. Not inlined: it is rare.
//
//go:noinline
func (g *gaps) note(now, gap int64) {
	if gap >= StallNs {
		g.stalls.Inc()
	}
	if now >= g.turn {
		g.before, g.longest = g.longest, 0
		g.turn = now + gapWindowNs
		g.windows.Inc()
	}
	g.longest = max(g.longest, gap)
	g.limit = min(g.longest, StallNs-1)
	g.second.Set(uint64(max(g.longest, g.before)))
	if gap > g.all {
		g.all = gap
		g.max.Set(uint64(gap))
	}
}
