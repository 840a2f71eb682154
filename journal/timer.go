package journal

import "lockstep/internal/counters"

// timer measures writes and syncs of segments. It belongs to the thread that writes them. Without a clock it does nothing.
type timer struct {
	clock       func() int64
	write, sync *counters.Histogram
}

func newTimer(o *Options) timer {
	if o.NowNs == nil || o.Counters == nil {
		return timer{}
	}
	return timer{
		clock: o.NowNs,
		write: o.Counters.Histogram("lockstep_journal_write_seconds",
			"one write of a batch; with O_DIRECT|O_DSYNC it is durable when the write returns"),
		sync: o.Counters.Histogram("lockstep_journal_sync_seconds",
			"one fdatasync behind a write; none with O_DIRECT|O_DSYNC"),
	}
}

func (t *timer) now() int64 {
	if t.clock == nil {
		return 0
	}
	return t.clock()
}

func (t *timer) wrote(ns int64) {
	if t.write != nil {
		t.write.Observe(ns)
	}
}

func (t *timer) synced(ns int64) {
	if t.sync != nil {
		t.sync.Observe(ns)
	}
}

// Timings are the latencies of writes and syncs so far; empty without Options.NowNs and Options.Counters. Any thread.
type Timings struct {
	Write, Sync counters.Distribution
}

// Timings returns how long writes and syncs have taken. Any thread.
func (j *Journal) Timings() Timings {
	var t Timings
	if j.timer.clock != nil {
		t.Write, t.Sync = j.timer.write.Snapshot(), j.timer.sync.Snapshot()
	}
	return t
}
