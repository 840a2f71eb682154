package bench

import (
	"testing"
	"time"

	"lockstep/wire"
)

// search runs a search against a cluster that sustains rates up to a limit, but not the first try of each.
func search(s *RateSearch, limit float64, flaky bool) (tried []float64) {
	again := map[float64]bool{}
	for {
		rate, ok := s.Next()
		if !ok {
			return tried
		}
		tried = append(tried, rate)
		if flaky && !again[rate] {
			again[rate] = true
			s.Tried(false)
			continue
		}
		s.Tried(rate <= limit)
	}
}

func TestRateSearchDoublesAndThenHalvesWhatIsBetween(t *testing.T) {
	for _, limit := range []float64{130, 999, 1000, 1001, 5400, 123_456, 1e9} {
		for _, flaky := range []bool{false, true} {
			s := RateSearch{From: 1000, Most: 1e6, Close: 0.05, Tries: 2}
			tried := search(&s, limit, flaky)
			want := min(limit, 1e6)
			if got := s.Sustained(); got > want || got < want*0.94 {
				t.Errorf("limit %v, first tries fail %t: %v after %v", limit, flaky, got, tried)
			}
			for _, rate := range tried {
				if rate > 2*limit && rate > 1000 || rate > 1e6 {
					t.Errorf("limit %v: %v was tried: %v", limit, rate, tried)
				}
			}
		}
	}
	s := RateSearch{From: 1000, Most: 1e6, Close: 0.05, Tries: 2}
	if tried := search(&s, 10, false); s.Sustained() != 0 || tried[len(tried)-1] < leastRate {
		t.Errorf("of a cluster that sustains nothing: %v after %v", s.Sustained(), tried)
	}
}

func TestSustainedIsAllAnsweredOnceInOrderInTime(t *testing.T) {
	good := Row{Sent: 10, Acked: 10, P99Us: 9999}
	if !good.Sustained(10 * time.Millisecond) {
		t.Error("all answered in time, and not sustained")
	}
	for name, spoil := range map[string]func(*Row){
		"slow": func(r *Row) { r.P99Us = 10_000 }, "lost": func(r *Row) { r.Lost = 1 }, "twice": func(r *Row) { r.Duplicated = 1 },
		"order": func(r *Row) { r.Reordered = 1 }, "nothing": func(r *Row) { r.Acked = 0 },
	} {
		r := good
		if spoil(&r); r.Sustained(10 * time.Millisecond) {
			t.Errorf("%s: sustained", name)
		}
	}
}

// A load that may fall behind by so much gives up what is left of its schedule, and counts it as lost.
func TestALoadThatFallsBehindCountsTheRestAsLost(t *testing.T) {
	l := startLive(t)
	p := Plan{Level: wire.LevelSequenced, Loop: Open, Rate: 4e6, Burst: 20, Flow: FlowEcho, Payload: 64, Window: 64,
		Measure: time.Second, Behind: 50 * time.Millisecond}
	r, _, _ := l.measure(t, &p, nil)
	if r.Sent < 3_900_000 || r.Sent > 4_100_000 || r.Lost() == 0 || r.Acked == 0 || r.Lost()+r.Acked != r.Sent {
		t.Errorf("%d sent, %d acknowledged, %d lost, want 4,000,000 sent and most of them lost", r.Sent, r.Acked, r.Lost())
	}
}
