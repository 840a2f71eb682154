package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// JournalPlan says what is measured of a journal alone: its production agents on threads of their own, fed through the
// log ring by one thread, as the core thread feeds them.
type JournalPlan struct {
	Dir      string        // a directory is made below it, and taken away
	Payload  int           // bytes of a durable record's payload
	Bytes    int64         // what a round of appending writes, a multiple of 1 MiB
	Measure  time.Duration // how long a round of durable records lasts
	Buffered bool          // write and fdatasync even where direct I/O works
	Pinned   bool          // the journal thread runs on Core alone
	Core     int           //
}

// journalRing is the size of the log ring: room for four of the largest batches, so that who appends is not so far ahead
// of the journal that what is written has left the caches. The floors write one hot buffer.
const journalRing = 4 << 20

// appendPayload is the payload of appended records: so long that making them, checksum and all, takes little of the time.
const appendPayload = 16000

// prepareLimit bounds the wait for a segment to be zeroed.
const prepareLimit = 2 * time.Minute

// JournalRow is one series of measurements on a disk: one JSON line. Times are microseconds, and those of one write with
// its sync, or, in a journal's rows, from the wish to the report.
type JournalRow struct {
	Scenario  string  `json:"scenario"`
	Pattern   string  `json:"pattern"`
	Payload   int     `json:"payload"`
	Bytes     int64   `json:"bytes"`
	Writes    int64   `json:"writes"`
	MBPerSec  float64 `json:"mb_per_sec"`
	PerSec    float64 `json:"per_sec"`
	MinUs     float64 `json:"min_us"`
	P50Us     float64 `json:"p50_us"`
	P99Us     float64 `json:"p99_us"`
	MaxUs     float64 `json:"max_us"`
	RatioBare float64 `json:"ratio_bare"`
	RatioFio  float64 `json:"ratio_fio"`
	StealPct  float64 `json:"steal_pct"`
	Sync      string  `json:"sync"`
	DirFS     string  `json:"dir_fs"`
	Disk      string  `json:"disk"`
	Cores     int     `json:"cores"`
	Kernel    string  `json:"kernel"`
	Host      string  `json:"host"`
	Revision  string  `json:"revision"`
}

// Write writes the row as one compact JSON line.
func (r *JournalRow) Write(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// set fills in what was measured.
func (r *JournalRow) set(h *hdrhistogram.Histogram, bytes int64, took time.Duration) {
	us := func(q float64) float64 { return round(float64(h.ValueAtQuantile(q)) / 1e3) }
	r.Bytes, r.Writes = bytes, h.TotalCount()
	r.MinUs, r.P50Us, r.P99Us, r.MaxUs = round(float64(h.Min())/1e3), us(50), us(99), round(float64(h.Max())/1e3)
	r.MBPerSec = round(float64(bytes) / 1e6 / took.Seconds())
	r.PerSec = math.Round(float64(r.Writes) / took.Seconds())
}

// journalRun is a journal whose agents run on threads of their own, in a new directory.
type journalRun struct {
	dir     string
	j       *journal.Journal
	port    *journal.Port
	ring    *ringbuf.LogRing
	mapping *ringbuf.Mapping
	writer  *agent.Runner
	marker  *agent.Runner
	chain   wire.Chain
	durable wire.Position
	reports [16]journal.Report
	idle    agent.Idle
}

func startJournal(p *JournalPlan, segmentBytes int64) (r *journalRun, err error) {
	r = &journalRun{port: journal.NewPort()}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.dir, err = os.MkdirTemp(p.Dir, "lockstep-bench-journal-"); err != nil {
		return r, err
	}
	identity := journal.Identity{Cluster: 1, Node: 1, Incarnation: 1}
	if err = journal.Format(vfs.Real{}, r.dir, identity); err != nil {
		return r, err
	}
	if r.j, _, err = journal.Open(journal.Options{Dir: r.dir, Cluster: 1, SegmentBytes: segmentBytes,
		Buffered: p.Buffered}); err != nil {
		return r, err
	}
	if r.mapping, err = ringbuf.MapLog(journalRing); err != nil {
		return r, err
	}
	r.ring = ringbuf.NewLogRing(r.mapping.Bytes(), journalRing, true)
	if err = r.startAgents(p); err != nil {
		return r, err
	}
	err = r.prepared(segmentBytes)
	return r, err
}

func (r *journalRun) startAgents(p *JournalPlan) error {
	writer, err := r.j.Agent(r.ring, r.port)
	if err != nil {
		return err
	}
	marker, err := r.j.WatermarkAgent()
	if err != nil {
		return err
	}
	if err := r.j.Preload(r.ring); err != nil {
		return err
	}
	if r.idle, err = agent.NewIdle(agent.IdleYield, nil, 0); err != nil {
		return err
	}
	options := agent.RunnerOptions{CPU: agent.NoCPU, Idle: agent.NoIdle{}, Clock: agent.System{}}
	m := agent.NewRunner(marker, options)
	if p.Pinned {
		options.CPU = p.Core
	}
	w := agent.NewRunner(writer, options)
	if err := w.Start(); err != nil {
		return err
	}
	r.writer = w
	if err := m.Start(); err != nil {
		return err
	}
	r.marker = m
	return nil
}

// prepared waits until the segment behind the first one is ready, so that none is being zeroed while it is measured.
func (r *journalRun) prepared(segmentBytes int64) error {
	next := filepath.Join(r.dir, "journal", fmt.Sprintf("%020d.seg", segmentBytes))
	for end := time.Now().Add(prepareLimit); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(next); err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("bench: a segment of %d bytes was not prepared within %v", segmentBytes, prepareLimit)
		}
	}
}

// append puts one record into the ring if there is room.
func (r *journalRun) append(payload []byte) bool {
	from := uint64(r.chain.Position)
	until := from + uint64(wire.Padded(uint32(wire.RecordHeaderSize+len(payload))))
	if !r.ring.Fits(until) {
		return false
	}
	r.ring.Prepare(until)
	record := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: r.chain.Timestamp + 1, Service: 1}
	r.chain.Append(r.ring.View(from, until), &record, payload)
	return true
}

// publish has the journal store everything in the ring, at once.
func (r *journalRun) publish() {
	r.ring.Publish(uint64(r.chain.Position))
	r.port.Want(r.chain.Position, r.chain.Position)
}

// poll takes the journal's reports.
func (r *journalRun) poll() (int, error) {
	n := r.port.Poll(r.reports[:])
	for i := range r.reports[:n] {
		switch report := &r.reports[i]; report.Kind {
		case journal.ReportDurable:
			r.durable = report.Position
		case journal.ReportFailed:
			return n, report.Err
		case journal.ReportFull:
			return n, errors.New("bench: the disk is full")
		}
	}
	return n, nil
}

// close stops the agents and takes the directory away.
func (r *journalRun) close() error {
	var errs []error
	for _, runner := range []*agent.Runner{r.writer, r.marker} {
		if runner != nil {
			errs = append(errs, runner.Stop())
		}
	}
	if r.j != nil {
		errs = append(errs, r.j.Close())
	}
	if r.mapping != nil {
		errs = append(errs, r.mapping.Close())
	}
	if r.dir != "" {
		errs = append(errs, os.RemoveAll(r.dir))
	}
	return errors.Join(errs...)
}

// JournalAppend measures how fast the journal stores records of which there are always enough. With segmentBytes above
// the plan's bytes no segment is prepared meanwhile.
func JournalAppend(p *JournalPlan, scenario string, segmentBytes int64) (row JournalRow, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := startJournal(p, segmentBytes)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	row = JournalRow{Scenario: scenario, Pattern: "append", Payload: appendPayload, Sync: r.j.Describe()}
	payload := make([]byte, appendPayload)
	batches, clock := NewHistogram(), agent.System{}
	start, last := clock.NowNs(), clock.NowNs()
	for at := r.durable; r.durable < wire.Position(p.Bytes); {
		work := 0
		for ; work < 64 && r.append(payload); work++ {
		}
		if work > 0 {
			r.publish()
		}
		n, err := r.poll()
		if err != nil {
			return row, err
		}
		if now := clock.NowNs(); r.durable > at {
			_ = batches.RecordValue(now - last)
			at, last = r.durable, now
		}
		r.idle.Idle(work + n)
	}
	row.set(batches, int64(r.durable), time.Duration(clock.NowNs()-start))
	return row, nil
}

// JournalDurable measures one record at a time, from the wish that it be durable to the report that it is.
func JournalDurable(p *JournalPlan, scenario string) (row JournalRow, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const segmentBytes = 64 << 20
	r, err := startJournal(p, segmentBytes)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	row = JournalRow{Scenario: scenario, Pattern: "durable", Payload: p.Payload, Sync: r.j.Describe()}
	payload := make([]byte, p.Payload)
	times, clock := NewHistogram(), agent.System{}
	begin := clock.NowNs()
	for clock.NowNs()-begin < p.Measure.Nanoseconds() {
		start := clock.NowNs()
		if !r.append(payload) {
			return row, errors.New("bench: the ring is full")
		}
		r.publish()
		for r.durable < r.chain.Position {
			n, err := r.poll()
			if err != nil {
				return row, err
			}
			r.idle.Idle(n)
		}
		_ = times.RecordValue(clock.NowNs() - start)
	}
	row.set(times, int64(r.durable), time.Duration(clock.NowNs()-begin))
	return row, nil
}
