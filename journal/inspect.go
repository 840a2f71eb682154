package journal

import (
	"path"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// SegmentState says what a segment file is.
type SegmentState uint8

// The states.
const (
	SegmentUsed     SegmentState = 1 + iota // it holds log: its header is sound
	SegmentPrepared                         // zeroed ahead of use: no header yet
	SegmentDamaged                          // its header is damaged
)

var segmentStateNames = [...]string{"invalid", "used", "prepared", "damaged header"}

// String is the state's name.
func (s SegmentState) String() string {
	if int(s) < len(segmentStateNames) {
		return segmentStateNames[s]
	}
	return "unknown segment state"
}

// Segment is one segment file, as its name, size and header say.
type Segment struct {
	Name       string        // in the node's directory
	First      wire.Position // of its first byte in the log
	Bytes      int64         // of the log that it can hold
	State      SegmentState
	Cluster    uint64     // as Generation and Start: of a sound header only
	Generation uint64     // of the last cut when the header was written
	Start      wire.Chain // where its first record begins, and what that one chains from
}

// End is the position behind the last byte that the segment can hold.
func (s *Segment) End() wire.Position { return s.First + wire.Position(s.Bytes) }

// Segments lists the segments of the log in dir, oldest first. It reads a header each and changes nothing.
func Segments(fs vfs.FS, dir string) ([]Segment, error) {
	list, err := listSegments(fs, dir)
	if err != nil {
		return nil, err
	}
	if list, err = inspect(fs, dir, list, 0); err != nil {
		return nil, err
	}
	segments := make([]Segment, len(list))
	for i := range list {
		info := &list[i]
		s := &segments[i]
		*s = Segment{Name: path.Join("journal", segmentName(info.first)), First: info.first, Bytes: info.bytes}
		switch info.state {
		case blockZero:
			s.State = SegmentPrepared
		case blockValid:
			s.State = SegmentUsed
			s.Cluster, s.Generation, s.Start = info.header.cluster, info.header.generation, info.header.chain
		default:
			s.State = SegmentDamaged
		}
	}
	return segments, nil
}

// LoadWatermark reads the watermark in dir: everything below it was synced. known is false when no slot of the file can
// be believed. It changes nothing.
func LoadWatermark(fs vfs.FS, dir string) (position wire.Position, known bool, err error) {
	return readWatermark(fs, dir)
}

// Ending says how the log in dir ends, for a reader that came to chain and found no good record there: Outcome and
// cause as Open would find them, Chain the end of the good log (further on than the reader came if the log grew
// meanwhile), Records how many it has read to get there. It costs what follows chain, and changes nothing.
func Ending(fs vfs.FS, dir string, chain wire.Chain) (*Recovered, error) {
	position, known, err := readWatermark(fs, dir) // before the log is read: both grow meanwhile
	if err != nil {
		return nil, err
	}
	list, err := listSegments(fs, dir)
	if err == nil {
		list, err = inspect(fs, dir, list, 0)
	}
	if err != nil {
		return nil, err
	}
	w := newWindow(fs, dir, list, false)
	defer w.tape.close()
	s := &scanned{segments: list, chain: chain, floor: chain.Position}
	s.reach()
	if err := s.walk(w, nil); err != nil {
		return nil, err
	}
	s.lookBehind(w)
	r, err := s.recovered(position, known)
	if err != nil {
		return nil, err
	}
	r.Marked, _, err = IsRecovering(fs, dir)
	return r, err
}
