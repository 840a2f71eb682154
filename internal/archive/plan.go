package archive

import (
	"errors"
	"fmt"
	"io"
	"path"

	"lockstep/internal/inspect"
	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// plan says what of an archive a node is built from: the stretch of the log that has the place asked for, from the older
// of the two newest snapshots at or below that place on, or from position 0. Two, so that the node finds the older
// one and the log behind it when the newest rots.
type plan struct {
	dir       string // of the stretch
	stretch   *Stretch
	next      *Stretch // the one behind it; nil: there is none
	bytes     int64    // of a segment
	store     *snapshot.Store
	snapshots []Snapshot // newest first
	base      wire.Chain
	config    wire.Config // in force at the base
}

// keptSnapshots is how many a node starts with, as many as one that runs keeps.
const keptSnapshots = 2

// plan chooses. A snapshot that is damaged is passed over.
func (r *Restored) plan(o *RestoreOptions, m *Manifest) (*plan, error) {
	var next *Stretch
	for i := len(m.Stretches) - 1; i >= 0; i-- {
		t := &m.Stretches[i]
		p := &plan{dir: path.Join(o.From, t.Dir), stretch: t, next: next, bytes: m.SegmentBytes}
		var err error
		if p.store, err = snapshot.Look(o.FS, p.dir); err != nil {
			return nil, err
		}
		r.chooseSnapshots(o, p)
		if len(p.snapshots) > 0 || t.Start.Position == 0 {
			return p, p.begin()
		}
		if covers(o, lastBefore(t.Start)) {
			return nil, fmt.Errorf("%w: it has the log from position %d, sequence %d on, and no sound snapshot at or below the "+
				"place asked for tells the state there: %w", ErrNoState, t.Start.Position, t.Start.Sequence+1,
				errors.Join(r.PassedOver...))
		}
		next = t
	}
	if next != nil {
		return nil, fmt.Errorf("%w: it begins at position %d, sequence %d, %s", ErrBefore, next.Start.Position,
			next.Start.Sequence+1, inspect.Stamp(next.Start.Timestamp))
	}
	return nil, fmt.Errorf("%w: nothing was shipped to it yet", ErrNoArchive)
}

// lastBefore is a record that ends at a place.
func lastBefore(p Place) wire.Record {
	return wire.Record{Position: p.Position - min(p.Position, wire.RecordHeaderSize), Length: wire.RecordHeaderSize,
		Sequence: p.Sequence, Timestamp: p.Timestamp}
}

// chooseSnapshots takes the newest sound ones at or below the place asked for.
func (r *Restored) chooseSnapshots(o *RestoreOptions, p *plan) {
	list := p.stretch.Snapshots
	for i := len(list) - 1; i >= 0 && len(p.snapshots) < keptSnapshots; i-- {
		if !covers(o, lastBefore(list[i].Place)) {
			continue
		}
		if err := list[i].check(p.store); err != nil {
			r.PassedOver = append(r.PassedOver, err)
			continue
		}
		p.snapshots = append(p.snapshots, list[i])
	}
}

// begin finds out how things stand where the restored log begins.
func (p *plan) begin() error {
	n := len(p.snapshots)
	if n == 0 || n < keptSnapshots && p.stretch.Start.Position == 0 {
		return nil
	}
	base := &p.snapshots[n-1]
	head, err := snapshotHead(p.store, base.Position)
	if err != nil {
		return err
	}
	p.base = head.Chain
	if k := len(head.Configs); k > 0 {
		p.config = head.Configs[k-1].Config
	}
	return nil
}

// gap says that the place asked for lies in log that was never archived.
func (p *plan) gap() error {
	end, next := &p.stretch.End, &p.next.Start
	return fmt.Errorf("%w: between position %d (sequence %d, %s) and %d (sequence %d, %s): ask for a place up to the first, or "+
		"one of a snapshot behind the second (lockstep journal snapshots)", ErrMissing, end.Position, end.Sequence,
		inspect.Stamp(end.Timestamp), next.Position, next.Sequence, inspect.Stamp(next.Timestamp))
}

// sums holds the sums of the segments against the manifest, from the one on that the base is in.
func (p *plan) sums(fs vfs.FS) (*sums, error) {
	s := newSums(p.bytes, p.stretch.origin(), p.compare)
	e := p.entry(s.segment(p.base.Position))
	if e == nil {
		s.at = p.base.Position
		return s, nil // the log ends here
	}
	r, c, err := segmentLog(fs, p.dir, e)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, e.Name, err)
	}
	defer c.Close()
	s.at = p.base.Position
	if _, err := io.CopyN(s.current, r, int64(p.base.Position-e.First)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, e.Name, err)
	}
	return s, nil
}

// entry is the segment that begins at first.
func (p *plan) entry(first wire.Position) *Entry {
	if i := (first - p.stretch.origin()) / wire.Position(p.bytes); int(i) < len(p.stretch.Segments) {
		return &p.stretch.Segments[i]
	}
	return nil
}

// compare holds the sum of a whole segment against the manifest.
func (p *plan) compare(first wire.Position, sum string) error {
	if e := p.entry(first); e.SHA256 != sum {
		return fmt.Errorf("%w: %s: SHA-256 of its log is %s, the manifest says %s", ErrDamaged, e.Name, sum, e.SHA256)
	}
	return nil
}

// compareLast holds the sum of the segment that the stretch ends in against the manifest, and the end.
func (p *plan) compareLast(s *sums) error {
	end := p.stretch.End.Position
	if s.at != end {
		return fmt.Errorf("%w: its records end at position %d, the manifest says %d", ErrDamaged, s.at, end)
	}
	if s.begins(end) {
		return nil
	}
	return p.compare(s.segment(end), s.sum())
}
