package journaltest

import (
	"errors"
	"testing"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// Live is the journal of a node at work, on the goroutine that calls it: production code, with its watermark and cuts.
type Live struct {
	Chain wire.Chain // the end of what was appended

	t          testing.TB
	journal    *journal.Journal
	ring       *ringbuf.LogRing
	port       *journal.Port
	writer     *agent.Invoker
	marker     *agent.Invoker
	generation uint64
	durable    wire.Position
	confirmed  uint64 // generation of the last cut that was carried out
	nowNs      int64
}

const (
	liveRing     = 1 << 20
	liveInterval = 10_000_000 // of the watermark
	liveTurns    = 100_000
)

// OpenLive opens the journal in a node's directory.
func OpenLive(t testing.TB, fs vfs.FS, dir string, cluster uint64, segment int64) *Live {
	t.Helper()
	j, rec, err := journal.Open(journal.Options{FS: fs, Dir: dir, Cluster: cluster, Inline: true, SegmentBytes: segment})
	if err != nil {
		t.Fatal(err)
	}
	if rec.Forgot() {
		t.Fatal(rec)
	}
	l := &Live{Chain: rec.Chain, t: t, journal: j, ring: ringbuf.NewLogRing(make([]byte, 2*liveRing), liveRing, false),
		port: journal.NewPort(), generation: j.Generation(), durable: rec.Chain.Position, nowNs: 1}
	w, err := j.Agent(l.ring, l.port)
	l.do(err)
	m, err := j.WatermarkAgent()
	l.do(err)
	l.do(j.Preload(l.ring))
	l.writer, l.marker = agent.NewInvoker(w), agent.NewInvoker(m)
	l.do(l.writer.Start(l.nowNs))
	l.do(l.marker.Start(l.nowNs))
	return l
}

func (l *Live) do(err error) {
	if err != nil {
		l.t.Helper()
		l.t.Fatal(err)
	}
}

// Append puts a record of the term into the log.
func (l *Live) Append(term wire.Term, payload []byte) {
	l.t.Helper()
	n := uint64(wire.Padded(uint32(wire.RecordHeaderSize + len(payload))))
	from := uint64(l.Chain.Position)
	if !l.ring.Fits(from + n) {
		l.Sync()
	}
	l.ring.Prepare(from + n)
	r := wire.Record{Kind: wire.RecordMessage, Term: term, Timestamp: l.Chain.Timestamp + Tick, Session: 9, Service: 1}
	l.Chain.Append(l.ring.View(from, from+n), &r, payload)
	l.ring.Publish(from + n)
}

// Sync makes everything durable, and brings the watermark up.
func (l *Live) Sync() {
	l.t.Helper()
	l.port.Want(l.Chain.Position, l.Chain.Position)
	l.turn(func() bool { return l.durable == l.Chain.Position })
	for range 3 {
		l.nowNs += liveInterval
		_, err := l.marker.Invoke(l.nowNs)
		l.do(err)
	}
}

// Cut has the log end at a chain that it has had.
func (l *Live) Cut(at wire.Chain) {
	l.t.Helper()
	l.generation++
	if !l.port.Cut(at.Position, l.generation) {
		l.t.Fatal("a cut is under way")
	}
	l.turn(func() bool { return l.confirmed == l.generation })
	l.ring.Reset(uint64(at.Position))
	l.Chain = at
}

// turn runs the journal until it has come to something.
func (l *Live) turn(done func() bool) {
	l.t.Helper()
	for range liveTurns {
		if done() {
			return
		}
		l.nowNs++
		_, err := l.writer.Invoke(l.nowNs)
		l.do(err)
		var reports [8]journal.Report
		for _, r := range reports[:l.port.Poll(reports[:])] {
			switch r.Kind {
			case journal.ReportDurable:
				l.durable = r.Position
			case journal.ReportCut:
				l.durable, l.confirmed = min(l.durable, r.Position), r.Generation
			}
		}
	}
	l.t.Fatal("the journal does not answer")
}

// Close ends the journal.
func (l *Live) Close() {
	l.t.Helper()
	l.do(errors.Join(l.writer.Close(), l.marker.Close(), l.journal.Close()))
}
