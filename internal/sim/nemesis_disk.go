package sim

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// fill leaves next to no room on a disk, for a while.
func (w *World) fill(m *member, forNs int64) {
	used := int64(0)
	for _, f := range m.disk.Files() {
		size, _ := m.disk.Stat(f)
		used += size
	}
	m.disk.SetCapacity(used + w.faultRng.Int64N(64<<10))
	m.full, m.diskBad = true, true
	disk := m.disk
	w.later(forNs, func() {
		disk.SetCapacity(0)
		if m.disk == disk {
			m.full = false
		}
	})
}

// rot cuts the power of a node and spoils what it had synced long ago, or one copy of its vote: a flipped bit, a
// sector that cannot be read, a block that was written where another belongs.
func (w *World) rot(m *member) bool {
	r := w.faultRng
	if m.marked < 4096 || w.o.Nodes == 1 {
		return false
	}
	m.impaired = true
	m.crash(true)
	m.reported = 0
	if r.IntN(3) == 0 {
		at := int64(r.IntN(2))*vfs.BlockBytes + int64(r.IntN(64))
		return m.disk.Rot(path.Join(nodeDir, "vote"), at, 1<<r.IntN(8)) == nil
	}
	at := wire.Position(r.Int64N(int64(m.marked)))
	file, offset, ok := m.locate(at)
	if !ok {
		return false
	}
	switch r.IntN(4) {
	case 0:
		return m.spoil(at, file, offset, true, 0)
	case 1:
		return m.misdirect(file, offset)
	}
	return m.spoil(at, file, offset, false, 1<<r.IntN(8))
}

// locate finds the segment that holds a position, and where in it.
func (m *member) locate(at wire.Position) (file string, offset int64, ok bool) {
	for _, f := range m.disk.Files() {
		first, err := strconv.ParseUint(strings.TrimSuffix(path.Base(f), ".seg"), 10, 64)
		size, _ := m.disk.Stat(f)
		offset := int64(at-wire.Position(first)) + vfs.BlockBytes
		if err == nil && path.Base(path.Dir(f)) == "journal" && uint64(at) >= first && offset < size {
			return f, offset, true
		}
	}
	return "", 0, false
}

// misdirect has the block at offset be at the place of another one, of those that are synced for long.
func (m *member) misdirect(file string, offset int64) bool {
	first, _ := strconv.ParseInt(strings.TrimSuffix(path.Base(file), ".seg"), 10, 64)
	blocks := min(int64(m.marked)-first, m.w.o.SegmentBytes) / vfs.BlockBytes
	from := offset/vfs.BlockBytes - 1 // behind the header
	if blocks < 2 || from >= blocks {
		return false
	}
	to := (from + 1 + m.w.faultRng.Int64N(blocks-1)) % blocks
	before := [2][]byte{m.block(file, from), m.block(file, to)}
	if m.disk.Misdirect(file, (1+from)*vfs.BlockBytes, (1+to)*vfs.BlockBytes) != nil {
		return false
	}
	for k, number := range []int64{from, to} {
		after := m.block(file, number)
		for i := range min(len(after), len(before[k])) {
			if after[i] != before[k][i] {
				m.track(wire.Position(first+number*vfs.BlockBytes)+wire.Position(i), file, (1+number)*vfs.BlockBytes+int64(i), before[k][i])
				break
			}
		}
	}
	m.w.sometimes(sometimesMisdirected)
	return true
}

// block reads a block of the log in a segment; nil: it cannot be read.
func (m *member) block(file string, number int64) []byte {
	f, err := m.disk.OpenFile(file, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, vfs.BlockBytes)
	if _, err := f.ReadAt(b, (1+number)*vfs.BlockBytes); err != nil {
		return nil
	}
	return b
}

// raise kills the process and has its vote say that it campaigned in higher terms, of which nobody heard.
func (m *member) raise(term wire.Term) {
	m.crash(false)
	vote, err := journal.OpenVote(m.disk, nodeDir)
	if err == nil {
		err = errors.Join(vote.Store(term, m.id), vote.Close())
	}
	if err != nil {
		m.w.fail("node %d: its vote cannot be raised to term %d: %v", m.id, term, err)
	}
}
