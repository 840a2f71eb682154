package bench

import (
	"math"
	"testing"
	"time"
)

func TestTimelineCountsEveryMessageWhereItWasDue(t *testing.T) {
	const start = 5_000_000_000
	line := NewTimeline(start, 0)
	line.Add(start-1, 1000) // warm-up
	for i := range int64(1000) {
		line.Add(start+i*1e6, (i+1)*1000) // one a millisecond, 1 to 1000 us
	}
	points := line.Points()
	if len(points) != 10 {
		t.Fatalf("%d intervals of a second, want 10", len(points))
	}
	for i, p := range points {
		if p.Count != 100 || p.AtS != float64(i)/10 || p.MaxUs != float64(i+1)*100 {
			t.Errorf("interval %d: %+v", i, p)
		}
		if want := float64(i)*100 + 50; math.Abs(p.P50Us-want) > want/30+1 {
			t.Errorf("interval %d: p50 %v, want %v within 3 per cent", i, p.P50Us, want)
		}
		if want := float64(i)*100 + 99; math.Abs(p.P99Us-want) > want/30+1 {
			t.Errorf("interval %d: p99 %v, want %v within 3 per cent", i, p.P99Us, want)
		}
	}
}

func TestTimelineOfAnyLengthHasFewIntervals(t *testing.T) {
	line, sent := NewTimeline(0, 0), uint64(0)
	for at := time.Duration(0); at < 10*time.Minute; at += 7 * time.Millisecond {
		line.Add(at.Nanoseconds(), 20_000)
		sent++
	}
	line.Add(0, 3e9) // answered late: charged to when it was due
	points, counted := line.Points(), uint64(0)
	for _, p := range points {
		counted += p.Count
	}
	if len(points) > timelineMost || len(points) < timelineMost/2 || counted != sent+1 {
		t.Errorf("%d intervals with %d messages of %d", len(points), counted, sent+1)
	}
	if points[0].MaxUs != 3e6 || points[1].MaxUs != 20 || points[1].P50Us < 19.4 || points[1].P50Us > 20.6 {
		t.Errorf("%+v", points[:2])
	}
	if known := NewTimeline(0, 10*time.Minute); known.intervalNs != line.intervalNs {
		t.Errorf("intervals of %d ns when the time is known before, %d when not", known.intervalNs, line.intervalNs)
	}
}

func TestTimelineTakesAnyTime(t *testing.T) {
	line := NewTimeline(0, 0)
	for _, ns := range []int64{-5, 0, 1, 63, 64, 65, 1 << 41, math.MaxInt64} {
		line.Add(0, ns)
		if got := timelineValue(timelineSlot(ns)); ns >= 0 && ns <= 1<<41 && math.Abs(float64(got-ns)) > float64(ns)/64+0.5 {
			t.Errorf("%d ns is told as %d", ns, got)
		}
	}
	var none *Timeline
	none.Add(1, 1)
}
