package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
	"lockstep/tuning/jitter"
)

func TestJitterIsToldForEveryCore(t *testing.T) {
	cores, err := jitter.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	lockstep(t, "tune", "jitter", "--seconds", "0.1").want(t, 0, "pauses/s", "pauses by length", "core 0")
	got := lockstep(t, "tune", "jitter", "--seconds", "0.1", "--threshold", "5us", "--json")
	got.want(t, 0)
	var report jitter.Report
	if err := json.Unmarshal([]byte(got.out), &report); err != nil || len(report.Cores) != len(cores) {
		t.Fatalf("%d cores of %d: %v\n%s", len(report.Cores), len(cores), err, got.out)
	}
	if report.Signals || report.Cores[0].ThresholdUs != 5 {
		t.Errorf("with preemption signals: %v, threshold %v us", report.Signals, report.Cores[0].ThresholdUs)
	}
}

func TestBenchJitterWritesARowForEachCoreAndRound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "jitter.json")
	lockstep(t, "bench", "jitter", "--core", "0", "--seconds", "0.1", "--rounds", "2", "--json", file).want(t, 0,
		"core 0", "jitter-median")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var scenarios []string
	for line := range strings.Lines(string(text)) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		scenarios = append(scenarios, row.Scenario)
		if row.Jitter == nil || row.Jitter.Core != 0 || row.Jitter.ThresholdUs <= 0 || row.NICDriver != "none" {
			t.Errorf("row %s", line)
		}
	}
	if got := strings.Join(scenarios, " "); got != "jitter jitter jitter-median" {
		t.Errorf("rows %s", got)
	}
}

func TestJitterRefusesWhatItCannotMeasure(t *testing.T) {
	lockstep(t, "tune", "jitter", "--core", "99999").want(t, exitUsage, "core 99999 is none of")
	lockstep(t, "tune", "jitter", "--seconds", "0").want(t, exitUsage, "measured time 0s")
	lockstep(t, "bench", "jitter", "--rounds", "0").want(t, exitUsage, "--rounds 0")
	lockstep(t, "bench", "jitter", "--threshold", "-1us").want(t, exitUsage, "threshold -1µs")
}
