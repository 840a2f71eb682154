package command

import (
	"strings"
	"testing"
)

// TestBenchSweep measures a short message and one of several datagrams in both loops, on one cluster.
func TestBenchSweep(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "sweep", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--payloads", "125,20000",
		"--bursts", "1,4", "--rate", "200", "--seconds", "0.2", "--warmup", "0", "--json", "-")
	r.want(t, 0, "MB/s", "20000")
	rows := benchRows(t, r.out)
	if len(rows) != 6 {
		t.Fatalf("%d rows, want 2 payloads, 3 ways to send each", len(rows))
	}
	for i, row := range rows {
		loop, burst := "open", []int{1, 1, 4}[i%3]
		if i%3 == 0 {
			loop = "closed"
		}
		if row.Scenario != "sweep" || row.Payload != []int{125, 20000}[i/3] || row.Loop != loop || row.Burst != burst || row.Acked == 0 ||
			row.Lost != 0 || row.Window != []int{256, 26}[i/3] {
			t.Errorf("row %d: %+v", i, row)
		}
	}
	for _, bad := range []string{"--payloads 70000", "--payloads -1", "--bursts 0", "--loop half", "--flow orders", "--with-floor"} {
		lockstep(t, append([]string{"bench", "sweep", "--lab"}, strings.Fields(bad)...)...).want(t, exitUsage, "usage: ")
	}
}
