package bench

import (
	"math"
	"math/rand/v2"
	"testing"
)

// pointsOf are what a law gives, off by up to so much.
func pointsOf(law LawFitted, off float64, numbers ...int) (points []Scaled) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range numbers {
		points = append(points, Scaled{N: n, PerSec: law.At(float64(n)) * (1 + off*(2*rng.Float64()-1))})
	}
	return points
}

func near(got, want, part float64) bool { return math.Abs(got-want) <= part*want+1e-9 }

// A law is found again in what it gives, whichever of its parts matter.
func TestFitsFindTheLawAgain(t *testing.T) {
	numbers := []int{1, 2, 4, 8, 16, 32}
	for _, law := range []LawFitted{
		{Lambda: 20_000, Sigma: 0.2}, {Lambda: 1000, Sigma: 0.01}, {Lambda: 5, Sigma: 0.9},
		{Lambda: 20_000, Sigma: 0.05, Kappa: 0.001}, {Lambda: 995.65, Sigma: 0.02671591, Kappa: 0.0007690945},
		{Lambda: 300, Sigma: 0.5, Kappa: 0.05}, {Lambda: 1e5, Kappa: 0.002}, {Lambda: 7},
	} {
		got, err := FitUSL(pointsOf(law, 0, numbers...))
		if err != nil {
			t.Fatal(err)
		}
		if !near(got.Lambda, law.Lambda, 0.005) || math.Abs(got.Sigma-law.Sigma) > 0.005 || math.Abs(got.Kappa-law.Kappa) > 2e-4 ||
			got.R2 < 0.9999 || got.Worst > 1 {
			t.Errorf("%+v: found %+v", law, *got)
		}
		if law.Kappa > 0 && !near(got.PeakN, math.Sqrt((1-law.Sigma)/law.Kappa), 0.05) {
			t.Errorf("%+v: peak at %g", law, got.PeakN)
		}
		if law.Kappa > 0 {
			continue
		}
		if got, err = FitAmdahl(pointsOf(law, 0, numbers...)); err != nil || !near(got.Lambda, law.Lambda, 0.005) ||
			math.Abs(got.Sigma-law.Sigma) > 0.005 || got.Kappa != 0 || got.R2 < 0.9999 {
			t.Errorf("%+v: Amdahl found %+v (%v)", law, got, err)
		}
	}
}

// Points that are off by some per cent give nearly the same law, and no law fits better than the one found.
func TestFitIsTheLeastSquares(t *testing.T) {
	law := LawFitted{Lambda: 20_000, Sigma: 0.08, Kappa: 0.002}
	points := pointsOf(law, 0.03, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
	got, err := FitUSL(points)
	if err != nil {
		t.Fatal(err)
	}
	if !near(got.Lambda, law.Lambda, 0.1) || !near(got.Sigma, law.Sigma, 0.4) || !near(got.Kappa, law.Kappa, 0.4) || got.R2 < 0.9 {
		t.Errorf("found %+v", *got)
	}
	least := got.squares(points)
	for _, by := range []float64{0.98, 1.02} {
		for _, other := range []LawFitted{{Lambda: got.Lambda * by, Sigma: got.Sigma, Kappa: got.Kappa},
			{Lambda: got.Lambda, Sigma: got.Sigma * by, Kappa: got.Kappa}, {Lambda: got.Lambda, Sigma: got.Sigma, Kappa: got.Kappa * by}} {
			if other.squares(points) < least {
				t.Errorf("%+v fits better than %+v", other, *got)
			}
		}
	}
	amdahl, err := FitAmdahl(points)
	if err != nil || amdahl.squares(points) < least {
		t.Errorf("Amdahl %+v fits better than the law that has it within (%v)", amdahl, err)
	}
}

func TestFitRefusesWhatDeterminesNothing(t *testing.T) {
	for _, points := range [][]Scaled{nil, {{1, 10}, {2, 20}}, {{1, 10}, {1, 11}, {2, 20}}, {{0, 1}, {1, 10}, {2, 20}},
		{{1, 10}, {2, 0}, {3, 20}}, {{1, 10}, {2, math.NaN()}, {3, 20}}, {{1, 10}, {2, math.Inf(1)}, {3, 20}}} {
		if law, err := FitUSL(points); err == nil {
			t.Errorf("%v: %+v", points, *law)
		}
	}
}

// What scales backwards is no contention beyond what the law can say: the fit stays within its bounds.
func TestFitStaysWithinBounds(t *testing.T) {
	for _, points := range [][]Scaled{{{1, 100}, {2, 300}, {4, 900}}, {{1, 100}, {2, 10}, {4, 1}, {8, 1}}, {{1, 50}, {2, 50}, {4, 50}}} {
		for _, fit := range []func([]Scaled) (*LawFitted, error){FitAmdahl, FitUSL} {
			law, err := fit(points)
			if err != nil || law.Sigma < 0 || law.Sigma > 1 || law.Kappa < 0 || law.Kappa > 1 || math.IsNaN(law.R2) || law.R2 > 1 {
				t.Errorf("%v: %+v (%v)", points, law, err)
			}
		}
	}
}
