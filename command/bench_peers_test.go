package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
)

// TestPeersTableHasTheMediansOfAllRuns: rows of several files come together, and what did not keep up has no figure.
func TestPeersTableHasTheMediansOfAllRuns(t *testing.T) {
	row := func(system string, p50 float64, lost uint64) bench.Row {
		return bench.Row{Scenario: "peers", System: system, Commit: "durable", Loop: "open", Rate: 10000, Burst: 20, Payload: 200,
			Sent: 10, Acked: 10 - lost, Lost: lost, P50Us: p50, P99Us: 2 * p50, Revision: "v1"}
	}
	var names []string
	for i, rows := range [][]bench.Row{
		{row("lockstep", 100, 0), row("etcd", 1000, 0), row("nats", 300, 3)},
		{row("lockstep", 300, 0), row("etcd", 900, 0)},
		{row("lockstep", 200, 0), row("etcd", 800, 0), {Scenario: "rtt"}},
	} {
		var b strings.Builder
		for i := range rows {
			if err := rows[i].Write(&b); err != nil {
				t.Fatal(err)
			}
		}
		names = append(names, filepath.Join(t.TempDir(), string(rune('a'+i))))
		if err := os.WriteFile(names[i], []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := lockstep(t, "bench", "peers", "--from", strings.Join(names, ","))
	r.want(t, 0, "10000x20, 200 B", "| lockstep ", "200 / 400 ", "900 / 1800 (4.5 x)", "not kept up")
	if strings.Contains(r.out, "replicated:") {
		t.Errorf("a table of what was not measured:\n%s", r.out)
	}
}

func TestPeersUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, names string }{
		{"--systems paxos", "--systems"},
		{"--commit sometimes", "--commit"},
		{"--series fast", "--series"},
		{"--series 0", "--series"},
		{"--series 1000x0", "--series"},
		{"--rounds 0", "--rounds"},
		{"--systems etcd --binary /nowhere/lockstep-peers", "--binary"},
		{"--systems etcd --source /nowhere", "--source"},
		{"--from /nowhere/peers.json", "--from"},
		{"--from " + empty, "--from"},
	} {
		lockstep(t, append([]string{"bench", "peers"}, strings.Fields(c.args)...)...).want(t, exitUsage, c.names)
	}
}
