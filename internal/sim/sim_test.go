package sim

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

// run runs a seed and shows its last events when it fails.
func run(t *testing.T, seed uint64) *Result { t.Helper(); return runWith(t, seed, Draw(seed)) }

func runWith(t *testing.T, seed uint64, o Options) *Result {
	t.Helper()
	r := RunWith(seed, o)
	if r.Failure != nil {
		var trace bytes.Buffer
		r.Trace(&trace, 30)
		t.Errorf("seed %d: %v\nmake sim SEED=%d\n%s", seed, r.Failure, seed, trace.String())
	}
	return r
}

func TestPinnedSeedsStayFixed(t *testing.T) {
	f, err := os.Open("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if fields := strings.Fields(text); len(fields) > 0 {
			seed, err := strconv.ParseUint(fields[0], 10, 64)
			if err != nil {
				t.Fatalf("testdata/seeds.txt: %v", err)
			}
			profile := ProfileAny
			if len(fields) > 1 {
				profile, _ = ParseProfile(fields[1])
			}
			runWith(t, seed, DrawAs(seed, profile))
		}
	}
}

func TestSameSeedGivesSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 8; seed++ {
		first, second := run(t, seed), run(t, seed)
		if first.Hash != second.Hash || first.Counts != second.Counts {
			t.Errorf("seed %d: hash %016x after %d events, then %016x after %d",
				seed, first.Hash, first.Counts.Events, second.Hash, second.Counts.Events)
		}
	}
	if Run(1).Hash == Run(2).Hash {
		t.Error("two seeds give the same run")
	}
}

func TestFreshSeeds(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	totals := Campaign{From: 100, Seeds: seeds, Workers: 2}.Run()
	for _, r := range totals.Failed {
		run(t, r.Seed)
	}
	if totals.Counts.Committed == 0 || totals.Counts.Leaders < uint64(seeds) {
		t.Errorf("%d records committed, %d leaders in %d seeds: the worlds do nothing",
			totals.Counts.Committed, totals.Counts.Leaders, seeds)
	}
}
