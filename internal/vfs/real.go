package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked is returned by Lock when another holder has the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// Real is the operating system's file system.
type Real struct{}

// OpenFile implements FS.
func (Real) OpenFile(path string, flags Flags) (File, error) {
	mode := unix.O_CLOEXEC | unix.O_RDONLY
	if flags&(Write|Create) != 0 {
		mode = unix.O_CLOEXEC | unix.O_RDWR
	}
	if flags&Create != 0 {
		mode |= unix.O_CREAT
	}
	if flags&Exclusive != 0 {
		mode |= unix.O_EXCL
	}
	if flags&Direct != 0 {
		mode |= unix.O_DIRECT
	}
	if flags&Dsync != 0 {
		mode |= unix.O_DSYNC
	}
	fd, err := retryInt(func() (int, error) { return unix.Open(path, mode, 0o644) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := &realFile{fd: fd, path: path, alignment: 1}
	if flags&Direct != 0 {
		if f.alignment, err = directAlignment(fd); err != nil {
			unix.Close(fd)
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
	return f, nil
}

// directAlignment asks what direct I/O on fd must be aligned to. Kernels before 6.1 do not tell: then it is the
// block that suits every device. A file system that wants more than BlockBytes is refused.
func directAlignment(fd int) (int, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st)
	if err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return BlockBytes, nil
	}
	alignment := int(max(st.Dio_offset_align, st.Dio_mem_align))
	if st.Dio_offset_align == 0 || alignment > BlockBytes {
		return 0, unix.EINVAL
	}
	return alignment, nil
}

// Remove implements FS.
func (Real) Remove(path string) error { return os.Remove(path) }

// Rename implements FS.
func (Real) Rename(oldPath, newPath string) error { return os.Rename(oldPath, newPath) }

// MkdirAll implements FS: every directory that was made is synced into its parent.
func (r Real) MkdirAll(path string) error {
	path = filepath.Clean(path)
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := r.MkdirAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return r.SyncDir(parent)
}

// ReadDir implements FS.
func (Real) ReadDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

// SyncDir implements FS.
func (Real) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Stat implements FS.
func (Real) Stat(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Lock implements FS with flock: the kernel gives it back when the process ends, however it ends.
func (Real) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("vfs: lock %s: %w", path, err)
	}
	return f, nil
}

// Free implements FS.
func (Real) Free(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
