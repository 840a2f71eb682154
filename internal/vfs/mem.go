package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// Mem is a file system in memory that can lose power. It keeps apart what was written and what was synced, in files by
// sectors and in directories by names; Crash decides what of the difference survives. The zero value is not usable.
type Mem struct {
	// Step, if set, is called before every operation that changes something, and between the writing and the syncing
	// of a Dsync write: every point at which a power cut makes a difference. It must not use the file system but for
	// Crash. Set before use.
	Step func(op Op, path string)

	mu       sync.Mutex
	names    map[string]*node // as the program sees them
	durable  map[string]*node // as a power cut leaves them, without pending
	pending  []naming         // changes of names that no SyncDir has made durable, in order
	locks    map[string]bool
	capacity int64 // bytes all files may have together; 0: no limit
	noDirect bool
}

// node is a file or a directory.
type node struct {
	dir    bool
	data   []byte // as the program sees it
	synced []byte // as it is on the disk
	// dirty has, for each sector that was written since the last sync, what was written there, in order.
	dirty map[int64][][]byte
	bad   map[int64]bool // sectors that cannot be read
	// resized: the file became shorter since the last sync, so that dirty does not tell all.
	resized bool
}

// naming is one atomic change of names; a nil node removes.
type naming struct {
	paths []string
	nodes []*node
}

// NewMem makes an empty file system with the directory "/".
func NewMem() *Mem {
	root := &node{dir: true}
	return &Mem{
		names:   map[string]*node{"/": root},
		durable: map[string]*node{"/": root},
		locks:   map[string]bool{},
	}
}

// SetCapacity limits the sum of all file sizes; 0 lifts the limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// RefuseDirect has OpenFile refuse Direct and Dsync from now on, as some file systems do.
func (m *Mem) RefuseDirect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noDirect = true
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flags Flags) (File, error) {
	if flags&Create != 0 {
		m.step(OpOpen, name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if flags&(Direct|Dsync) != 0 && m.noDirect {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EINVAL}
	}
	n := m.names[name]
	switch {
	case n == nil && flags&Create == 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case n == nil:
		if parent := m.names[path.Dir(name)]; parent == nil || !parent.dir {
			return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
		}
		n = &node{dirty: map[int64][][]byte{}, bad: map[int64]bool{}}
		m.bind([]string{name}, []*node{n})
	case n.dir:
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case flags&Exclusive != 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
	}
	return &memFile{fs: m, node: n, path: name, flags: flags}, nil
}

// bind changes names as one, not durably yet.
func (m *Mem) bind(paths []string, nodes []*node) {
	apply(m.names, naming{paths, nodes})
	m.pending = append(m.pending, naming{paths, nodes})
}

func apply(names map[string]*node, n naming) {
	for i, p := range n.paths {
		if n.nodes[i] == nil {
			delete(names, p)
		} else {
			names[p] = n.nodes[i]
		}
	}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.step(OpRemove, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.names[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	m.bind([]string{name}, []*node{nil})
	return nil
}

// Rename implements FS.
func (m *Mem) Rename(oldPath, newPath string) error {
	m.step(OpRename, oldPath)
	m.mu.Lock()
	defer m.mu.Unlock()
	oldPath, newPath = clean(oldPath), clean(newPath)
	n := m.names[oldPath]
	if n == nil {
		return &os.PathError{Op: "rename", Path: oldPath, Err: os.ErrNotExist}
	}
	m.bind([]string{oldPath, newPath}, []*node{nil, n})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.step(OpMkdir, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	for name = clean(name); m.names[name] == nil; name = path.Dir(name) {
		dir := &node{dir: true}
		m.names[name], m.durable[name] = dir, dir
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.names[name] == nil {
		return nil, &os.PathError{Op: "readdir", Path: name, Err: os.ErrNotExist}
	}
	var list []string
	for p := range m.names {
		if path.Dir(p) == name && p != name {
			list = append(list, path.Base(p))
		}
	}
	sort.Strings(list)
	return list, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.step(OpSyncDir, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.names[name] == nil {
		return &os.PathError{Op: "syncdir", Path: name, Err: os.ErrNotExist}
	}
	rest := m.pending[:0]
	for _, change := range m.pending {
		if path.Dir(change.paths[0]) == name || path.Dir(change.paths[len(change.paths)-1]) == name {
			apply(m.durable, change)
		} else {
			rest = append(rest, change)
		}
	}
	m.pending = rest
	return nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[clean(name)]
	if n == nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
	}
	return int64(len(n.data)), nil
}

// memLock is a lock that is held.
type memLock struct {
	m    *Mem
	path string
}

// Lock implements FS. A crashed file system has no locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	if m.locks[name] {
		return nil, fmt.Errorf("vfs: lock %s: %w", name, ErrLocked)
	}
	m.locks[name] = true
	return &memLock{m, name}, nil
}

// Close gives the lock back.
func (l *memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.path)
	return nil
}

// Free implements FS.
func (m *Mem) Free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 50, nil
	}
	return max(0, m.capacity-m.used()), nil
}

func (m *Mem) used() int64 {
	used := int64(0)
	for _, n := range m.names {
		used += int64(len(n.data))
	}
	return used
}

func (m *Mem) step(op Op, name string) {
	if m.Step != nil {
		m.Step(op, name)
	}
}

// Choose returns a number in [0, n). It decides, choice by choice, what a power cut leaves: 0 the least, n-1 the most.
type Choose func(n int) int

// LoseAll is the power cut after which nothing is left but what was synced.
func LoseAll(int) int { return 0 }

// KeepAll is the death of the process alone: the kernel still has all that was written.
func KeepAll(n int) int { return n - 1 }

// Crash returns the file system as a power cut leaves it: all that was synced, and of the rest what choose says, each
// change of a name and each sector on its own, in a fixed order. The original is not changed and may go on.
func (m *Mem) Crash(choose Choose) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.capacity, after.noDirect = m.capacity, m.noDirect
	names := make(map[string]*node, len(m.durable))
	for p, n := range m.durable {
		names[p] = n
	}
	for _, change := range m.pending {
		if choose(2) == 1 {
			apply(names, change)
		}
	}
	list := make([]string, 0, len(names))
	for p := range names {
		list = append(list, p)
	}
	sort.Strings(list)
	copies := map[*node]*node{}
	for _, p := range list {
		n := names[p]
		if copies[n] == nil {
			copies[n] = n.crash(choose)
		}
		after.names[p], after.durable[p] = copies[n], copies[n]
	}
	return after
}

// crash is what a power cut leaves of a file.
func (n *node) crash(choose Choose) *node {
	after := &node{dir: n.dir, dirty: map[int64][][]byte{}, bad: map[int64]bool{}}
	if n.dir {
		return after
	}
	size := len(n.synced)
	if len(n.data) != size && choose(2) == 1 {
		size = len(n.data)
	}
	data := make([]byte, size)
	copy(data, n.synced)
	sectors := make([]int64, 0, len(n.dirty))
	for s := range n.dirty {
		sectors = append(sectors, s)
	}
	sort.Slice(sectors, func(i, k int) bool { return sectors[i] < sectors[k] })
	for _, s := range sectors {
		versions := n.dirty[s]
		if k := choose(len(versions) + 1); k > 0 && s*SectorBytes < int64(size) {
			copy(data[s*SectorBytes:], versions[k-1])
		}
	}
	for s := range n.bad {
		after.bad[s] = true
	}
	after.data = data
	after.synced = append([]byte(nil), data...)
	return after
}

// Rot flips the bits of mask in one byte of a file, on the disk: what no program did.
func (m *Mem) Rot(name string, offset int64, mask byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[clean(name)]
	if n == nil || n.dir || offset >= int64(len(n.data)) {
		return &os.PathError{Op: "rot", Path: name, Err: os.ErrNotExist}
	}
	n.data[offset] ^= mask
	if offset < int64(len(n.synced)) {
		n.synced[offset] ^= mask
	}
	return nil
}

// Misdirect has what was written to one block of a file be where it does not belong, on the disk: at to is what was at
// from, and at from is nothing.
func (m *Mem) Misdirect(name string, from, to int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[clean(name)]
	if n == nil || n.dir || max(from, to)+BlockBytes > int64(len(n.data)) || from == to {
		return &os.PathError{Op: "misdirect", Path: name, Err: os.ErrNotExist}
	}
	for _, b := range [][]byte{n.data, n.synced} {
		if int64(len(b)) >= max(from, to)+BlockBytes {
			copy(b[to:to+BlockBytes], b[from:])
			clear(b[from : from+BlockBytes])
		}
	}
	return nil
}

// Spoil makes the sector at offset unreadable (EIO) until it is written again.
func (m *Mem) Spoil(name string, offset int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[clean(name)]
	if n == nil || n.dir {
		return &os.PathError{Op: "spoil", Path: name, Err: os.ErrNotExist}
	}
	n.bad[offset/SectorBytes] = true
	return nil
}

// Files returns the paths of all files, sorted.
func (m *Mem) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for p, n := range m.names {
		if !n.dir {
			list = append(list, p)
		}
	}
	sort.Strings(list)
	return list
}

func clean(name string) string {
	return path.Clean("/" + strings.TrimPrefix(name, "/"))
}

// errMisaligned is what the kernel says about direct I/O that is not aligned.
var errMisaligned = errors.Join(syscall.EINVAL, errors.New("vfs: direct I/O that is not aligned"))
