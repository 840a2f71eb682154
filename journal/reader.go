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

// Errors of a reader.
var (
	// ErrNotHeld says that the log that is kept does not go back so far, or does not begin a record there.
	ErrNotHeld = errors.New("journal: no record begins at this position in the log that is kept")
	// ErrCorrupt says that a record does not pass its checks.
	ErrCorrupt = errors.New("journal: damaged record")
)

// Reader reads records back, past the writer, with file handles of its own. It belongs to one thread, any; it may run
// beside the writer when its limit is at most what is durable (or, for what a cut may take away, committed).
type Reader struct {
	window *window
	chain  wire.Chain // behind the last record read
	seeked bool
}

// NewReader makes a reader of the log in dir. Its limit is 0: SetLimit before reading.
func NewReader(fs vfs.FS, dir string) (*Reader, error) {
	r := &Reader{}
	if err := r.init(fs, dir, false); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) init(fs vfs.FS, dir string, buffered bool) error {
	r.window = newWindow(fs, dir, nil, buffered)
	r.window.limit = 0
	return r.refresh()
}

// refresh looks at the directory again: the log has grown, or its oldest part is gone.
func (r *Reader) refresh() error {
	t := &r.window.tape
	list, err := listSegments(t.fs, t.dir)
	if err != nil {
		return err
	}
	t.segments, err = inspect(t.fs, t.dir, list, 0)
	return err
}

// SetLimit says where the log ends for this reader. It may go up or down.
func (r *Reader) SetLimit(position wire.Position) {
	r.window.limit = position
	if r.window.end > position {
		r.window.end = max(position, r.window.start)
	}
}

// Seek has Next begin with the record at position; everything on the way there from the start of its segment is
// verified. Position is where a record begins, or the limit.
func (r *Reader) Seek(position wire.Position) error {
	r.seeked = false
	r.window.forget()
	if err := r.refresh(); err != nil {
		return err
	}
	chain, err := r.startBefore(position)
	if err != nil {
		return err
	}
	r.chain, r.seeked = chain, true
	for r.chain.Position < position {
		if _, _, err := r.Next(); err != nil {
			r.seeked = false
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: %d is beyond the limit %d", ErrNotHeld, position, r.window.limit)
			}
			return err
		}
	}
	if r.chain.Position != position {
		r.seeked = false
		return fmt.Errorf("%w: %d is inside the record that ends at %d", ErrNotHeld, position, r.chain.Position)
	}
	return nil
}

// startBefore finds the last place at or before position where a header says how the chain stands.
func (r *Reader) startBefore(position wire.Position) (wire.Chain, error) {
	segments := r.window.tape.segments
	for i := len(segments) - 1; i >= 0; i-- {
		s := &segments[i]
		switch {
		case s.state == blockValid && s.holds(s.header.chain.Position) && s.header.chain.Position <= position:
			return s.header.chain, nil
		case s.first == 0:
			return wire.Chain{}, nil
		}
	}
	if len(segments) == 0 && position == 0 {
		return wire.Chain{}, nil
	}
	return wire.Chain{}, fmt.Errorf("%w: %d", ErrNotHeld, position)
}

// Position returns where the next record begins.
func (r *Reader) Position() wire.Position { return r.chain.Position }

// Chain returns what the next record must fit.
func (r *Reader) Chain() wire.Chain { return r.chain }

// Next returns the next record, verified, and its payload, which is good until the next call. io.EOF at the limit: more
// may come when it has been raised. ErrCorrupt (with segment, offset, cause) when the record does not pass.
func (r *Reader) Next() (wire.Record, []byte, error) {
	var rec wire.Record
	b, err := r.next(&rec)
	if err != nil {
		return rec, nil, err
	}
	return rec, wire.Payload(b, &rec), nil
}

// Least is a record that lies before any that could be the next one: of the least length, number and stamp. Where the
// next one cannot be read, it tells whether a range goes on at all.
func (r *Reader) Least() wire.Record {
	c := &r.chain
	return wire.Record{Position: c.Position, Length: wire.RecordHeaderSize, Sequence: c.Sequence + 1,
		Timestamp: c.Timestamp + 1}
}

// NextRaw is Next for those who want the record as it stands in the log, header and padding included.
func (r *Reader) NextRaw() ([]byte, error) {
	var rec wire.Record
	b, err := r.next(&rec)
	if err != nil {
		return nil, err
	}
	return b[:wire.Padded(rec.Length)], nil
}

func (r *Reader) next(rec *wire.Record) ([]byte, error) {
	if !r.seeked {
		return nil, fmt.Errorf("%w: Next before Seek", ErrNotHeld)
	}
	b, err := r.view(wire.RecordHeaderSize)
	if err != nil {
		return nil, err
	}
	n, verdict := r.chain.Verify(b, rec)
	if verdict == wire.VerdictShort {
		if b, err = r.view(n); err != nil {
			return nil, err
		}
		_, verdict = r.chain.Verify(b, rec)
	}
	if verdict != wire.VerdictOK {
		return nil, r.corrupt(verdict.String())
	}
	return b, nil
}

// view returns at least n bytes at the reader's position, looking for new segments when the known ones end.
func (r *Reader) view(n int) ([]byte, error) {
	at := r.chain.Position
	if at >= r.window.limit {
		return nil, io.EOF
	}
	b, err := r.window.view(at, n)
	if changed(err) {
		if err := r.refresh(); err != nil {
			return nil, err
		}
		b, err = r.window.view(at, n)
	}
	if len(b) >= n {
		return b, nil
	}
	if s := r.window.tape.segments; errors.Is(err, errGap) && len(s) > 0 && at < s[0].first {
		return nil, fmt.Errorf("%w: %d: the log before %d was dropped meanwhile", ErrNotHeld, at, s[0].first)
	}
	if at+wire.Position(n) > r.window.limit && errors.Is(err, io.EOF) {
		return nil, io.EOF // the limit is not a record's end; the record is there when it has passed it
	}
	return nil, r.corrupt(fmt.Sprint(err))
}

// changed says whether an error of the window is that the directory is another than the reader knows: segments were
// added, or dropped.
func changed(err error) bool { return errors.Is(err, errGap) || errors.Is(err, os.ErrNotExist) }

func (r *Reader) corrupt(cause string) error {
	at := r.chain.Position
	name, offset := segmentName(at), int64(0)
	if s := r.window.tape.find(at); s != nil {
		name, offset = segmentName(s.first), headerBytes+int64(at-s.first)
	}
	return fmt.Errorf("%w: %s offset %d (position %d): %s",
		ErrCorrupt, path.Join(segmentDir(r.window.tape.dir), name), offset, at, cause)
}

// ReadRange copies the log's bytes from position on into b, up to the limit or as far as the window holds them, and
// returns how many; io.EOF when there are none below the limit. They are not verified: whoever gets them does that.
func (r *Reader) ReadRange(from wire.Position, b []byte) (int, error) {
	if from >= r.window.limit {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	n := min(len(b), wire.MaxRecord)
	view, err := r.window.view(from, n)
	if changed(err) {
		// The segments known end here, perhaps within a record: the log may have grown into others since, or lost its oldest.
		if err := r.refresh(); err != nil {
			return 0, err
		}
		view, err = r.window.view(from, n)
	}
	if len(view) == 0 {
		if errors.Is(err, errGap) {
			err = ErrNotHeld
		}
		return 0, fmt.Errorf("journal: read the log at position %d: %w", from, err)
	}
	return copy(b, view), nil
}

// Floor returns where the log that is kept begins, as of the last Seek: from there on there is no hole in it.
func (r *Reader) Floor() wire.Position { return floorOf(r.window.tape.segments) }

// logFloor is where the log in dir begins: from there on there is no hole in it. 0 as well when there is none.
func logFloor(fs vfs.FS, dir string) (wire.Position, error) {
	list, err := listSegments(fs, dir)
	if err == nil {
		list, err = inspect(fs, dir, list, 0)
	}
	return floorOf(list), err
}

func floorOf(list []segmentInfo) wire.Position {
	for i := lastRun(list); i < len(list); i++ {
		if start, ok := list[i].start(); ok {
			return start.Position
		}
	}
	return 0
}

// Close closes the reader's files.
func (r *Reader) Close() error {
	r.window.tape.close()
	return nil
}
