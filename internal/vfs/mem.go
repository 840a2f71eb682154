package vfs

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
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
	root     *node
	pending  []naming // changes of names that no SyncDir has made durable, in order
	locks    map[string]bool
	capacity int64 // bytes all files may have together; 0: no limit
	noDirect bool
}

// node is a file or a directory.
type node struct {
	dir bool
	// Of a directory: what the program sees in it, and what a power cut leaves of that, without pending.
	names, durable map[string]*node

	data   []byte // as the program sees it
	synced []byte // as it is on the disk
	// dirty has, for each sector that was written since the last sync, what was written there, in order.
	dirty map[int64][][]byte
	bad   map[int64]bool // sectors that cannot be read
	// resized: the file became shorter since the last sync, so that dirty does not tell all.
	resized bool
}

// naming is one atomic change of names: one, or those of a rename.
type naming []entry

// entry is a name in a directory; a nil node removes it. It belongs to the directory, whatever that is called by then.
type entry struct {
	dir  *node
	name string
	node *node
}

func newDir() *node { return &node{dir: true, names: map[string]*node{}, durable: map[string]*node{}} }

// NewMem makes an empty file system with the directory "/".
func NewMem() *Mem {
	return &Mem{root: newDir(), locks: map[string]bool{}}
}

// lookup finds a file or directory, nil if it is not there. The caller holds the lock.
func (m *Mem) lookup(name string) *node {
	n := m.root
	for rest := clean(name)[1:]; rest != "" && n != nil; {
		var first string
		first, rest, _ = strings.Cut(rest, "/")
		n = n.names[first] // of a file: nothing
	}
	return n
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
	n, parent := m.lookup(name), m.lookup(path.Dir(name))
	switch {
	case n == nil && (flags&Create == 0 || parent == nil || !parent.dir):
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case n == nil:
		n = &node{dirty: map[int64][][]byte{}, bad: map[int64]bool{}}
		m.bind(entry{parent, path.Base(name), n})
	case n.dir:
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
	case flags&Exclusive != 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
	}
	return &memFile{fs: m, node: n, path: name, flags: flags}, nil
}

// bind changes names as one, not durably yet.
func (m *Mem) bind(change ...entry) {
	for _, e := range change {
		e.set(e.dir.names)
	}
	m.pending = append(m.pending, change)
}

func (e *entry) set(names map[string]*node) {
	if e.node == nil {
		delete(names, e.name)
	} else {
		names[e.name] = e.node
	}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.step(OpRemove, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	name = clean(name)
	n := m.lookup(name)
	switch {
	case n == nil:
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	case n == m.root || len(n.names) > 0:
		return &os.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	m.bind(entry{m.lookup(path.Dir(name)), path.Base(name), nil})
	return nil
}

// Rename implements FS. A directory moves with all that is in it, and what is not durable in it stays so.
func (m *Mem) Rename(oldPath, newPath string) error {
	m.step(OpRename, oldPath)
	m.mu.Lock()
	defer m.mu.Unlock()
	oldPath, newPath = clean(oldPath), clean(newPath)
	n, from, to := m.lookup(oldPath), m.lookup(path.Dir(oldPath)), m.lookup(path.Dir(newPath))
	if n == nil || n == m.root || to == nil || !to.dir {
		return &os.PathError{Op: "rename", Path: oldPath, Err: os.ErrNotExist}
	}
	if there := m.lookup(newPath); there != nil && (there.dir || n.dir) {
		return &os.PathError{Op: "rename", Path: newPath, Err: syscall.EEXIST}
	}
	m.bind(entry{from, path.Base(oldPath), nil}, entry{to, path.Base(newPath), n})
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.step(OpMkdir, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for rest := clean(name)[1:]; rest != ""; {
		var first string
		first, rest, _ = strings.Cut(rest, "/")
		next := n.names[first]
		switch {
		case !n.dir:
			return &os.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		case next == nil:
			next = newDir()
			n.names[first], n.durable[first] = next, next
		}
		n = next
	}
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.lookup(name)
	if n == nil || !n.dir {
		err := os.ErrNotExist
		if n != nil {
			err = syscall.ENOTDIR
		}
		return nil, &os.PathError{Op: "readdir", Path: clean(name), Err: err}
	}
	list := make([]string, 0, len(n.names))
	for name := range n.names {
		list = append(list, name)
	}
	sort.Strings(list)
	return list, nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.step(OpSyncDir, name)
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.lookup(name)
	if dir == nil {
		return &os.PathError{Op: "syncdir", Path: clean(name), Err: os.ErrNotExist}
	}
	rest := m.pending[:0]
	for _, change := range m.pending {
		if change[0].dir != dir && change[len(change)-1].dir != dir {
			rest = append(rest, change)
			continue
		}
		for _, e := range change {
			e.set(e.dir.durable)
		}
	}
	m.pending = rest
	return nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.lookup(name)
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
	m.root.walk("", func(_ string, n *node) { used += int64(len(n.data)) })
	return used
}

// walk visits everything that the program sees below a directory, in no order.
func (n *node) walk(at string, visit func(path string, n *node)) {
	for name, below := range n.names {
		visit(at+"/"+name, below)
		below.walk(at+"/"+name, visit)
	}
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
	left := map[*node]map[string]*node{} // what is left in directories that have a change pending
	for _, change := range m.pending {
		if choose(2) == 0 {
			continue
		}
		for _, e := range change {
			if left[e.dir] == nil {
				left[e.dir] = maps.Clone(e.dir.durable)
			}
			e.set(left[e.dir])
		}
	}
	found := map[string]*node{}
	m.root.survivors("", left, found)
	list := slices.Sorted(maps.Keys(found))
	copies, at := map[*node]*node{}, map[string]*node{"/": after.root}
	for _, p := range list { // a directory comes before what is in it
		n := found[p]
		if copies[n] == nil {
			copies[n] = n.crash(choose)
		}
		dir := at[path.Dir(p)]
		dir.names[path.Base(p)], dir.durable[path.Base(p)] = copies[n], copies[n]
		at[p] = copies[n]
	}
	return after
}

// survivors finds everything below a directory that a power cut leaves. left has the names in the directories where that
// is not what is durable.
func (n *node) survivors(at string, left map[*node]map[string]*node, found map[string]*node) {
	names := n.durable
	if changed := left[n]; changed != nil {
		names = changed
	}
	for name, below := range names {
		found[at+"/"+name] = below
		below.survivors(at+"/"+name, left, found)
	}
}

// crash is what a power cut leaves of a file.
func (n *node) crash(choose Choose) *node {
	if n.dir {
		return newDir()
	}
	after := &node{dirty: map[int64][][]byte{}, bad: map[int64]bool{}}
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
	n := m.lookup(name)
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
	n := m.lookup(name)
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
	n := m.lookup(name)
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
	m.root.walk("", func(p string, n *node) {
		if !n.dir {
			list = append(list, p)
		}
	})
	sort.Strings(list)
	return list
}

func clean(name string) string {
	return path.Clean("/" + strings.TrimPrefix(name, "/"))
}

// errMisaligned is what the kernel says about direct I/O that is not aligned.
var errMisaligned = errors.Join(syscall.EINVAL, errors.New("vfs: direct I/O that is not aligned"))
