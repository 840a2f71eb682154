package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// Options say what is shipped to where.
type Options struct {
	FS   vfs.FS
	From string // a node's directory
	To   string // the archive; made when it is not there
	// Commit is how far the cluster has committed, as far as is known: nothing behind it is shipped.
	Commit wire.Position
	// SegmentBytes is how much of the log a segment of a new archive holds; 0: 64 MiB. One that exists keeps its own.
	SegmentBytes int64
	// Check has every file of the archive looked at, and those that are damaged or missing shipped again.
	Check bool
}

// Report is what Ship did.
type Report struct {
	From, End wire.Chain    // the archive's end before and after
	Bound     wire.Position // how far could be shipped
	Mended    []string      // files that were shipped again
}

const (
	defaultSegmentBytes = 64 << 20
	// publishBytes is how much is shipped between two manifests: what an interrupted run may lose.
	publishBytes = 1 << 30
)

// shipment is a Ship under way.
type shipment struct {
	o        Options
	manifest *Manifest
	cluster  uint64
	reader   *journal.Reader
	builder  *journal.Builder
	sums     *sums
	report   Report
}

// Ship copies to the archive what it lacks of the node's log. The node may run.
func Ship(o Options) (*Report, error) {
	s := &shipment{o: o}
	if err := o.FS.MkdirAll(path.Join(o.To, "journal")); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	lock, err := o.FS.Lock(path.Join(o.To, "lock"))
	if err != nil {
		return nil, fmt.Errorf("archive: %s: another process ships to it: %w", o.To, err)
	}
	defer lock.Close()
	if s.reader, err = journal.NewReader(o.FS, o.From); err != nil {
		return nil, err
	}
	defer s.reader.Close()
	if err := s.prepare(); err != nil {
		return nil, err
	}
	if s.report.End.Position < s.report.Bound {
		err = s.copy()
	}
	return &s.report, err
}

// prepare finds out what the archive holds, that it is sound, and that the node's log goes on where it ends.
func (s *shipment) prepare() error {
	id, err := journal.LoadIdentity(s.o.FS, s.o.From)
	if err != nil {
		return err
	}
	watermark, known, err := journal.LoadWatermark(s.o.FS, s.o.From)
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("%w: the watermark of %s is unreadable: start the node once, it mends that",
			journal.ErrCorrupt, s.o.From)
	}
	s.cluster = id.Cluster
	s.report.Bound = min(s.o.Commit, watermark)
	s.reader.SetLimit(s.report.Bound)
	s.manifest, err = Load(s.o.FS, s.o.To)
	if errors.Is(err, ErrNoArchive) {
		s.manifest = &Manifest{Format: manifestFormat, Cluster: fmt.Sprintf("%016x", id.Cluster),
			SegmentBytes: s.o.SegmentBytes}
		if s.manifest.SegmentBytes == 0 {
			s.manifest.SegmentBytes = defaultSegmentBytes
		}
		err = nil
	}
	if err != nil {
		return err
	}
	s.manifest.Node = id.Node
	if cluster, _ := s.manifest.cluster(); cluster != id.Cluster {
		return fmt.Errorf("%w: %s is of cluster %s, the node in %s of %016x", ErrHistory, s.o.To, s.manifest.Cluster, s.o.From,
			id.Cluster)
	}
	s.report.From, s.report.End = s.manifest.End.chain(), s.manifest.End.chain()
	if err := s.mend(); err != nil {
		return err
	}
	return s.join()
}

// join goes to the archive's end in the node's log, if the node has got so far.
func (s *shipment) join() error {
	end := s.report.End
	if end.Position > s.report.Bound {
		return nil // another node has shipped more already
	}
	err := s.reader.Seek(end.Position)
	switch floor := s.reader.Floor(); {
	case floor > end.Position:
		return fmt.Errorf("archive: the log in %s begins at position %d and the archive ends at %d: what lies between is "+
			"gone here; ship from a node that has it", s.o.From, floor, end.Position)
	case errors.Is(err, journal.ErrNotHeld) || err == nil && s.reader.Chain() != end:
		return fmt.Errorf("%w: at position %d the archive ends with record %d, checksum %08x, term %d; %s does not",
			ErrHistory, end.Position, end.Sequence, end.Checksum, end.Term, s.o.From)
	}
	return err
}

// mend checks the last file of the archive, which grows, or all of them, and ships again what is damaged.
func (s *shipment) mend() error {
	m := s.manifest
	s.sums = newSums(m.SegmentBytes, m.End.Position, s.sealed)
	for i := range m.Segments {
		e := &m.Segments[i]
		last := i == len(m.Segments)-1
		if !last && !s.o.Check {
			continue
		}
		sum := sha256.New()
		if err := checkEntry(s.o.FS, s.o.To, e, sum); err != nil {
			if err := s.shipAgain(e, err); err != nil {
				return err
			}
			sum.Reset()
			if err := checkEntry(s.o.FS, s.o.To, e, sum); err != nil {
				return err
			}
			s.report.Mended = append(s.report.Mended, e.Name)
		}
		if last && e.End%wire.Position(m.SegmentBytes) != 0 {
			s.sums.current = sum
		}
	}
	return nil
}

// shipAgain writes a segment of the archive anew, from the same bytes of the node's log.
func (s *shipment) shipAgain(e *Entry, why error) error {
	if e.End > s.report.Bound {
		return fmt.Errorf("%w; the node in %s is not so far: ship from one that is", why, s.o.From)
	}
	bytes := &rangeReader{reader: s.reader, at: e.First, end: e.End}
	sum := sha256.New()
	if _, err := io.Copy(sum, bytes); err != nil {
		return fmt.Errorf("%w; and the node in %s does not have it: %w", why, s.o.From, err)
	}
	if fmt.Sprintf("%x", sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%w; %s in the archive is damaged, and the node's bytes are not the ones that were shipped",
			ErrHistory, e.Name)
	}
	bytes.at = e.First
	o := journal.BuilderOptions{FS: s.o.FS, Dir: s.o.To, Cluster: s.cluster, SegmentBytes: s.manifest.SegmentBytes}
	return journal.RebuildSegment(o, e.First, e.Start.chain(), bytes)
}

// rangeReader reads a range of a log as bytes.
type rangeReader struct {
	reader  *journal.Reader
	at, end wire.Position
}

func (r *rangeReader) Read(b []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	n, err := r.reader.ReadRange(r.at, b[:min(wire.Position(len(b)), r.end-r.at)])
	r.at += wire.Position(n)
	return n, err
}

// copy ships record after record, each verified, up to the bound.
func (s *shipment) copy() error {
	o := journal.BuilderOptions{FS: s.o.FS, Dir: s.o.To, Cluster: s.cluster, SegmentBytes: s.manifest.SegmentBytes}
	var err error
	if s.builder, err = journal.NewBuilder(o, s.report.End); err != nil {
		return err
	}
	defer s.builder.Close()
	published := s.report.End.Position
	for {
		record, err := s.reader.NextRaw()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, s.publish()) // what came before it is good
		}
		before := s.report.End
		s.report.End = s.reader.Chain()
		if err := s.note(before, record); err != nil {
			return err
		}
		if err := s.builder.Append(record, s.report.End); err != nil {
			return err
		}
		if s.report.End.Position-published >= publishBytes {
			published = s.report.End.Position
			if err := s.publish(); err != nil {
				return err
			}
		}
	}
	if s.report.End == s.report.From {
		return nil
	}
	return s.publish()
}

// note puts a record into the sums, and makes the entry of a segment that begins with it or within it.
func (s *shipment) note(before wire.Chain, record []byte) error {
	bytes := wire.Position(s.manifest.SegmentBytes)
	after := s.report.End
	if before.Position%bytes == 0 {
		s.open(before.Position, before)
	}
	if err := s.sums.add(record); err != nil {
		return err
	}
	if first := after.Position / bytes * bytes; first > before.Position && first < after.Position {
		s.open(first, after)
	}
	return nil
}

func (s *shipment) open(first wire.Position, start wire.Chain) {
	s.manifest.Segments = append(s.manifest.Segments,
		Entry{Name: journal.SegmentName(first), First: first, Start: placeOf(start)})
}

// sealed completes the entry of a segment that is full. While a record that straddles is summed, it is the last one.
func (s *shipment) sealed(first wire.Position, sum string) error {
	e := &s.manifest.Segments[len(s.manifest.Segments)-1]
	e.End, e.SHA256 = first+wire.Position(s.manifest.SegmentBytes), sum
	return nil
}

// publish makes durable what was copied, then the manifest that speaks of it.
func (s *shipment) publish() error {
	if err := s.builder.Sync(); err != nil {
		return err
	}
	m := s.manifest
	m.End = placeOf(s.report.End)
	if last := len(m.Segments) - 1; last >= 0 && m.End.Position%wire.Position(m.SegmentBytes) != 0 {
		m.Segments[last].End, m.Segments[last].SHA256 = m.End.Position, s.sums.sum()
	}
	return m.publish(s.o.FS, s.o.To)
}
