package command

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/bench"
)

// TestBenchSessions has a session measured alone and beside others, and then a storm of them.
func TestBenchSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "sessions", "--open", "1,60", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(),
		"--seconds", "0.2", "--warmup", "0", "--storm", "--storm-rate", "200", "--json", "-")
	r.want(t, 0, "60 sessions: leader", "storm of 59 sessions")
	seen := map[string]bench.Row{}
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name := row.Scenario
		if m := row.Memory; m != nil && m.Sessions == 60 {
			name += " beside"
		}
		seen[name] = row
	}
	alone, beside := seen["sessions"], seen["sessions beside"]
	if alone.Clients != 1 || beside.Clients != 60 || alone.Lost+beside.Lost != 0 || beside.Acked == 0 || beside.P50Us == 0 {
		t.Errorf("alone %+v, beside others %+v", alone, beside)
	}
	if m := beside.Memory; m == nil || m.LeaderResident == 0 || m.FollowerResident == 0 || m.LeaderHeap == 0 || m.OpenedPerSec == 0 {
		t.Errorf("memory %+v", m)
	}
	for _, phase := range []string{"storm-before", "storm-during", "storm-after"} {
		row := seen[phase]
		if s := row.Storm; s == nil || s.Sessions != 59 || s.Closed != 0 || s.Unanswered+s.Wrong != 0 || s.OutageMs < 50 ||
			s.AllMs < s.FirstMs || s.PeakPerSec == 0 || row.Lost != 0 || row.Clients != 60 {
			t.Errorf("%s: %+v, %+v", phase, row, s)
		}
	}
	for _, bad := range []string{"--open 0", "--open 20000", "--storm --open 1", "--storm --nodes 1", "--storm --storm-rate 1"} {
		lockstep(t, append([]string{"bench", "sessions"}, strings.Fields(bad)...)...).want(t, exitUsage, "--")
	}
}
