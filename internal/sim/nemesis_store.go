package sim

import (
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// The faults of what is kept, bits of StoreOptions.Kinds: they have a source of chance of their own.
const (
	storeRot = iota // synced bytes of a running node are flipped or unreadable
	numStoreFaults
)

var storeNames = [numStoreFaults]string{"rot-beneath"}

// StoreOptions say how a node keeps what it has. Zero: as it comes, for ever, and nothing happens to it.
type StoreOptions struct {
	ScrubBytesPerS int64
	ScrubPauseNs   int64
	SnapshotBytes  int64 // a snapshot each time that the log has grown by so much; 0: none
	RetainBytes    int64 // log that is kept though no start needs it
	PinNs          int64 // for how long what another node reads is kept
	EveryNs        int64 // mean time between two faults
	Kinds          uint32
}

// drawStore draws them: most worlds have none.
func drawStore(r *rand.Rand) (o StoreOptions) {
	if r.IntN(4) > 0 {
		return o
	}
	o.ScrubBytesPerS, o.ScrubPauseNs = pick[int64](r, 0, 512<<10, 4<<20), pick[int64](r, 50e6, 500e6)
	o.SnapshotBytes = pick[int64](r, 0, 8<<10, 32<<10, 64<<10)
	o.RetainBytes, o.PinNs = pick[int64](r, 0, 0, 64<<10, 1<<40), pick[int64](r, 100e6, 1e9)
	o.EveryNs = pick[int64](r, 50e6, 200e6)
	for k := range numStoreFaults {
		if r.IntN(3) > 0 {
			o.Kinds |= 1 << k
		}
	}
	return o
}

// strikeStore brings one fault of what is kept, and comes again.
func (w *World) strikeStore() {
	if w.healed {
		return
	}
	r, o := w.storeRng, &w.o.Store
	w.later(r.Int64N(2*o.EveryNs)+1, w.strikeStore)
	kind := r.IntN(numStoreFaults)
	m := w.members[r.IntN(len(w.members))]
	if o.Kinds&(1<<kind) == 0 || !w.bringStore(kind, m) {
		return
	}
	w.count.Stored[kind]++
	w.trace.add(w, "fault "+storeNames[kind], int(m.id), -1, uint64(kind), 0, 0)
}

// bringStore brings a fault; false when the budget or the state of things forbids it.
func (w *World) bringStore(kind int, m *member) bool {
	switch kind {
	case storeRot:
		return m.process != nil && w.o.Nodes > 1 && w.mayImpair(m) && w.rotBeneath(m)
	}
	return false
}

// afterStore says when the agents that look after what is kept have their next turns.
func (m *member) afterStore(i, work int) {
	next := m.w.nowNs + 10e6
	if work > 0 {
		next = m.w.nowNs + m.diskDelay()
	}
	m.schedule(i, next)
}

// rotten is a byte that is not what was synced.
type rotten struct {
	at     wire.Position
	file   string
	offset int64
	was    byte
}

// rotBeneath spoils a byte of the log that a running node has synced, below what is committed.
func (w *World) rotBeneath(m *member) bool {
	end := min(m.marked, m.seen.commit)
	if end < 4096 {
		return false
	}
	r := w.storeRng
	at := wire.Position(r.Int64N(int64(end)))
	f, offset := m.segmentOf(at)
	return f != "" && m.spoil(at, f, offset, r.IntN(4) == 0, 1<<r.IntN(8))
}

// spoil has one byte of a file not be what was synced: unreadable, with its sector, or with other bits.
func (m *member) spoil(at wire.Position, file string, offset int64, unreadable bool, mask byte) bool {
	was, err := m.peek(file, offset)
	if err != nil {
		return false
	}
	if unreadable {
		err = m.disk.Spoil(file, offset)
	} else {
		err = m.disk.Rot(file, offset, mask)
	}
	if err != nil {
		return false
	}
	m.impaired = true
	m.rotten = append(m.rotten, rotten{at, file, offset, was})
	return true
}

// segmentOf is where a position of the log stands on the disk; "": nowhere.
func (m *member) segmentOf(at wire.Position) (file string, offset int64) {
	for _, f := range m.disk.Files() {
		first, err := strconv.ParseUint(strings.TrimSuffix(path.Base(f), ".seg"), 10, 64)
		size, _ := m.disk.Stat(f)
		offset := int64(at-wire.Position(first)) + vfs.BlockBytes
		if err == nil && path.Base(path.Dir(f)) == "journal" && uint64(at) >= first && offset < size {
			return f, offset
		}
	}
	return "", 0
}

// peek reads a byte of the disk, past whatever fails.
func (m *member) peek(file string, offset int64) (byte, error) {
	f, err := m.disk.OpenFile(file, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	return b[0], err
}

// isRotten says whether something of what a node had synced is not what it was, and forgets what is whole again.
func (m *member) isRotten() bool {
	left := m.rotten[:0]
	for _, x := range m.rotten {
		b, err := m.peek(x.file, x.offset)
		if _, gone := m.disk.Stat(x.file); gone == nil && (err != nil || b != x.was) {
			left = append(left, x)
		}
	}
	m.rotten = left
	return len(left) > 0
}

// maxRecord is as long as a record of a world can be: what begins below a floor is gone in whole.
const maxRecord = 8 << 10

// unmended names rot of a sealed segment, which the scrub must find and mend as long as another node keeps what is spoilt.
func (m *member) unmended() (wire.Position, bool) {
	if m.w.o.Store.ScrubBytesPerS == 0 || !m.isRotten() {
		return 0, false
	}
	for _, x := range m.rotten {
		first, _ := strconv.ParseUint(strings.TrimSuffix(path.Base(x.file), ".seg"), 10, 64)
		size, _ := m.disk.Stat(x.file)
		sealed := first+uint64(size)-vfs.BlockBytes <= m.process.durable.Load()
		if sealed && slices.ContainsFunc(m.w.members, func(o *member) bool { return o != m && o.process != nil && o.seen.floor+maxRecord <= x.at }) {
			return x.at, true
		}
	}
	return 0, false
}
