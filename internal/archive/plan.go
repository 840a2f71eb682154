package archive

import (
	"errors"
	"fmt"
	"path"

	"lockstep/internal/inspect"
	"lockstep/journal/snapshot"
	"lockstep/service"
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
	p.beginWith(head)
	return nil
}

func (p *plan) beginWith(head *service.SnapshotHead) {
	p.base = head.Chain
	if k := len(head.Configs); k > 0 {
		p.config = head.Configs[k-1].Config
	}
}

// fits holds a snapshot that was taken where the log is now against the log.
func (p *plan) fits(at wire.Chain) error {
	for i := range p.snapshots {
		if s := &p.snapshots[i]; s.Position == at.Position && s.chain() != at {
			return fmt.Errorf("%w: the snapshot at position %d is not one of this log", ErrDamaged, at.Position)
		}
	}
	return nil
}

// withoutOlder has the log begin with the newest snapshot if it was to begin before that, and was not restored so far: what is
// damaged is not needed then. False: that changes nothing.
func (p *plan) withoutOlder(r *Restored) bool {
	if len(p.snapshots) == 0 || r.End.Position >= p.snapshots[0].Position {
		return false
	}
	head, err := snapshotHead(p.store, p.snapshots[0].Position)
	if err != nil {
		return false
	}
	p.snapshots = p.snapshots[:1]
	p.beginWith(head)
	return true
}

// gap says that the place asked for lies in log that was never archived.
func (p *plan) gap() error {
	end, next := &p.stretch.End, &p.next.Start
	return fmt.Errorf("%w: between position %d (sequence %d, %s) and %d (sequence %d, %s): ask for a place up to the first, or "+
		"one of a snapshot behind the second (lockstep journal snapshots)", ErrMissing, end.Position, end.Sequence,
		inspect.Stamp(end.Timestamp), next.Position, next.Sequence, inspect.Stamp(next.Timestamp))
}

// sums holds the sums of whole segments against the manifest. What is restored of the one that the base is in is verified by
// the chain.
func (p *plan) sums() *sums {
	s := newSums(p.bytes, p.stretch.origin(), p.compare)
	s.at = p.base.Position
	return s
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
	if e := p.entry(first); first >= p.base.Position && e.SHA256 != sum {
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
