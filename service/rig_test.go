package service_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"testing"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/service/echo"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

// scripted is a service whose messages say what it does: they are a list of (session u64, length u32, fill byte)
// responses; a first byte of 0xff instead makes it panic, one of 0xfe give MaxOutputs responses and as many more as
// the second byte says.
type scripted struct {
	applied  uint64
	sessions []int64 // ids as they open, negated as they close
	onClose  wire.SessionID
	healthy  bool

	onSnapshot func()
	more       []byte // written as well, for nothing but its length
}

func (s *scripted) Name() string { return "scripted" }

func (s *scripted) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.applied++
	if len(payload) > 0 && payload[0] == 0xff && !s.healthy {
		panic("told to")
	}
	if len(payload) == 2 && payload[0] == 0xfe {
		for range service.MaxOutputs + int(payload[1]) {
			ctx.Respond(r.Session, nil)
		}
	}
	for len(payload) >= 13 {
		to := wire.SessionID(binary.LittleEndian.Uint64(payload))
		b := make([]byte, binary.LittleEndian.Uint32(payload[8:]))
		for i := range b {
			b[i] = payload[12]
		}
		ctx.Respond(to, b)
		payload = payload[13:]
	}
}

// poisoned is a session id that the service cannot bear.
const poisoned = 666

func (s *scripted) OnSession(ctx *service.Context, id wire.SessionID, opened bool) {
	if id == poisoned && (opened || s.onClose == poisoned) && !s.healthy {
		panic("told to")
	}
	if opened {
		s.sessions = append(s.sessions, int64(id))
		return
	}
	s.sessions = append(s.sessions, -int64(id))
	if s.onClose != 0 {
		ctx.Respond(s.onClose, []byte("closed"))
	}
}

func (s *scripted) Snapshot(w io.Writer) error {
	if s.more != nil {
		_, err := w.Write(s.more)
		return err
	}
	if s.onSnapshot != nil {
		s.onSnapshot()
	}
	b := binary.LittleEndian.AppendUint64(nil, s.applied)
	for _, id := range s.sessions {
		b = binary.LittleEndian.AppendUint64(b, uint64(id))
	}
	_, err := w.Write(b)
	return err
}

func (s *scripted) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil || len(b)%8 != 0 || len(b) == 0 {
		return fmt.Errorf("%d bytes: %w", len(b), err)
	}
	s.applied = binary.LittleEndian.Uint64(b)
	for b = b[8:]; len(b) > 0; b = b[8:] {
		s.sessions = append(s.sessions, int64(binary.LittleEndian.Uint64(b)))
	}
	return nil
}

func (s *scripted) Hash() uint64 { return s.applied }

// respond is the payload of a scripted message with responses of the given lengths to a session.
func respond(to wire.SessionID, lengths ...int) []byte {
	var b []byte
	for i, n := range lengths {
		b = binary.LittleEndian.AppendUint64(b, uint64(to))
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		b = append(b, byte('a'+i))
	}
	return b
}

const (
	scriptedID = 3
	alarmID    = 4
)

// rig is a driver, the ring it reads, and the two ends that a replica and an ingress would hold.
type rig struct {
	t        testing.TB
	ring     *ringbuf.LogRing
	progress *service.Progress
	commands *ringbuf.SPSC[service.Command]
	egress   *ringbuf.MessageRing
	driver   *service.Driver
	scripted *scripted
	alarm    *alarm
	chain    wire.Chain
	log      []byte  // everything ever appended
	aborted  []error // why snapshots came to nothing
}

type rigOptions struct {
	ringBytes   int
	egressBytes int
	batch       int
	limits      service.Limits
	source      service.Source
	orderbook   service.Service
	counters    *counters.File
	skips       []wire.SkipAt
	healthy     bool // the scripted service does not panic
	stale       bool // services cannot be made anew
	sink        service.Sink
	base        func(wire.Position) (io.ReadCloser, error)
	rich        bool              // a small order book and an alarm as well, made anew with the others
	book        orderbook.Options // of that
	version     uint32
	more        func(*[service.MaxServices]service.Service)
	log         *rig // its log is there already, and to be read from the journal
}

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	r, err := tryRig(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryRig(t testing.TB, o rigOptions) (*rig, error) {
	if o.ringBytes == 0 {
		o.ringBytes = 1 << 20
	}
	if o.egressBytes == 0 {
		o.egressBytes = 4 << 20
	}
	r := &rig{
		t:        t,
		ring:     ringbuf.NewLogRing(make([]byte, 2*o.ringBytes), o.ringBytes, false),
		progress: &service.Progress{},
		commands: ringbuf.NewSPSC(make([]service.Command, 64)),
		egress:   ringbuf.NewMessageRing(make([]byte, o.egressBytes)),
	}
	if o.log != nil {
		r.chain, r.log = o.log.chain, slices.Clone(o.log.log)
		o.source = &memorySource{log: &r.log}
	}
	r.ring.Start(uint64(r.chain.Position), uint64(r.chain.Position))
	options := service.Options{
		Ring: r.ring, Progress: r.progress, Commands: r.commands, Egress: r.egress,
		Batch: o.batch, Limits: o.limits, Source: o.source, Version: o.version,
		Counters: o.counters, Skips: o.skips, Sink: o.sink, Base: o.base, Services: r.services(&o),
		OnAbort: func(_ wire.Position, err error) { r.aborted = append(r.aborted, err) },
	}
	if !o.stale {
		options.Fresh = func() ([service.MaxServices]service.Service, error) { return r.services(&o), nil }
	}
	var err error
	r.driver, err = service.NewDriver(options)
	return r, err
}

// services makes the services of a rig, with nothing seen.
func (r *rig) services(o *rigOptions) (list [service.MaxServices]service.Service) {
	r.scripted = &scripted{healthy: o.healthy}
	list[service.Echo], list[service.OrderBook], list[scriptedID] = &echo.Service{}, o.orderbook, r.scripted
	if o.rich {
		r.alarm = &alarm{quiet: true}
		list[alarmID], list[service.OrderBook] = r.alarm, smallBook(r.t, o.book)
	}
	if o.more != nil {
		o.more(&list)
	}
	return list
}

// append writes a record behind the log, without committing it, and returns its end.
func (r *rig) append(rec wire.Record, payload []byte) wire.Position {
	rec.Timestamp = r.chain.Timestamp + 1
	rec.Term = max(rec.Term, r.chain.Term, 1)
	start := uint64(r.chain.Position)
	until := start + uint64(wire.Padded(wire.RecordHeaderSize+uint32(len(payload))))
	r.ring.Prepare(until)
	view := r.ring.View(start, until)
	r.chain.Append(view, &rec, payload)
	r.log = append(r.log, view...)
	r.ring.Publish(until)
	return r.chain.Position
}

func (r *rig) open(id wire.SessionID) {
	b := make([]byte, 64)
	o := wire.SessionOpen{Token: uint64(id) + 1000, Window: 16, Name: []byte("client")}
	r.append(wire.Record{Kind: wire.RecordSessionOpen, Session: id}, b[:o.Put(b)])
}

func (r *rig) message(id wire.SessionID, correlation uint64, to uint16, payload []byte) {
	r.append(wire.Record{
		Kind: wire.RecordMessage, Session: id, Correlation: correlation, Service: to,
	}, payload)
}

// skip appends a skip record and returns where it ends.
func (r *rig) skip(at wire.Position) wire.Position {
	b := make([]byte, wire.SkipRecordSize)
	x := wire.SkipRecord{Position: at}
	return r.append(wire.Record{Kind: wire.RecordSkip}, b[:x.Put(b)])
}

func (r *rig) commit() { r.progress.SetCommit(r.chain.Position) }

// run has the driver work until there is nothing to do.
func (r *rig) run() {
	r.t.Helper()
	for range 1 << 20 {
		n, err := r.driver.DoWork(0)
		if err != nil {
			r.t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	r.t.Fatal("the driver never comes to rest")
}

// do commits everything and has it applied.
func (r *rig) do() {
	r.t.Helper()
	r.commit()
	r.run()
}

func (r *rig) command(c service.Command) {
	r.t.Helper()
	if !r.commands.Offer(&c) {
		r.t.Fatal("no room for a command")
	}
	r.commands.Publish()
}

// lead appends a term record, commits, tells the driver, and drops the dump.
func (r *rig) lead() {
	r.t.Helper()
	at := r.append(wire.Record{Kind: wire.RecordTerm, Term: r.chain.Term + 1}, nil)
	r.command(service.Command{Kind: service.CommandLead, Term: r.chain.Term, Position: at})
	r.do()
	r.run()
	r.received()
}

type received struct {
	service.Egress
	payload string
}

// received takes everything out of the egress ring.
func (r *rig) received() (out []received) {
	r.t.Helper()
	for b := r.egress.Next(); b != nil; b = r.egress.Next() {
		var e received
		payload, ok := e.Decode(b)
		if !ok {
			r.t.Fatalf("egress message of %d bytes", len(b))
		}
		e.payload = string(payload)
		out = append(out, e)
	}
	r.egress.Release()
	return out
}

// memorySource is a journal in memory. It gives out at most step bytes at a time.
type memorySource struct {
	log   *[]byte
	step  int
	reads int
	err   error
}

func (s *memorySource) ReadRange(from wire.Position, buf []byte) (int, error) {
	s.reads++
	if s.err != nil {
		return 0, s.err
	}
	b := (*s.log)[from:]
	if s.step > 0 && len(b) > s.step {
		b = b[:s.step]
	}
	return copy(buf, b), nil
}

// driverWithHints has the driver begin with skip records that the log held when it was opened.
func (r *rig) driverWithHints(hints ...wire.SkipAt) { r.driver.SetHints(hints...) }
