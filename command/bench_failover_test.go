package command

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/bench"
	"lockstep/internal/testnet"
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

// TestBenchFailoverWithSessionsAndCuts has several sessions with full windows while a leader is killed, and where the
// network can be cut, another one cut off: what all of them were told is audited.
func TestBenchFailoverWithSessionsAndCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	cuts := "1"
	if testnet.Available() != "" {
		cuts = "0"
		lockstep(t, "bench", "failover", "--cuts", "1").want(t, exitUsage, "--cuts")
	}
	r := lockstep(t, "bench", "failover", "--kills", "1", "--cuts", cuts, "--transfers", "1", "--calm", "0.2", "--commit",
		"replicated", "--transport", "udp", "--rate", "400", "--sessions", "4", "--in-flight", "32", "--payload", "64",
		"--dir", t.TempDir(), "--json", "-")
	r.want(t, 0, "4 sessions", "128 of 128 messages", "linearizable: true")
	events := map[string]int{}
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		events[row.Scenario] = row.Events
		a := row.Audit
		if a == nil || !a.Holds() || a.Sessions != 4 || a.InFlight != 128 || a.Messages != row.Sent || row.Clients != 4 ||
			row.Window != 32 || uint64(a.Operations) != row.Sent {
			t.Errorf("%s: audit %+v", line, a)
		}
	}
	if events["failover-kill"] != 1 || events["failover-transfer"] != 1 || events["failover-calm-full"] != 2 ||
		cuts == "1" && events["failover-cut"] != 1 {
		t.Errorf("events %v", events)
	}
	for _, bad := range []string{"--sessions 0", "--in-flight 5000", "--kills -1", "--payload 8", "--sessions 50 --rate 200"} {
		lockstep(t, append([]string{"bench", "failover"}, strings.Fields(bad)...)...).want(t, exitUsage, "")
	}
}
