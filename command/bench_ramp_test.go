package command

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
)

// benchRows are the JSON lines that a command printed.
func benchRows(t *testing.T, out string) (rows []bench.Row) {
	t.Helper()
	for line := range strings.Lines(out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		rows = append(rows, row)
	}
	return rows
}

// TestBenchRamp has clients arrive twice at a lab.
func TestBenchRamp(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	recorded := filepath.Join(t.TempDir(), "flow.csv")
	lockstep(t, "bench", "flow", "--write", recorded, "--messages", "500", "--users", "20").want(t, 0)
	r := lockstep(t, "bench", "ramp", "--flow-file", recorded, "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--clients", "6",
		"--every", "300ms", "--steps", "2", "--rate-each", "50", "--conflation", "on", "--json", "-")
	r.want(t, 0, "ramp-conflated", "12 clients", "step 2")
	rows := benchRows(t, r.out)
	if len(rows) != 2 {
		t.Fatalf("%d rows, want 2 steps", len(rows))
	}
	for i, row := range rows {
		if want := 6 * (i + 1); row.Clients != want || row.Rate != float64(50*want) || row.Ramp == nil || row.Ramp.Step != i+1 ||
			row.Acked == 0 || row.FlowFile != "flow.csv" || row.Lost != 0 || row.Nodes != 3 || row.Hist == "" {
			t.Errorf("%+v", row)
		}
	}
	for _, bad := range []string{"--clients 0", "--steps 0", "--conflation maybe", "--every 0s", "--with-floor", "--clients 9000"} {
		lockstep(t, append([]string{"bench", "ramp", "--lab"}, strings.Fields(bad)...)...).want(t, exitUsage, "usage: ")
	}
	lockstep(t, "bench", "ramp").want(t, exitUsage, "--at")
}
