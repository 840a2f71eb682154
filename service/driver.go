package service

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// Options are what a driver needs.
type Options struct {
	Ring     *ringbuf.LogRing
	Source   Source // nil: the ring holds everything from the start position on
	Progress *Progress
	Commands *ringbuf.SPSC[Command]
	Egress   *ringbuf.MessageRing // takes a message of EgressHeaderSize + MaxResponse at least
	Services [MaxServices]Service // by number; nil: unknown
	// Fresh makes the same services once more, with nothing seen: what a service that failed has left behind is
	// thrown away. nil: the driver cannot pass over a record in this run, and DoWork returns ErrNotFresh.
	Fresh func() ([MaxServices]Service, error)
	// Skips are the skip records that the log held when it was opened, committed or not, in order.
	Skips []wire.SkipAt
	// OnAbort is told, on the driver's thread, why a snapshot that the log asks for came to nothing. nil: nobody is.
	OnAbort func(at wire.Position, err error)
	// OnHalt is told on the driver's thread when apply halts, and, with nil, when it goes on. nil: nobody is.
	OnHalt func(*Halt)
	// OnOutput is told, on the driver's thread, of every response when it is numbered, but for those of records that were
	// applied before in this run. The payload is good during the call. nil: nobody is.
	OnOutput func(head *Egress, payload []byte)
	// OnLost is told, in between, of the responses that go nowhere: their sessions are not open, or closed by this record. Of
	// the header Service and Session count. nil: nobody is.
	OnLost func(head *Egress, payload []byte)
	// OnClosed is told, in between, of the sessions that end, or are refused when they open. nil: nobody is.
	OnClosed func(head *Egress)
	// Sink takes the snapshots that the log asks for. nil: this node takes none.
	Sink Sink
	// Base opens the newest snapshot at or below a position, for the driver to begin from; nil and no error: it begins
	// at position 0. NewDriver calls it with no limit (the highest position); the driver's thread when it starts over.
	// nil: the log is here from position 0 on.
	Base func(limit wire.Position) (io.ReadCloser, error)
	// StampNs tells the ingress of a leader when records were applied: Progress.AppliedAt. It changes no output. nil: it is
	// not told.
	StampNs  func() int64
	Limits   Limits         // change outputs: the same on every node
	Version  uint32         // the highest behaviour version that this build has; 0: Version
	Batch    int            // records applied in one DoWork at most; 0: 256
	Counters *counters.File // nil: not visible from outside
}

// Limits bound what is kept for sessions. Zero fields take the default. They change outputs: the same on every node.
type Limits struct {
	Sessions      int // open at once: 16384
	KeptResponses int // per session, a power of two: 4096
	KeptBytes     int // of their payloads, per session, a power of two: 1 MiB
	Timers        int // pending at once, of all services together: 16384
	HashEvery     int // bytes of log between two points at which the chained hash is reported: 1 MiB
}

const defaultBatch = 256

// The defaults of Limits.
const (
	DefaultSessions      = 16384
	DefaultKeptResponses = 4096
	DefaultKeptBytes     = 1 << 20
	DefaultTimers        = 16384
)

func (l *Limits) defaults() error {
	if l.Sessions == 0 {
		l.Sessions = DefaultSessions
	}
	if l.KeptResponses == 0 {
		l.KeptResponses = DefaultKeptResponses
	}
	if l.KeptBytes == 0 {
		l.KeptBytes = DefaultKeptBytes
	}
	if l.Timers == 0 {
		l.Timers = DefaultTimers
	}
	if l.HashEvery == 0 {
		l.HashEvery = HashEvery
	}
	if l.Timers < 0 || l.HashEvery < 0 || l.Sessions < 0 || !powerOfTwo(l.KeptResponses) || !powerOfTwo(l.KeptBytes) {
		return fmt.Errorf("%w: limits %+v: sessions must be positive, the others powers of two", ErrOptions, *l)
	}
	return nil
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// Driver applies the committed log to the services, in order, each record once: an agent that runs on every node. It
// belongs to one thread; Status is for any.
type Driver struct {
	o        Options
	ring     *ringbuf.LogRing
	progress *Progress
	commands *ringbuf.SPSC[Command]
	egress   *ringbuf.MessageRing
	meters   meters
	status   status
	inForce  atomic.Uint32 // behaviour version, for Status

	// What a snapshot holds, beside the services: where apply stands in the log, the chained hash, sessions
	// and those that are over, timers.
	cursor // chain: of the last record applied; record: the one being applied
	hash   uint64
	table  *table
	closed closedSessions
	timers *Timers
	history

	places places

	taking
	base    wire.Position // of the snapshot that the state grew from; 0: it grew from nothing
	noOlder error         // why none could be had before the record that a skip record names

	context  Context
	timed    [MaxServices]Timed // those of the services that set timers
	several  transaction
	memory   [MaxServices]memory
	stage    *stage
	calling  uint16 // service whose code is running; 0: ours
	reported bool   // its end is a point at which the chained hash was reported
	passing  bool   // the record being applied is passed over: no service hears of it
	closing  []*session

	inspections inspections

	ahead   ahead
	untold  bool          // records were applied since the services said how full they are,
	toldNs  int64         // which was then
	quiet   wire.Position // records below were applied before, in this run: nobody is told of them again
	written int           // egress messages, in this DoWork
	stamped wire.Position // up to here a leader's ingress knows when it was applied
	done    wire.Position // end of the last record whose outputs are all written
	leading
}

// ErrOptions says that the options cannot work.
var ErrOptions = errors.New("service: unusable options")

// NewDriver returns a driver that begins from the newest snapshot, or at position 0. Its services have seen nothing.
// ErrSnapshot says that this snapshot is damaged: another driver, with other services, may begin from an older one.
// ErrUnsuited says that it was taken under other limits, or by another build, which an older one would not change.
func NewDriver(o Options) (*Driver, error) {
	if o.Ring == nil || o.Progress == nil || o.Commands == nil || o.Egress == nil {
		return nil, fmt.Errorf("%w: ring, progress, commands and egress are needed", ErrOptions)
	}
	if o.Services[None] != nil || o.Services[Transaction] != nil {
		return nil, fmt.Errorf("%w: service numbers %d and %d are taken", ErrOptions, None, Transaction)
	}
	if err := o.Limits.defaults(); err != nil {
		return nil, err
	}
	if o.Version == 0 {
		o.Version = Version
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	d := &Driver{
		o: o, ring: o.Ring, progress: o.Progress, commands: o.Commands, egress: o.Egress,
		meters:  newMeters(o.Counters),
		table:   newTable(o.Limits),
		closed:  newClosedSessions(),
		timers:  NewTimers(o.Limits.Timers),
		stage:   newStage(),
		closing: make([]*session, 0, o.Limits.Sessions),
		toldNs:  math.MinInt64 / 2,
	}
	if need := EgressHeaderSize + MaxResponse; o.Egress.MaxMessage() < need {
		return nil, fmt.Errorf("%w: the egress ring takes messages of %d bytes, %d are needed",
			ErrOptions, o.Egress.MaxMessage(), need)
	}
	d.context.stage, d.context.timers = d.stage, d.timers
	d.several.builder = flatbuffers.NewBuilder(MaxResponse)
	d.useServices(o.Services)
	d.cursor.buf = make([]byte, readBytes)
	d.out.stop = d.mustStop
	if err := d.begin(); err != nil {
		return nil, err
	}
	return d, nil
}

// Name implements agent.Agent.
func (d *Driver) Name() string { return "service" }

// OnStart implements agent.Agent.
func (d *Driver) OnStart(int64) error { return nil }

// OnClose implements agent.Agent.
func (d *Driver) OnClose() error {
	if d.to != nil {
		d.leaveSnapshot()
	}
	return nil
}

// DoWork carries out commands and applies what is committed, at most Options.Batch records. It never waits: when
// the egress ring is full it goes on where it stopped in a later call. A snapshot is written in calls of its own, a
// chunk each, before anything else is applied. An error means that the log this node holds
// is impossible or cannot be read, or that this node has applied what is to be passed over, and is final. A panic in
// a service is not an error: apply halts, and Status says where; commands are still served, and the log is read on
// for a skip record that names the place. work counts commands, records, and egress messages: it is 0 while the
// driver waits for room.
func (d *Driver) DoWork(nowNs int64) (work int, err error) {
	d.written = 0
	if d.to != nil && d.mustStop() != nil {
		d.leaveSnapshot()
	}
	if d.paused && d.to == nil {
		d.measurePause(nowNs)
	}
	work = d.takeCommands() + d.inspect()
	if d.status.halted() {
		d.due = false
		var looked int
		looked, err = d.lookAhead()
		return work + looked, err
	}
	if d.flush() {
		switch {
		case d.to != nil:
			d.writeOn()
			return work + 1 + d.written, nil
		case d.due:
			d.takeSnapshot(nowNs)
			return work + 1 + d.written, nil
		}
		var applied int
		applied, err = d.applyBatch()
		work += applied
		if d.status.halted() {
			work++ // the next call looks ahead
		}
	}
	if d.untold && nowNs-d.toldNs >= memoryEveryNs {
		d.tellMemory(nowNs)
	}
	return work + d.written, err
}

// applyBatch applies records and makes what they caused visible. One recover covers all of it.
func (d *Driver) applyBatch() (applied int, err error) {
	commit := d.progress.Commit()
	if commit <= d.chain.Position && !d.dumpDue() {
		return 0, nil
	}
	defer d.recoverService()
	applied, err = d.applyRecords(commit)
	if applied > 0 {
		d.publish()
		d.tellCounts()
		if d.chain.Position > d.quiet {
			d.progress.state.set(d.chain.Position, d.stateHash())
		}
	}
	if d.dumpDue() {
		d.startDump()
	}
	return applied, err
}

// applyRecords applies records until none is left, the batch is full, the egress ring is full, a dump is due, apply
// halts, or the next record has to wait.
func (d *Driver) applyRecords(commit wire.Position) (applied int, err error) {
	for applied < d.o.Batch && !d.dumpDue() {
		if d.chain.Position == d.ahead.next {
			if wait, err := d.hinted(commit); wait || err != nil {
				return applied, err
			}
		}
		payload, ok, err := d.next(&d.cursor, commit)
		if err != nil || !ok {
			return applied, err
		}
		if ok, err := d.apply(payload); !ok {
			return applied, err
		}
		applied++
		if d.record.Position < d.quiet {
			d.stage.reset()
			continue
		}
		if d.live && !d.sendStage() {
			break
		}
		d.done = d.chain.Position
		if d.reported || d.due {
			break // so that the replica, which looks between two calls, sees every point; so that nothing comes between
		}
	}
	return applied, nil
}

// publish makes egress messages and the applied position visible. While outputs of the last record wait for room,
// that record does not count as applied.
func (d *Driver) publish() {
	if d.stageSent() {
		d.done = max(d.done, d.chain.Position)
	}
	if d.live && d.o.StampNs != nil && d.done > d.stamped {
		d.stamped = d.done
		d.progress.stamped.set(d.done, uint64(d.o.StampNs()))
	}
	d.egress.Publish()
	d.progress.setApplied(d.done)
}

// tellCounts makes visible what was counted since the batch before.
func (d *Driver) tellCounts() {
	d.meters.tell()
	d.meters.timers.Set(uint64(d.timers.Len()))
	d.meters.timersRefused.Set(d.context.refused)
	d.untold = true
}

// memoryEveryNs is how often the services say how full they are, when records were applied meanwhile.
const memoryEveryNs = 1_000_000

// tellMemory has the services say how full they are.
func (d *Driver) tellMemory(nowNs int64) {
	defer d.recoverService()
	d.untold, d.toldNs = false, nowNs
	for i := range d.memory {
		d.calling = uint16(i)
		d.memory[i].tell()
	}
	d.calling = None
}

// stateHash takes the hashes of all services together.
func (d *Driver) stateHash() uint64 {
	var h uint64
	for i, s := range &d.o.Services {
		if s == nil {
			continue
		}
		d.calling = uint16(i)
		h = Mix(Mix(h, uint64(i)), s.Hash())
	}
	d.calling = 0
	return h
}
