package command

import (
	"strings"
	"testing"
)

// TestBenchSaturation fills a lab and has newcomers knock.
func TestBenchSaturation(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of real processes for seconds")
	}
	r := lockstep(t, "bench", "saturation", "--lab", "--transport", "udp", "--commit", "replicated", "--dir", t.TempDir(), "--sessions", "12",
		"--clients", "3", "--newcomers", "20", "--rate", "300", "--seconds", "0.4", "--warmup", "0", "--json", "-")
	r.want(t, 0, "12 sessions open of 12", "refused (busy-sessions")
	rows := benchRows(t, r.out)
	if len(rows) != 3 {
		t.Fatalf("%d rows, want before, during and after", len(rows))
	}
	for i, row := range rows {
		if row.Scenario != "saturation-"+[]string{"before", "during", "after"}[i] || row.Acked < 100 || row.Lost != 0 || row.Clients != 3 ||
			row.Rate != 300 {
			t.Errorf("%+v", row)
		}
	}
	// On a busy machine the time may be over before the last of them has its answer.
	if a := rows[1].Admission; a == nil || a.Admitted != 0 || a.Refused == 0 || a.Refused+a.Unanswered != 20 || rows[0].Admission != nil {
		t.Errorf("%+v", a)
	}
	for _, bad := range []string{"--clients 0", "--sessions 5", "--newcomers 0", "--sessions 20000", "--with-floor"} {
		lockstep(t, append([]string{"bench", "saturation", "--lab"}, strings.Fields(bad)...)...).want(t, exitUsage, "usage: ")
	}
}
