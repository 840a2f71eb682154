package node

import (
	"strings"
	"testing"

	"lockstep/service"
)

// TestAlarms says what is to be looked at, and not before.
func TestAlarms(t *testing.T) {
	full := func(used, limit uint64) Status {
		return Status{Services: []ServiceStatus{{service.KV, "kv", used, limit}}}
	}
	for name, c := range map[string]struct {
		status Status
		want   string // part of the one alarm; empty: none
	}{
		"nothing":          {Status{}, ""},
		"no limit":         {full(5, 0), ""},
		"79 per cent":      {full(799, 1000), ""},
		"80 per cent":      {full(800, 1000), "kv holds 800 of 1000"},
		"more than it may": {full(1<<63, 1<<62), "kv holds"},
		"half of the work": {Status{WorkMax: service.MaxWork / 2}, ""},
		"more work":        {Status{WorkMax: service.MaxWork/2 + 1}, "32769 units of work"},
		"many responses":   {Status{OutputsMax: service.MaxOutputs}, "caused 8192 responses"},
		"many bytes":       {Status{OutputBytes: service.MaxOutputBytes}, "caused 1048576 bytes"},
		"halted":           {Status{Halted: "apply halted at position 5"}, "apply halted at position 5"},
	} {
		got := c.status.Alarms()
		if c.want == "" && len(got) != 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
