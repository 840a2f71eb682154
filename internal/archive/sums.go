package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// sums cuts a stream of the log into segments of a size, and sums each.
type sums struct {
	bytes   wire.Position // of a segment
	origin  wire.Position // where the first segment begins
	at      wire.Position // end of what was added
	current hash.Hash     // of the segment that at is in
	done    func(first wire.Position, sum string) error
}

func newSums(segment int64, origin wire.Position, done func(first wire.Position, sum string) error) *sums {
	return &sums{bytes: wire.Position(segment), origin: origin, at: origin, current: sha256.New(), done: done}
}

// resume goes on at a position; sum has the bytes before it of the segment that it is in.
func (s *sums) resume(at wire.Position, sum hash.Hash) {
	if s.at = at; !s.begins(at) {
		s.current = sum
	}
}

// segment is where the segment begins that a position is in.
func (s *sums) segment(at wire.Position) wire.Position { return at - (at-s.origin)%s.bytes }

// begins says whether a segment begins at a position.
func (s *sums) begins(at wire.Position) bool { return s.segment(at) == at }

// add takes the next bytes, and reports every segment that they fill.
func (s *sums) add(b []byte) error {
	for len(b) > 0 {
		n := min(wire.Position(len(b)), s.segment(s.at)+s.bytes-s.at)
		s.current.Write(b[:n])
		b, s.at = b[n:], s.at+n
		if s.begins(s.at) {
			if err := s.done(s.at-s.bytes, s.sum()); err != nil {
				return err
			}
			s.current.Reset()
		}
	}
	return nil
}

// sum is that of the segment so far.
func (s *sums) sum() string { return hex.EncodeToString(s.current.Sum(nil)) }

// segmentLog reads the log in a segment file of an archive, as far as an entry says.
func segmentLog(fs vfs.FS, dir string, e *Entry) (io.Reader, io.Closer, error) {
	f, err := fs.OpenFile(path.Join(dir, e.Name), vfs.ReadOnly)
	if err != nil {
		return nil, nil, err
	}
	return io.NewSectionReader(f, journal.SegmentHeaderBytes, int64(e.End-e.First)), f, nil
}

// checkEntry reads a segment of the archive and compares. into, if not nil, is given the bytes as well.
func checkEntry(fs vfs.FS, dir string, e *Entry, into hash.Hash) error {
	r, c, err := segmentLog(fs, dir, e)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, e.Name, err)
	}
	defer c.Close()
	if into == nil {
		into = sha256.New()
	}
	n, err := io.Copy(into, r)
	if err != nil || n != int64(e.End-e.First) {
		return fmt.Errorf("%w: %s: %d bytes of the log instead of %d (%v)", ErrDamaged, e.Name, n, e.End-e.First, err)
	}
	if got := hex.EncodeToString(into.Sum(nil)); got != e.SHA256 {
		return fmt.Errorf("%w: %s: SHA-256 of its log is %s, the manifest says %s", ErrDamaged, e.Name, got, e.SHA256)
	}
	return nil
}

// Check reads every file of the archive in dir and names all that are missing or damaged.
func Check(fs vfs.FS, dir string) (*Manifest, error) {
	m, err := Load(fs, dir)
	if err != nil {
		return nil, err
	}
	var found []error
	for i := range m.Stretches {
		t := &m.Stretches[i]
		store, err := snapshot.Look(fs, path.Join(dir, t.Dir))
		if err != nil {
			return m, err
		}
		for k := range t.Snapshots {
			if err := t.Snapshots[k].check(store); err != nil {
				found = append(found, err)
			}
		}
		for k := range t.Segments {
			if err := checkEntry(fs, path.Join(dir, t.Dir), &t.Segments[k], nil); err != nil {
				found = append(found, err)
			}
		}
	}
	return m, errors.Join(found...)
}
