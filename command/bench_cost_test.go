package command

import (
	"strings"
	"testing"
)

// TestBenchCost measures what the processes of a lab take.
func TestBenchCost(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "cost", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--rates", "1000",
		"--clients", "2", "--seconds", "0.5", "--warmup", "0", "--json", "-")
	r.want(t, 0, "s a million messages", "leader", "follower", "client", "nodes together")
	rows := benchRows(t, r.out)
	if len(rows) != 1 {
		t.Fatalf("%d rows of one rate", len(rows))
	}
	row := rows[0]
	if row.Scenario != "cost" || row.Rate != 1000 || row.Clients != 2 || row.Acked < 400 || row.Lost != 0 || row.Cost == nil {
		t.Fatalf("%+v", row)
	}
	if p := row.Cost.Processes; len(p) != 4 || p[0].Name != "leader" || p[0].PerMillion <= 0 || p[3].Name != "client" || p[3].PerMillion <= 0 ||
		row.Cost.Nodes.PerMillion < p[0].PerMillion {
		t.Errorf("%+v", *row.Cost)
	}
	for _, bad := range []string{"--rates 0", "--clients 0", "--pid a=1", "--with-floor"} {
		lockstep(t, append([]string{"bench", "cost", "--lab"}, strings.Fields(bad)...)...).want(t, exitUsage, "usage: ")
	}
	lockstep(t, "bench", "cost", "--pid", "leader").want(t, exitUsage, "NAME=PID")
}
