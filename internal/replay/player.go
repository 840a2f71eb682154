package replay

import (
	"errors"
	"fmt"
	"io"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// Errors of a replay.
var (
	// ErrHalted says that apply halted at a record; Player.Halt has more.
	ErrHalted = errors.New("replay: halted")
	// ErrNoBeginning says that the log does not begin at position 0.
	ErrNoBeginning = errors.New("replay: the log does not begin at position 0: what came before is not known")
)

// Services makes the services that a node of this build runs, with nothing seen.
type Services func() ([service.MaxServices]service.Service, error)

// Player applies the records of one log.
type Player struct {
	driver   *service.Driver
	progress service.Progress
	source   source
}

// State is where a replay stands.
type State struct {
	Position wire.Position // end of the last record applied
	Hash     uint64        // of the state of all services together: state_hash of `lockstep status`
	// The last fixed point at which nodes compare themselves: the first record end at or past a MiB. 0 before the first.
	Point     wire.Position
	PointHash uint64 // the chained hash over all outputs up to there
	AtPoint   bool   // the last record applied reached it
}

// source reads the log for the driver.
type source struct{ reader *journal.Reader }

func (s *source) ReadRange(from wire.Position, b []byte) (int, error) {
	n, err := s.reader.ReadRange(from, b)
	if errors.Is(err, io.EOF) {
		return n, nil
	}
	return n, err
}

// sessions and messages to the ingress are of no use here: nobody leads.
const (
	commandSlots = 2
	egressBytes  = 256 << 10
)

// New returns a player of the log in dir, which is to be read no further than end, a record's.
func New(fs vfs.FS, dir string, end wire.Position, services Services) (*Player, error) {
	reader, err := journal.NewReader(fs, dir)
	if err != nil {
		return nil, err
	}
	reader.SetLimit(end)
	p := &Player{source: source{reader}}
	if err := p.make(end, services); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return p, nil
}

func (p *Player) make(end wire.Position, services Services) error {
	if err := p.source.reader.SeekFirst(); err != nil {
		return err
	}
	if floor := p.source.reader.Position(); floor > 0 {
		return fmt.Errorf("%w (it begins at %d)", ErrNoBeginning, floor)
	}
	list, err := services()
	if err != nil {
		return err
	}
	// A ring that holds nothing: the driver reads everything from the journal, and verifies it.
	const ringBytes = 4096
	ring := ringbuf.NewLogRing(make([]byte, 2*ringBytes), ringBytes, false)
	ring.Start(uint64(end), uint64(end))
	p.driver, err = service.NewDriver(service.Options{
		Ring: ring, Source: &p.source, Progress: &p.progress, Services: list, Fresh: services, Batch: 1,
		Commands: ringbuf.NewSPSC(make([]service.Command, commandSlots)),
		Egress:   ringbuf.NewMessageRing(make([]byte, egressBytes)),
	})
	p.progress.SetCommit(end)
	return err
}

// Apply applies the record that ends at end, and whatever comes before it. ErrHalted when the services stop earlier.
func (p *Player) Apply(end wire.Position) (State, error) {
	before, _ := p.progress.HashAt()
	for p.progress.Applied() < end {
		work, err := p.driver.DoWork(0)
		if err != nil {
			return p.state(before), err
		}
		if work > 0 {
			continue
		}
		if h := p.Halt(); h != nil {
			return p.state(before), fmt.Errorf("%w: %s", ErrHalted, h)
		}
		return p.state(before), fmt.Errorf("replay: the log cannot be read on at position %d", p.progress.Applied())
	}
	return p.state(before), nil
}

func (p *Player) state(before wire.Position) State {
	s := p.driver.Status()
	return State{Position: s.Applied, Hash: s.StateHash, Point: s.HashPosition, PointHash: s.Hash,
		AtPoint: s.HashPosition != before}
}

// Halt says where and why apply has halted; nil when it has not.
func (p *Player) Halt() *service.Halt { return p.driver.Status().Halt }

// Close closes the files.
func (p *Player) Close() error { return p.source.reader.Close() }
