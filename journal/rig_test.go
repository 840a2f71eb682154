package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/ringbuf"
	"lockstep/wire"
)

const (
	testDir     = "/node"
	testCluster = 0xc1a57e2
)

var testIdentity = Identity{Cluster: testCluster, Node: 1, Incarnation: 77}

// rig runs a journal on one thread, as a core thread would drive it, and remembers what it put in.
type rig struct {
	t       testing.TB
	fs      vfs.FS
	options Options
	j       *Journal
	rec     *Recovered
	ring    *ringbuf.LogRing
	port    *Port
	writer  *agent.Invoker
	marker  *agent.Invoker
	chain   wire.Chain
	log     []byte // every byte from position 0 on
	ends    []wire.Position
	now     int64

	reports []Report
	durable wire.Position
	err     error
}

func testOptions(fs vfs.FS) Options {
	return Options{FS: fs, Dir: testDir, Cluster: testCluster, SegmentBytes: MinSegmentBytes, BatchBytes: MinBatchBytes,
		Inline: true}
}

// newRig formats a directory in fs and opens it.
func newRig(t testing.TB, fs vfs.FS) *rig {
	t.Helper()
	if err := Format(fs, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, options: testOptions(fs)}
	r.mustOpen()
	return r
}

func (r *rig) mustOpen() {
	r.t.Helper()
	if err := r.open(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) open() error {
	var err error
	if r.j, r.rec, err = Open(r.options); err != nil {
		return err
	}
	if r.rec.Outcome.Forgot() {
		return nil
	}
	return r.run()
}

// run starts the agents.
func (r *rig) run() error {
	const size = 512 << 10
	r.ring = ringbuf.NewLogRing(vfs.AlignedBytes(2*size), size, false)
	r.port = NewPort()
	w, err := r.j.Agent(r.ring, r.port)
	if err != nil {
		return err
	}
	m, err := r.j.WatermarkAgent()
	if err != nil {
		return err
	}
	if err := r.j.Preload(r.ring); err != nil {
		return err
	}
	r.chain = r.rec.Chain
	r.log = r.log[:min(len(r.log), int(r.chain.Position))]
	r.writer, r.marker = agent.NewInvoker(w), agent.NewInvoker(m)
	r.durable = r.chain.Position
	if err := r.writer.Start(r.now); err != nil {
		return err
	}
	return r.marker.Start(r.now)
}

// append puts a record of size payload bytes into the ring.
func (r *rig) append(term wire.Term, size int) {
	r.t.Helper()
	payload := make([]byte, size)
	for i := range payload {
		payload[i] = byte(int(r.chain.Sequence) + i*7 + 1)
	}
	kind := wire.RecordMessage
	if term != r.chain.Term {
		kind = wire.RecordTerm
	}
	r.appendRecord(term, kind, payload)
}

func (r *rig) appendRecord(term wire.Term, kind wire.RecordKind, payload []byte) {
	r.t.Helper()
	n := uint64(wire.Padded(uint32(wire.RecordHeaderSize + len(payload))))
	from := uint64(r.chain.Position)
	if from+n > r.ring.Limit() {
		r.t.Fatalf("the ring is full at %d", from)
	}
	r.ring.Prepare(from + n)
	rec := wire.Record{Kind: kind, Term: term, Timestamp: r.chain.Timestamp + 1, Session: 5, Service: 1}
	view := r.ring.View(from, from+n)
	r.chain.Append(view, &rec, payload)
	r.log = append(r.log, view...)
	r.ends = append(r.ends, r.chain.Position)
	r.ring.Publish(from + n)
}

// want tells the journal of everything appended; sync asks for it to be durable at once.
func (r *rig) want(sync bool) {
	syncTo := wire.Position(0)
	if sync {
		syncTo = r.chain.Position
	}
	r.port.Want(r.chain.Position, syncTo)
}

// turn runs the journal until it has nothing to do, and takes its reports.
func (r *rig) turn() error {
	for range 10_000 {
		work, err := r.writer.Invoke(r.now)
		var reports [16]Report
		n := r.port.Poll(reports[:])
		for _, rep := range reports[:n] {
			r.reports = append(r.reports, rep)
			if rep.Kind == ReportDurable {
				r.durable = rep.Position
			}
		}
		if err != nil {
			r.err = err
			return err
		}
		if work == 0 && n == 0 {
			return nil
		}
	}
	r.t.Fatal("the journal does not come to rest")
	return nil
}

// sync makes everything appended durable.
func (r *rig) sync() {
	r.t.Helper()
	r.want(true)
	if err := r.turn(); err != nil {
		r.t.Fatal(err)
	}
	if r.durable != r.chain.Position {
		r.t.Fatalf("durable is %d, want %d", r.durable, r.chain.Position)
	}
}

// mark brings the watermark up.
func (r *rig) mark() {
	r.t.Helper()
	for range 3 {
		r.now += r.j.options.WatermarkIntervalNs
		if _, err := r.marker.Invoke(r.now); err != nil {
			r.t.Fatal(err)
		}
	}
	if at, known := r.j.watermark.Load(); !known || at != r.durable {
		r.t.Fatalf("the watermark is %d, want %d", at, r.durable)
	}
}

// cut has the log end at position.
func (r *rig) cut(at wire.Position, generation uint64) {
	r.t.Helper()
	if !r.port.Cut(at, generation) {
		r.t.Fatal("a cut is under way already")
	}
	if err := r.turn(); err != nil {
		r.t.Fatal(err)
	}
	r.cutDone(at, generation)
}

// cutDone looks for the confirmation of a cut and puts the core's side in order.
func (r *rig) cutDone(at wire.Position, generation uint64) {
	r.t.Helper()
	found := false
	for _, rep := range r.reports {
		found = found || rep.Kind == ReportCut && rep.Generation == generation && rep.Position == at
	}
	if !found {
		r.t.Fatalf("no report of the cut at %d in %v", at, r.reports)
	}
	r.ring.Reset(uint64(at))
	r.chain = chainAt(r.log, at)
	r.log = r.log[:at]
}

// chainAt is the chain of log at position.
func chainAt(log []byte, at wire.Position) wire.Chain {
	var c wire.Chain
	var rec wire.Record
	for c.Position < at {
		if _, v := c.Verify(log[c.Position:], &rec); v != wire.VerdictOK {
			panic(fmt.Sprint("test log: ", v))
		}
	}
	return c
}

func (r *rig) close() {
	r.t.Helper()
	if err := errors.Join(r.writer.Close(), r.marker.Close(), r.j.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// reopen closes everything in order and opens it again.
func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.mustOpen()
}

// readAll returns the bytes of every record from position 0 to limit.
func readAll(t testing.TB, fs vfs.FS, limit wire.Position) []byte {
	t.Helper()
	rd, err := NewReader(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	rd.SetLimit(limit)
	if err := rd.Seek(0); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for {
		rec, _, err := rd.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, wire.Padded(rec.Length))
		for n := 0; n < len(b); {
			m, err := rd.ReadRange(rec.Position+wire.Position(n), b[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += m
		}
		all = append(all, b...)
	}
}

// check reads the log back and compares.
func (r *rig) check() {
	r.t.Helper()
	if got := readAll(r.t, r.fs, r.chain.Position); !bytes.Equal(got, r.log) {
		r.t.Fatalf("read back %d bytes that are not the %d written", len(got), len(r.log))
	}
}
