package main

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/bench"
)

// TestBenchFailover kills a leader and has leaders hand over, in a lab of real processes: every outage is counted, and what
// was acknowledged is in the journals.
func TestBenchFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	r := lockstep(t, "bench", "failover", "--kills", "1", "--transfers", "3", "--calm", "0.3", "--commit", "replicated",
		"--transport", "udp", "--rate", "200", "--timeout-min", "150", "--timeout-max", "250", "--heartbeat", "20",
		"--dir", t.TempDir(), "--json", "-")
	r.want(t, 0, "kill 1 of 1", "acknowledged and not in a majority's journals: 0", "election time-out 150 to 250 ms")
	events := map[string]int{}
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events[row.Scenario] = row.Events
		if row.ElectionMin != 150 || row.ElectionMax != 250 || row.Heartbeat != 20 || row.MaxUs < row.P50Us || row.Lost != 0 {
			t.Errorf("%+v", row)
		}
		if row.Scenario == "failover-kill" && row.MinUs < 50e3 {
			t.Errorf("a killed leader was replaced within %v us: before anybody could know", row.MinUs)
		}
	}
	for scenario, want := range map[string]int{"failover-calm": 3, "failover-kill": 1, "failover-transfer": 3,
		"failover-transfer-by-leader": 3} {
		if events[scenario] != want {
			t.Errorf("%d events in %s, want %d", events[scenario], scenario, want)
		}
	}
	lockstep(t, "bench", "failover", "--timeout-min", "10").want(t, exitUsage, "timeout_min_ms")
}
