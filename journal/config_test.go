package journal

import (
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// A node that cuts its tail needs the config record before the one that it loses.
func TestOpenFindsTheNewestConfigRecords(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.append(1, 24)
	const written = MaxConfigs + 2
	for run := uint32(1); run <= written; run++ {
		config := wire.Config{RingBytes: 1 << 20, Rule: wire.RuleDurable, MaxMessage: 1 << 16, Members: 1}
		config.Member[0] = wire.ConfigMember{Node: 1, Incarnation: 7, Run: run}
		var b [wire.MaxConfigSize]byte
		r.appendRecord(1, wire.RecordConfig, b[:config.Put(b[:])])
		r.append(1, 100)
		if run == MaxConfigs {
			r.sync()
			r.reopen()
			if got := len(r.rec.Configs); got != MaxConfigs || r.rec.MoreConfigs {
				t.Fatalf("%d config records, more %v; want all %d", got, r.rec.MoreConfigs, MaxConfigs)
			}
		}
	}
	r.sync()
	r.reopen()
	if got := len(r.rec.Configs); got != MaxConfigs || !r.rec.MoreConfigs {
		t.Fatalf("%d config records, more %v; want the newest %d of %d", got, r.rec.MoreConfigs, MaxConfigs, written)
	}
	for i, at := range r.rec.Configs {
		if want := uint32(written - MaxConfigs + 1 + i); at.Config.Member[0].Run != want {
			t.Errorf("config record %d is that of run %d, want %d", i, at.Config.Member[0].Run, want)
		}
		if i > 0 && at.End <= r.rec.Configs[i-1].End {
			t.Errorf("config record %d ends at %d, not behind the one before", i, at.End)
		}
	}
}
