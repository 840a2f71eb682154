package command

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/bench"
)

// TestBenchThroughput finds a rate between two that it is given, on a cluster of real processes: a line for each tried, and the
// largest sustained at the end.
func TestBenchThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "throughput", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--rate", "400",
		"--max-rate", "800", "--p99-limit", "5s", "--seconds", "0.2", "--warmup", "0", "--json", "-")
	r.want(t, 0, "throughput-max")
	var rows []bench.Row
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, row)
	}
	if len(rows) < 2 || rows[0].Rate != 400 || rows[0].Burst != 20 || rows[0].P99Us <= 0 || rows[0].Nodes != 3 {
		t.Fatalf("%+v", rows)
	}
	best := rows[len(rows)-1]
	if best.Scenario != "throughput-max" || best.Rate < 400 || best.Lost != 0 || best.Acked == 0 {
		t.Errorf("%+v", best)
	}
	for _, row := range rows[:len(rows)-1] {
		if row.Scenario != "throughput" || row.Rate > 800 {
			t.Errorf("%+v", row)
		}
	}
	lockstep(t, "bench", "throughput", "--lab", "--rate", "100", "--max-rate", "50").want(t, exitUsage, "--max-rate")
	lockstep(t, "bench", "throughput", "--lab", "--with-floor").want(t, exitUsage, "--with-floor")
}
