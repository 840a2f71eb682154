package bench

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// ScalingFigures are a point of a scaling measurement, or what was fitted to all of them.
type ScalingFigures struct {
	Over    string     `json:"over"`              // what there was more and more of: clients, or groups (clusters side by side)
	N       int        `json:"n,omitempty"`       // so many
	Points  []Scaled   `json:"points,omitempty"`  // of a fit: what it was made of
	Amdahl  *LawFitted `json:"amdahl,omitempty"`  // nil for a point
	USL     *LawFitted `json:"usl,omitempty"`     // the Universal Scalability Law
	Clients int        `json:"clients,omitempty"` // of each group
}

// Scaled is the throughput of so many.
type Scaled struct {
	N      int     `json:"n"`
	PerSec float64 `json:"per_sec"`
}

// leastSigma is the least contention that points of a measurement tell from none.
const leastSigma = 1e-6

// LawFitted is a law of scaling with the parameters that fit best:
//
//	X(n) = lambda n / (1 + sigma (n-1) + kappa n (n-1))
//
// in which Amdahl's law has kappa 0: lambda is the throughput of one, sigma the part of the work that only one can do at a time
// (contention), kappa what keeping each two of a kind costs (coherence).
type LawFitted struct {
	Lambda float64 `json:"lambda"` // messages a second
	Sigma  float64 `json:"sigma"`
	Kappa  float64 `json:"kappa"`
	R2     float64 `json:"r2"`              // the part of the points' variance that the law explains; 1: all of it
	PeakN  float64 `json:"peak_n"`          // where throughput is largest; 0: it grows for ever
	Most   float64 `json:"most_per_sec"`    // throughput there, or what it grows towards; 0: without bound
	Worst  float64 `json:"worst_error_pct"` // the largest distance of a point from the law, in per cent of the point
}

// At is the throughput of n.
func (l *LawFitted) At(n float64) float64 {
	return l.Lambda * n / (1 + l.Sigma*(n-1) + l.Kappa*n*(n-1))
}

// errFit says that points do not determine a law.
var errFit = errors.New("bench: a fit wants throughput above 0 at three numbers of clients or groups at the least")

// FitAmdahl fits Amdahl's law to points, by least squares.
func FitAmdahl(points []Scaled) (*LawFitted, error) { return fitLaw(points, false) }

// FitUSL fits the Universal Scalability Law to points, by least squares.
func FitUSL(points []Scaled) (*LawFitted, error) { return fitLaw(points, true) }

// fitLaw minimizes the sum of squared distances in throughput. With sigma and kappa given the best lambda is known, so that only
// those two are searched for: on a grid by their size, as both may be tiny and matter, and then by a simplex (Nelder and Mead) that
// begins anew from where it ends, until that helps no more.
func fitLaw(points []Scaled, coherence bool) (*LawFitted, error) {
	different := map[int]bool{}
	for _, p := range points {
		if p.N < 1 || !(p.PerSec > 0) || math.IsInf(p.PerSec, 1) {
			return nil, errFit
		}
		different[p.N] = true
	}
	if len(different) < 3 {
		return nil, errFit
	}
	f := &fitting{points: points, coherence: coherence, least: math.Inf(1)}
	sizes := []float64{0}
	for x := 1e-9; x <= 1; x *= 2 {
		sizes = append(sizes, x)
	}
	for _, sigma := range sizes {
		for _, kappa := range sizes {
			f.try([2]float64{sigma, kappa})
		}
	}
	for before := math.Inf(1); f.least < before*(1-1e-9); {
		before = f.least
		f.simplex()
	}
	f.best.judge(points, f.least)
	return &f.best, nil
}

// fitting is a fit under way.
type fitting struct {
	points    []Scaled
	coherence bool
	best      LawFitted
	least     float64
}

// try is the sum of squares with a sigma and a kappa, within their bounds, and the best lambda.
func (f *fitting) try(at [2]float64) float64 {
	law := LawFitted{Lambda: 1, Sigma: min(1, max(0, at[0])), Kappa: min(1, max(0, at[1]))}
	if !f.coherence {
		law.Kappa = 0
	}
	above, below := 0.0, 0.0
	for _, p := range f.points {
		x := law.At(float64(p.N))
		above, below = above+x*p.PerSec, below+x*x
	}
	law.Lambda = above / below
	squares := law.squares(f.points)
	if squares < f.least {
		f.best, f.least = law, squares
	}
	return squares
}

// corner is one of a simplex.
type corner struct {
	at      [2]float64
	squares float64
}

// simplex walks downhill from the best so far.
func (f *fitting) simplex() {
	here := [2]float64{f.best.Sigma, f.best.Kappa}
	corners := make([]corner, 0, 3)
	for _, by := range [][2]float64{{0, 0}, {here[0]/4 + 1e-5, 0}, {0, here[1]/4 + 1e-7}} {
		at := [2]float64{here[0] + by[0], here[1] + by[1]}
		corners = append(corners, corner{at, f.try(at)})
	}
	for range 400 {
		slices.SortFunc(corners, func(a, b corner) int { return cmp.Compare(a.squares, b.squares) })
		worst := &corners[2]
		// along the line from the worst corner through the middle of the others: by is how far, 1 being the middle
		move := func(by float64) corner {
			var at [2]float64
			for i := range at {
				middle := (corners[0].at[i] + corners[1].at[i]) / 2
				at[i] = worst.at[i] + by*(middle-worst.at[i])
			}
			return corner{at, f.try(at)}
		}
		reflected := move(2)
		if reflected.squares < corners[0].squares {
			if further := move(3); further.squares < reflected.squares {
				reflected = further
			}
		} else if reflected.squares >= corners[1].squares {
			reflected = move(0.5)
		}
		if reflected.squares < worst.squares {
			*worst = reflected
			continue
		}
		for i := 1; i < 3; i++ { // nothing helps: closer around the best
			for k := range corners[i].at {
				corners[i].at[k] = (corners[0].at[k] + corners[i].at[k]) / 2
			}
			corners[i].squares = f.try(corners[i].at)
		}
	}
}

// squares is the sum of squared distances.
func (l *LawFitted) squares(points []Scaled) (sum float64) {
	for _, p := range points {
		d := p.PerSec - l.At(float64(p.N))
		sum += d * d
	}
	return sum
}

// judge says how well a law fits, and where it peaks.
func (l *LawFitted) judge(points []Scaled, squares float64) {
	mean, total := 0.0, 0.0
	for _, p := range points {
		mean += p.PerSec / float64(len(points))
	}
	for _, p := range points {
		total += (p.PerSec - mean) * (p.PerSec - mean)
		l.Worst = math.Max(l.Worst, 100*math.Abs(p.PerSec-l.At(float64(p.N)))/p.PerSec)
	}
	if l.R2 = 1; total > 1e-12*mean*mean { // points that are all the same are explained by any
		l.R2 = 1 - squares/total
	}
	switch {
	case l.Kappa > 0:
		l.PeakN = math.Sqrt((1 - l.Sigma) / l.Kappa)
		l.Most = l.At(math.Max(1, l.PeakN))
	case l.Sigma >= leastSigma:
		l.Most = l.Lambda / l.Sigma
	}
	l.Lambda, l.Most, l.PeakN, l.Worst = round(l.Lambda), round(l.Most), round(l.PeakN), round(l.Worst)
	l.R2 = math.Round(l.R2*1e6) / 1e6
}

// SideBySide makes one row of those of clusters that were measured at the same time, one each: what they did together.
func SideBySide(clusters [][]Row) (Row, error) {
	if len(clusters) == 0 || slices.ContainsFunc(clusters, func(rows []Row) bool { return len(rows) != 1 }) {
		return Row{}, errors.New("bench: want a row of each cluster")
	}
	var rows []Row
	for _, c := range clusters {
		rows = append(rows, c[0])
	}
	sum := rows[0]
	sum.Timeline, sum.Marks = nil, nil
	for i := range rows[1:] {
		r := &rows[i+1]
		sum.Sent, sum.Acked, sum.Lost = sum.Sent+r.Sent, sum.Acked+r.Acked, sum.Lost+r.Lost
		sum.Duplicated, sum.Reordered = sum.Duplicated+r.Duplicated, sum.Reordered+r.Reordered
		sum.PerSec, sum.Rate = sum.PerSec+r.PerSec, sum.Rate+r.Rate
		sum.Clients, sum.GCCycles = sum.Clients+r.Clients, sum.GCCycles+r.GCCycles
		sum.StealPct = max(sum.StealPct, r.StealPct)
	}
	all, err := DecodeHistogram(mergedHistogram(rows))
	if err != nil || all == nil {
		return sum, errors.Join(err, errors.New("bench: a row has no histogram"))
	}
	sum.SetTimes(all)
	return sum, nil
}
