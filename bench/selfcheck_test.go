package bench

import (
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/wire"
)

func checkAll(t *testing.T, wrong func(SelfCheck)) func([]SelfCheck) {
	t.Helper()
	return func(checks []SelfCheck) {
		if len(checks) < 10 {
			t.Errorf("%d checks, want sent, lost, what came twice, what is recorded, and six times", len(checks))
		}
		for _, c := range Wrong(checks) {
			wrong(c)
		}
	}
}

func TestHarnessMeasuresWhatIsKnown(t *testing.T) {
	check := checkAll(t, func(c SelfCheck) {
		t.Errorf("%s, %s loop, by the %s clock: %s is %g, want %g to %g", c.Check, c.Loop, c.Clock, c.What, c.Got, c.Least, c.Most)
	})
	if err := CheckVirtual(t.Context(), check); err != nil {
		t.Error(err)
	}
	if err := CheckLoopback(t.Context(), 400*time.Millisecond, check); err != nil {
		t.Error(err)
	}
}

// The message that is under way in a stall is all that a closed loop sees of it: measured like that, an open loop's figures
// would be wrong, and the check says so.
func TestCoordinatedOmissionIsFoundOut(t *testing.T) {
	pairs := map[string]map[Loop]*selfPlan{}
	plans := virtualPlans()
	for i := range plans {
		if p := &plans[i]; p.stallNs > 0 && p.warmup == 0 {
			if pairs[p.name] == nil {
				pairs[p.name] = map[Loop]*selfPlan{}
			}
			pairs[p.name][p.loop] = p
		}
	}
	if len(pairs) != 2 {
		t.Fatalf("%d responders that stall, want one for a client and one for several", len(pairs))
	}
	for name, pair := range pairs {
		result, err := pair[Closed].runVirtual(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wrong := map[string]bool{}
		for _, c := range Wrong(pair[Open].judge(ClockVirtual, result, leastStepNs, 3*leastStepNs)) {
			wrong[c.What] = true
		}
		for _, what := range []string{"p99_us", "p999_us"} {
			if !wrong[what] {
				t.Errorf("%s: a closed loop's %s passes for an open one's", name, what)
			}
		}
		if wrong["p50_us"] || wrong["max_us"] {
			t.Errorf("%s: wrong: %v; median and longest are the same in both loops", name, wrong)
		}
	}
}

// A harness that is a little wrong is found out.
func TestSelfCheckNoticesWhatIsWrong(t *testing.T) {
	p := selfPlan{name: "test", loop: Open, rate: 1000, burst: 1, measure: time.Second, known: known{latency: fixed(1 * ms)}}
	for what, c := range map[string]struct {
		spoil func(r *Result)
		wrong string
	}{
		"nothing":                     {func(*Result) {}, ""},
		"a message is not counted":    {func(r *Result) { r.Sent--; r.Acked-- }, "sent"},
		"a lost one counts as there":  {func(r *Result) { r.Acked-- }, "lost"},
		"an answer comes twice":       {func(r *Result) { r.Duplicated++ }, "duplicated and reordered"},
		"times are in no timeline":    {func(r *Result) { r.Timeline = NewTimeline(0, time.Second) }, "in the timeline"},
		"an answer is not recorded":   {func(r *Result) { r.Acked++; r.Sent++ }, "recorded"},
		"all times are 10 us longer":  {shift(10_000), "p50_us"},
		"all times are 10 us shorter": {shift(-10_000), "min_us"},
		"one message waits":           {func(r *Result) { _ = r.Histogram.RecordValue(20e6) }, "max_us"},
	} {
		r, err := p.runVirtual(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.spoil(r)
		found := ""
		for _, w := range Wrong(p.judge(ClockVirtual, r, leastStepNs, 3*leastStepNs)) {
			if w.What == c.wrong || c.wrong == "" {
				found = w.What
			}
		}
		if found != c.wrong {
			t.Errorf("%s: %q is said to be wrong, want %q", what, found, c.wrong)
		}
	}
}

// shift makes all times longer.
func shift(ns int64) func(*Result) {
	return func(r *Result) {
		shifted := NewHistogram()
		for _, bar := range r.Histogram.Distribution() {
			if bar.Count > 0 {
				_ = shifted.RecordValues(bar.To+ns, bar.Count)
			}
		}
		r.Histogram = shifted
	}
}

// A time that is longer than a histogram holds is in the percentiles all the same.
func TestLoadRecordsWhatIsLongerThanAHistogramHolds(t *testing.T) {
	clock := agent.NewVirtual(1e9, 0)
	l := NewLoad(LoadOptions{Level: wire.LevelApplied}, clock, agent.NoIdle{})
	l.flights[1] = flight{correlation: 1, dueNs: 1e9, measured: true}
	clock.Advance((2 * time.Minute).Nanoseconds())
	l.OnAck(client.Ack{Correlation: 1, Level: wire.LevelApplied})
	if n := l.result.Histogram.TotalCount(); n != 1 || l.result.Histogram.Max() < (59*time.Second).Nanoseconds() {
		t.Errorf("two minutes: %d recorded, the longest %v", n, time.Duration(l.result.Histogram.Max()))
	}
}

func TestStallsHoldUpWhatArrivesAndWhatIsDue(t *testing.T) {
	k := known{latency: fixed(10), fromNs: 100, stallNs: 50, silentNs: 500}
	for _, c := range []struct{ sentNs, answeredNs int64 }{
		{0, 10}, {89, 99}, {90, 150}, {95, 150}, {100, 160}, {149, 160}, {150, 160}, {499, 509}, {500, -1},
	} {
		got, ok := k.answered(1, c.sentNs)
		if !ok {
			got = -1
		}
		if got != c.answeredNs {
			t.Errorf("sent at %d: answered at %d, want %d", c.sentNs, got, c.answeredNs)
		}
	}
}
