package journal

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// Errors of a journal.
var (
	// ErrForgot says that Open found synced bytes damaged or gone, and that nobody has decided what is to happen.
	ErrForgot = errors.New("journal: synced records are damaged or gone: call Discard to go on as a recovering node")
	// ErrInvariant says that the journal was asked for the impossible: the node must stop.
	ErrInvariant = errors.New("journal: broken invariant")
)

// Journal is the log of one node on disk: the end that is written. After Open it belongs to one thread until its agent
// starts, then to the agent's.
type Journal struct {
	options   Options
	direct    bool
	why       string // why not direct
	recovered *Recovered
	scanned   *scanned // until the tail is in order
	watermark *Watermark
	ready     bool // the tail is in order, current and staging are set

	// Where the log stands. Journal thread.
	floor      wire.Position
	base       wire.Position // what lies below was not verified: of a snapshot
	written    wire.Position // end of what is stored and synced
	generation uint64
	chain      wire.Chain // at written, if chainKnown
	chainKnown bool
	segments   []segmentInfo // before current, oldest first: first and bytes
	current    segment
	header     segmentHeader // of current
	next       *segmentInfo  // prepared, nil when there is none

	staging []byte // aligned: the block that written is in, then the batch
	fill    int    // bytes of the log at the start of staging: written % block
	vector  [3][]byte

	durable    ringbuf.Cursor // what the watermark follows: written, or less while a cut is under way
	markSleep  sleeper        // of the watermark's thread
	writeSleep sleeper        // of the journal thread
	count      counts
	timer      timer
}

type counts struct {
	writes, bytes, cuts, segments, full *counters.Counter
	durable, generation, direct, mended *counters.Counter
}

func newCounts(f *counters.File) counts {
	counter := func(name, help string) *counters.Counter {
		if f == nil {
			return new(counters.Counter)
		}
		return f.Counter(name, help)
	}
	return counts{
		writes:     counter("lockstep_journal_writes_total", "batches written and synced"),
		bytes:      counter("lockstep_journal_bytes_total", "bytes of the log written and synced"),
		cuts:       counter("lockstep_journal_cuts_total", "cuts carried out"),
		segments:   counter("lockstep_journal_segments_total", "segments taken into use"),
		full:       counter("lockstep_journal_full_total", "times that there was no space for the next segment"),
		durable:    counter("lockstep_journal_durable_position", "everything below is synced"),
		generation: counter("lockstep_journal_generation", "generation of the last cut"),
		mended:     counter("lockstep_journal_mended_bytes_total", "damaged bytes replaced by those of another node"),
		direct:     counter("lockstep_journal_direct", "1: written by O_DIRECT|O_DSYNC; 0: by write and fdatasync"),
	}
}

// Open finds the log in Options.Dir and verifies it from Options.Base on, or whole. With OutcomeIntact, OutcomeTorn and
// OutcomeReplaced the journal is ready (a torn tail has been cut off; a log that did not reach an installed snapshot
// begins there). With OutcomeDamaged and OutcomeRecovering nothing on the disk was changed: Recovered.Forgot is true, and
// the caller either closes the journal and refuses to start, or calls Mend or Discard. ErrBase: the log does not fit the
// snapshot; nothing was changed. Any other error means that nothing can be said.
func Open(o Options) (*Journal, *Recovered, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{options: o, count: newCounts(o.Counters), timer: newTimer(&o)}
	if err := j.open(); err != nil {
		return nil, nil, errors.Join(err, j.Close())
	}
	o.Log("journal: " + j.recovered.String())
	o.Log("journal: writing by " + j.Describe())
	return j, j.recovered, nil
}

func (j *Journal) open() error {
	o := &j.options
	if err := j.probe(); err != nil {
		return err
	}
	if j.direct {
		j.count.direct.Set(1)
	}
	from := wire.Position(0)
	if o.Base != nil {
		from = o.Base.Chain.Position
	}
	if err := syncAll(o.FS, o.Dir, from); err != nil {
		return err
	}
	var err error
	if j.watermark, err = openWatermark(o.FS, o.Dir, true); err != nil {
		return err
	}
	if o.Base != nil {
		j.scanned, err = scanFrom(o.FS, o.Dir, o.Cluster, !j.direct, o.Base, o.Install)
	} else {
		j.scanned, err = scan(o.FS, o.Dir, o.Cluster, !j.direct, nil)
	}
	if err != nil {
		return err
	}
	if j.recovered, err = j.scanned.recovered(j.watermark.Load()); err != nil {
		return err
	}
	if j.recovered.Marked, _, err = IsRecovering(o.FS, o.Dir); err != nil {
		return err
	}
	switch {
	case j.recovered.Outcome.Forgot():
		return nil
	case j.recovered.Outcome == OutcomeReplaced:
		j.recovered.Generation++
	}
	return j.putInOrder(j.recovered.Generation)
}

// syncAll makes everything durable that a process which died had written, so that what is read now is there after a
// power cut as well: all that is read, which is what begins in the segment that position from is in, and behind.
func syncAll(fs vfs.FS, dir string, from wire.Position) error {
	list, err := listSegments(fs, dir)
	if err != nil {
		return err
	}
	for _, s := range list[max(0, holderOf(list, from)):] {
		name := path.Join(segmentDir(dir), segmentName(s.first))
		f, err := fs.OpenFile(name, vfs.ReadOnly)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		if err != nil {
			return fmt.Errorf("journal: sync segment %s: %w", name, err)
		}
	}
	return errors.Join(fs.SyncDir(segmentDir(dir)), fs.SyncDir(dir))
}

// Discard goes on with the good part of a log whose Outcome is Forgot: it marks the node as recovering
// (MarkRecovering), cuts off what follows, and makes the journal ready, under a new generation. A log that does not reach
// its snapshot is dropped and begins there: what it held below is in the snapshot. The bytes that were damaged or gone must
// come from the other nodes; a node that has none must not call it.
func (j *Journal) Discard() error {
	if j.ready {
		return nil
	}
	r := j.recovered
	cause := fmt.Sprintf("%s offset %d: %s", r.Segment, r.Offset, r.Cause)
	if err := MarkRecovering(j.options.FS, j.options.Dir, cause); err != nil {
		return err
	}
	r.Marked = cause
	r.Generation++
	return j.putInOrder(r.Generation)
}

// putInOrder leaves the directory as the writer expects it: headers sound, zeros behind the last record, one prepared
// segment at most, a segment to write to.
func (j *Journal) putInOrder(generation uint64) error {
	s := j.scanned
	j.floor, j.written = s.floor, s.chain.Position
	j.base = s.basePosition()
	j.chain, j.chainKnown = s.chain, true
	var err error
	if j.staging, err = j.options.Memory(j.options.BatchBytes + 2*vfs.BlockBytes); err != nil {
		return fmt.Errorf("journal: buffer of a batch: %w", err)
	}
	if err := j.watermark.lower(&j.durable, j.written); err != nil {
		return err
	}
	if err := j.tidy(s, generation); err != nil {
		return err
	}
	if err := j.openCurrent(s.segments, generation); err != nil {
		return err
	}
	j.generation = generation
	j.count.generation.Set(generation)
	j.scanned, j.ready = nil, true
	return nil
}

// tidy leaves of the segments what belongs to the log, with sound headers and zeros behind the last record.
func (j *Journal) tidy(s *scanned, generation uint64) error {
	if s.standing&evStanding != 0 {
		return j.dropAll(s)
	}
	if err := j.mendHeaders(s, generation); err != nil {
		return err
	}
	return j.dropBehind(s)
}

// dropAll removes a log that does not lead to its snapshot, last segment first. However far it came when the power fails,
// what is left does not lead there either.
func (j *Journal) dropAll(s *scanned) error {
	list, err := listSegments(j.options.FS, j.options.Dir)
	if err != nil {
		return err
	}
	for i := len(list) - 1; i >= 0; i-- {
		if err := j.removeSegment(list[i].first); err != nil {
			return err
		}
	}
	if err := j.preparer().removeAside(); err != nil {
		return fmt.Errorf("journal: remove an unfinished segment: %w", err)
	}
	j.options.Log(fmt.Sprintf("journal: dropped the log that ended at position %d: it begins at %d now", s.endBefore, j.written))
	s.segments = nil
	return nil
}

// mendHeaders rewrites the headers that the scan found bad: all they say is known from the segment before.
func (j *Journal) mendHeaders(s *scanned, generation uint64) error {
	for _, bad := range s.badHeaders() {
		seg, err := j.openSegment(bad.first, bad.bytes)
		if err != nil {
			return err
		}
		h := segmentHeader{j.options.Cluster, bad.first, bad.bytes, generation, bad.expect}
		if err := errors.Join(seg.writeHeader(&h, j.staging), seg.close()); err != nil {
			return err
		}
		j.options.Log("journal: rewrote the damaged header of " + seg.name)
		j.recovered.MendedHeaders++
	}
	return nil
}

// dropBehind removes the segments behind the one that the log ends in, last first, but for a prepared one, and zeroes
// what follows the last record.
func (j *Journal) dropBehind(s *scanned) error {
	prepared := 0
	for i := len(s.segments) - 1; i >= 0 && s.segments[i].first > j.written; i-- {
		seg := &s.segments[i]
		adjacent := i > 0 && s.segments[i-1].end() == seg.first && s.segments[i-1].first <= j.written
		if adjacent && seg.state == blockZero && !seg.short && seg.bytes >= MinSegmentBytes &&
			s.dirtyEnd <= seg.first && s.evidence&evUnreadable == 0 {
			prepared = 1
			continue
		}
		if err := j.removeSegment(seg.first); err != nil {
			return err
		}
		s.segments = s.segments[:i]
	}
	if prepared == 1 {
		last := len(s.segments) - 1
		next := s.segments[last]
		j.next, s.segments = &next, s.segments[:last]
	}
	if err := j.preparer().removeAside(); err != nil {
		return fmt.Errorf("journal: remove an unfinished segment: %w", err)
	}
	if len(s.segments) == 0 {
		return nil
	}
	last := &s.segments[len(s.segments)-1]
	dirtyEnd := s.dirtyEnd
	if s.evidence&evUnreadable != 0 {
		dirtyEnd = last.end() // a block that could not be read can be once it is written
	}
	return j.clearTail(last, dirtyEnd)
}

// clearTail gives the last segment its full size, if it has lost some, and zeroes it behind the last record.
func (j *Journal) clearTail(last *segmentInfo, dirtyEnd wire.Position) error {
	if !last.short && (dirtyEnd <= j.written || last.end() <= j.written) {
		return nil
	}
	seg, err := j.openSegment(last.first, last.bytes)
	if err != nil {
		return err
	}
	if last.short {
		err = j.fillUp(&seg)
	}
	if err == nil && last.end() > j.written {
		err = j.zeroBehind(&seg, j.written, min(ceilTo(dirtyEnd), seg.end()))
	}
	return errors.Join(err, seg.close())
}

func (j *Journal) fillUp(s *segment) error {
	size, err := s.file.Size()
	total := headerBytes + s.bytes
	for at := size &^ (vfs.BlockBytes - 1); err == nil && at < total; at += prepareStep {
		err = s.file.Allocate(at, min(prepareStep, total-at))
	}
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("journal: extend %s: %w", s.name, err)
	}
	return nil
}

func (j *Journal) removeSegment(first wire.Position) error {
	dir := segmentDir(j.options.Dir)
	if err := j.options.FS.Remove(path.Join(dir, segmentName(first))); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("journal: remove segment: %w", err)
	}
	if err := j.options.FS.SyncDir(dir); err != nil {
		return fmt.Errorf("journal: remove segment %s: %w", segmentName(first), err)
	}
	return nil
}

// openCurrent opens the segment that the log ends in, making the first one if there is none.
func (j *Journal) openCurrent(list []segmentInfo, generation uint64) error {
	if len(list) == 0 {
		p := j.preparer()
		p.start(floorTo(j.written), j.options.SegmentBytes)
		if err := p.all(); err != nil {
			return err
		}
		list = []segmentInfo{{first: p.first, bytes: p.bytes, expect: j.chain}}
	}
	last := list[len(list)-1]
	var err error
	if j.current, err = j.openSegment(last.first, last.bytes); err != nil {
		return err
	}
	for _, s := range list[:len(list)-1] {
		j.segments = append(j.segments, segmentInfo{first: s.first, bytes: s.bytes})
	}
	h := segmentHeader{j.options.Cluster, last.first, last.bytes, generation, last.expect}
	if last.state != blockValid || last.header != h {
		if err := j.current.writeHeader(&h, j.staging); err != nil {
			return err
		}
	}
	j.header = h
	return j.loadTail()
}

// loadTail reads the block that the log ends in into the staging buffer.
func (j *Journal) loadTail() error {
	j.fill = int(j.written % vfs.BlockBytes)
	if j.fill == 0 {
		return nil
	}
	return j.readBlock(&j.current, j.written, j.staging[:vfs.BlockBytes])
}

// readBlock reads the block in which the log goes on at a position. In a log that begins there nothing of it counts: it
// may be one that the device refuses to read.
func (j *Journal) readBlock(s *segment, position wire.Position, block []byte) error {
	if position == j.floor {
		clear(block)
		return nil
	}
	offset := headerBytes + int64(floorTo(position)-s.first)
	if _, err := s.file.ReadAt(block, offset); err != nil {
		return fmt.Errorf("journal: read %s at offset %d: %w", s.name, offset, err)
	}
	return nil
}

// zeroBehind zeroes [from, until) of a segment durably, from the back, at most a batch at a time: a power cut in
// between leaves a log that is longer than it was to become, or one whose end looks like an unfinished batch.
func (j *Journal) zeroBehind(s *segment, from, until wire.Position) error {
	first := ceilTo(from)
	zeros := vfs.AlignedBytes(j.options.BatchBytes)
	for until > first {
		start := max(first, until-min(until, wire.Position(len(zeros))))
		if err := s.write(zeros[:until-start], start); err != nil {
			return err
		}
		until = start
	}
	if first == from {
		return nil
	}
	block := zeros[:vfs.BlockBytes]
	start := floorTo(from)
	if err := j.readBlock(s, from, block); err != nil {
		return err
	}
	clear(block[from-start:])
	return s.write(block, start)
}

// preparer makes what prepares segments for this journal.
func (j *Journal) preparer() *preparer {
	return &preparer{fs: j.options.FS, dir: segmentDir(j.options.Dir), direct: j.direct}
}

// Preload fills an unstarted ring with as much of the end of the log as it holds, and starts it there: with nothing that
// was not verified, so from the snapshot on if the log was opened from one. After Agent, which registers the journal's
// gate.
func (j *Journal) Preload(ring *ringbuf.LogRing) error {
	end := j.written
	from := max(j.floor, j.base)
	if held := wire.Position(ring.Size()); end-from > held {
		from = end - held
	}
	list := append(slices.Clone(j.segments), segmentInfo{first: j.current.first, bytes: j.current.bytes})
	r := &Reader{window: newWindow(j.options.FS, j.options.Dir, list, !j.direct)}
	defer r.Close()
	r.SetLimit(end)
	for at := from; at < end; {
		n, err := r.ReadRange(at, ring.View(uint64(at), uint64(end)))
		if err != nil {
			return err
		}
		at += wire.Position(n)
	}
	ring.Start(uint64(from), uint64(end))
	return nil
}

// Generation returns the generation in force. Before the agent starts.
func (j *Journal) Generation() uint64 { return j.generation }

// Close closes the files. After the agents have ended, or if they never ran.
func (j *Journal) Close() error {
	err := j.current.close()
	if j.watermark != nil {
		err = errors.Join(err, j.watermark.close())
		j.watermark = nil
	}
	for _, s := range []*sleeper{&j.writeSleep, &j.markSleep} {
		if s.parker != nil {
			err = errors.Join(err, s.parker.Close())
		}
	}
	return err
}

var (
	_ agent.Agent = (*Writer)(nil)
	_ agent.Waker = (*Writer)(nil)
	_ agent.Agent = (*Marker)(nil)
	_ agent.Waker = (*Marker)(nil)
)
