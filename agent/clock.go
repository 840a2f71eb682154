package agent

import (
	"sync/atomic"
	"time"

	"lockstep/agent/tsc"
)

// Clock tells time. Reading it allocates nothing and does not block.
type Clock interface {
	// NowNs is monotonic time in nanoseconds from a start of its own: good for durations and deadlines only.
	NowNs() int64
	// WallNs is nanoseconds since the Unix epoch. It may step, in both directions.
	WallNs() int64
	// StampNs is monotonic time for stamps of what happens within a duty cycle, cheaper to read than NowNs and on a scale
	// of its own: for differences between stamps only, which may come out negative by some tens of nanoseconds. Nothing
	// that the log or another node depends on may depend on it.
	StampNs() int64
}

// System is the machine's clock. Any thread, pinned or not.
type System struct{}

// NowNs reads the monotonic clock.
func (System) NowNs() int64 { return nanotime() }

// WallNs reads the wall clock.
func (System) WallNs() int64 { return time.Now().UnixNano() }

// StampNs reads the time stamp counter once tsc.Start has been called, if it can be trusted; else the monotonic clock.
func (System) StampNs() int64 { return tsc.Now() }

// Virtual is a clock that stands still unless it is told to move: for tests and the simulator. Any thread.
type Virtual struct {
	now  atomic.Int64
	wall atomic.Int64
}

// NewVirtual makes a clock that shows the times given.
func NewVirtual(nowNs, wallNs int64) *Virtual {
	v := &Virtual{}
	v.now.Store(nowNs)
	v.wall.Store(wallNs)
	return v
}

// NowNs is the virtual monotonic time.
func (v *Virtual) NowNs() int64 { return v.now.Load() }

// WallNs is the virtual wall clock.
func (v *Virtual) WallNs() int64 { return v.wall.Load() }

// StampNs is the virtual monotonic time: stamps of one cycle are the same.
func (v *Virtual) StampNs() int64 { return v.now.Load() }

// Advance moves both clocks on by ns, which must not be negative.
func (v *Virtual) Advance(ns int64) {
	if ns < 0 {
		panic("agent: a monotonic clock cannot go back")
	}
	v.now.Add(ns)
	v.wall.Add(ns)
}

// SetWall steps the wall clock, in either direction. The monotonic clock does not notice.
func (v *Virtual) SetWall(wallNs int64) { v.wall.Store(wallNs) }
