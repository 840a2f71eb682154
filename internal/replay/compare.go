package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// Difference is what Compare found.
type Difference struct {
	// Record is the first record in which the logs differ; nil when they are the same as far as they both go.
	Record *Place
	// State is the first record behind which the replays differ: in the state of the services or in what they put out.
	// nil when they do not.
	State *Place
	// Applied is how far both were replayed.
	Applied wire.Position
	A, B    State // of the two replays, there
}

// Place is a record in both logs.
type Place struct {
	Position wire.Position
	Sequence uint64
	A, B     wire.Record
}

// side is one of the two logs that are compared.
type side struct {
	reader *journal.Reader
	player *Player
	record wire.Record
	raw    []byte
	state  State
	halted error
}

func newSide(fs vfs.FS, dir string, end wire.Position, services Services) (*side, error) {
	s := &side{}
	var err error
	if s.reader, err = journal.NewReader(fs, dir); err != nil {
		return nil, err
	}
	s.reader.SetLimit(end)
	if err = s.reader.SeekFirst(); err == nil {
		s.player, err = New(fs, dir, end, services)
	}
	if err != nil {
		return nil, errors.Join(err, s.reader.Close())
	}
	return s, nil
}

func (s *side) close() { _ = errors.Join(s.reader.Close(), s.player.Close()) } // only read from: nothing can be lost

// next reads and applies the next record. Where apply halts is a state like any other: the other side must halt too.
func (s *side) next() error {
	raw, err := s.reader.NextRaw()
	if err != nil {
		return err
	}
	s.raw = raw
	wire.DecodeRecord(raw, &s.record)
	state, err := s.player.Apply(s.record.End())
	if err != nil && !errors.Is(err, ErrHalted) {
		return err
	}
	s.state, s.halted = state, err
	return nil
}

// differs says whether the two replays have come to different results. Outputs are compared at the fixed points.
func (s *side) differs(b *side) bool {
	return s.state.Hash != b.state.Hash || (s.halted == nil) != (b.halted == nil) ||
		s.state.AtPoint && b.state.AtPoint && s.state.PointHash != b.state.PointHash
}

// Compare replays the logs in two directories, each up to its end, side by side and each with its services, record by
// record, as far as both go or apply halts on both.
func Compare(fs vfs.FS, dirA, dirB string, endA, endB wire.Position, servicesA, servicesB Services) (*Difference, error) {
	a, err := newSide(fs, dirA, endA, servicesA)
	if err != nil {
		return nil, err
	}
	defer a.close()
	b, err := newSide(fs, dirB, endB, servicesB)
	if err != nil {
		return nil, err
	}
	defer b.close()
	d := &Difference{}
	for {
		errA, errB := a.next(), b.next()
		if errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) {
			return d, nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return d, err
		}
		d.A, d.B = a.state, b.state
		at := &Place{Position: a.record.Position, Sequence: a.record.Sequence, A: a.record, B: b.record}
		if d.Record == nil && !bytes.Equal(a.raw, b.raw) {
			d.Record = at
		}
		if a.differs(b) {
			d.State = at
			return d, nil
		}
		if a.halted != nil {
			return d, fmt.Errorf("both replays: %w", a.halted)
		}
		d.Applied = a.state.Position
	}
}
