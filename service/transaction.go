package service

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/simbug"
	"lockstep/service/fb"
	"lockstep/wire"
)

// Checker is a Service that takes part in transactions: messages of service Transaction, which carry commands for several
// services. All of them are checked, in their order, then all are applied, in their order, each as if it were a
// message of its own; or none is, and the response says which was refused, and why.
type Checker interface {
	Service
	// Check says what Apply of the same message would refuse, without any effect: nothing may change, no response be
	// given, no timer be set. nil: Apply, called with the same record before anything else happens to this service, does
	// what the message asks for. Else the very response that Apply would give, or one that says that this is not to be had in a
	// transaction: to wait for a lock, say. It is good until the service's next call.
	//
	// r is the transaction's record: its session, its stamps; its service is Transaction. Whoever sets a timer of the
	// driver's in Apply makes sure of it here by Context.ReserveTimer; Deadlines always have room for theirs.
	Check(ctx *Context, r *wire.Record, payload []byte) (refusal []byte)
}

// ReserveTimer is for Check: it says whether Apply will find room for one timer more, beside those that were reserved
// before for the same message, and keeps it.
func (c *Context) ReserveTimer() bool {
	if !c.timers.admits(&Timer{Service: c.service}, c.reserved) {
		return false
	}
	c.reserved++
	return true
}

// effect panics when a service that is to check has an effect.
func (c *Context) effect() {
	if c.checking {
		panic("service: a Check that has an effect: programmer error")
	}
}

// Known are the numbers that messages may carry, given the services that there are: theirs, and Transaction.
func Known(services *[MaxServices]Service) (known [MaxServices]bool) {
	for i, s := range services {
		known[i] = s != nil
	}
	known[Transaction] = true
	return known
}

// transaction is what the driver needs to carry transactions out.
type transaction struct {
	checkers [MaxServices]Checker // those of the services that take part
	parts    [MaxCommands]Part
	builder  *flatbuffers.Builder
	outcome  Outcome
}

// applyTransaction carries out a message that has commands for several services: all or none.
func (d *Driver) applyTransaction(r *wire.Record, payload []byte) {
	t := &d.several
	n, ok := DecodeTransaction(payload, &t.parts)
	t.outcome = Outcome{}
	switch {
	case !ok || n == 0:
		t.outcome.Reason = fb.AbortReasonMalformed
	case n > MaxCommands:
		t.outcome.Index, t.outcome.Reason = MaxCommands, fb.AbortReasonTooMany
	default:
		if d.addressed(t.parts[:n]) && d.checked(r, t.parts[:n]) {
			t.outcome.Committed, t.outcome.Count = true, n
		}
	}
	d.stage.respond(Transaction, r.Session, EncodeOutcome(t.builder, &t.outcome))
	switch {
	case t.outcome.Committed:
		d.meters.committed.Inc()
	case simbug.On(simbug.ApplyHalf) && t.outcome.Reason == fb.AbortReasonRefused:
		n = t.outcome.Index
	default:
		return
	}
	for i := range t.parts[:n] {
		p := &t.parts[i]
		d.meters.caused(d.stage.caused())
		d.stage.mark()
		d.context.work = 0
		d.enter(p.Service)
		d.o.Services[p.Service].Apply(&d.context, r, p.Payload)
		d.calling = None
		d.meters.count(d.context.work)
	}
	d.context.work = 0
}

// addressed says whether each command is for another service that can be asked; the outcome says which is not.
func (d *Driver) addressed(parts []Part) bool {
	o := &d.several.outcome
	var seen [MaxServices]bool
	for i := range parts {
		o.Index, o.Service = i, parts[i].Service
		switch s := parts[i].Service; {
		case s >= MaxServices || d.o.Services[s] == nil && s != Transaction:
			o.Reason = fb.AbortReasonUnknownService
		case d.several.checkers[s] == nil:
			o.Reason = fb.AbortReasonNotTransactional
		case seen[s]:
			o.Reason = fb.AbortReasonRepeated
		default:
			seen[s] = true
			continue
		}
		return false
	}
	return true
}

// checked has each service check its command; the outcome says which refuses.
func (d *Driver) checked(r *wire.Record, parts []Part) bool {
	o := &d.several.outcome
	d.context.checking, d.context.reserved = true, 0
	for i := range parts {
		p := &parts[i]
		d.context.work = 0
		d.enter(p.Service)
		o.Refusal = d.several.checkers[p.Service].Check(&d.context, r, p.Payload)
		d.calling = None
		d.meters.count(d.context.work)
		if o.Refusal != nil {
			o.Index, o.Service, o.Reason = i, p.Service, fb.AbortReasonRefused
			break
		}
	}
	d.context.checking, d.context.work = false, 0
	return o.Refusal == nil
}
