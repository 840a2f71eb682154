package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
)

// rowsFile writes rows of so many rounds.
func rowsFile(t *testing.T, p50 float64, rounds int) string {
	t.Helper()
	var text strings.Builder
	for i := range rounds {
		r := bench.Row{Scenario: "rtt", Transport: "xdp", Level: "applied", Loop: "closed", Payload: 200, P50Us: p50 + float64(i)/10,
			P90Us: 2 * p50, P99Us: 3 * p50, Host: fmt.Sprint("host ", rounds)}
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "rows.json")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBenchCompareTellsBySlowerRunsExitCode(t *testing.T) {
	usual, slow, more := rowsFile(t, 30, 5), rowsFile(t, 40, 5), rowsFile(t, 30, 6)
	lockstep(t, "bench", "compare", usual, usual).want(t, 0, "p50", "same", "rtt xdp applied closed 200 B, 5 and 5 rounds")
	lockstep(t, "bench", "compare", slow, usual).want(t, 0, "faster")
	lockstep(t, "bench", "compare", usual, more).want(t, 0, "different hosts")
	lockstep(t, "bench", "compare", usual, slow).want(t, exitFailed, "slower", "in 3 of 3 comparisons")
	lockstep(t, "bench", "compare", usual, slow, "--threshold", "0.5").want(t, 0, "same")
	r := lockstep(t, "bench", "compare", usual, slow, "--percentiles", "p99", "--json", "-")
	r.want(t, exitFailed, "in 1 of 1 comparisons")
	var c bench.Comparison
	if err := json.Unmarshal([]byte(r.out), &c); err != nil || c.Metric != "p99" || c.Ratio != 1.333 || c.Verdict != bench.Slower ||
		c.Method != bench.ByRounds || c.RoundsB != 5 || c.Transport != "xdp" {
		t.Errorf("%s: %v", r.out, err)
	}
	lockstep(t, "bench", "compare", usual).want(t, exitUsage)
	lockstep(t, "bench", "compare", usual, usual+"none").want(t, exitUsage, "no such file")
	lockstep(t, "bench", "compare", usual, usual, "--percentiles", "p42").want(t, exitUsage, "p42", "p50")
	lockstep(t, "bench", "compare", usual, usual, "--threshold", "-1").want(t, exitUsage, "threshold")
}

func TestBenchFlowMakesUpWhatItReads(t *testing.T) {
	dir := t.TempDir()
	for _, format := range []string{"csv", "itch"} {
		path := filepath.Join(dir, "day."+format)
		lockstep(t, "bench", "flow", "--write", path, "--format", format, "--messages", "2000").want(t, 0, "2000 messages", format)
		lockstep(t, "bench", "flow", path).want(t, 0, "day."+format+": "+format, "new orders", "messages a second", "SMPL1")
	}
	bad := filepath.Join(dir, "bad.csv")
	if err := os.WriteFile(bad, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "bench", "flow", bad).want(t, exitUsage, "bad.csv", "line 1", `no column "time"`)
	lockstep(t, "bench", "flow").want(t, exitUsage, "--write FILE")
	lockstep(t, "bench", "flow", "--write", filepath.Join(dir, "x"), "--messages", "-5").want(t, exitUsage, "want 1 to")
	lockstep(t, "bench", "rtt", "--lab", "--flow-file", bad).want(t, exitUsage, "--flow-file", "line 1")
	lockstep(t, "bench", "rtt", "--lab", "--flow", "recorded").want(t, exitUsage, "want a file")
	day := filepath.Join(dir, "day.csv")
	lockstep(t, "bench", "rtt", "--lab", "--flow-file", day, "--flow-speed", "1").want(t, exitUsage, "open loop")
	lockstep(t, "bench", "rtt", "--lab", "--flow-file", day, "--flow", "orders").want(t, exitUsage, "one of them")
	lockstep(t, "bench", "throughput", "--lab", "--flow-file", day, "--flow-speed", "1").want(t, exitUsage, "--flow-speed")
}

// TestBenchPlaysARecordedFlow plays one to a cluster of real processes.
func TestBenchPlaysARecordedFlow(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	dir := t.TempDir()
	day, plots := filepath.Join(dir, "day.itch"), filepath.Join(dir, "plots")
	lockstep(t, "bench", "flow", "--write", day, "--format", "itch", "--messages", "3000", "--rate", "1000").want(t, 0)
	r := lockstep(t, "bench", "rtt", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--flow-file", day,
		"--loop", "open", "--flow-speed", "0.5", "--seconds", "0.5", "--warmup", "0", "--behind", "5", "--hgrm", plots, "--json", "-")
	r.want(t, 0, "rtt")
	var row bench.Row
	if err := json.Unmarshal([]byte(r.out), &row); err != nil {
		t.Fatalf("%q: %v", r.out, err)
	}
	if row.Flow != "recorded" || row.FlowFile != "day.itch" || row.FlowSpeed != 0.5 || row.Rate < 250 || row.Rate > 600 || row.Lost != 0 ||
		row.Acked < 100 || row.Rejected != 0 {
		t.Errorf("%+v", row)
	}
	if files, err := filepath.Glob(filepath.Join(plots, "rtt-udp-*-recorded-day.itch.hgrm")); err != nil || len(files) != 1 {
		t.Errorf("files of percentiles: %v, %v", files, err)
	}
}
