package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// Builder writes a log that exists elsewhere into the segments of a directory, record by record, offline: an archive,
// or a node that is restored from one. It goes through the page cache and syncs when it is told to. It belongs to one
// thread; no journal may be open in the directory.
type Builder struct {
	fs      vfs.FS
	dir     string
	cluster uint64
	bytes   int64 // of the log in a segment
	full    bool  // segments are filled with written zeros ahead of use, as a writer wants to find them
	chain   wire.Chain

	current segment
	buf     []byte        // log bytes from flushed on
	flushed wire.Position // everything below is written
}

// builderBytes is how much a Builder gathers for a write.
const builderBytes = MaxBatch

// BuilderOptions say what a Builder builds.
type BuilderOptions struct {
	FS           vfs.FS
	Dir          string // the directory; the segments are in its subdirectory "journal", which is there
	Cluster      uint64 // cluster id for the segments' headers
	SegmentBytes int64  // as in Options; 0: 64 MiB
	// Reserve has segments take their whole space at once, as a node wants to find them. Else they are sparse.
	Reserve bool
}

// NewBuilder goes on behind chain, the end of what the directory holds: what stands behind it there is overwritten. At
// the zero chain, or where no segment holds the position of the chain, it makes the first segment.
func NewBuilder(o BuilderOptions, chain wire.Chain) (*Builder, error) {
	checked, err := Options{FS: o.FS, Dir: o.Dir, SegmentBytes: o.SegmentBytes}.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Builder{fs: checked.FS, dir: o.Dir, cluster: o.Cluster, bytes: checked.SegmentBytes, full: o.Reserve,
		chain: chain, flushed: chain.Position, buf: make([]byte, 0, builderBytes+wire.MaxRecord)}
	list, err := listSegments(b.fs, b.dir)
	if err == nil {
		list, err = inspect(b.fs, b.dir, list, b.cluster)
	}
	if err != nil {
		return nil, err
	}
	t := tape{segments: list}
	if at := t.find(chain.Position); at != nil && at.state == blockValid {
		return b, b.open(at.first, at.bytes)
	}
	// A segment that ends at the position is full: the next one is made with the next record.
	if chain.Position > 0 {
		if at := t.find(chain.Position - 1); at != nil && at.state == blockValid {
			return b, b.open(at.first, at.bytes)
		}
	}
	return b, b.create(floorTo(chain.Position), chain)
}

// Append adds the next record: its bytes, padding included, verified by the caller, and the chain behind it.
func (b *Builder) Append(record []byte, after wire.Chain) error {
	if after.Position != b.chain.Position+wire.Position(len(record)) || after.Sequence != b.chain.Sequence+1 {
		return fmt.Errorf("%w: a record of %d bytes from position %d to %d, at %d", ErrInvariant, len(record),
			b.chain.Position, after.Position, b.chain.Position)
	}
	for len(record) > 0 {
		at := b.flushed + wire.Position(len(b.buf))
		if at == b.current.end() {
			start := after // the record began in the segment before
			if at == b.chain.Position {
				start = b.chain
			}
			if err := b.next(start); err != nil {
				return err
			}
		}
		n := min(len(record), int(b.current.end()-at))
		b.buf = append(b.buf, record[:n]...)
		record = record[n:]
	}
	b.chain = after
	if len(b.buf) >= builderBytes {
		return b.flush()
	}
	return nil
}

// Sync makes everything appended durable.
func (b *Builder) Sync() error {
	if err := b.flush(); err != nil {
		return err
	}
	if err := b.current.file.Sync(); err != nil {
		return fmt.Errorf("journal: sync %s: %w", b.current.name, err)
	}
	return nil
}

// Close closes the segment, without syncing it.
func (b *Builder) Close() error { return b.current.close() }

// next closes a full segment, durably, and makes the one behind it.
func (b *Builder) next(start wire.Chain) error {
	if err := errors.Join(b.Sync(), b.current.close()); err != nil {
		return err
	}
	return b.create(b.current.end(), start)
}

// create makes the segment that begins at first; its first record begins at start, and chains from it.
func (b *Builder) create(first wire.Position, start wire.Chain) error {
	name := path.Join(segmentDir(b.dir), segmentName(first))
	aside := path.Join(segmentDir(b.dir), asideName)
	if err := b.fs.Remove(aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: build %s: %w", name, err)
	}
	f, err := b.fs.OpenFile(aside, vfs.Create)
	if err != nil {
		return fmt.Errorf("journal: build %s: %w", name, err)
	}
	h := segmentHeader{b.cluster, first, b.bytes, 1, start}
	block := alignedBlock()
	h.put(block)
	if b.full {
		err = fill(f, 0, headerBytes+b.bytes)
	} else {
		err = f.Truncate(headerBytes + b.bytes)
	}
	if err == nil {
		_, err = f.WriteAt(block, 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = b.fs.Rename(aside, name)
	}
	if err == nil {
		err = b.fs.SyncDir(segmentDir(b.dir))
	}
	if err != nil {
		return fmt.Errorf("journal: build %s: %w", name, err)
	}
	return b.open(first, b.bytes)
}

// fill writes zeros, a step at a time.
func fill(f vfs.File, from, until int64) (err error) {
	for at := from; err == nil && at < until; at += prepareStep {
		err = f.Allocate(at, min(prepareStep, until-at))
	}
	return err
}

func (b *Builder) open(first wire.Position, bytes int64) error {
	s := segment{first: first, bytes: bytes, name: path.Join(segmentDir(b.dir), segmentName(first))}
	var err error
	if s.file, err = b.fs.OpenFile(s.name, vfs.Write); err != nil {
		return fmt.Errorf("journal: build: %w", err)
	}
	b.current = s
	return nil
}

// flush writes what is gathered; it lies within the current segment.
func (b *Builder) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	offset := headerBytes + int64(b.flushed-b.current.first)
	if _, err := b.current.file.WriteAt(b.buf, offset); err != nil {
		return fmt.Errorf("journal: write %s at offset %d, %d bytes: %w", b.current.name, offset, len(b.buf), err)
	}
	b.flushed += wire.Position(len(b.buf))
	b.buf = b.buf[:0]
	return nil
}

// FinishDirectory makes the log that a Builder has put into dir, up to chain, that of a node: watermark, a vote in the
// term of the last record, and last the identity, without which nothing runs there. What it finds of these it
// replaces.
func FinishDirectory(fs vfs.FS, dir string, id Identity, chain wire.Chain) error {
	if !id.Node.Valid() || id.Incarnation == 0 {
		return fmt.Errorf("journal: %s: node %d, incarnation %x: want a node id in [1, %d], and an incarnation",
			dir, id.Node, id.Incarnation, wire.MaxNodes)
	}
	votes := vfs.AlignedBytes(voteCopies * vfs.BlockBytes)
	for i := range voteCopies {
		putVote(votes[i*vfs.BlockBytes:], chain.Term, 0)
	}
	if err := replaceBlocks(fs, dir, "vote", votes); err != nil {
		return err
	}
	if err := StoreWatermark(fs, dir, chain.Position); err != nil {
		return err
	}
	return writeIdentity(fs, dir, id)
}

// StoreWatermark makes the watermark file of dir anew: everything below position is synced. For directories that no
// journal is open in.
func StoreWatermark(fs vfs.FS, dir string, position wire.Position) error {
	marks := vfs.AlignedBytes(watermarkSlots * vfs.BlockBytes)
	putWatermark(marks, 2, position)
	putWatermark(marks[vfs.BlockBytes:], 1, position)
	return replaceBlocks(fs, dir, "watermark", marks)
}

// replaceBlocks replaces a file durably: written aside, synced, renamed, directory synced.
func replaceBlocks(fs vfs.FS, dir, name string, blocks []byte) error {
	target := path.Join(dir, name)
	aside := target + ".tmp"
	err := fs.Remove(aside)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = createBlocks(fs, aside, blocks)
	}
	if err == nil {
		err = fs.Rename(aside, target)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("journal: write %s: %w", target, err)
	}
	return nil
}

// RebuildSegment makes one segment of a built log anew: the one that begins at first, whose first record begins at start,
// with the bytes of the log that r has.
func RebuildSegment(o BuilderOptions, first wire.Position, start wire.Chain, r io.Reader) error {
	checked, err := Options{FS: o.FS, Dir: o.Dir, SegmentBytes: o.SegmentBytes}.withDefaults()
	if err != nil {
		return err
	}
	b := &Builder{fs: checked.FS, dir: o.Dir, cluster: o.Cluster, bytes: checked.SegmentBytes, full: o.Reserve,
		flushed: first, buf: make([]byte, builderBytes)}
	if err := b.create(first, start); err != nil {
		return err
	}
	for err == nil {
		var n int
		n, err = io.ReadFull(r, b.buf[:builderBytes])
		b.buf = b.buf[:n]
		if flushErr := b.flush(); flushErr != nil {
			err = flushErr
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = b.Sync()
	}
	return errors.Join(err, b.Close())
}

// SegmentName is the name, in a node's directory, of the segment that begins at first.
func SegmentName(first wire.Position) string { return path.Join("journal", segmentName(first)) }

// SegmentHeaderBytes is how much of a segment's file comes before the log.
const SegmentHeaderBytes = headerBytes
