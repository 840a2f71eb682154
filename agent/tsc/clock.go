package tsc

import (
	"context"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// firstNs is how long Start looks at both clocks, everyNs how often Keep has them compared.
	firstNs = 10_000_000
	everyNs = 1_000_000_000
	// leastNs is the shortest time from which a rate is taken.
	leastNs = 5_000_000
	// slewPPM bounds how much faster or slower than the kernel's clock a line runs to get back to it.
	slewPPM = 500
	// leapNs and driftPPM are what no counter that can be trusted is off by.
	leapNs   = 5_000_000
	driftPPM = 1000
	// looks is how often a pair of readings is taken: the one that took the shortest time counts.
	looks = 8
)

// line is time as the counter shows it: ns nanoseconds at anchor, rate nanoseconds a tick, times 2^32, from there on.
type line struct {
	anchor uint64
	ns     int64
	rate   uint64
}

// at is the time when the counter shows ticks. A core whose counter is a little behind the anchor is at the anchor.
func (l *line) at(ticks uint64) int64 {
	passed := ticks - l.anchor
	if int64(passed) < 0 {
		return l.ns
	}
	high, low := bits.Mul64(passed, l.rate)
	return l.ns + int64(high<<32|low>>32)
}

// pair is the two clocks read at one instant.
type pair struct {
	ticks uint64
	ns    int64
}

// clock is a counter and the clock that it is held against.
type clock struct {
	line    atomic.Pointer[line] // nil: the kernel's clock is read
	mutex   sync.Mutex           // over what follows
	last    pair                 // of the last comparison
	reason  string               // why the counter is not used
	counter func() uint64
	kernel  func() int64
}

// machine is this machine's.
var machine = clock{reason: "not started", counter: counter, kernel: nanotime}

// Now is monotonic time in nanoseconds, on the scale of the kernel's monotonic clock. Any thread, pinned or not.
func Now() int64 {
	if l := machine.line.Load(); l != nil {
		return l.at(counter())
	}
	return nanotime()
}

// Start has Now read the counter, if it can be trusted, and takes 10 ms to find its rate. A second call only adjusts. Cold.
func Start() {
	if reason := trusted(); reason != "" {
		machine.giveUp(reason)
		return
	}
	machine.start(func() { time.Sleep(firstNs) })
}

// Adjust holds the counter against the kernel's clock and corrects the line. Cold.
func Adjust() { machine.adjust() }

// Keep calls Adjust once a second until ctx ends. It blocks: for a goroutine of its own.
func Keep(ctx context.Context) {
	tick := time.NewTicker(everyNs)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			Adjust()
		}
	}
}

// Describe says what Now reads, and why.
func Describe() string { return machine.describe() }

// look reads both clocks as close together as a few attempts get them.
func (c *clock) look() pair {
	var best pair
	shortest := ^uint64(0)
	for range looks {
		before := c.counter()
		ns := c.kernel()
		after := c.counter()
		if took := after - before; took < shortest {
			shortest, best = took, pair{ticks: before + took/2, ns: ns}
		}
	}
	return best
}

func (c *clock) start(wait func()) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.line.Load() != nil {
		c.correct()
		return
	}
	first := c.look()
	wait()
	second := c.look()
	rate, ok := rateOf(first, second)
	if !ok {
		c.reason = "the time stamp counter stands still"
		return
	}
	c.reason, c.last = "", second
	c.line.Store(&line{anchor: second.ticks, ns: second.ns, rate: rate})
}

func (c *clock) adjust() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.line.Load() != nil {
		c.correct()
	}
}

// correct draws a new line from where the old one is now: with the rate of the time since the last comparison, and what the
// old line was off spread over the time to the next.
func (c *clock) correct() {
	now, old := c.look(), c.line.Load()
	if now.ns-c.last.ns < leastNs {
		return
	}
	rate, ok := rateOf(c.last, now)
	off := now.ns - old.at(now.ticks)
	switch {
	case !ok || ppm(rate, old.rate) > driftPPM:
		c.forsake("the time stamp counter has changed its rate")
		return
	case off > leapNs || off < -leapNs:
		c.forsake(fmt.Sprintf("the time stamp counter has leapt by %v", time.Duration(off)))
		return
	}
	slew := max(-slewPPM, min(slewPPM, off*1e6/everyNs))
	rate += uint64(int64(rate) / 1e6 * slew)
	c.last = now
	c.line.Store(&line{anchor: now.ticks, ns: old.at(now.ticks), rate: rate})
}

// forsake has the kernel's clock read from now on.
func (c *clock) forsake(reason string) {
	c.reason = reason
	c.line.Store(nil)
}

func (c *clock) giveUp(reason string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.forsake(reason)
}

func (c *clock) describe() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if l := c.line.Load(); l != nil {
		return fmt.Sprintf("time stamp counter, %.1f MHz", (1<<32)*1e3/float64(l.rate))
	}
	return "monotonic clock (" + c.reason + ")"
}

// rateOf is the rate of a line through two pairs.
func rateOf(from, to pair) (rate uint64, ok bool) {
	ticks, ns := to.ticks-from.ticks, to.ns-from.ns
	if ns <= 0 || int64(ticks) <= 0 || uint64(ns)>>32 >= ticks {
		return 0, false
	}
	rate, _ = bits.Div64(uint64(ns)>>32, uint64(ns)<<32, ticks)
	return rate, rate > 0
}

// ppm is how far two rates are apart, in parts of a million.
func ppm(a, b uint64) uint64 {
	if a < b {
		a, b = b, a
	}
	return (a - b) / max(1, b/1e6)
}
