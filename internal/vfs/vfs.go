package vfs

import "io"

// Flags say how a file is opened.
type Flags uint8

// The flags. ReadOnly is the absence of all.
const (
	ReadOnly  Flags = 0
	Write     Flags = 1 << iota >> 1 // reading and writing
	Create                           // create the file when it is missing; implies Write
	Exclusive                        // with Create: fail with os.ErrExist when it is there
	Direct                           // O_DIRECT: past the page cache; offsets, lengths and memory are aligned to Alignment
	Dsync                            // O_DSYNC: a WriteAt that returned is durable
)

// SectorBytes is what a device is assumed to write as a whole: after a power cut a sector holds the old or the new
// bytes. BlockBytes is what the journal writes in: a multiple of every device's logical block.
const (
	SectorBytes = 512
	BlockBytes  = 4096
)

// FS is a file system. Paths are slash-separated.
type FS interface {
	// OpenFile opens a file. A file system that does not take Direct or Dsync answers with syscall.EINVAL.
	OpenFile(path string, flags Flags) (File, error)
	// Remove deletes a file, or a directory that is empty.
	Remove(path string) error
	// Rename gives a file or a directory, with all that is in it, another name, atomically. A file replaces the file that
	// has the name; a directory replaces nothing. Durable after SyncDir of the directory that holds the name.
	Rename(oldPath, newPath string) error
	// MkdirAll creates a directory and its missing parents, and makes them durable.
	MkdirAll(path string) error
	// ReadDir returns the names in a directory, sorted.
	ReadDir(path string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(path string) error
	// Stat returns the size of a file in bytes.
	Stat(path string) (size int64, err error)
	// Lock takes an exclusive lock on a file, created when missing; it fails with ErrLocked when another holder
	// (process or FS user) has it. The lock ends with Close or with the process.
	Lock(path string) (io.Closer, error)
	// Free returns how many bytes are available below path.
	Free(path string) (int64, error)
}

// File is an open file.
type File interface {
	// ReadAt is io.ReaderAt: n < len(b) comes with an error, io.EOF at the end of the file.
	ReadAt(b []byte, offset int64) (n int, err error)
	// WriteAt is io.WriterAt: n < len(b) comes with an error.
	WriteAt(b []byte, offset int64) (n int, err error)
	// WriteVec is WriteAt of several pieces, one behind the other, with one call where the system has one.
	WriteVec(pieces [][]byte, offset int64) (n int, err error)
	// Sync makes everything written to the file durable (fdatasync). After an error the state of the file is
	// unknown for good; asking again proves nothing.
	Sync() error
	// Allocate fills [offset, offset+length) with written zeros, so that a later write there changes no metadata
	// and needs no space. The zeros are durable after Sync. Fails with syscall.ENOSPC when there is no room.
	Allocate(offset, length int64) error
	// Truncate sets the size.
	Truncate(size int64) error
	// Size returns the size in bytes.
	Size() (int64, error)
	// Alignment returns what offsets, lengths and memory must be a multiple of: 1 unless opened Direct.
	Alignment() int
	io.Closer
}
