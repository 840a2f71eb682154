package node

import (
	"fmt"
	"time"

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
	s.LogFloor, s.LogDisk = uint64(n.keeper.logFloor()), n.gauge("lockstep_log_disk_bytes")
	s.Installed = uint64(n.installed)
	for _, o := range n.keeper.offers() {
		s.Snapshots = append(s.Snapshots, SnapshotStatus{Position: uint64(o.Manifest.Position()), Bytes: o.Manifest.Bytes,
			Taken: time.Unix(0, int64(o.Manifest.Chain.Timestamp)).UTC(), Verified: o.Verified})
	}
	if f := n.keeper.fetchState(); f.Of > 0 {
		s.Fetch = &Download{From: int(f.From), Position: uint64(f.At), Bytes: f.Bytes, Of: f.Of, Install: f.Install}
	}
}

// SnapshotStatus is a snapshot that is published on a node.
type SnapshotStatus struct {
	Position uint64    `json:"position"`
	Bytes    int64     `json:"bytes"`
	Taken    time.Time `json:"taken"` // by the log's time
	Verified bool      `json:"verified"`
}

// Download is how far the download of a snapshot from another node is.
type Download struct {
	From     int    `json:"from"`
	Position uint64 `json:"position"`
	Bytes    int64  `json:"bytes"`
	Of       int64  `json:"of_bytes"`
	Install  bool   `json:"install"` // the log of this node is to go on there
}

// NewestVerified is the position of the newest snapshot of a node that is verified, 0 if it has none.
func (s *Status) NewestVerified() (at uint64) {
	for i := range s.Snapshots {
		if s.Snapshots[i].Verified {
			at = s.Snapshots[i].Position
		}
	}
	return at
}
