package replay

import (
	"errors"
	"fmt"
	"io"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// Errors of a replay.
var (
	// ErrHalted says that apply halted at a record; Player.Halt has more.
	ErrHalted = errors.New("replay: halted")
	// ErrOtherState says that the state came out otherwise than the log says that a majority of the cluster had it: another
	// build, a service that is not deterministic, or a damaged snapshot.
	ErrOtherState = errors.New("replay: the state comes out otherwise than a majority of the cluster had it")
	// ErrNoBeginning says that the log does not begin at position 0, and that no snapshot says what came before.
	ErrNoBeginning = errors.New("replay: the log does not begin at position 0, and there is no snapshot to begin with at or below " +
		"the place asked for")
)

// Services makes the services that a node of this build runs, with nothing seen.
type Services func() ([service.MaxServices]service.Service, error)

// Player applies the records of one log.
type Player struct {
	// PassedOver says which snapshots the replay could not begin with, and why.
	PassedOver []error

	driver   *service.Driver
	progress *service.Progress
	source   source
	bases    bases
	start    wire.Chain
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

// Options say what is replayed, and from where on.
type Options struct {
	FS  vfs.FS
	Dir string        // with the log, and the snapshots to begin from
	End wire.Position // the log is read no further than to here, a record's end
	// FromStart has the replay begin as early as it can: at position 0, or, where the log begins behind that, with the
	// oldest snapshot. Else it begins with the newest snapshot that does.
	FromStart bool
	// Covers says whether a record belongs to what is replayed: a snapshot behind one that does not is none to begin
	// with. nil: all do.
	Covers   func(*wire.Record) bool
	Services Services
	// Output is told of every response that the records applied cause, in order. The payload is good during the call. nil:
	// nobody is.
	Output func(head *service.Egress, payload []byte)
	// Lost is told, between those, of responses that went nowhere: to sessions that are over, or to nobody. nil: nobody is.
	Lost func(head *service.Egress, payload []byte)
	// Closed is told, between those, of sessions that end or are refused. nil: nobody is.
	Closed func(head *service.Egress)
}

// New returns a player of the log that o describes. ErrNoBeginning when it can begin nowhere.
func New(o Options) (*Player, error) {
	reader, err := journal.NewReader(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	reader.SetLimit(o.End)
	p := &Player{source: source{reader}}
	if err := p.make(&o); err != nil {
		return nil, errors.Join(err, reader.Close())
	}
	return p, nil
}

// make tries one beginning after the other.
func (p *Player) make(o *Options) error {
	if err := p.source.reader.SeekFirst(); err != nil {
		return err
	}
	floor := p.source.reader.Position()
	limits, err := p.limits()
	if err != nil {
		return err
	}
	store, err := snapshot.Look(o.FS, o.Dir)
	if err != nil {
		return err
	}
	p.bases = bases{store: store, floor: floor}
	for _, m := range store.List() {
		if at := m.Position(); at >= floor && at <= o.End && o.covers(m.Chain) {
			p.bases.list = append(p.bases.list, m)
		}
	}
	if o.FromStart && floor == 0 {
		p.bases.list = nil
	}
	for {
		base := p.bases.choose(o.FromStart)
		if base == nil && floor > 0 {
			return fmt.Errorf("%w (it begins at %d)", errors.Join(append([]error{ErrNoBeginning}, p.PassedOver...)...), floor)
		}
		err := p.begin(o, base, limits)
		if err == nil || base == nil {
			return err
		}
		p.PassedOver = append(p.PassedOver, fmt.Errorf("the snapshot at position %d: %w", base.Position(), err))
		p.bases.drop(base.Position())
	}
}

func (o *Options) covers(c wire.Chain) bool {
	r := wire.Record{Position: c.Position - min(c.Position, wire.RecordHeaderSize), Length: wire.RecordHeaderSize,
		Sequence: c.Sequence, Timestamp: c.Timestamp}
	return o.Covers == nil || o.Covers(&r)
}

// begin makes the driver; base is what it begins from, nil for position 0.
func (p *Player) begin(o *Options, base *snapshot.Manifest, limits service.Limits) error {
	if base != nil {
		var err error
		if limits, err = p.bases.limits(base.Position()); err != nil {
			return err
		}
	}
	list, err := o.Services()
	if err != nil {
		return err
	}
	// A ring that holds nothing: the driver reads everything from the journal, and verifies it.
	const ringBytes = 4096
	ring := ringbuf.NewLogRing(make([]byte, 2*ringBytes), ringBytes, false)
	ring.Start(uint64(o.End), uint64(o.End))
	p.progress = new(service.Progress)
	p.bases.begun = false
	p.driver, err = service.NewDriver(service.Options{
		Ring: ring, Source: &p.source, Progress: p.progress, Services: list, Fresh: o.Services, Base: p.bases.open,
		Limits: limits, Batch: 1, OnOutput: o.Output, OnLost: o.Lost, OnClosed: o.Closed,
		Commands: ringbuf.NewSPSC(make([]service.Command, commandSlots)),
		Egress:   ringbuf.NewMessageRing(make([]byte, egressBytes)),
	})
	if err != nil {
		return err
	}
	p.start = wire.Chain{}
	if base != nil {
		p.start = base.Chain
		if at, digest := p.progress.Snapshot(); at != base.Position() || digest != base.Digest {
			return fmt.Errorf("%w: restored it has the digest %016x at position %d, its manifest says %016x at %d",
				service.ErrSnapshot, digest, at, base.Digest, base.Position())
		}
	}
	p.progress.SetCommit(o.End)
	return nil
}

// Start is where the replay began: behind the snapshot that it began with, or the zero chain.
func (p *Player) Start() wire.Chain { return p.start }

// limits are those that the log's first config record puts in force: they change what services put out, and a cluster
// never changes them. Before that record there are no clients.
func (p *Player) limits() (service.Limits, error) {
	for {
		r, payload, err := p.source.reader.Next()
		if errors.Is(err, io.EOF) {
			return service.Limits{}, nil
		}
		if err != nil {
			return service.Limits{}, err
		}
		var c wire.Config
		if r.Kind == wire.RecordConfig && r.Known() && c.Decode(payload) {
			return limitsOf(&c), nil
		}
	}
}

func limitsOf(c *wire.Config) service.Limits {
	l := &c.Limits
	return service.Limits{Sessions: int(l.Sessions), KeptResponses: int(l.KeptResponses), KeptBytes: int(l.KeptBytes)}
}

// Apply applies the record that ends at end, and whatever comes before it. ErrHalted when the services stop earlier.
func (p *Player) Apply(end wire.Position) (State, error) {
	before, _ := p.progress.HashAt()
	for p.progress.Applied() < end {
		work, err := p.driver.DoWork(0)
		if errors.Is(err, service.ErrVerified) {
			err = fmt.Errorf("%w: %w", ErrOtherState, err)
		}
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

// State is where the replay stands, before any record was applied.
func (p *Player) State() State {
	at, _ := p.progress.HashAt()
	return p.state(at)
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
