package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// CompareOptions say how two runs are compared.
type CompareOptions struct {
	Metrics   []string // of CompareMetrics
	Threshold float64  // by how much B may be slower: 0.1 is a tenth
	Resamples int      // of the bootstrap
	Seed      uint64
}

// CompareMetrics are the percentiles that can be compared, by name.
var CompareMetrics = []string{"min", "p50", "p90", "p99", "p999", "p9999", "max"}

// metricQuantiles are where they stand in a histogram; 0 and 100 have no interval there.
var metricQuantiles = map[string]float64{"min": 0, "p50": 50, "p90": 90, "p99": 99, "p999": 99.9, "p9999": 99.99, "max": 100}

// Check says what is wrong with them.
func (o *CompareOptions) Check() error {
	for _, m := range o.Metrics {
		if !slices.Contains(CompareMetrics, m) {
			return fmt.Errorf("bench: percentile %q: want some of %v", m, CompareMetrics)
		}
	}
	switch {
	case len(o.Metrics) == 0:
		return fmt.Errorf("bench: no percentile to compare: want some of %v", CompareMetrics)
	case !(o.Threshold >= 0 && o.Threshold <= 100):
		return fmt.Errorf("bench: threshold %g: want 0 to 100 (0.1 is a tenth slower)", o.Threshold)
	case o.Resamples < 100 || o.Resamples > 1_000_000:
		return fmt.Errorf("bench: %d resamples: want 100 to 1000000", o.Resamples)
	}
	return nil
}

// How an interval was got.
const (
	ByRounds    = "rounds"    // bootstrap over the rounds of each run
	ByHistogram = "histogram" // bootstrap over the round trips of too few rounds: says nothing of what differs between rounds
	ByNothing   = "none"      // neither several rounds nor histograms
)

// Verdicts.
const (
	Slower    = "slower"    // by more than the threshold, and the interval is all on that side of 1
	Faster    = "faster"    // likewise
	Same      = "same"      // within the threshold, or the interval has 1 in it
	Undecided = "undecided" // there is no interval
	Loses     = "loses"     // B has lost messages, A none
)

// Comparison is one metric of one series in two runs.
type Comparison struct {
	Series
	Metric  string  `json:"metric"` // a percentile in us; rate: messages a second; lost: messages
	A       float64 `json:"a"`      // median of the rounds
	B       float64 `json:"b"`
	Ratio   float64 `json:"ratio"` // B over A; of a rate A over B: above 1 is slower
	Low     float64 `json:"low"`   // 95 % confidence interval of the ratio; 0: none
	High    float64 `json:"high"`
	RoundsA int     `json:"rounds_a"`
	RoundsB int     `json:"rounds_b"`
	Method  string  `json:"method"`
	Verdict string  `json:"verdict"`
}

// Worse says whether B is worse there by more than may be.
func (c *Comparison) Worse() bool { return c.Verdict == Slower || c.Verdict == Loses }

// Compared is what two runs have in common, and what they have not.
type Compared struct {
	List         []Comparison
	OnlyA, OnlyB []Series
}

// leastRounds is how many rounds a bootstrap over rounds wants of each run.
const leastRounds = 3

// Compare compares two runs, B with A.
func Compare(a, b []Row, o CompareOptions) (*Compared, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	c := &Compared{}
	byA, orderA := seriesRows(a)
	byB, orderB := seriesRows(b)
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	for _, s := range orderA {
		if byB[s] == nil {
			c.OnlyA = append(c.OnlyA, s)
			continue
		}
		list, err := compareSeries(s, byA[s], byB[s], &o, rng)
		if err != nil {
			return nil, fmt.Errorf("bench: %v: %w", s, err)
		}
		c.List = append(c.List, list...)
	}
	for _, s := range orderB {
		if byA[s] == nil {
			c.OnlyB = append(c.OnlyB, s)
		}
	}
	if len(c.List) == 0 {
		return nil, fmt.Errorf("bench: the two runs have no series in common: A has %v, B has %v", orderA, orderB)
	}
	return c, nil
}

// compareSeries compares all metrics of a series.
func compareSeries(s Series, a, b []Row, o *CompareOptions, rng *rand.Rand) (list []Comparison, err error) {
	base := Comparison{Series: s, RoundsA: len(a), RoundsB: len(b)}
	if lostA, lostB := lostOf(a), lostOf(b); lostA+lostB > 0 {
		c := base
		c.Metric, c.A, c.B, c.Method, c.Verdict = "lost", lostA, lostB, ByNothing, Same
		if lostA == 0 {
			c.Verdict = Loses
		}
		list = append(list, c)
	}
	if s.Scenario == rateScenario {
		c := base
		c.Metric = "rate"
		rate := func(r *Row) float64 { return r.Rate }
		c.settle(column(b, rate), column(a, rate), nil, nil, o, rng) // upside down: more is better
		c.A, c.B = c.B, c.A
		return append(list, c), nil
	}
	countsA, countsB, err := countsOfBoth(a, b)
	if err != nil {
		return nil, err
	}
	for _, metric := range o.Metrics {
		c := base
		c.Metric = metric
		get := metricOf(metric)
		c.settle(column(a, get), column(b, get), countsA, countsB, o, rng)
		list = append(list, c)
	}
	return list, nil
}

// countsOfBoth are the round trips of both runs, when either has too few rounds.
func countsOfBoth(a, b []Row) (countsA, countsB *counts, err error) {
	if len(a) >= leastRounds && len(b) >= leastRounds {
		return nil, nil, nil
	}
	if countsA, err = countsOf(a); err == nil {
		countsB, err = countsOf(b)
	}
	return countsA, countsB, err
}

func lostOf(rows []Row) (lost float64) {
	for i := range rows {
		lost += float64(rows[i].Lost)
	}
	return lost
}

func column(rows []Row, get func(*Row) float64) []float64 {
	values := make([]float64, len(rows))
	for i := range rows {
		values[i] = get(&rows[i])
	}
	return values
}

// metricOf says where a percentile is in a row.
func metricOf(name string) func(*Row) float64 {
	return map[string]func(*Row) float64{
		"min": func(r *Row) float64 { return r.MinUs }, "p50": func(r *Row) float64 { return r.P50Us },
		"p90": func(r *Row) float64 { return r.P90Us }, "p99": func(r *Row) float64 { return r.P99Us },
		"p999": func(r *Row) float64 { return r.P999Us }, "p9999": func(r *Row) float64 { return r.P9999Us },
		"max": func(r *Row) float64 { return r.MaxUs },
	}[name]
}

// settle finds ratio, interval and verdict from the rounds of both, or from all their round trips.
func (c *Comparison) settle(a, b []float64, countsA, countsB *counts, o *CompareOptions, rng *rand.Rand) {
	c.A, c.B = medianOf(slices.Clone(a)), medianOf(slices.Clone(b))
	c.Method, c.Verdict = ByNothing, Undecided
	if c.A <= 0 || c.B <= 0 {
		return
	}
	c.Ratio = thousandth(c.B / c.A)
	var ratios []float64
	q := metricQuantiles[c.Metric]
	switch {
	case len(a) >= leastRounds && len(b) >= leastRounds:
		c.Method, ratios = ByRounds, resampleRounds(a, b, o.Resamples, rng)
	case countsA != nil && countsB != nil && q > 0 && q < 100:
		c.Method, ratios = ByHistogram, resampleCounts(countsA, countsB, q/100, o.Resamples, rng)
	default:
		return
	}
	slices.Sort(ratios)
	c.Low, c.High = thousandth(ratios[len(ratios)/40]), thousandth(ratios[len(ratios)-1-len(ratios)/40])
	switch {
	case c.Ratio > 1+o.Threshold && c.Low > 1:
		c.Verdict = Slower
	case c.Ratio < 1/(1+o.Threshold) && c.High < 1:
		c.Verdict = Faster
	default:
		c.Verdict = Same
	}
}

func thousandth(v float64) float64 { return math.Round(v*1000) / 1000 }

// resampleRounds draws as many rounds as there are, with repetition, of either run, again and again: the ratios of the medians.
func resampleRounds(a, b []float64, n int, rng *rand.Rand) []float64 {
	ratios := make([]float64, n)
	drawn := make([]float64, max(len(a), len(b)))
	draw := func(of []float64) float64 {
		d := drawn[:len(of)]
		for i := range d {
			d[i] = of[rng.IntN(len(of))]
		}
		return medianOf(d)
	}
	for i := range ratios {
		ratios[i] = draw(b) / draw(a)
	}
	return ratios
}

// counts are round trips by length: sums[i] of them took at most values[i].
type counts struct {
	values []float64
	sums   []int64
}

// countsOf has the histograms of all rows; nil unless each has one.
func countsOf(rows []Row) (*counts, error) {
	all := NewHistogram()
	for i := range rows {
		h, err := DecodeHistogram(rows[i].Hist)
		if err != nil {
			return nil, err
		}
		if h == nil {
			return nil, nil
		}
		all.Merge(h)
	}
	return newCounts(all), nil
}

func newCounts(h *hdrhistogram.Histogram) *counts {
	c := &counts{}
	total := int64(0)
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			total += bar.Count
			c.values, c.sums = append(c.values, float64(bar.To)), append(c.sums, total)
		}
	}
	return c
}

// at is the length of the round trip of that rank, from 1.
func (c *counts) at(rank int64) float64 {
	i, _ := slices.BinarySearch(c.sums, rank)
	return c.values[min(i, len(c.values)-1)]
}

// resampleCounts draws as many round trips as there are, with repetition: how many of them are at or below the quantile is
// binomial, so that only that number has to be drawn to know which one the quantile of the sample is.
func resampleCounts(a, b *counts, q float64, n int, rng *rand.Rand) []float64 {
	ratios := make([]float64, n)
	draw := func(c *counts) float64 {
		total := c.sums[len(c.sums)-1]
		above := binomial(rng, total, 1-q)
		return c.at(max(1, total-above))
	}
	for i := range ratios {
		ratios[i] = draw(b) / draw(a)
	}
	return ratios
}

// binomial draws how many of n happen, each with a small probability p: by the gaps between them while they are few, else by
// the normal distribution that it is close to.
func binomial(rng *rand.Rand, n int64, p float64) int64 {
	mean := float64(n) * p
	if mean*(1-p) > 200 {
		x := math.Round(mean + math.Sqrt(mean*(1-p))*rng.NormFloat64())
		return int64(min(max(x, 0), float64(n)))
	}
	count := int64(0)
	for at := int64(0); ; count++ {
		gap := math.Floor(math.Log(1-rng.Float64()) / math.Log1p(-p))
		if at += int64(min(gap, float64(n))) + 1; at > n {
			return count
		}
	}
}
