package command

import (
	"encoding/json"
	"fmt"
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

// TestBenchFloor measures what needs no network twice, with the medians behind.
func TestBenchFloor(t *testing.T) {
	r := lockstep(t, "bench", "floor", "--floors", "disk,spsc", "--rounds", "2", "--seconds", "0.05", "--nodes", "2", "--dir", t.TempDir(),
		"--json", "-")
	r.want(t, 0, "floor-spsc", "1 at once", "2 at once")
	seen := map[string]int{}
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[fmt.Sprint(row.Scenario, " ", row.Clients)]++
		if row.Scenario == "floor-disk" && (row.P50Us <= 0 || row.Sync == "" || row.DirFS == "" || row.Acked == 0) {
			t.Errorf("%s", line)
		}
	}
	for scenario, want := range map[string]int{"floor-spsc 1": 2, "floor-disk 1": 2, "floor-disk 2": 2, "floor-spsc-median 1": 1,
		"floor-disk-median 1": 1, "floor-disk-median 2": 1} {
		if seen[scenario] != want {
			t.Errorf("%d rows of %s, want %d", seen[scenario], scenario, want)
		}
	}
	lockstep(t, "bench", "floor", "--floors", "speed").want(t, exitUsage, "--floors")
}

// TestBenchStages: a run in which each message's stages are its round trip, or it would fail.
func TestBenchStages(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "rtt", "--lab", "--transport", "udp", "--commit", "durable", "--dir", t.TempDir(), "--seconds", "0.2",
		"--warmup", "0", "--stages", "--with-floor", "--json", "-")
	r.want(t, 0, "replicated", "round trip", "floor-disk")
	for line := range strings.Lines(r.out) {
		var row bench.Row
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if row.Scenario == "rtt" && (len(row.Stages) < 8 || row.Stages[1].Count != int64(row.Acked) || row.RatioP50 <= 0) {
			t.Errorf("%s", line)
		}
	}
}
