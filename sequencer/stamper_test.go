package sequencer

import "testing"

// T1: no step of the wall clock reaches the stamps, and they are drawn to it at a bounded rate.
func TestT1WallStepDoesNotReachTheStamps(t *testing.T) {
	for _, step := range []int64{10e9, -10e9, 3600e9, -3600e9, 0} {
		var s Stamper
		now, wall := int64(5e9), int64(1_700_000_000e9)
		s.Start(now, wall, 0)
		last := s.Stamp(now)
		wall += step
		for range 1000 {
			now += 1e6
			wall += 1e6
			if now%1e9 == 0 {
				s.Adjust(now, wall)
			}
			stamp := s.Stamp(now)
			if moved := int64(stamp - last); moved < 1e6-500 || moved > 1e6+500 {
				t.Fatalf("step %d: the stamps moved by %d ns in a millisecond", step, moved)
			}
			last = stamp
		}
		if s.Clamps() != 0 {
			t.Errorf("step %d: %d clamps", step, s.Clamps())
		}
	}
}

// A small difference goes away and does not come back.
func TestClockConverges(t *testing.T) {
	for _, off := range []int64{1_000_000, -1_000_000, 700, -700} {
		var s Stamper
		now, wall := int64(0), int64(1_700_000_000e9)
		s.Start(now, wall, 0)
		wall += off
		for range 20 {
			now += 1e9
			wall += 1e9
			s.Adjust(now, wall)
		}
		if d := s.Clock(now) - wall; d < -1000 || d > 1000 {
			t.Errorf("off by %d ns, still %d after 20 s", off, d)
		}
		far := s.Clock(now+3600e9) - (wall + 3600e9) // nobody adjusts for an hour
		if far < -600_000 || far > 600_000 {
			t.Errorf("off by %d ns without an adjustment for an hour", far)
		}
	}
}

// T2: a leader whose clock is behind the log goes on past the last stamp, and counts it.
func TestT2StampsGoOnPastTheLog(t *testing.T) {
	var s Stamper
	const last = uint64(1_700_000_010e9)
	s.Start(0, 1_700_000_000e9, last)
	for i := range uint64(3) {
		if got := s.Stamp(int64(i) * 1000); got != last+1+i {
			t.Errorf("stamp %d after %d", got, last)
		}
	}
	if s.Clamps() != 3 {
		t.Errorf("%d clamps", s.Clamps())
	}
	s.Start(0, 1_700_000_020e9, s.last)
	first := s.Stamp(1000)
	if s.Stamp(1000) != first+1 || s.Clamps() != 3 {
		t.Error("records of one cycle are no clamps, and have stamps of their own")
	}
}
