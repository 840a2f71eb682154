package vfs

import (
	"io"
	"os"
	"syscall"
)

// memFile is an open file of a Mem.
type memFile struct {
	fs    *Mem
	node  *node
	path  string
	flags Flags
}

func (f *memFile) ReadAt(b []byte, offset int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.checkAligned("read", b, offset); err != nil {
		return 0, err
	}
	data := f.node.data
	if offset >= int64(len(data)) {
		return 0, io.EOF
	}
	for s := range f.node.bad {
		if s*SectorBytes < offset+int64(len(b)) && (s+1)*SectorBytes > offset {
			return 0, f.fail("read", syscall.EIO)
		}
	}
	n := copy(b, data[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, offset int64) (int, error) {
	f.fs.step(OpWrite, f.path)
	n, err := f.write(b, offset)
	if err != nil || f.flags&Dsync == 0 {
		return n, err
	}
	f.fs.step(OpSync, f.path)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.syncRange(offset, offset+int64(n))
	return n, nil
}

func (f *memFile) WriteVec(pieces [][]byte, offset int64) (int, error) {
	total := 0
	for _, p := range pieces {
		if f.flags&Direct != 0 && (len(p)%BlockBytes != 0 || !Aligned(p)) {
			return 0, f.fail("write", errMisaligned)
		}
		total += len(p)
	}
	return f.WriteAt(join(pieces, total), offset)
}

// join puts the pieces of a vectored write together.
func join(pieces [][]byte, total int) []byte {
	all := AlignedBytes(total)
	at := 0
	for _, p := range pieces {
		at += copy(all[at:], p)
	}
	return all
}

func (f *memFile) write(b []byte, offset int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.flags&(Write|Create) == 0 {
		return 0, f.fail("write", syscall.EBADF)
	}
	if err := f.checkAligned("write", b, offset); err != nil {
		return 0, err
	}
	end := offset + int64(len(b))
	if err := f.grow(end); err != nil {
		return 0, err
	}
	copy(f.node.data[offset:], b)
	for s := offset / SectorBytes; s*SectorBytes < end; s++ {
		delete(f.node.bad, s)
		until := min((s+1)*SectorBytes, int64(len(f.node.data)))
		version := append([]byte(nil), f.node.data[s*SectorBytes:until]...)
		f.node.dirty[s] = append(f.node.dirty[s], version)
	}
	return len(b), nil
}

// grow makes the file reach end, with zeros.
func (f *memFile) grow(end int64) error {
	more := end - int64(len(f.node.data))
	if more <= 0 {
		return nil
	}
	if f.fs.capacity > 0 && f.fs.used()+more > f.fs.capacity {
		return f.fail("write", syscall.ENOSPC)
	}
	f.node.data = append(f.node.data, make([]byte, more)...)
	return nil
}

func (f *memFile) Sync() error {
	f.fs.step(OpSync, f.path)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.sync()
	return nil
}

// sync makes everything durable that is dirty.
func (n *node) sync() {
	if n.resized {
		n.synced, n.resized = append(n.synced[:0], n.data...), false
		clear(n.dirty)
		return
	}
	if missing := len(n.data) - len(n.synced); missing > 0 {
		n.synced = append(n.synced, make([]byte, missing)...)
	}
	for s := range n.dirty {
		copy(n.synced[s*SectorBytes:min((s+1)*SectorBytes, int64(len(n.synced)))], n.data[s*SectorBytes:])
	}
	clear(n.dirty)
}

// drop has what was not synced never reach the disk.
func (f *memFile) drop() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	clear(f.node.dirty)
}

// syncRange makes the sectors of [from, until) durable, and the size if they need it.
func (n *node) syncRange(from, until int64) {
	if missing := until - int64(len(n.synced)); missing > 0 {
		n.synced = append(n.synced, make([]byte, missing)...)
	}
	for s := from / SectorBytes; s*SectorBytes < until; s++ {
		if s*SectorBytes < int64(len(n.synced)) {
			copy(n.synced[s*SectorBytes:min((s+1)*SectorBytes, int64(len(n.synced)))], n.data[s*SectorBytes:])
		}
		delete(n.dirty, s)
	}
}

func (f *memFile) Allocate(offset, length int64) error {
	f.fs.step(OpAllocate, f.path)
	_, err := f.write(AlignedBytes(int(length)), offset)
	return err
}

func (f *memFile) Truncate(size int64) error {
	f.fs.step(OpTruncate, f.path)
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.grow(size); err != nil {
		return err
	}
	f.node.data, f.node.resized = f.node.data[:size:size], true
	for s := range f.node.dirty {
		if s*SectorBytes >= size {
			delete(f.node.dirty, s)
		}
	}
	return nil
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.node.data)), nil
}

func (f *memFile) Alignment() int {
	if f.flags&Direct != 0 {
		return BlockBytes
	}
	return 1
}

func (f *memFile) Close() error { return nil }

func (f *memFile) checkAligned(op string, b []byte, offset int64) error {
	if f.flags&Direct == 0 {
		return nil
	}
	if offset%BlockBytes != 0 || len(b)%BlockBytes != 0 || !Aligned(b) {
		return f.fail(op, errMisaligned)
	}
	return nil
}

func (f *memFile) fail(op string, err error) error {
	return &os.PathError{Op: op, Path: f.path, Err: err}
}
