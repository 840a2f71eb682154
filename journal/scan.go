package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// scanned is what a walk over all records of a directory found. It changes nothing on the disk.
type scanned struct {
	base     *Base         // from where on it walked; nil: from the first record on
	segments []segmentInfo // from the one on that the walk began in
	floor    wire.Position // where the first record begins
	chain    wire.Chain    // the end of the good log
	records  uint64
	terms    []wire.TermStart
	configs  []wire.ConfigAt // the newest MaxConfigs
	// moreConfigs says that there are older ones.
	moreConfigs bool
	skips       []wire.SkipAt
	verified    []wire.SnapshotRecord // the newest

	generation uint64
	reached    int // how many segments the good log reaches

	// About the break behind the last good record.
	verdict  wire.Verdict
	readErr  error         // why reading ended, if it was not the end of the segments
	evidence evidence      // without what only the watermark tells
	dirtyEnd wire.Position // everything from here on is zero; at least chain.Position
	resumes  wire.Position // the first good record behind the break, 0 for none

	// How the log stands to the base: bits of evStanding, and evInstall. If there are any of evStanding: where it ended, and
	// where it left the way to the base.
	standing  evidence
	endBefore wire.Position
	where     string
	offset    int64
}

// visitor sees a record and the bytes that begin with it, which are good until it returns.
type visitor func(r *wire.Record, b []byte) error

// scan walks the log in dir from its first segment, verifying every record, until the chain ends; then it looks at
// everything behind. visit, if not nil, sees every good record.
func scan(fs vfs.FS, dir string, cluster uint64, buffered bool, visit visitor) (*scanned, error) {
	list, err := listSegments(fs, dir)
	if err != nil {
		return nil, err
	}
	if list, err = inspect(fs, dir, list, cluster); err != nil {
		return nil, err
	}
	s := &scanned{segments: list}
	s.findGeneration()
	w := newWindow(fs, dir, list, buffered)
	defer w.tape.close()
	if err := s.begin(); err != nil {
		return nil, err
	}
	if err := s.walk(w, visit); err != nil {
		return nil, err
	}
	s.lookBehind(w)
	return s, nil
}

// findGeneration finds the generation that the headers have.
func (s *scanned) findGeneration() {
	s.generation = max(s.generation, 1)
	for i := range s.segments {
		if s.segments[i].state == blockValid {
			s.generation = max(s.generation, s.segments[i].header.generation)
		}
	}
}

// again goes on behind a gap that has been mended.
func (s *scanned) again(fs vfs.FS, dir string, cluster uint64, buffered bool) error {
	list, err := listSegments(fs, dir)
	if err != nil {
		return err
	}
	if s.base != nil {
		list = list[max(0, holderOf(list, s.base.Chain.Position)):]
	}
	if list, err = inspect(fs, dir, list, cluster); err != nil {
		return err
	}
	known := s.segments[:s.reached]
	s.segments, s.reached = list, 0
	if s.base != nil {
		s.reachBase()
	}
	for i := s.reached; i < len(list) && list[i].first <= s.chain.Position; i++ {
		s.reached++
		for k := range known {
			if known[k].first == list[i].first {
				list[i].expect = known[k].expect
			}
		}
	}
	s.verdict, s.readErr, s.evidence, s.resumes = 0, nil, 0, 0
	s.standing &^= evStanding
	w := newWindow(fs, dir, list, buffered)
	defer w.tape.close()
	if err := s.walk(w, nil); err != nil {
		return err
	}
	s.lookBehind(w)
	return nil
}

// begin finds where the log begins.
func (s *scanned) begin() error {
	if len(s.segments) == 0 {
		return nil
	}
	start, ok := s.segments[0].start()
	if !ok {
		return fmt.Errorf("journal: the header of the first segment %s is damaged, and nothing before it tells where its "+
			"records begin: a node with a snapshot behind that starts from there; any other is to be reseeded",
			segmentName(s.segments[0].first))
	}
	s.chain, s.floor = start, start.Position
	s.reach()
	return nil
}

// holds says whether a record may begin, or the log end, at position in the segment.
func (s *segmentInfo) holds(position wire.Position) bool {
	return position >= s.first && position <= s.end() && position%wire.Alignment == 0
}

// walk follows the chain to its end.
func (s *scanned) walk(w *window, visit func(*wire.Record, []byte) error) error {
	var r wire.Record
	for {
		before := s.chain
		b, verdict, err := w.next(&s.chain, &r)
		if verdict != wire.VerdictOK {
			s.verdict = verdict
			if verdict == wire.VerdictShort && !errors.Is(err, errGap) {
				s.readErr = err
			}
			return nil
		}
		if err := s.note(&r, &before, wire.Payload(b, &r)); err != nil {
			return err
		}
		if visit != nil {
			if err := visit(&r, b); err != nil {
				return err
			}
		}
	}
}

// next verifies the record behind chain and advances it. b begins with the record.
func (w *window) next(chain *wire.Chain, r *wire.Record) (b []byte, verdict wire.Verdict, err error) {
	b, err = w.view(chain.Position, wire.RecordHeaderSize)
	n, verdict := chain.Verify(b, r)
	if verdict == wire.VerdictShort && err == nil {
		b, err = w.view(chain.Position, n)
		_, verdict = chain.Verify(b, r)
	}
	return b, verdict, err
}

// note keeps what is asked of a good record.
func (s *scanned) note(r *wire.Record, before *wire.Chain, payload []byte) error {
	s.records++
	s.reach()
	if r.Term != before.Term {
		s.terms = append(s.terms, wire.TermStart{Start: r.Position, Term: r.Term})
	}
	if r.Kind == wire.RecordConfig && r.Flags == 0 {
		at := wire.ConfigAt{End: r.End()}
		if !at.Config.Decode(payload) {
			return fmt.Errorf("journal: the config record at position %d is malformed although its checksum fits: "+
				"it was written by another version", r.Position)
		}
		if len(s.configs) == MaxConfigs {
			s.configs, s.moreConfigs = slices.Delete(s.configs, 0, 1), true
		}
		s.configs = append(s.configs, at)
	}
	if r.Kind == wire.RecordSnapshot && r.Flags == 0 {
		var x wire.SnapshotRecord
		if x.Decode(payload) && x.Verified > 0 {
			if len(s.verified) == maxVerified {
				s.verified = slices.Delete(s.verified, 0, 1)
			}
			s.verified = append(s.verified, x)
		}
	}
	if r.Kind == wire.RecordSkip && r.Flags == 0 {
		var skip wire.SkipRecord
		if skip.Decode(payload) {
			s.skips = append(s.skips, wire.SkipAt{End: r.End(), Position: skip.Position})
		}
	}
	return nil
}

// reach keeps, for each segment that the chain has come to, what its header must say.
func (s *scanned) reach() {
	for s.reached < len(s.segments) && s.segments[s.reached].first <= s.chain.Position {
		s.segments[s.reached].expect = s.chain
		s.reached++
	}
}

// badHeaders returns the segments whose header is bad although the chain goes through their records: all that a header
// says is known from the segment before.
func (s *scanned) badHeaders() []*segmentInfo {
	var bad []*segmentInfo
	for i := range s.segments[:s.reached] {
		seg := &s.segments[i]
		if seg.first < s.chain.Position && (seg.state != blockValid || seg.header.chain != seg.expect) {
			bad = append(bad, seg)
		}
	}
	return bad
}

// lookBehind gathers what stands behind the end of the chain.
func (s *scanned) lookBehind(w *window) {
	end := s.chain.Position
	s.dirtyEnd = end
	if s.readErr != nil {
		s.evidence |= evUnreadable
	}
	for i := range s.segments {
		seg := &s.segments[i]
		if seg.short && seg.end() > end {
			s.evidence |= evUnreadable
		}
		if seg.end() > end {
			s.searchSegment(w, max(end, seg.first), seg.end())
		}
		if seg.first > end && seg.state != blockZero { // written to although the log does not reach it
			s.dirtyEnd = max(s.dirtyEnd, seg.first+vfs.BlockBytes)
			s.evidence |= evFollows
		}
	}
	if s.dirtyEnd > end {
		s.evidence |= evFollows
	}
	if s.evidence&evFollows != 0 && s.readErr == nil && s.brokenInSector(w) {
		s.evidence |= evSector
	}
}

// searchSegment looks in [from, until) for bytes that are not zero, and for good records.
func (s *scanned) searchSegment(w *window, from, until wire.Position) {
	for at := from; at < until; {
		b, err := w.view(at, min(wire.MaxRecord, int(until-at)))
		if err != nil && !errors.Is(err, errGap) {
			s.evidence |= evUnreadable
		}
		if len(b) >= 8 && !allZero(b) {
			at = s.searchView(w, at, until)
			continue
		}
		at = max(at, w.end)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			at = ceilTo(at + 1) // over what cannot be read
		}
	}
}

// searchView looks at the bytes around position at that are in the window, and returns how far it came.
func (s *scanned) searchView(w *window, at, until wire.Position) wire.Position {
	var b []byte
	for ; at < until; at += 8 {
		if len(b) < wire.RecordHeaderSize {
			b, _ = w.view(at, min(wire.RecordHeaderSize, int(until-at)))
			if len(b) < 8 || allZero(b) {
				return at
			}
		}
		if binary.LittleEndian.Uint64(b) != 0 {
			s.dirtyEnd = max(s.dirtyEnd, at+8)
		}
		if len(b) >= wire.RecordHeaderSize && binary.LittleEndian.Uint64(b[8:]) == uint64(at) {
			if s.isGood(w, at) {
				s.foundGood(at)
			}
			b, _ = w.view(at, wire.RecordHeaderSize) // the window may have moved
		}
		b = b[8:]
	}
	return at
}

func (s *scanned) foundGood(at wire.Position) {
	s.evidence |= evResumes
	if s.resumes == 0 {
		s.resumes = at
	}
	if at >= s.chain.Position+MaxBatch {
		s.evidence |= evBeyond
	}
}

// isGood says whether a whole record that belongs at this position stands there, of a term that this log could go on
// with.
func (s *scanned) isGood(w *window, at wire.Position) bool {
	var r wire.Record
	b, _ := w.view(at, wire.MaxRecord)
	_, verdict := wire.VerifyAlone(b, &r)
	return verdict == wire.VerdictOK && r.Position == at && r.Term >= s.chain.Term && r.Sequence > s.chain.Sequence
}

// brokenInSector says whether the first sector behind the end of the log is one that a write cut short cannot leave:
// that sector held the end of the last good record already, it was rewritten as a whole, and so it must hold either
// zeros or the sound beginning of a record that goes on in the next sector.
func (s *scanned) brokenInSector(w *window) bool {
	end := s.chain.Position
	room := (vfs.SectorBytes - int(end%vfs.SectorBytes)) % vfs.SectorBytes
	if room == 0 {
		return false
	}
	b, _ := w.view(end, room)
	if len(b) < room || allZero(b[:room]) {
		return false
	}
	length := binary.LittleEndian.Uint32(b)
	if length < wire.RecordHeaderSize || length > wire.MaxRecord {
		return true
	}
	return int(wire.Padded(length)) <= room
}

// place names the segment file and the offset in it where position is.
func (s *scanned) place(position wire.Position) (segment string, offset int64) {
	t := tape{segments: s.segments}
	if seg := t.find(position); seg != nil {
		return path.Join("journal", segmentName(seg.first)), headerBytes + int64(position-seg.first)
	}
	return path.Join("journal", segmentName(position)), 0
}

// breakCause says in words what is wrong behind the last good record.
func (s *scanned) breakCause() string {
	switch {
	case s.readErr != nil && !errors.Is(s.readErr, io.EOF):
		return s.readErr.Error()
	case s.readErr != nil:
		return "the file is shorter than its segment"
	case s.evidence&evFollows == 0:
		return "nothing follows"
	case s.verdict == wire.VerdictShort:
		return "the segment that goes on is missing"
	}
	return fmt.Sprintf("record check: %s", s.verdict)
}
