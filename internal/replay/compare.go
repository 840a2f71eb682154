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

// ErrApart says that one log ends before the other's replay can begin.
var ErrApart = errors.New("replay: the two logs have no state in common")

// Difference is what Compare found.
type Difference struct {
	// Record is the first record in which the logs differ; nil when they are the same as far as they both go.
	Record *Place
	// State is the first record behind which the replays differ: in the state of the services or in what they put out.
	// nil when they do not.
	State *Place
	// Records is where records began to be compared, States where states did: at or behind where the later of the two
	// replays began, which may be a snapshot.
	Records, States wire.Position
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
	known  bool // the state is
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
		s.player, err = New(Options{FS: fs, Dir: dir, End: end, FromStart: true, Services: services})
	}
	if err != nil {
		return nil, errors.Join(err, s.reader.Close())
	}
	return s, nil
}

func (s *side) close() { _ = errors.Join(s.reader.Close(), s.player.Close()) } // only read from: nothing can be lost

// next reads the next record, and applies it if the replay has begun before it. Where apply halts is a state like any
// other: the other side must halt too.
func (s *side) next() error {
	raw, err := s.reader.NextRaw()
	if err != nil {
		return err
	}
	s.raw = raw
	wire.DecodeRecord(raw, &s.record)
	if s.record.End() < s.player.Start().Position {
		return nil
	}
	state, err := s.player.Apply(s.record.End()) // nothing, if the replay begins behind it
	if err != nil && !errors.Is(err, ErrHalted) {
		return err
	}
	s.state, s.halted, s.known = state, err, true
	return nil
}

// differs says whether the two replays have come to different results. Outputs are compared at the fixed points.
func (s *side) differs(b *side) bool {
	return s.state.Hash != b.state.Hash || (s.halted == nil) != (b.halted == nil) ||
		s.state.AtPoint && b.state.AtPoint && s.state.PointHash != b.state.PointHash
}

// Compare replays the logs in two directories, each up to its end, side by side and each with its services, record by
// record, as far as both go or apply halts on both. Each begins as early as it can; records are compared from where both
// logs have them, states from where both replays have begun.
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
	d := &Difference{Records: max(a.reader.Position(), b.reader.Position()),
		States: max(a.player.Start().Position, b.player.Start().Position)}
	if err := errors.Join(a.reader.SeekFrom(d.Records), b.reader.SeekFrom(d.Records)); err != nil {
		return nil, err
	}
	for {
		errA, errB := a.next(), b.next()
		if errors.Is(errA, io.EOF) || errors.Is(errB, io.EOF) {
			if d.States > min(endA, endB) && d.Record == nil {
				return d, fmt.Errorf("%w: they end at %d and %d, and the states of both are known from %d on", ErrApart, endA,
					endB, d.States)
			}
			return d, nil
		}
		if err := errors.Join(errA, errB); err != nil {
			return d, err
		}
		if done, err := d.step(a, b); done || err != nil {
			return d, err
		}
	}
}

// step compares the two records at hand and the states behind them.
func (d *Difference) step(a, b *side) (done bool, err error) {
	at := &Place{Position: a.record.Position, Sequence: a.record.Sequence, A: a.record, B: b.record}
	if d.Record == nil && !bytes.Equal(a.raw, b.raw) {
		d.Record = at
	}
	if !a.known || !b.known {
		return d.Record != nil, nil // different logs lead to different states
	}
	d.A, d.B = a.state, b.state
	if a.differs(b) {
		d.State = at
		return true, nil
	}
	if a.halted != nil {
		return true, fmt.Errorf("both replays: %w", a.halted)
	}
	d.Applied = a.state.Position
	return false, nil
}
