package journal

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// ErrBase says that the log and the snapshot that Options.Base describes are not of one piece: the log begins behind it,
// or holds other records there. Nothing on the disk was changed; an older snapshot may fit.
var ErrBase = errors.New("journal: the log does not fit the snapshot")

// Base is the place of a snapshot in the log, and what the log before it says: opening reads only what follows.
type Base struct {
	Chain       wire.Chain       // the snapshot's position and the record that ends there
	Terms       []wire.TermStart // where each leadership's records begin up to there, oldest first
	Configs     []wire.ConfigAt  // the config records up to there, oldest first: the newest MaxConfigs of them
	MoreConfigs bool             // there are older ones
}

// scanFrom is scan from a snapshot on: nothing that lies before it is read, unless no record follows it. Then it may be
// that the log does not lead there, and the segment that should is read.
func scanFrom(fs vfs.FS, dir string, cluster uint64, buffered bool, base *Base, install bool) (*scanned, error) {
	all, err := listSegments(fs, dir)
	if err != nil {
		return nil, err
	}
	s := &scanned{base: base, chain: base.Chain, terms: slices.Clone(base.Terms),
		configs: slices.Clone(base.Configs), moreConfigs: base.MoreConfigs}
	if install {
		s.standing = evInstall
	}
	holder := max(0, holderOf(all, base.Chain.Position))
	if s.segments, err = inspect(fs, dir, slices.Clone(all[holder:]), cluster); err != nil {
		return nil, err
	}
	s.findGeneration()
	s.reachBase()
	w := newWindow(fs, dir, s.segments, buffered)
	defer w.tape.close()
	if err := s.walk(w, nil); err != nil {
		return nil, err
	}
	if s.records == 0 {
		if err := s.findStanding(fs, dir, cluster, buffered, all); err != nil {
			return nil, err
		}
	}
	if s.standing&(evOther|evLate) == 0 {
		s.lookBehind(w)
	}
	if s.standing&evShort != 0 {
		s.evidence &^= evSector // the sector is not one that the log ends in
	}
	return s, s.findFloor(fs, dir, cluster, all[:min(len(all), holder+1)])
}

// basePosition is the snapshot's position, 0 without one.
func (s *scanned) basePosition() wire.Position {
	if s.base == nil {
		return 0
	}
	return s.base.Chain.Position
}

// holderOf is the index of the segment that position is in, by the names alone; -1 when they all begin behind it.
func holderOf(list []segmentInfo, position wire.Position) int {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].first <= position {
			return i
		}
	}
	return -1
}

// reachBase says what the header of the segment that the snapshot's position is in must say. What it says is taken for
// that if it can be; else records begin, as far as this segment is to tell, at the snapshot.
func (s *scanned) reachBase() {
	p := s.base.Chain.Position
	s.reached = 0
	if len(s.segments) == 0 || s.segments[0].first > p {
		return
	}
	head := &s.segments[0]
	head.expect, s.reached = s.base.Chain, 1
	if start, ok := head.start(); ok && start.Position <= p {
		head.expect = start
	}
}

// start is where the first record begins in a segment, and what it chains from, as far as the segment itself tells.
func (s *segmentInfo) start() (chain wire.Chain, ok bool) {
	if s.state == blockValid && s.holds(s.header.chain.Position) {
		return s.header.chain, true
	}
	return wire.Chain{}, s.first == 0 // what the header of the very first segment says is known without it
}

// findStanding finds out how the log stands to a snapshot that no record follows. all is every segment by name.
func (s *scanned) findStanding(fs vfs.FS, dir string, cluster uint64, buffered bool, all []segmentInfo) error {
	p := s.base.Chain.Position
	for i := holderOf(all, p); i >= 0; i-- {
		list, err := inspect(fs, dir, slices.Clone(all[i:]), cluster)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		start, ok := list[0].start()
		switch {
		case ok && start.Position <= p:
			w := newWindow(fs, dir, list, buffered)
			defer w.tape.close()
			s.lead(w, start)
			return nil
		case ok && i == 0:
			s.standing |= evLate
			return nil
		}
	}
	s.standing |= evShort
	if holderOf(all, p) < 0 {
		for i := range s.segments {
			if s.segments[i].state == blockValid {
				s.standing = s.standing&^evShort | evLate
			}
		}
	}
	s.where, s.offset = path.Join("journal", segmentName(floorTo(p))), 0
	return nil
}

// lead follows the records from start on to the snapshot, or to where the log ends.
func (s *scanned) lead(w *window, start wire.Chain) {
	var r wire.Record
	chain := start
	end := func() bool { _, verdict, _ := w.next(&chain, &r); return verdict != wire.VerdictOK }
	for chain.Position < s.base.Chain.Position {
		if end() {
			s.standing |= evShort
			break
		}
	}
	if chain == s.base.Chain {
		return
	}
	if s.standing&evShort == 0 {
		s.standing |= evOther
		for !end() {
		}
	}
	s.endBefore = chain.Position
	below := scanned{segments: w.tape.segments}
	s.where, s.offset = below.place(min(chain.Position, s.base.Chain.Position))
}

// findFloor finds where the log that leads to the snapshot begins, by names and sizes and one header. What an interrupted
// DropBelow left before that does not belong to it. list is the segments up to the snapshot.
func (s *scanned) findFloor(fs vfs.FS, dir string, cluster uint64, list []segmentInfo) error {
	s.floor = s.base.Chain.Position
	if s.standing&evStanding != 0 || s.reached == 0 {
		return nil
	}
	first := len(list) - 1
	for ; first > 0; first-- {
		before := list[first-1].first
		size, err := fs.Stat(path.Join(segmentDir(dir), segmentName(before)))
		if err != nil || before+wire.Position(max(0, size-headerBytes)) < list[first].first {
			break
		}
	}
	for ; first < len(list); first++ {
		one, err := inspect(fs, dir, slices.Clone(list[first:first+1]), cluster)
		if err != nil {
			return err
		}
		if len(one) == 0 {
			continue
		}
		if start, ok := one[0].start(); ok {
			s.floor = min(s.floor, start.Position)
			return nil
		}
	}
	return nil
}

// unfit is the error for a log that does not fit its snapshot.
func (s *scanned) unfit(d *decision) error {
	p := s.base.Chain.Position
	if s.standing&evLate != 0 && len(s.segments) > 0 {
		return fmt.Errorf("%w: %s at position %d: the first segment is %s", ErrBase, d.cause, p,
			segmentName(s.segments[0].first))
	}
	return fmt.Errorf("%w: %s, %d: %s offset %d", ErrBase, d.cause, p, s.where, s.offset)
}
