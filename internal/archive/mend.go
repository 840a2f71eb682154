package archive

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"path"

	"lockstep/journal"
	"lockstep/wire"
)

// mend checks the last file of the archive, which grows, or all of them, and ships again what is damaged. What it cannot
// ship again stands in the way of nothing but the last file.
func (s *shipment) mend() error {
	for i := range s.manifest.Stretches {
		t := &s.manifest.Stretches[i]
		newest := i == len(s.manifest.Stretches)-1
		for k := range t.Segments {
			last := newest && k == len(t.Segments)-1
			if !last && !s.o.Check {
				continue
			}
			sum := sha256.New()
			err := s.mendEntry(t, &t.Segments[k], sum)
			if err != nil && last {
				return err
			}
			if err != nil {
				s.unsound = append(s.unsound, err)
			}
			if last {
				s.sums = newSums(s.manifest.SegmentBytes, t.origin(), s.sealed)
				s.sums.resume(t.End.Position, sum)
			}
		}
	}
	return s.mendSnapshots()
}

// mendEntry checks a segment, and ships it again if it is damaged. sum is given its bytes.
func (s *shipment) mendEntry(t *Stretch, e *Entry, sum hash.Hash) error {
	dir := path.Join(s.o.To, t.Dir)
	err := checkEntry(s.o.FS, dir, e, sum)
	if err == nil {
		return nil
	}
	if err := s.shipAgain(t, e, err); err != nil {
		return err
	}
	sum.Reset()
	if err := checkEntry(s.o.FS, dir, e, sum); err != nil {
		return err
	}
	s.report.Mended = append(s.report.Mended, path.Join(t.Dir, e.Name))
	return nil
}

// shipAgain writes a segment of the archive anew, from the same bytes of the node's log.
func (s *shipment) shipAgain(t *Stretch, e *Entry, why error) error {
	if e.End > s.report.Bound {
		return fmt.Errorf("%w; the node in %s is not so far: ship from one that is", why, s.o.From)
	}
	bytes := &rangeReader{reader: s.reader, at: e.First, start: t.Start.Position, end: e.End}
	sum := sha256.New()
	if _, err := io.Copy(sum, bytes); err != nil {
		return fmt.Errorf("%w; and the node in %s does not have it: %w", why, s.o.From, err)
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%w; %s in the archive is damaged, and the node's bytes are not the ones that were shipped",
			ErrHistory, e.Name)
	}
	bytes.at = e.First
	o := journal.BuilderOptions{FS: s.o.FS, Dir: path.Join(s.o.To, t.Dir), Cluster: s.cluster,
		SegmentBytes: s.manifest.SegmentBytes}
	return journal.RebuildSegment(o, e.First, e.Start.chain(), bytes)
}

// rangeReader reads a range of a log as bytes: zeros before start.
type rangeReader struct {
	reader         *journal.Reader
	at, start, end wire.Position
}

func (r *rangeReader) Read(b []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	if r.at < r.start {
		n := min(wire.Position(len(b)), r.start-r.at)
		clear(b[:n])
		r.at += n
		return int(n), nil
	}
	n, err := r.reader.ReadRange(r.at, b[:min(wire.Position(len(b)), r.end-r.at)])
	r.at += wire.Position(n)
	return n, err
}
