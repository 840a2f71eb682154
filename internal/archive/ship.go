package archive

import (
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
	Records   uint64        // that were shipped
	// Gap is log that no archive will have from this node: it had dropped it before it was shipped. nil: there is none.
	Gap       *Gap
	Snapshots []wire.Position // that were shipped
	Mended    []string        // files that were shipped again
}

// Gap is a part of the log that is missing.
type Gap struct{ From, To wire.Chain }

// ErrGap says that log which is not in the archive is gone from the node, and nothing there tells the state behind it.
var ErrGap = errors.New("archive: log is missing that no verified snapshot bridges")

// ErrNode says that the directory that is to be an archive belongs to a node.
var ErrNode = errors.New("archive: this is a node's directory; give the archive one of its own")

const (
	defaultSegmentBytes = 64 << 20
	// publishBytes is how much is shipped between two manifests: what an interrupted run may lose.
	publishBytes = 1 << 30
	// joinAttempts is how often a run begins anew because the node drops log that it is about to read.
	joinAttempts = 4
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
	unsound  []error // what is damaged, in the archive and not to be shipped again, or on the node
	// differing tells of the node's snapshots that are not the verified ones.
	differing []error
}

// errDropped says that the node has dropped log that was about to be read.
var errDropped = errors.New("archive: the node dropped log while it was read")

// Ship copies to the archive what it lacks of the node's log, and the snapshots that the log says are verified. The node
// may run.
func Ship(o Options) (*Report, error) {
	s := &shipment{o: o}
	if _, err := o.FS.Stat(path.Join(o.To, "identity")); err == nil {
		return nil, fmt.Errorf("%w: %s", ErrNode, o.To)
	}
	if err := o.FS.MkdirAll(o.To); err != nil {
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
	for attempt := 1; ; attempt++ {
		if err = s.join(); err == nil && s.report.End.Position < s.report.Bound {
			err = s.copy()
		}
		if err == nil {
			err = s.shipSnapshots()
		}
		if !errors.Is(err, errDropped) || attempt == joinAttempts {
			break
		}
	}
	if err == nil {
		err = s.noteArchived()
	}
	return &s.report, errors.Join(append(append(s.unsound, s.differing...), err)...)
}

// prepare finds out what the archive holds, and that it is sound.
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
	return s.mend()
}

// join goes to the archive's end in the node's log, if the node has got so far.
func (s *shipment) join() error {
	end := s.report.End
	if end.Position > s.report.Bound {
		return nil // another node has shipped more already
	}
	err := s.reader.Seek(end.Position)
	if err == nil && s.reader.Chain() == end {
		if s.manifest.newest() == nil {
			return s.begin(end)
		}
		return nil
	}
	if firstErr := s.reader.SeekFirst(); firstErr != nil {
		return errors.Join(err, firstErr)
	}
	if first := s.reader.Chain(); first.Position > end.Position {
		return s.bridge(first)
	}
	if err == nil || errors.Is(err, journal.ErrNotHeld) {
		return fmt.Errorf("%w: at position %d the archive ends with record %d, checksum %08x, term %d; %s does not",
			ErrHistory, end.Position, end.Sequence, end.Checksum, end.Term, s.o.From)
	}
	return err
}

// bridge goes on where the node's log begins, behind the archive's end: a snapshot that the node has says what came of
// the log that is missing.
func (s *shipment) bridge(first wire.Chain) error {
	end := s.report.End
	if first.Sequence <= end.Sequence || first.Timestamp <= end.Timestamp || first.Term < end.Term {
		return fmt.Errorf("%w: it ends with record %d of term %d; the log in %s begins behind, at position %d, with record %d "+
			"of term %d", ErrHistory, end.Sequence, end.Term, s.o.From, first.Position, first.Sequence+1, first.Term)
	}
	shippable, err := s.shippable()
	if err != nil {
		return err
	}
	if len(shippable) == 0 {
		return fmt.Errorf("%w: the log in %s begins at position %d, the archive ends at %d, and no snapshot there is verified "+
			"and below %d, up to where the node has committed and synced: ship from a node that has the log, or have the cluster "+
			"take a snapshot (lockstep snapshot) and try again", ErrGap, s.o.From, first.Position, end.Position, s.report.Bound)
	}
	if t := s.manifest.newest(); t != nil && len(t.Segments) > 0 {
		s.report.Gap = &Gap{From: end, To: first}
	}
	return s.begin(first)
}

// begin begins a stretch at a place of the log.
func (s *shipment) begin(at wire.Chain) error {
	m := s.manifest
	if t := m.newest(); t != nil && len(t.Segments) == 0 {
		m.Stretches = m.Stretches[:len(m.Stretches)-1] // nothing was shipped to it
	}
	m.Stretches = append(m.Stretches, Stretch{Dir: stretchDir(at.Position), Start: placeOf(at), End: placeOf(at)})
	s.report.End = at
	s.sums = newSums(m.SegmentBytes, m.newest().origin(), s.sealed)
	if err := s.sums.add(make([]byte, at.Position-s.sums.at)); err != nil {
		return err
	}
	if err := s.o.FS.MkdirAll(path.Join(s.dir(), "journal")); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}

// dir is where the newest stretch is.
func (s *shipment) dir() string { return path.Join(s.o.To, s.manifest.newest().Dir) }

// copy ships record after record, each verified, up to the bound.
func (s *shipment) copy() error {
	o := journal.BuilderOptions{FS: s.o.FS, Dir: s.dir(), Cluster: s.cluster, SegmentBytes: s.manifest.SegmentBytes}
	var err error
	if s.builder, err = journal.NewBuilder(o, s.report.End); err != nil {
		return err
	}
	defer s.builder.Close()
	from := s.report.End
	published := from.Position
	for {
		record, err := s.reader.NextRaw()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(s.whyEnded(err, s.report.End.Position), s.publish()) // what came before it is good
		}
		before := s.report.End
		s.report.End = s.reader.Chain()
		if err := s.note(before, record); err != nil {
			return err
		}
		if err := s.builder.Append(record, s.report.End); err != nil {
			return err
		}
		s.report.Records++
		if s.report.End.Position-published >= publishBytes {
			published = s.report.End.Position
			if err := s.publish(); err != nil {
				return err
			}
		}
	}
	if s.report.End == from {
		return nil
	}
	return s.publish()
}

// whyEnded tells damage at a position from log that the node has dropped meanwhile.
func (s *shipment) whyEnded(err error, at wire.Position) error {
	if s.reader.SeekFirst() == nil && s.reader.Position() > at {
		return fmt.Errorf("%w: %w", errDropped, err)
	}
	return err
}

// note puts a record into the sums, and makes the entry of a segment that begins with it or within it.
func (s *shipment) note(before wire.Chain, record []byte) error {
	after := s.report.End
	if s.sums.begins(before.Position) || len(s.manifest.newest().Segments) == 0 {
		s.open(s.sums.segment(before.Position), before)
	}
	if err := s.sums.add(record); err != nil {
		return err
	}
	if first := s.sums.segment(after.Position); first > before.Position && first < after.Position {
		s.open(first, after)
	}
	return nil
}

func (s *shipment) open(first wire.Position, start wire.Chain) {
	t := s.manifest.newest()
	t.Segments = append(t.Segments, Entry{Name: journal.SegmentName(first), First: first, Start: placeOf(start)})
}

// sealed completes the entry of a segment that is full. While a record that straddles is summed, it is the last one.
func (s *shipment) sealed(first wire.Position, sum string) error {
	t := s.manifest.newest()
	e := &t.Segments[len(t.Segments)-1]
	e.End, e.SHA256 = first+wire.Position(s.manifest.SegmentBytes), sum
	return nil
}

// publish makes durable what was copied, then the manifest that speaks of it.
func (s *shipment) publish() error {
	if err := s.builder.Sync(); err != nil {
		return err
	}
	m, t := s.manifest, s.manifest.newest()
	m.End = placeOf(s.report.End)
	t.End = m.End
	if last := len(t.Segments) - 1; last >= 0 && !s.sums.begins(m.End.Position) {
		t.Segments[last].End, t.Segments[last].SHA256 = m.End.Position, s.sums.sum()
	}
	if len(t.Segments) == 0 {
		return nil
	}
	return m.publish(s.o.FS, s.o.To)
}

// noteArchived tells the node how far its log is archived.
func (s *shipment) noteArchived() error {
	end := s.report.End.Position
	at, known, err := journal.LoadArchived(s.o.FS, s.o.From)
	if err != nil && !errors.Is(err, journal.ErrDamagedFile) || err == nil && known && at == end {
		return err
	}
	if err := journal.StoreArchived(s.o.FS, s.o.From, end); err != nil {
		return fmt.Errorf("archive: everything is shipped, but the node cannot be told (retention.archive_wait_bytes waits for "+
			"that): %w", err)
	}
	return nil
}
