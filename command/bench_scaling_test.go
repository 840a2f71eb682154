package command

import (
	"strings"
	"testing"
)

// TestBenchScaling measures clients on one cluster, and clusters side by side, and fits both.
func TestBenchScaling(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "scaling", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--nodes", "1", "--clients",
		"1,2,3", "--groups", "1,2", "--group-clients", "2", "--seconds", "0.2", "--warmup", "0", "--json", "-")
	r.want(t, 0, "Amdahl", "USL", "R2", "2 clusters side by side", "no law for groups")
	rows := benchRows(t, r.out)
	if len(rows) != 6 {
		t.Fatalf("%d rows, want 3 points, their law, and 2 points", len(rows))
	}
	for i, row := range rows {
		s := row.Scaling
		if i == 3 {
			if row.Scenario != "scaling-fit" || s == nil || len(s.Points) != 3 || s.Amdahl == nil || s.USL == nil || s.USL.Lambda <= 0 {
				t.Errorf("%+v", row)
			}
			continue
		}
		if want := []int{1, 2, 3, 0, 1, 2}[i]; s == nil || s.N != want || row.PerSec <= 0 || row.Lost != 0 ||
			row.Clients != []int{1, 2, 3, 0, 2, 4}[i] {
			t.Errorf("row %d: %+v", i, row)
		}
	}
	for _, bad := range []string{"--clients 0 --groups 0", "--clients -1", "--clients 0,1", "--groups 17", "--in-flight 0", "--in-flight 300", "--with-floor"} {
		lockstep(t, append([]string{"bench", "scaling", "--lab"}, strings.Fields(bad)...)...).want(t, exitUsage, "usage: ")
	}
	lockstep(t, "bench", "scaling", "--groups", "2").want(t, exitUsage, "--groups needs --lab")
}
