package node

import (
	"fmt"

	"lockstep/internal/counters"
)

// Latency is how long something has taken since the start: microseconds, within 12.5 per cent.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_us"`
	P99   float64 `json:"p99_us"`
	Max   float64 `json:"max_us"`
}

// String is p50/p99/max in microseconds, or - when nothing was measured.
func (l Latency) String() string {
	if l.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f/%.0f/%.0f", l.P50, l.P99, l.Max)
}

func latencyOf(d *counters.Distribution) Latency {
	us := func(ns uint64) float64 { return float64(ns/100) / 10 }
	return Latency{Count: d.Count, P50: us(d.Quantile(0.5)), P99: us(d.Quantile(0.99)), Max: us(d.MaxNs)}
}

// addDisk fills in what the disk has done so far.
func (n *Node) addDisk(s *Status) {
	timings := n.journal.Timings()
	s.DiskWrite, s.DiskSync = latencyOf(&timings.Write), latencyOf(&timings.Sync)
	if n.scrub != nil {
		s.Damage = n.scrub.Damage()
	}
}
