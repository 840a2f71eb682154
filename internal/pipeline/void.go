package pipeline

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"lockstep/internal/vfs"
)

// keptBytes is how much of the beginning of a file a void keeps: all of the small ones, and the headers of segments.
const keptBytes = 64 << 10

// void is a disk that takes everything and keeps only the beginnings of files, and their sizes: a journal may grow on it for
// ever. It is used by one goroutine.
type void struct {
	files map[string]*voidFile
	dirs  map[string]bool
	locks map[string]bool
}

func newVoid() *void {
	return &void{files: map[string]*voidFile{}, dirs: map[string]bool{"/": true}, locks: map[string]bool{}}
}

// OpenFile implements vfs.FS.
func (v *void) OpenFile(name string, flags vfs.Flags) (vfs.File, error) {
	name = path.Clean("/" + name)
	f := v.files[name]
	switch {
	case f == nil && (flags&vfs.Create == 0 || !v.dirs[path.Dir(name)]):
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	case f == nil:
		f = &voidFile{}
		v.files[name] = f
	case flags&vfs.Exclusive != 0:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrExist}
	}
	if flags&vfs.Direct != 0 {
		return alignedVoidFile{f}, nil
	}
	return f, nil
}

// Remove implements vfs.FS.
func (v *void) Remove(name string) error {
	name = path.Clean("/" + name)
	if v.files[name] == nil && !v.dirs[name] {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	delete(v.files, name)
	delete(v.dirs, name)
	return nil
}

// Rename implements vfs.FS, of files.
func (v *void) Rename(oldPath, newPath string) error {
	oldPath, newPath = path.Clean("/"+oldPath), path.Clean("/"+newPath)
	f := v.files[oldPath]
	if f == nil {
		return &os.PathError{Op: "rename", Path: oldPath, Err: os.ErrNotExist}
	}
	delete(v.files, oldPath)
	v.files[newPath] = f
	return nil
}

// MkdirAll implements vfs.FS.
func (v *void) MkdirAll(name string) error {
	for name = path.Clean("/" + name); !v.dirs[name]; name = path.Dir(name) {
		v.dirs[name] = true
	}
	return nil
}

// ReadDir implements vfs.FS.
func (v *void) ReadDir(name string) ([]string, error) {
	name = path.Clean("/" + name)
	if !v.dirs[name] {
		return nil, &os.PathError{Op: "readdir", Path: name, Err: os.ErrNotExist}
	}
	var list []string
	for at := range v.files {
		if path.Dir(at) == name {
			list = append(list, path.Base(at))
		}
	}
	for at := range v.dirs {
		if at != name && path.Dir(at) == name {
			list = append(list, path.Base(at))
		}
	}
	slices.Sort(list)
	return list, nil
}

// SyncDir implements vfs.FS.
func (v *void) SyncDir(string) error { return nil }

// Stat implements vfs.FS.
func (v *void) Stat(name string) (int64, error) {
	f := v.files[path.Clean("/"+name)]
	if f == nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: os.ErrNotExist}
	}
	return f.size, nil
}

// Lock implements vfs.FS.
func (v *void) Lock(name string) (io.Closer, error) {
	if v.locks[name] {
		return nil, fmt.Errorf("pipeline: lock %s: %w", name, vfs.ErrLocked)
	}
	v.locks[name] = true
	return unlock(func() { delete(v.locks, name) }), nil
}

type unlock func()

// Close gives the lock back.
func (u unlock) Close() error {
	u()
	return nil
}

// Free implements vfs.FS: there is always room.
func (v *void) Free(string) (int64, error) { return 1 << 50, nil }

// segments is how many segment files there are, and their bytes.
func (v *void) segments() (files int, bytes int64) {
	for name, f := range v.files {
		if strings.HasSuffix(name, ".seg") {
			files, bytes = files+1, bytes+f.size
		}
	}
	return files, bytes
}

// voidFile is a file, and every handle of it.
type voidFile struct {
	size int64
	kept []byte // the beginning
}

// alignedVoidFile is a handle that was opened Direct.
type alignedVoidFile struct{ *voidFile }

// Alignment implements vfs.File.
func (alignedVoidFile) Alignment() int { return vfs.BlockBytes }

// ReadAt implements vfs.File. What was not kept reads as zeros.
func (f *voidFile) ReadAt(b []byte, offset int64) (int, error) {
	if offset >= f.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), f.size-offset))
	clear(b[:n])
	if offset < int64(len(f.kept)) {
		copy(b[:n], f.kept[offset:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (f *voidFile) WriteAt(b []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, syscall.EINVAL
	}
	end := offset + int64(len(b))
	f.size = max(f.size, end)
	if offset < keptBytes {
		if grown := min(end, keptBytes); int64(len(f.kept)) < grown {
			f.kept = append(f.kept, make([]byte, grown-int64(len(f.kept)))...)
		}
		copy(f.kept[offset:], b)
	}
	return len(b), nil
}

// WriteVec implements vfs.File.
func (f *voidFile) WriteVec(pieces [][]byte, offset int64) (n int, err error) {
	for _, p := range pieces {
		if _, err := f.WriteAt(p, offset+int64(n)); err != nil {
			return n, err
		}
		n += len(p)
	}
	return n, nil
}

// Sync implements vfs.File.
func (f *voidFile) Sync() error { return nil }

// Allocate implements vfs.File.
func (f *voidFile) Allocate(offset, length int64) error {
	f.size = max(f.size, offset+length)
	if offset < int64(len(f.kept)) {
		clear(f.kept[offset:min(offset+length, int64(len(f.kept)))])
	}
	return nil
}

// Truncate implements vfs.File.
func (f *voidFile) Truncate(size int64) error {
	f.size = size
	f.kept = f.kept[:min(size, int64(len(f.kept)))]
	return nil
}

// Size implements vfs.File.
func (f *voidFile) Size() (int64, error) { return f.size, nil }

// Alignment implements vfs.File.
func (f *voidFile) Alignment() int { return 1 }

// Close implements vfs.File.
func (f *voidFile) Close() error { return nil }
