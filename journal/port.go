package journal

import (
	"sync/atomic"

	"lockstep/ringbuf"
	"lockstep/wire"
)

// ReportKind names what the journal has to say.
type ReportKind uint8

// The reports.
const (
	// ReportDurable: everything below Position is synced. Under Generation; never goes down within one.
	ReportDurable ReportKind = 1 + iota
	// ReportCut: the cut at Position is carried out and durable, and Generation is in force.
	ReportCut
	// ReportFull: there is no space for the next segment. Bytes are taken while prepared space lasts.
	ReportFull
	// ReportSpace: there is space again after ReportFull.
	ReportSpace
	// ReportFailed: a write or sync failed with Err. Final: nothing will be reported after it.
	ReportFailed
)

// Report is one thing that the journal thread tells the core thread.
type Report struct {
	Kind       ReportKind
	Position   wire.Position
	Generation uint64
	Err        error // of ReportFailed
}

// reportSlots bounds the reports under way. Durable reports are merged while there is no room, others wait.
const reportSlots = 64

type cutCommand struct {
	position   wire.Position
	generation uint64
}

// Port is the seam between the core thread, which owns the log ring, and the journal thread. Its methods belong to
// the core thread.
type Port struct {
	// OnReport, if set before the journal starts, is called by the journal thread after it has published reports:
	// it wakes the core thread if that blocks.
	OnReport func()

	append  ringbuf.Cursor // end of what the journal is to store; goes down only in Cut
	syncTo  ringbuf.Cursor // somebody waits for everything below to be durable
	durable ringbuf.Cursor // published by the journal thread, for deciding whether to wake it
	writing atomic.Int64   // nowNs when the write under way began; 0 when there is none
	stop    atomic.Bool

	cuts      *ringbuf.SPSC[cutCommand]
	reports   *ringbuf.SPSC[Report]
	syncBytes uint64
	sleeper   *sleeper // the journal thread's
}

// NewPort makes a port. It serves one journal agent.
func NewPort() *Port {
	return &Port{
		cuts:    ringbuf.NewSPSC(make([]cutCommand, 2)),
		reports: ringbuf.NewSPSC(make([]Report, reportSlots)),
		sleeper: new(sleeper),
	}
}

// Want publishes what the core has: records up to append (a record's end) are in the ring, and somebody waits for
// those up to syncTo to be durable. Once a batch. The journal thread is woken only when that gives it something to do
// now, or to time.
func (p *Port) Want(append, syncTo wire.Position) {
	p.append.Store(uint64(append))
	p.syncTo.Store(uint64(syncTo))
	durable := p.durable.Load()
	if uint64(append) <= durable {
		return
	}
	if uint64(syncTo) > durable || uint64(append)-durable >= p.syncBytes || p.sleeper.untimed() {
		p.sleeper.wake()
	}
}

// Cut has the journal forget everything from position on, under a new generation, which must be higher than the one
// in force. The core writes nothing at or beyond position until the ReportCut for it has come, and resets the ring
// only then. One cut at a time: false says that one is still under way.
func (p *Port) Cut(position wire.Position, generation uint64) bool {
	if p.cuts.Free() < p.cuts.Cap() {
		return false
	}
	// Lowered before the command is given, so that the journal takes no byte above the cut once it has carried it out.
	p.append.Store(min(p.append.Load(), uint64(position)))
	p.syncTo.Store(min(p.syncTo.Load(), uint64(position)))
	p.cuts.Offer(&cutCommand{position, generation})
	p.cuts.Publish()
	p.sleeper.wake()
	return true
}

// Poll takes up to len(out) reports, oldest first, and returns how many.
func (p *Port) Poll(out []Report) int { return p.reports.Poll(out) }

// Stop has the journal write and sync all it was told of, without waiting for more. The last ReportDurable then says
// so. Any thread.
func (p *Port) Stop() {
	p.stop.Store(true)
	p.sleeper.wake()
}

// WritingSinceNs is when the write or sync now under way began, 0 when there is none: a disk that hangs shows here.
// Any thread.
func (p *Port) WritingSinceNs() int64 { return p.writing.Load() }
