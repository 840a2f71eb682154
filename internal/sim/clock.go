package sim

// clock is a node's own: it started at another time, runs at another rate, and its wall clock may be anywhere.
type clock struct {
	w        *World
	startNs  int64 // what the monotonic clock shows when the world begins
	driftPPM int64
	wallNs   int64 // what the wall clock is ahead of the monotonic one
}

// NowNs implements agent.Clock.
func (c *clock) NowNs() int64 { return c.startNs + c.w.nowNs + c.w.nowNs/1e6*c.driftPPM }

// WallNs implements agent.Clock.
func (c *clock) WallNs() int64 { return c.wallNs + c.NowNs() }

// StampNs implements agent.Clock.
func (c *clock) StampNs() int64 { return c.NowNs() }

// world converts a time of this clock.
func (c *clock) world(ns int64) int64 {
	if ns > 1<<60 {
		return 1 << 60
	}
	ns -= c.startNs
	return ns - ns/(1e6+c.driftPPM)*c.driftPPM + 1000
}
