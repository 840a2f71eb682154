package service

import (
	"sync/atomic"

	"lockstep/wire"
)

// padded is an atomic position that shares no cache line with anything else.
type padded struct {
	value atomic.Uint64
	_     [120]byte
}

// report is a position and a hash that belong together, written by one thread and read by any.
type report struct {
	version atomic.Uint64 // odd while the two are being written
	at      atomic.Uint64
	hash    atomic.Uint64
	_       [104]byte
}

func (r *report) set(at wire.Position, hash uint64) {
	r.version.Add(1)
	r.at.Store(uint64(at))
	r.hash.Store(hash)
	r.version.Add(1)
}

func (r *report) get() (at wire.Position, hash uint64) {
	for {
		v := r.version.Load()
		at, hash = wire.Position(r.at.Load()), r.hash.Load()
		if v&1 == 0 && r.version.Load() == v {
			return at, hash
		}
	}
}

// Progress is what the replica's thread and the driver's tell each other. The zero value is an empty log. Commit
// has one writer, the replica's thread; everything else has one writer, the driver; anybody reads.
type Progress struct {
	_       [128]byte
	commit  padded
	applied padded
	halted  padded // 1 + the record's position; 0: apply runs
	hash    report
	state   report

	snapshot report
	verified report
	stamped  report
}

// SetCommit publishes the end of what is committed and held here. The bytes are in the ring, or on disk, before.
func (p *Progress) SetCommit(at wire.Position) { p.commit.value.Store(uint64(at)) }

// Commit is the end of what may be applied.
func (p *Progress) Commit() wire.Position { return wire.Position(p.commit.value.Load()) }

// Applied is the end of the last record whose effects are complete and, on a leader, written to the egress ring.
func (p *Progress) Applied() wire.Position { return wire.Position(p.applied.value.Load()) }

// AppliedAt returns up to where the service of a leader has applied the log, and since when, by the clock of Options.StampNs:
// stored before the egress messages of those records can be read. By then it may tell of later ones. Both are 0 before the
// first.
func (p *Progress) AppliedAt() (end wire.Position, stampNs int64) {
	end, at := p.stamped.get()
	return end, int64(at)
}

// Halted tells whether apply has halted, and at which record.
func (p *Progress) Halted() (at wire.Position, halted bool) {
	v := p.halted.value.Load()
	return wire.Position(v - 1), v != 0
}

func (p *Progress) setHalted(at wire.Position) { p.halted.value.Store(uint64(at) + 1) }

// HashAt returns the newest report of the chained hash over (position, outputs) and the record end it belongs to:
// the first one at or past a whole MiB. Both are 0 before the first report.
func (p *Progress) HashAt() (at wire.Position, hash uint64) { return p.hash.get() }

// StateHash returns a hash of the state of all services together, and the record end it belongs to: that of the last
// batch. Nodes that have applied up to the same position have the same.
func (p *Progress) StateHash() (at wire.Position, hash uint64) { return p.state.get() }

// Snapshot returns the newest point at which this node has taken a digest of its whole state, and that digest: the end
// of a snapshot record that asks for one, or the snapshot that this node began from. Both are 0 before the first.
func (p *Progress) Snapshot() (at wire.Position, digest uint64) { return p.snapshot.get() }

// Verified returns the newest point that a snapshot record in the applied log says is verified by a majority, and the
// digest there. Both are 0 before the first.
func (p *Progress) Verified() (at wire.Position, digest uint64) { return p.verified.get() }

func (p *Progress) setApplied(at wire.Position) { p.applied.value.Store(uint64(at)) }
