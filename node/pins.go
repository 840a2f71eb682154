package node

import (
	"cmp"
	"sync"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// What another node reads here stays for a while after its last request, so that the next one finds it: a snapshot, and, if
// that is to be installed, the log behind it, long enough for the node to be opened again and to ask for that log. A reader
// that asks for the same again and again holds nothing up for longer than stuckNs.
const (
	pinLogNs      = 2_000_000_000
	pinSnapshotNs = 30_000_000_000
	stuckNs       = 300_000_000_000
)

// pin is what one node reads.
type pin struct {
	at       wire.Position // the log from here on, or the snapshot here
	progress uint64        // how far it has come
	untilNs  int64         // how long that stays
	movedNs  int64         // its last request that went further
	held     bool
	install  bool // of a snapshot: the log behind it is wanted as well
}

// pins are what the other nodes read of this one's log and snapshots. Any thread.
type pins struct {
	mu       sync.Mutex
	log      [wire.MaxNodes + 1]pin // by reader; 0: whoever did not say
	snapshot [wire.MaxNodes + 1]pin
	short    int64 // a machine's time in place of both; 0: none
}

// reads notes a request of a reader. What it reads stays for forNs.
func (p *pin) reads(at wire.Position, progress uint64, nowNs, forNs int64) {
	if !p.alive(nowNs) || progress > p.progress || at > p.at {
		p.movedNs = nowNs
	}
	p.at, p.progress, p.untilNs, p.held = at, progress, nowNs+forNs, true
}

func (p *pin) alive(nowNs int64) bool {
	return p.held && !simbug.On(simbug.IgnorePins) && nowNs < p.untilNs && nowNs-p.movedNs < stuckNs
}

// readsLog notes that a node reads the log from a position on.
func (p *pins) readsLog(reader wire.NodeID, from wire.Position, nowNs int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log[slot(reader)].reads(from, 0, nowNs, cmp.Or(p.short, pinLogNs))
	if s := &p.snapshot[slot(reader)]; from >= s.at {
		s.install = false // it is installed
	}
}

// readsSnapshot notes that a node reads a snapshot.
func (p *pins) readsSnapshot(reader wire.NodeID, r SnapshotRange, nowNs int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.snapshot[slot(reader)]
	s.reads(r.At, uint64(r.Offset), nowNs, cmp.Or(p.short, pinSnapshotNs))
	s.install = r.Install
}

func slot(reader wire.NodeID) wire.NodeID {
	if !reader.Valid() {
		return 0
	}
	return reader
}

// logFrom is where the log begins that somebody reads, or will once it has installed the snapshot that it reads;
// everything: nobody does.
func (p *pins) logFrom(nowNs int64) wire.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := everything
	for i := range p.log {
		if p.log[i].alive(nowNs) {
			from = min(from, p.log[i].at)
		}
		if p.snapshot[i].install && p.snapshot[i].alive(nowNs) {
			from = min(from, p.snapshot[i].at)
		}
	}
	return from
}

// holds says whether somebody reads the snapshot at a position.
func (p *pins) holds(at wire.Position, nowNs int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.snapshot {
		if p.snapshot[i].alive(nowNs) && p.snapshot[i].at == at {
			return true
		}
	}
	return false
}
