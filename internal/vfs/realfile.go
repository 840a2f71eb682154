package vfs

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// realFile is a bare descriptor: the runtime's poller and its locks have no part in the journal's writes.
type realFile struct {
	fd        int
	path      string
	alignment int
	noZeroing bool // the file system does not know FALLOC_FL_WRITE_ZEROES
}

// fallocWriteZeroes (Linux 6.17) has the device write the zeros.
const fallocWriteZeroes = 0x80

// zeroChunk is how many zeros one write carries where the file system cannot write them itself.
const zeroChunk = 1 << 20

// zeros is aligned for direct I/O and never written to.
var zeros = AlignedBytes(zeroChunk)

func (f *realFile) ReadAt(b []byte, offset int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pread(f.fd, b[n:], offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, &os.PathError{Op: "read", Path: f.path, Err: err}
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

func (f *realFile) WriteAt(b []byte, offset int64) (int, error) {
	n := 0
	for n < len(b) {
		m, err := unix.Pwrite(f.fd, b[n:], offset+int64(n))
		if err == unix.EINTR {
			continue
		}
		if err == nil && m == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, &os.PathError{Op: "write", Path: f.path, Err: err}
		}
		n += m
	}
	return n, nil
}

// WriteVec tries again what a signal interrupted; what was written in part is written again as a whole, which is what it
// was to be.
func (f *realFile) WriteVec(pieces [][]byte, offset int64) (int, error) {
	total := 0
	for _, p := range pieces {
		total += len(p)
	}
	for {
		n, err := unix.Pwritev(f.fd, pieces, offset)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, &os.PathError{Op: "write", Path: f.path, Err: err}
		case n == total:
			return n, nil
		}
		return f.writePieces(pieces, offset)
	}
}

// writePieces writes piece by piece, after a vectored write that ended early.
func (f *realFile) writePieces(pieces [][]byte, offset int64) (n int, err error) {
	for _, p := range pieces {
		m, err := f.WriteAt(p, offset+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Sync does not retry: an interrupted fdatasync may already have reported and forgotten an error.
func (f *realFile) Sync() error {
	if err := unix.Fdatasync(f.fd); err != nil {
		return &os.PathError{Op: "fdatasync", Path: f.path, Err: err}
	}
	return nil
}

func (f *realFile) Allocate(offset, length int64) error {
	if !f.noZeroing {
		err := retry(func() error { return unix.Fallocate(f.fd, fallocWriteZeroes, offset, length) })
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			return &os.PathError{Op: "fallocate", Path: f.path, Err: err}
		}
		f.noZeroing = true
	}
	for end := offset + length; offset < end; {
		n := min(end-offset, zeroChunk)
		if _, err := f.WriteAt(zeros[:n], offset); err != nil {
			return err
		}
		offset += n
	}
	return nil
}

func (f *realFile) Truncate(size int64) error {
	if err := retry(func() error { return unix.Ftruncate(f.fd, size) }); err != nil {
		return &os.PathError{Op: "truncate", Path: f.path, Err: err}
	}
	return nil
}

func (f *realFile) Size() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: f.path, Err: err}
	}
	return st.Size, nil
}

func (f *realFile) Alignment() int { return f.alignment }

func (f *realFile) Close() error {
	if err := unix.Close(f.fd); err != nil {
		return &os.PathError{Op: "close", Path: f.path, Err: err}
	}
	return nil
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func retryInt(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}
