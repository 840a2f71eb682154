package vfs

import (
	"cmp"
	"io"
	"math/bits"
	"os"
	"strings"
	"sync"
)

// Op names an operation of FS or File.
type Op uint16

// The operations, bits of a set.
const (
	OpOpen Op = 1 << iota
	OpRead
	OpWrite
	OpSync
	OpAllocate
	OpTruncate
	OpRemove
	OpRename
	OpMkdir
	OpReadDir
	OpSyncDir
	OpStat
	OpLock
	OpFree

	OpAll Op = 1<<iota - 1
)

var opNames = [...]string{"open", "read", "write", "sync", "allocate", "truncate", "remove", "rename", "mkdir",
	"readdir", "syncdir", "stat", "lock", "free"}

// String is the name of an operation, or of the lowest in a set.
func (o Op) String() string {
	if i := bits.TrailingZeros16(uint16(o)); i < len(opNames) {
		return opNames[i]
	}
	return "no operation"
}

func failed(op Op, path string, err error) error {
	return &os.PathError{Op: op.String(), Path: path, Err: err}
}

// Fault is what goes wrong, when and where.
type Fault struct {
	Ops   Op     // which operations
	Path  string // only on paths that contain this
	Skip  int    // how many matching operations go well first
	Times int    // how many fail then: 0 is one, negative is all

	// What happens, in this order. With Err nil and nothing else set the operation only waits.
	Hang  <-chan struct{} // it waits until this is closed
	Short bool            // WriteAt stores the first half
	Drop  bool            // Sync loses all that was not synced, though reads still show it: what kernels do with Err
	Shift int64           // WriteAt stores so many bytes further on, and says that all is well
	Lie   bool            // it does nothing, and says that all is well
	Err   error           // it fails with this, in an os.PathError
}

// Failing is a file system in which faults happen to the operations of another.
type Failing struct {
	fs     FS
	mu     sync.Mutex
	faults []*Fault
	ops    int
}

// NewFailing wraps fs. Skip of every fault counts from now.
func NewFailing(fs FS, faults ...Fault) *Failing {
	f := &Failing{fs: fs}
	f.Inject(faults...)
	return f
}

// Inject adds faults. Any thread.
func (f *Failing) Inject(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fault := range faults {
		f.faults = append(f.faults, &fault)
	}
}

// Heal takes all faults away. Any thread.
func (f *Failing) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Ops returns how many operations there were. Any thread.
func (f *Failing) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// hit returns the fault that the operation runs into, nil if none, after it has waited.
func (f *Failing) hit(op Op, path string) *Fault {
	f.mu.Lock()
	f.ops++
	var found *Fault
	for _, fault := range f.faults {
		if fault.Ops&op == 0 || !strings.Contains(path, fault.Path) {
			continue
		}
		if fault.Skip > 0 {
			fault.Skip--
			continue
		}
		if fault.Times < 0 || fault.Times != spent && found == nil {
			found = fault
			fault.use()
		}
	}
	f.mu.Unlock()
	if found != nil && found.Hang != nil {
		<-found.Hang
	}
	return found
}

// spent in Times marks a fault that has happened as often as it was to.
const spent = int(^uint(0) >> 1)

func (x *Fault) use() {
	switch {
	case x.Times < 0:
	case x.Times <= 1:
		x.Times = spent
	default:
		x.Times--
	}
}

// check returns what an operation without details is to do instead of its work; do says that it is to do its work.
func (f *Failing) check(op Op, path string) (do bool, err error) {
	x := f.hit(op, path)
	switch {
	case x == nil:
		return true, nil
	case x.Err != nil:
		return false, failed(op, path, x.Err)
	}
	return !x.Lie, nil
}

// OpenFile implements FS. A lie is none here: there would be no file.
func (f *Failing) OpenFile(path string, flags Flags) (File, error) {
	if _, err := f.check(OpOpen, path); err != nil {
		return nil, err
	}
	inner, err := f.fs.OpenFile(path, flags)
	if err != nil {
		return nil, err
	}
	return &failingFile{File: inner, f: f, path: path}, nil
}

// Remove implements FS.
func (f *Failing) Remove(path string) error {
	if do, err := f.check(OpRemove, path); !do {
		return err
	}
	return f.fs.Remove(path)
}

// Rename implements FS.
func (f *Failing) Rename(oldPath, newPath string) error {
	if do, err := f.check(OpRename, oldPath); !do {
		return err
	}
	return f.fs.Rename(oldPath, newPath)
}

// MkdirAll implements FS.
func (f *Failing) MkdirAll(path string) error {
	if do, err := f.check(OpMkdir, path); !do {
		return err
	}
	return f.fs.MkdirAll(path)
}

// ReadDir implements FS.
func (f *Failing) ReadDir(path string) ([]string, error) {
	if do, err := f.check(OpReadDir, path); !do {
		return nil, err
	}
	return f.fs.ReadDir(path)
}

// SyncDir implements FS.
func (f *Failing) SyncDir(path string) error {
	if do, err := f.check(OpSyncDir, path); !do {
		return err
	}
	return f.fs.SyncDir(path)
}

// Stat implements FS.
func (f *Failing) Stat(path string) (int64, error) {
	if do, err := f.check(OpStat, path); !do {
		return 0, err
	}
	return f.fs.Stat(path)
}

// Lock implements FS.
func (f *Failing) Lock(path string) (io.Closer, error) {
	if _, err := f.check(OpLock, path); err != nil {
		return nil, err
	}
	return f.fs.Lock(path)
}

// Free implements FS.
func (f *Failing) Free(path string) (int64, error) {
	if do, err := f.check(OpFree, path); !do {
		return 0, err
	}
	return f.fs.Free(path)
}

// failingFile is an open file of a Failing.
type failingFile struct {
	File
	f    *Failing
	path string
}

func (f *failingFile) ReadAt(b []byte, offset int64) (int, error) {
	if do, err := f.f.check(OpRead, f.path); !do {
		return 0, err
	}
	return f.File.ReadAt(b, offset)
}

func (f *failingFile) WriteAt(b []byte, offset int64) (int, error) {
	x := f.f.hit(OpWrite, f.path)
	switch {
	case x == nil:
		return f.File.WriteAt(b, offset)
	case x.Short:
		half := len(b) / 2 / BlockBytes * BlockBytes
		n, err := f.File.WriteAt(b[:half:half], offset)
		if err == nil {
			err = failed(OpWrite, f.path, cmp.Or(x.Err, io.ErrShortWrite))
		}
		return n, err
	case x.Err != nil:
		return 0, failed(OpWrite, f.path, x.Err)
	case x.Lie:
		return len(b), nil
	}
	return f.File.WriteAt(b, offset+x.Shift)
}

// WriteVec runs into the faults of writes, as one write.
func (f *failingFile) WriteVec(pieces [][]byte, offset int64) (int, error) {
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	return f.WriteAt(join(pieces, total), offset)
}

func (f *failingFile) Sync() error {
	x := f.f.hit(OpSync, f.path)
	if x == nil {
		return f.File.Sync()
	}
	if mem, ok := f.File.(*memFile); ok && x.Drop {
		mem.drop()
	}
	switch {
	case x.Err != nil:
		return failed(OpSync, f.path, x.Err)
	case x.Lie:
		return nil
	}
	return f.File.Sync()
}

func (f *failingFile) Allocate(offset, length int64) error {
	if do, err := f.f.check(OpAllocate, f.path); !do {
		return err
	}
	return f.File.Allocate(offset, length)
}

func (f *failingFile) Truncate(size int64) error {
	if do, err := f.f.check(OpTruncate, f.path); !do {
		return err
	}
	return f.File.Truncate(size)
}
