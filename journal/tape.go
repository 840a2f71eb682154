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

// segmentInfo is a segment file as the directory shows it.
type segmentInfo struct {
	first  wire.Position // by its name
	bytes  int64         // how much of the stream it can hold
	header segmentHeader // if state is blockValid
	state  blockState    // of the header; blockBad as well if it belongs to another place
	short  bool          // the file is shorter than it says
	expect wire.Chain    // what the header's chain must be, known once a scan has come here
}

func (s *segmentInfo) end() wire.Position { return s.first + wire.Position(s.bytes) }

// listSegments lists the segments of dir by first position. Other names are left alone.
func listSegments(fs vfs.FS, dir string) ([]segmentInfo, error) {
	names, err := fs.ReadDir(segmentDir(dir))
	if err != nil {
		return nil, fmt.Errorf("journal: list segments: %w", err)
	}
	var list []segmentInfo
	for _, name := range names { // sorted by name is sorted by position
		if first, ok := parseSegmentName(name); ok {
			list = append(list, segmentInfo{first: first})
		}
	}
	return list, nil
}

// ErrForeign says that a segment belongs to another cluster, or was written by another version of the format.
var ErrForeign = errors.New("journal: foreign segment")

// inspect reads header and size of every segment in the list, and returns those that are still there. cluster 0 takes
// any.
func inspect(fs vfs.FS, dir string, list []segmentInfo, cluster uint64) ([]segmentInfo, error) {
	block := make([]byte, headerBytes)
	kept := list[:0]
	for _, s := range list {
		name := path.Join(segmentDir(dir), segmentName(s.first))
		size, err := fs.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("journal: open segment: %w", err)
		}
		switch err := readHeader(fs, name, block); {
		case errors.Is(err, os.ErrNotExist): // dropped or cut off just now
			continue
		case err != nil:
			s.state = blockBad
		default:
			s.state = s.header.decode(block)
		}
		if s.state == blockOther {
			return nil, fmt.Errorf("%w: %s has a format version other than %d", ErrForeign, name, FormatVersion)
		}
		if s.state == blockValid && cluster != 0 && s.header.cluster != cluster {
			return nil, fmt.Errorf("%w: %s belongs to cluster %016x, not %016x",
				ErrForeign, name, s.header.cluster, cluster)
		}
		s.measure(size)
		if n := len(kept); n > 0 && kept[n-1].end() > s.first {
			kept[n-1].bytes = int64(s.first - kept[n-1].first) // longer than it should be: its neighbour knows
		}
		kept = append(kept, s)
	}
	return kept, nil
}

// lastRun is the index of the segment from which on every one begins where the one before ends.
func lastRun(list []segmentInfo) int {
	for i := len(list) - 1; i > 0; i-- {
		if list[i-1].end() < list[i].first {
			return i
		}
	}
	return 0
}

// measure finds out how much of the stream a segment holds: as its header says, else as its file has room for.
func (s *segmentInfo) measure(size int64) {
	room := max(0, size-headerBytes) &^ (vfs.BlockBytes - 1)
	h := &s.header
	fits := h.first == s.first && h.bytes > 0 && h.bytes <= MaxSegmentBytes &&
		h.bytes%vfs.BlockBytes == 0
	switch {
	case s.state == blockValid && fits:
		s.bytes = h.bytes
	case s.state == blockValid:
		s.state = blockBad
		fallthrough
	default:
		if s.bytes = room; room == 0 {
			s.bytes = MinSegmentBytes
		}
	}
	s.short = room < s.bytes
}

func readHeader(fs vfs.FS, name string, block []byte) error {
	f, err := fs.OpenFile(name, vfs.ReadOnly)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(block, 0)
	return errors.Join(err, f.Close())
}

// tape reads the stream across segments, through one open file at a time, past the page cache where that works: what
// it returns is what the device holds.
type tape struct {
	fs       vfs.FS
	dir      string
	segments []segmentInfo
	file     vfs.File
	open     wire.Position // first of the open segment
	buffered bool          // the file system does not take direct I/O
}

// errGap says that there is no segment for a position.
var errGap = errors.New("no segment holds this position")

// find returns the segment that holds position, nil when there is none.
func (t *tape) find(position wire.Position) *segmentInfo {
	for i := len(t.segments) - 1; i >= 0; i-- {
		if s := &t.segments[i]; s.first <= position {
			if position < s.end() {
				return s
			}
			return nil
		}
	}
	return nil
}

// readAt fills b from position, both multiples of a block and b aligned, as far as the segment goes that holds it.
// n < len(b) without an error: the segment ends there.
func (t *tape) readAt(b []byte, position wire.Position) (n int, err error) {
	s := t.find(position)
	if s == nil {
		return 0, errGap
	}
	if t.file == nil || t.open != s.first {
		if err := t.openSegment(s.first); err != nil {
			return 0, err
		}
	}
	b = b[:min(len(b), int(s.end()-position))]
	offset := headerBytes + int64(position-s.first)
	n, err = t.file.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		n, err = t.readBlocks(b, offset)
	}
	return n &^ (vfs.BlockBytes - 1), err
}

// readBlocks reads up to the block that cannot be read: a device refuses a long read for one bad sector.
func (t *tape) readBlocks(b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		m, err := t.file.ReadAt(b[n:n+vfs.BlockBytes], offset+int64(n))
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (t *tape) openSegment(first wire.Position) error {
	t.close()
	name := path.Join(segmentDir(t.dir), segmentName(first))
	var err error
	if !t.buffered {
		t.file, err = t.fs.OpenFile(name, vfs.Direct)
		t.buffered = err != nil && !errors.Is(err, os.ErrNotExist)
	}
	if t.buffered {
		t.file, err = t.fs.OpenFile(name, vfs.ReadOnly)
	}
	t.open = first
	if err != nil {
		t.file = nil
	}
	return err
}

func (t *tape) close() {
	if t.file != nil {
		t.file.Close() // only read from: nothing can be lost
		t.file = nil
	}
}

// windowBytes is how much of the stream a window holds: several times the longest record.
const windowBytes = 512 << 10

// window slides over a tape and shows records as one slice each.
type window struct {
	tape       tape
	buf        []byte        // aligned
	start, end wire.Position // buf[:end-start] holds [start, end); start is a multiple of a block
	limit      wire.Position // nothing at or beyond it is shown
}

func newWindow(fs vfs.FS, dir string, segments []segmentInfo, buffered bool) *window {
	return &window{
		tape:  tape{fs: fs, dir: dir, segments: segments, buffered: buffered},
		buf:   vfs.AlignedBytes(windowBytes),
		limit: ^wire.Position(0),
	}
}

// view returns the bytes from position on: at least n if there are so many, else what there is and why there is no
// more (io.EOF at the limit, errGap, a read error). n is at most wire.MaxRecord. Good until the next call.
func (w *window) view(position wire.Position, n int) ([]byte, error) {
	if position < w.start || position > w.end {
		w.start, w.end = floorTo(position), floorTo(position)
	}
	need := position + wire.Position(n)
	if need > w.end {
		if err := w.fill(position, need); err != nil && w.end < need {
			return w.buf[min(position, w.end)-w.start : w.end-w.start], err
		}
	}
	return w.buf[position-w.start : w.end-w.start], nil
}

// fill reads on until the window reaches need, keeping what is at position and behind.
func (w *window) fill(position, need wire.Position) error {
	if need > w.limit {
		need = w.limit
	}
	keep := floorTo(position)
	if keep > w.start {
		copy(w.buf, w.buf[keep-w.start:w.end-w.start])
		w.start = keep
	}
	read := floorTo(w.end) // a block that the limit cut short is read again
	for read < need {
		n, err := w.tape.readAt(w.buf[read-w.start:], read)
		read += wire.Position(n)
		w.end = max(w.end, min(read, w.limit))
		if err != nil && read < need {
			return err
		}
	}
	if w.end >= w.limit {
		return io.EOF
	}
	return nil
}

// forget drops what was read, so that it is read again.
func (w *window) forget() { w.start, w.end = 0, 0 }
