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
	}
	return "invalid"
}

// Halt says where apply stopped. The log goes on: it is replicated and made durable as before.
type Halt struct {
	Reason   HaltReason
	Position wire.Position   // of the record that could not be applied
	Kind     wire.RecordKind // of that record
	Flags    uint8           // of that record
	Service  string          // whose code panicked
	Message  string          // what it panicked with
	Stack    string
}

// String is one sentence for status and logs.
func (h *Halt) String() string {
	switch h.Reason {
	case HaltUnknownKind:
		return fmt.Sprintf("apply halted at position %d: this version cannot carry out records of kind %d (%v), "+
			"flags %#x: run the version that wrote it", h.Position, uint8(h.Kind), h.Kind, h.Flags)
	case HaltPanic:
		return fmt.Sprintf("apply halted at position %d: service %s panicked on a record of kind %v: %s",
			h.Position, h.Service, h.Kind, h.Message)
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
}

// status is the part of it that is the driver's own; the rest is in Progress.
type status struct{ at atomic.Pointer[Halt] }

func (s *status) halted() bool { return s.at.Load() != nil }

func (s *status) halt(h *Halt) { s.at.Store(h) }

// Status tells where apply stands. Any thread.
func (d *Driver) Status() Status {
	s := Status{Halt: d.status.at.Load(), Applied: d.progress.Applied()}
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
	d.meters.halted.Set(1)
	d.status.halt(&Halt{
		Reason: HaltPanic, Position: d.record.Position, Kind: d.record.Kind,
		Service: d.o.Services[d.calling].Name(), Message: fmt.Sprint(p), Stack: string(debug.Stack()),
	})
	d.calling = None
	d.stage.reset() // of a record that is not applied nothing leaves
	d.publish()
}
