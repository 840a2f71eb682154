package bench

import (
	"math/bits"
	"time"
)

// A Timeline says how round trips were as time went by: their percentiles for every interval in which messages were due. It begins with
// intervals of 100 ms; when there would be more than 200, each two become one.
//
// Percentiles of an interval are exact to a 32nd: they are for looking at. The row's own come from its histogram.
type Timeline struct {
	startNs    int64
	intervalNs int64
	used       int
	intervals  [timelineMost]timelineInterval
}

const (
	timelineFirstNs = 100e6
	timelineMost    = 200
	timelineBits    = 5  // values of as many leading bits, below the highest, are told apart
	timelineOctaves = 36 // so that 2^41 ns, half an hour, is the longest
	timelineSlots   = (timelineOctaves + 1) << timelineBits
)

type timelineInterval struct {
	count uint64
	maxNs int64
	slots [timelineSlots]uint32
}

// TimelinePoint is one interval of a timeline.
type TimelinePoint struct {
	AtS   float64 `json:"t_s"` // its beginning, in seconds since the measured time began
	Count uint64  `json:"count"`
	P50Us float64 `json:"p50_us"`
	P99Us float64 `json:"p99_us"`
	MaxUs float64 `json:"max_us"`
}

// Mark is something that was done to a cluster while it was measured.
type Mark struct {
	AtS  float64 `json:"t_s"` // on the timeline's clock
	What string  `json:"what"`
}

// NewTimeline is one that begins at startNs. For messages that are due over a known time its intervals are made long enough at
// once, so that nothing is moved while times are taken; expected 0: that is not known.
func NewTimeline(startNs int64, expected time.Duration) *Timeline {
	t := &Timeline{startNs: startNs, intervalNs: timelineFirstNs}
	for expected.Nanoseconds() > t.intervalNs*timelineMost {
		t.intervalNs *= 2
	}
	return t
}

// Add takes the time of a message that was due at dueNs. What was due before the beginning is left out, and without a timeline all.
func (t *Timeline) Add(dueNs, tookNs int64) {
	if t == nil || dueNs < t.startNs {
		return
	}
	at := (dueNs - t.startNs) / t.intervalNs
	for ; at >= timelineMost; at = (dueNs - t.startNs) / t.intervalNs {
		t.double()
	}
	t.used = max(t.used, int(at)+1)
	i := &t.intervals[at]
	i.count++
	i.maxNs = max(i.maxNs, tookNs)
	i.slots[timelineSlot(tookNs)]++
}

// double makes one interval of each two.
func (t *Timeline) double() {
	for at := range t.intervals {
		from := t.intervals[at]
		t.intervals[at] = timelineInterval{}
		into := &t.intervals[at/2]
		into.count += from.count
		into.maxNs = max(into.maxNs, from.maxNs)
		for k, n := range from.slots {
			into.slots[k] += n
		}
	}
	t.intervalNs *= 2
	t.used = (t.used + 1) / 2
}

// Points are the intervals up to the last one that has a message; those without any are there, with a count of 0.
func (t *Timeline) Points() []TimelinePoint {
	points := make([]TimelinePoint, 0, t.used)
	for at := range t.intervals[:t.used] {
		i := &t.intervals[at]
		points = append(points, TimelinePoint{AtS: round(float64(int64(at)*t.intervalNs) / 1e9), Count: i.count,
			P50Us: i.quantileUs(0.5), P99Us: i.quantileUs(0.99), MaxUs: round(float64(i.maxNs) / 1e3)})
	}
	return points
}

// quantileUs is the middle of the slot that holds a quantile, no more than the longest.
func (i *timelineInterval) quantileUs(q float64) float64 {
	want, seen := max(1, uint64(q*float64(i.count)+0.5)), uint64(0)
	for slot, n := range i.slots {
		if seen += uint64(n); n > 0 && seen >= want {
			return round(float64(min(i.maxNs, timelineValue(slot))) / 1e3)
		}
	}
	return 0
}

// timelineSlot is where a time is counted: by itself below 2^6 ns, then by its highest bit and the five below.
func timelineSlot(ns int64) int {
	v := uint64(max(0, ns))
	shift := max(0, bits.Len64(v)-timelineBits-1)
	return min(shift<<timelineBits+int(v>>shift), timelineSlots-1)
}

// timelineValue is the middle of a slot's times.
func timelineValue(slot int) int64 {
	shift := max(0, slot>>timelineBits-1)
	low := int64(slot-shift<<timelineBits) << shift
	return low + int64(1)<<shift/2
}
