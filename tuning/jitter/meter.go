package jitter

import (
	"fmt"
	"math"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	// sliceNs is how long a meter reads the clock between two looks at whether it is to go on.
	sliceNs = 1_000_000
	// longestNs is the longest pause that a histogram holds.
	longestNs = 60_000_000_000
	// LeastThresholdNs is what a threshold that is found by looking is at the least.
	LeastThresholdNs = 200
	// A threshold is found by readings: so many times the shortest time between two.
	readings    = 10_000
	timesLonger = 8
)

// meter is the agent on one core.
type meter struct {
	core        int
	now         func() int64
	thresholdNs int64        // 0: to be found
	recording   *atomic.Bool // pauses count
	thread      atomic.Int64 // the kernel's id of the meter's thread

	pauses  *hdrhistogram.Histogram // nanoseconds
	pauseNs int64                   // sum of them, exact
	seenNs  int64                   // time between readings
	firstNs int64                   // of the first reading that counted; 0: none yet
	lastNs  int64                   // of the last one
}

func newMeter(core int, thresholdNs int64, now func() int64, recording *atomic.Bool) *meter {
	return &meter{core: core, now: now, thresholdNs: thresholdNs, recording: recording,
		pauses: hdrhistogram.New(1, longestNs, 3)}
}

// Name implements agent.Agent.
func (m *meter) Name() string { return fmt.Sprintf("jitter %d", m.core) }

// OnStart finds the threshold if none was given.
func (m *meter) OnStart(int64) error {
	m.thread.Store(int64(unix.Gettid()))
	if m.thresholdNs == 0 {
		m.thresholdNs = max(LeastThresholdNs, timesLonger*m.shortest())
	}
	return nil
}

// shortest is the shortest time between two readings that differ.
func (m *meter) shortest() int64 {
	shortest, last := int64(math.MaxInt64/timesLonger), m.now()
	for range readings {
		now := m.now()
		if took := now - last; took > 0 {
			shortest = min(shortest, took)
		}
		last = now
	}
	return shortest
}

// DoWork reads the clock for a slice, once pauses count.
func (m *meter) DoWork(int64) (int, error) {
	if !m.recording.Load() {
		return 0, nil
	}
	m.slice()
	return 1, nil
}

// slice reads the clock until a slice is over. What the noting of a pause takes is neither pause nor seen.
func (m *meter) slice() {
	start := m.now()
	if m.firstNs == 0 {
		m.firstNs = start
	}
	now, threshold := m.now, m.thresholdNs
	last := start
	for end := start + sliceNs; last < end; {
		at := now()
		if gap := at - last; gap > threshold {
			m.seenNs += at - start
			m.note(gap)
			at = now()
			start = at
		}
		last = at
	}
	m.seenNs += last - start
	m.lastNs = last
}

// note counts a pause. Not inlined: it is rare.
//
//go:noinline
func (m *meter) note(gapNs int64) {
	m.pauseNs += gapNs
	_ = m.pauses.RecordValue(min(gapNs, longestNs)) // within its bounds
}

// OnClose implements agent.Agent.
func (m *meter) OnClose() error { return nil }
