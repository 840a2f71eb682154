package service

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"lockstep/wire"
)

// HaltReason says why apply has halted.
type HaltReason uint8

// The reasons.
const (
	HaltNone        HaltReason = iota
	HaltUnknownKind            // a record of a kind that this version cannot carry out
	HaltPanic                  // a service panicked
	HaltVersion                // a behaviour version came into force that this build does not have
)

// String is for people.
func (r HaltReason) String() string {
	switch r {
	case HaltNone:
		return "none"
	case HaltUnknownKind:
		return "unknown record kind"
	case HaltPanic:
		return "service panic"
	case HaltVersion:
		return "behaviour version"
	}
	return "invalid"
}

// Halt says where apply stopped. The log goes on: it is replicated and made durable as before.
type Halt struct {
	Reason  HaltReason
	Record  wire.Record // that could not be applied
	Service string      // whose code panicked
	Message string      // what it panicked with
	Stack   string
	Behind  bool // the record was applied, and the service panicked when it was asked for its hash
}

// Position is where the record begins that could not be applied.
func (h *Halt) Position() wire.Position { return h.Record.Position }

// Skippable says whether apply goes on when the record is passed over: a service failed on it.
func (h *Halt) Skippable() bool { return h.Reason == HaltPanic && !h.Behind }

// String is one sentence for status and logs.
func (h *Halt) String() string {
	r := &h.Record
	switch h.Reason {
	case HaltUnknownKind:
		return fmt.Sprintf("apply halted at position %d: this version cannot carry out records of kind %d (%v), "+
			"flags %#x: run the version that wrote it", r.Position, uint8(r.Kind), r.Kind, r.Flags)
	case HaltPanic:
		return fmt.Sprintf("apply halted at position %d: service %s panicked on a record of kind %v, sequence %d, "+
			"session %x, correlation %d: %s", r.Position, h.Service, r.Kind, r.Sequence, r.Session, r.Correlation, h.Message)
	}
	if h.Reason == HaltVersion {
		return fmt.Sprintf("apply halted at position %d: %s: run a build that has it", r.Position, h.Message)
	}
	return "apply is running"
}

// Status is what a driver tells about itself.
type Status struct {
	Halt    *Halt         // nil while apply runs; must not be changed
	Applied wire.Position // end of the last record applied
	// The newest report of the chained hash over (position, outputs).
	HashPosition wire.Position
	Hash         uint64
	// The state of all services together after the last batch.
	StatePosition wire.Position
	StateHash     uint64
	Version       uint32 // behaviour version in force
}

// status is the part of it that is the driver's own; the rest is in Progress.
type status struct{ at atomic.Pointer[Halt] }

func (s *status) halted() bool { return s.at.Load() != nil }

// halt stops apply, or with nil lets it go on, and tells.
func (d *Driver) halt(h *Halt) {
	d.status.at.Store(h)
	at := nowhere
	d.meters.halted.Set(0)
	if h != nil {
		at = h.Position()
		d.meters.halted.Set(1)
	}
	d.progress.setHalted(at)
	if d.o.OnHalt != nil {
		d.o.OnHalt(h)
	}
}

// Status tells where apply stands. Any thread.
func (d *Driver) Status() Status {
	s := Status{Halt: d.status.at.Load(), Applied: d.progress.Applied(), Version: d.inForce.Load()}
	s.HashPosition, s.Hash = d.progress.HashAt()
	s.StatePosition, s.StateHash = d.progress.StateHash()
	return s
}

// recoverService turns a panic of a service into a halt. A panic of the driver's own code goes on: it is a broken
// invariant of this node, not something that every node has.
func (d *Driver) recoverService() {
	if d.calling == None {
		return
	}
	p := recover()
	if p == nil {
		return
	}
	h := &Halt{
		Reason: HaltPanic, Record: d.record, Behind: d.chain.Position > d.record.Position,
		Service: d.o.Services[d.calling].Name(), Message: fmt.Sprint(p), Stack: string(debug.Stack()),
	}
	d.calling = None
	if !h.Behind {
		d.stage.reset() // of a record that is not applied nothing leaves
	}
	d.publish()
	d.tellCounts()
	d.halt(h)
}
