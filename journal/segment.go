package journal

import (
	"errors"
	"fmt"
	"path"
	"syscall"

	"lockstep/internal/simbug"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// probe finds out whether the file system takes direct synchronous writes.
func (j *Journal) probe() error {
	if j.options.Buffered {
		j.why = "asked for by the options"
		return nil
	}
	f, err := j.options.FS.OpenFile(path.Join(j.options.Dir, "watermark"), vfs.Write|vfs.Direct|vfs.Dsync)
	switch {
	case err == nil:
		j.direct = true
		return f.Close()
	case errors.Is(err, syscall.EINVAL):
		j.why = "the file system refuses direct I/O"
		return nil
	}
	return fmt.Errorf("journal: open: %w", err)
}

// Describe says in one line how the journal writes.
func (j *Journal) Describe() string {
	if j.direct {
		return fmt.Sprintf("O_DIRECT|O_DSYNC, blocks of %d bytes, segments of %d", vfs.BlockBytes, j.options.SegmentBytes)
	}
	return fmt.Sprintf("write and fdatasync (%s), blocks of %d bytes, segments of %d",
		j.why, vfs.BlockBytes, j.options.SegmentBytes)
}

// segment is the segment that is being written. It belongs to the journal thread.
type segment struct {
	first wire.Position
	bytes int64
	file  vfs.File
	name  string
	dsync bool // every write is durable when it returns
	timer *timer
}

func (s *segment) end() wire.Position { return s.first + wire.Position(s.bytes) }

// write stores whole blocks at position, a multiple of a block, durably.
func (s *segment) write(b []byte, position wire.Position) error {
	return s.writeAt(b, headerBytes+int64(position-s.first))
}

func (s *segment) writeAt(b []byte, offset int64) error {
	start := s.timer.now()
	_, err := s.file.WriteAt(b, offset)
	return s.finish(start, offset, len(b), err)
}

// writeVec stores pieces of whole blocks, one behind the other, at position, a multiple of a block, durably.
func (s *segment) writeVec(pieces [][]byte, total int, position wire.Position) error {
	start, offset := s.timer.now(), headerBytes+int64(position-s.first)
	_, err := s.file.WriteVec(pieces, offset)
	return s.finish(start, offset, total, err)
}

// finish makes a write durable, if it is not yet.
func (s *segment) finish(start, offset int64, bytes int, err error) error {
	if err != nil && !simbug.On(simbug.IgnoreFailedSync) {
		return fmt.Errorf("journal: write %s at offset %d, %d bytes: %w", s.name, offset, bytes, err)
	}
	written := s.timer.now()
	s.timer.wrote(written - start)
	if s.dsync {
		return nil
	}
	err = s.file.Sync()
	if err != nil && simbug.On(simbug.RetryFailedSync) {
		err = s.file.Sync()
	}
	if err != nil && !simbug.On(simbug.IgnoreFailedSync) {
		return fmt.Errorf("journal: sync %s after writing at offset %d: %w", s.name, offset, err)
	}
	s.timer.synced(s.timer.now() - written)
	return nil
}

// writeHeader stores the header block durably. block is aligned.
func (s *segment) writeHeader(h *segmentHeader, block []byte) error {
	h.put(block)
	return s.writeAt(block[:headerBytes], 0)
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

// openSegment opens the segment at first for writing.
func (j *Journal) openSegment(first wire.Position, bytes int64) (segment, error) {
	s := segment{first: first, bytes: bytes, name: path.Join(segmentDir(j.options.Dir), segmentName(first))}
	flags := vfs.Write
	if j.direct {
		flags |= vfs.Direct | vfs.Dsync
	}
	var err error
	if s.file, err = j.options.FS.OpenFile(s.name, flags); err != nil {
		return s, fmt.Errorf("journal: open segment %s for writing: %w", s.name, err)
	}
	s.dsync, s.timer = j.direct, &j.timer
	return s, nil
}
