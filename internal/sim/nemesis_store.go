package sim

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/replica"
	"lockstep/wire"
)

// The faults of what is kept, bits of StoreOptions.Kinds: they have a source of chance of their own.
const (
	storeRot         = iota // synced bytes of a running node are flipped or unreadable
	storeRotSnapshot        // of a snapshot
	storeFull               // there is no room for a snapshot
	storeEIO                // an operation on a snapshot fails
	storePower              // the power fails at an operation on snapshots, or at the removal of log
	storeAsk                // an operator asks for a snapshot
	storeHang               // the keeper stands still
	storeAway               // a node is parted from the others until they have dropped what it lacks
	numStoreFaults
)

var storeNames = [numStoreFaults]string{"rot-beneath", "rot-snapshot", "full-snapshot", "eio-snapshot", "power-at-snapshot",
	"ask-snapshot", "hang-keeper", "away"}

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
func drawStore(profile Profile, r *rand.Rand) (o StoreOptions) {
	if r.IntN(4) > 0 && profile != ProfileStore && profile != ProfileServices {
		return o
	}
	o.ScrubBytesPerS, o.ScrubPauseNs = pick[int64](r, 0, 512<<10, 4<<20), pick[int64](r, 50e6, 500e6)
	o.SnapshotBytes = pick[int64](r, 0, 8<<10, 32<<10, 64<<10)
	o.RetainBytes, o.PinNs = pick[int64](r, 0, 0, 64<<10, 1<<40), pick[int64](r, 100e6, 1e9)
	o.EveryNs = pick[int64](r, 50e6, 200e6)
	for k := range numStoreFaults {
		if r.IntN(2) > 0 {
			o.Kinds |= 1 << k
		}
	}
	if profile == ProfileStore || profile == ProfileServices {
		o.SnapshotBytes, o.RetainBytes, o.PinNs = pick[int64](r, 8<<10, 32<<10), 0, 100e6
		o.Kinds |= 1<<storeAway | 1<<storeHang
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
		return m.process != nil && w.o.Nodes > 1 && !m.isSpoilt() && w.mayImpair(m) && w.rotBeneath(m)
	case storeRotSnapshot:
		return m.process != nil && !m.isRotten() && w.mayImpair(m) && w.rotSnapshot(m)
	case storeFull, storeEIO:
		if m.process == nil {
			return false
		}
		w.failStore(kind, m)
	case storePower:
		if m.process == nil || w.o.Store.SnapshotBytes == 0 || !w.mayCrash(m) {
			return false
		}
		m.impaired = m.impaired || w.crashForgets()
		m.storeSteps = 1 + w.storeRng.IntN(12)
	case storeAsk:
		return w.askSnapshot()
	case storeHang:
		if m.process == nil {
			return false
		}
		m.process.pausedNs[agentKeeper] = w.nowNs + w.storeRng.Int64N(500e6)
	case storeAway:
		w.goAway(m)
	}
	return true
}

// rotSnapshot spoils a snapshot, as long as another one is left that a start can use. It begins again now and then.
func (w *World) rotSnapshot(m *member) bool {
	r := w.storeRng
	list := m.process.in.Store.List()
	floor := wire.Position(m.counter("lockstep_log_floor_position"))
	if len(list) == 0 {
		return false
	}
	at := list[max(0, len(list)-1-r.IntN(2))].Position() // the newest, as a rule
	left := floor == 0
	for i := range list {
		p := list[i].Position()
		if m.spoiltAt[p] {
			return false
		}
		left = left || p != at && p >= floor
	}
	file := path.Join(nodeDir, snapshot.Dir, fmt.Sprintf("%020d", at), pick(r, "data", "data", "manifest"))
	size, err := m.disk.Stat(file)
	if !left || err != nil || size == 0 {
		return false
	}
	offset := r.Int64N(size)
	if r.IntN(4) == 0 {
		err = m.disk.Spoil(file, offset)
	} else {
		err = m.disk.Rot(file, offset, 1<<r.IntN(8))
	}
	if err != nil {
		return false
	}
	m.spoilt, m.impaired = true, true
	m.spoiltAt[at] = true
	if r.IntN(2) == 0 {
		w.powerSoon(m, 30e6)
	}
	return true
}

// isSpoilt says whether a node still holds a snapshot that is not what was written.
func (m *member) isSpoilt() bool {
	for at := range m.spoiltAt {
		if _, err := m.disk.Stat(path.Join(nodeDir, snapshot.Dir, fmt.Sprintf("%020d", at), "data")); err != nil {
			delete(m.spoiltAt, at)
		}
	}
	return len(m.spoiltAt) > 0
}

// failStore has operations on snapshots fail: that concerns the snapshot alone.
func (w *World) failStore(kind int, m *member) {
	r := w.storeRng
	f := vfs.Fault{Ops: vfs.OpWrite | vfs.OpSync | vfs.OpRename | vfs.OpSyncDir, Path: snapshot.Dir, Skip: r.IntN(6),
		Times: r.IntN(4), Err: syscall.EIO, Short: r.IntN(4) == 0}
	if kind == storeFull {
		f.Ops, f.Err = vfs.OpWrite|vfs.OpMkdir, syscall.ENOSPC
	}
	m.failing.Inject(f)
	failing := m.failing
	w.later(r.Int64N(300e6), failing.Heal)
}

// askSnapshot has an operator ask for a snapshot.
func (w *World) askSnapshot() bool {
	m := w.leader()
	if m == nil {
		return false
	}
	ask := replica.OperatorRequest{Kind: replica.OperatorSnapshot, Leader: w.storeRng.IntN(2) == 0}
	return w.operate(m, ask, sometimesAsked)
}

// goAway parts a node from the other nodes until they have dropped what it lacks, or for long enough.
func (w *World) goAway(m *member) {
	n := m.end.number
	forNs := 500e6 + w.storeRng.Int64N(2000e6)
	w.cut(forNs, func(from, to int) bool {
		return from < len(w.members) && to < len(w.members) && (from == n || to == n)
	})
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
	f, offset, ok := m.locate(at)
	return ok && m.spoil(at, f, offset, r.IntN(4) == 0, 1<<r.IntN(8))
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
	m.track(at, file, offset, was)
	return true
}

// track remembers what is not what was synced, as far as it is committed: what is not may be cut and written anew. In a
// block that was spoilt before, nobody knows what this byte was.
func (m *member) track(at wire.Position, file string, offset int64, was byte) {
	known := slices.ContainsFunc(m.rotten, func(x rotten) bool { return x.file == file && x.offset/vfs.BlockBytes == offset/vfs.BlockBytes })
	if at < m.seen.commit && !known {
		m.rotten = append(m.rotten, rotten{at, file, offset, was})
	}
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
		if m.process != nil && uint64(x.at) < m.counter("lockstep_log_floor_position") {
			continue
		}
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
