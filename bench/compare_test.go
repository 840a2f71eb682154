package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// round1 is a row of n round trips drawn from a distribution with a tail, of so many times the usual length.
func round1(rng *rand.Rand, n int, factor float64) Row {
	h := NewHistogram()
	for range n {
		us := 25 + 5*rng.ExpFloat64()
		if rng.IntN(50) == 0 {
			us += 200 * rng.ExpFloat64()
		}
		_ = h.RecordValue(int64(us * factor * 1e3))
	}
	r := Row{Scenario: "rtt", Transport: "xdp", Mode: "generic", Nodes: 3, Commit: "replicated", DirFS: "tmpfs", Level: "applied",
		Loop: "closed", Payload: 200, Clients: 1, Host: "here"}
	r.SetTimes(h)
	return r
}

// rounds are rows that differ from one another by a few per cent, as rounds do.
func rounds(rng *rand.Rand, n int, factor float64) (rows []Row) {
	for range n {
		rows = append(rows, round1(rng, 2000, factor*(1+0.03*rng.NormFloat64())))
	}
	return rows
}

// plain is all of it, and not its series alone, which is what it prints as.
func plain(c any) string {
	b, err := json.Marshal(c)
	return fmt.Sprint(string(b), err)
}

var usual = CompareOptions{Metrics: []string{"p50", "p90", "p99"}, Threshold: 0.05, Resamples: 2000, Seed: 1}

func compare(t *testing.T, a, b []Row, o CompareOptions) *Compared {
	t.Helper()
	c, err := Compare(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is a third slower is said to be slower, at every percentile, by rounds or by histograms, and the other way about faster.
func TestSlowerIsSlower(t *testing.T) {
	for _, n := range []int{1, 2, 5, 9} {
		rng := rand.New(rand.NewPCG(uint64(n), 7))
		a, b := rounds(rng, n, 1), rounds(rng, n, 1.4)
		method := ByRounds
		if n < 3 {
			method = ByHistogram
		}
		for _, c := range compare(t, a, b, usual).List {
			if c.Method != method || c.RoundsA != n || c.Low > c.Ratio || c.High < c.Ratio ||
				c.Metric != "p99" && (c.Ratio < 1.2 || c.Ratio > 1.65) {
				t.Errorf("%d rounds, %s by %s: %.3f (%.3f .. %.3f)", n, c.Metric, c.Method, c.Ratio, c.Low, c.High)
			}
			if c.Metric != "p99" && c.Verdict != Slower {
				t.Errorf("%d rounds, %s: %.3f (%.3f .. %.3f): %s", n, c.Metric, c.Ratio, c.Low, c.High, c.Verdict)
			}
		}
		for _, c := range compare(t, b, a, usual).List {
			if c.Metric != "p99" && c.Verdict != Faster {
				t.Errorf("%d rounds the other way about, %s: %s", n, c.Metric, c.Verdict)
			}
		}
	}
}

// The interval has the true ratio in it about as often as it says: 95 in a hundred. A bootstrap over the medians of a few rounds
// is a little too sure of itself.
func TestIntervalsCoverTheTruth(t *testing.T) {
	const runs = 100
	o := usual
	o.Metrics, o.Resamples = []string{"p50", "p99"}, 300
	for _, n := range []int{1, 7} {
		for _, truth := range []float64{1, 1.25} {
			inside := map[string]int{}
			slower := 0
			rng := rand.New(rand.NewPCG(uint64(n), math.Float64bits(truth)))
			spread := func(factor float64) (rows []Row) {
				for range n {
					f := factor
					if n > 1 {
						f *= 1 + 0.03*rng.NormFloat64()
					}
					rows = append(rows, round1(rng, 1000, f))
					if n > 1 {
						rows[len(rows)-1].Hist = ""
					}
				}
				return rows
			}
			for range runs {
				for _, c := range compare(t, spread(1), spread(truth), o).List {
					if c.Low <= truth && truth <= c.High {
						inside[c.Metric]++
					}
					if c.Worse() && c.Metric == "p50" {
						slower++
					}
				}
			}
			for _, metric := range o.Metrics {
				if inside[metric] < runs*85/100 {
					t.Errorf("%d rounds: the ratio of %s, %g, is in %d of %d intervals", n, metric, truth, inside[metric], runs)
				}
			}
			if truth == 1 && slower > runs*6/100 || truth > 1 && slower < runs*94/100 {
				t.Errorf("%d rounds, ratio %g: slower %d times of %d", n, truth, slower, runs)
			}
		}
	}
}

func TestTheThresholdDecides(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	a, b := rounds(rng, 9, 1), rounds(rng, 9, 1.2)
	o := usual
	o.Metrics = []string{"p50"}
	for threshold, want := range map[float64]string{0: Slower, 0.1: Slower, 0.5: Same} {
		o.Threshold = threshold
		if c := compare(t, a, b, o).List[0]; c.Verdict != want {
			t.Errorf("threshold %g: %s, want %s: %+v", threshold, c.Verdict, want, plain(c))
		}
	}
}

// Without rounds and without histograms there is no interval, and nothing is decided.
func TestNothingIsDecidedWithoutAnInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	a, b := rounds(rng, 1, 1), rounds(rng, 1, 3)
	b[0].Hist = ""
	o := usual
	o.Metrics = CompareMetrics
	for _, c := range compare(t, a, b, o).List {
		if c.Verdict != Undecided || c.Method != ByNothing || c.Low != 0 || c.Ratio < 2 {
			t.Errorf("%s", plain(c))
		}
	}
	b[0] = round1(rng, 2000, 3)
	for _, c := range compare(t, a, b, o).List { // the shortest and the longest have no interval in a histogram
		if want := c.Metric != "min" && c.Metric != "max"; (c.Method == ByHistogram) != want {
			t.Errorf("%s", plain(c))
		}
	}
}

func TestSeriesAreMatched(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	a, b := rounds(rng, 3, 1), rounds(rng, 3, 1)
	other := round1(rng, 100, 1)
	other.Payload = 1000
	onDisk := round1(rng, 100, 1)
	onDisk.DirFS = "ext4"
	median := Median(a)
	c := compare(t, append(append([]Row{median}, a...), other), append(b, onDisk), usual)
	if len(c.List) != 3 || len(c.OnlyA) != 1 || len(c.OnlyB) != 1 || c.OnlyA[0].Payload != 1000 || c.OnlyB[0].Memory {
		t.Errorf("%d comparisons, only in A %v, only in B %v", len(c.List), c.OnlyA, c.OnlyB)
	}
	if c.List[0].RoundsA != 3 {
		t.Errorf("%d rounds of A: the median is one of them", c.List[0].RoundsA)
	}
	if _, err := Compare([]Row{other}, []Row{onDisk}, usual); err == nil || !strings.Contains(err.Error(), "no series in common") {
		t.Errorf("two runs with nothing in common: %v", err)
	}
}

// Of the largest sustained rate more is better, and the rate is no part of what must be the same.
func TestRatesAreComparedUpsideDown(t *testing.T) {
	var a, b []Row
	for i := range 5 {
		rate := 100_000 + 500*float64(i)
		a = append(a, Row{Scenario: "throughput", Rate: 1}, Row{Scenario: rateScenario, Rate: rate})
		b = append(b, Row{Scenario: rateScenario, Rate: rate / 2})
	}
	c := compare(t, a, b, usual).List
	if len(c) != 1 || c[0].Metric != "rate" || c[0].Verdict != Slower || c[0].Ratio != 2 || c[0].A != 101_000 || c[0].B != 50_500 {
		t.Errorf("%s", plain(c))
	}
}

func TestLossIsWorseThanNone(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	a, b := rounds(rng, 3, 1), rounds(rng, 3, 1)
	b[1].Lost = 2
	if c := compare(t, a, b, usual).List[0]; c.Metric != "lost" || !c.Worse() || c.B != 2 {
		t.Errorf("%s", plain(c))
	}
	a[0].Lost = 1
	if c := compare(t, a, b, usual).List[0]; c.Worse() {
		t.Errorf("A has lost some as well: %s", plain(c))
	}
}

func TestRowsAreReadOrRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var text bytes.Buffer
	for _, r := range rounds(rng, 2, 1) {
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "rows.json")
	for content, want := range map[string]string{text.String() + "\n": "", "": "empty", "{\n": "line 1", text.String() + "{}": "line 3: it has no scenario"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		rows, err := ReadRowsFile(path)
		if want == "" && (err != nil || len(rows) != 2) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %d rows, %v, want %q", content, len(rows), err, want)
		}
	}
	bad := rounds(rng, 1, 1)
	bad[0].Hist = "HISTnonsense"
	if _, err := Compare(bad, bad, usual); err == nil {
		t.Error("a histogram that cannot be read is compared")
	}
	for _, o := range []CompareOptions{{}, {Metrics: []string{"p42"}, Resamples: 1000}, {Metrics: []string{"p50"}, Threshold: -1, Resamples: 1000},
		{Metrics: []string{"p50"}, Resamples: 1}} {
		if o.Check() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// A file a series, which has all rounds, and says the same percentiles as the rows.
func TestFilesOfPercentiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	dir := filepath.Join(t.TempDir(), "plots")
	g, err := NewHGRM(dir)
	if err != nil {
		t.Fatal(err)
	}
	rows := rounds(rng, 3, 1)
	open := round1(rng, 100, 1)
	open.Loop, open.Rate, open.Burst, open.Scenario = "open", 20000, 20, "rtt/../odd"
	for _, r := range append(rows, open, Median(rows), Row{Scenario: "empty"}) {
		if err := r.Write(g); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 || files[0].Name() != "rtt-xdp-generic-replicated-tmpfs-applied-closed-200B.hgrm" ||
		files[1].Name() != "rtt_.._odd-xdp-generic-replicated-tmpfs-applied-open-20000-burst20-200B.hgrm" {
		t.Fatalf("%v: %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Value\tPercentile\tTotalCount", "#[Mean    =", "Total count    =         6000]"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
