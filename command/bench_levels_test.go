package command

import (
	"encoding/json"
	"strings"
	"testing"

	"lockstep/bench"
	"lockstep/internal/testnet"
)

// TestBenchLevels measures every level over every transport that is to be had, in one run with one table.
func TestBenchLevels(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	transports := "xdp,udp"
	if testnet.Available() != "" {
		transports = "udp"
		lockstep(t, "bench", "levels", "--lab", "--transports", "xdp").want(t, exitUsage, "--transports xdp")
	}
	r := lockstep(t, "bench", "levels", "--lab", "--transports", transports, "--commit", "replicated", "--dir", t.TempDir(),
		"--seconds", "0.1", "--warmup", "0", "--with-floor", "--json", "-")
	r.want(t, 0, "two-hop floor", "1 rounds; 3 nodes, commit replicated", "0 messages lost")
	for _, one := range strings.Split(transports, ",") {
		r.want(t, 0, one+" ")
	}
	seen := map[string]int{}
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[row.Transport+" "+row.Level]++
		if row.Acked == 0 || row.Lost != 0 || row.Level != "" && row.RatioP50 <= 0 {
			t.Errorf("%s", line)
		}
	}
	for _, one := range strings.Split(transports, ",") {
		for _, level := range bench.LevelNames {
			if seen[one+" "+level.String()] != 1 {
				t.Errorf("%d rows of level %v over %s", seen[one+" "+level.String()], level, one)
			}
		}
	}
	lockstep(t, "bench", "levels", "--transports", "udp").want(t, exitUsage, "--lab")
	lockstep(t, "bench", "levels", "--lab", "--transports", "udp,udp").want(t, exitUsage, "--transports")
}
