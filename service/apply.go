package service

import (
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// apply carries out d.record, settles what it caused, and takes it into the hash. It reports false when apply has
// halted, or must not go on.
func (d *Driver) apply(payload []byte) (bool, error) {
	r := &d.record
	d.meters.position.Set(uint64(r.Position))
	d.meters.recordsNew++
	d.stage.reset()
	d.context.record, d.context.work, d.context.reserved, d.context.checking = r, 0, 0, false
	if !r.Known() {
		return false, d.haltUnknown(r)
	}
	d.passing = r.Position == d.ahead.next
	switch r.Kind {
	case wire.RecordMessage:
		d.applyMessage(r, payload)
	case wire.RecordSessionOpen:
		d.applyOpen(r, payload)
	case wire.RecordSessionClose:
		d.applyClose(r, payload)
	case wire.RecordAcks:
		d.applyAcks(r)
	case wire.RecordTimer:
		d.applyTimer(r, payload)
	case wire.RecordSkip:
		if err := d.applySkip(r, payload); err != nil {
			return false, err
		}
	case wire.RecordTerm:
	case wire.RecordConfig:
		if !d.applyConfig(r, payload) {
			return false, nil
		}
	case wire.RecordSnapshot:
		if ok, err := d.applySnapshot(r, payload); !ok {
			return false, err
		}
	default:
		return false, d.haltUnknown(r)
	}
	d.settle(r)
	if (d.o.OnOutput != nil || d.o.OnLost != nil || d.o.OnClosed != nil) && r.Position >= d.quiet {
		d.tellOutputs()
	}
	d.meters.count(d.context.work)
	d.meters.caused(d.stage.caused())
	d.extendHash(r)
	d.noteTerm(r, d.chain.Term)
	d.chain = d.after
	if d.passing {
		d.meters.skipped.Inc()
		d.passed = append(d.passed, r.Position)
		d.ahead.find(d.chain.Position)
	}
	if d.asked.Take {
		d.takePoint()
	}
	return true, nil
}

// haltUnknown stops apply at a record that this version cannot carry out: it is never skipped.
func (d *Driver) haltUnknown(r *wire.Record) error {
	d.halt(&Halt{Reason: HaltUnknownKind, Record: *r})
	return nil
}

// applyConfig puts the behaviour version of a config record in force; false when this build does not have it: apply halts
// rather than go on otherwise than the others.
func (d *Driver) applyConfig(r *wire.Record, payload []byte) bool {
	var config wire.Config
	if !config.Decode(payload) {
		d.halt(&Halt{Reason: HaltUnknownKind, Record: *r})
		return false
	}
	if config.Version > d.o.Version {
		d.halt(&Halt{Reason: HaltVersion, Record: *r, Message: fmt.Sprintf("behaviour version %d is in force from here on, and "+
			"this build has %d", config.Version, d.o.Version)})
		return false
	}
	d.setVersion(max(config.Version, FirstVersion))
	d.noteConfig(r, &config)
	return true
}

func (d *Driver) setVersion(version uint32) {
	d.context.version = version
	d.inForce.Store(version)
}

// applyMessage is the judge of duplicates: a message whose correlation is not its session's next changes nothing.
func (d *Driver) applyMessage(r *wire.Record, payload []byte) {
	s := d.table.find(r.Session)
	if s == nil || simbug.On(simbug.SkipJournalRecords) && d.reader.source {
		d.meters.strays.Inc()
		return
	}
	if r.Correlation != s.correlation+1 && !simbug.On(simbug.SkipDedup) {
		d.meters.duplicates.Inc()
		return
	}
	d.meters.messagesNew++
	s.correlation = r.Correlation
	d.places.note(r)
	d.acknowledge(s, r.Acked)
	var code wire.Refusal
	switch {
	case d.passing:
		code = wire.RefusalSkipped
	case r.Service == None:
		code = reason(payload, wire.RefusalVoided)
	case r.Service == Transaction:
		d.applyTransaction(r, payload)
	case r.Service >= MaxServices || d.o.Services[r.Service] == nil:
		code = wire.RefusalUnknownService
	default:
		d.enter(r.Service)
		d.o.Services[r.Service].Apply(&d.context, r, payload)
		d.calling = 0
	}
	if code != wire.RefusalNone {
		s.refused.add(r.Correlation, code)
	}
	d.finishMessage(r, s, code)
}

// finishMessage marks the responses to the message's own session as caused by it, and the last one as that, or says
// that there is none.
func (d *Driver) finishMessage(r *wire.Record, s *session, code wire.Refusal) {
	last, responses, bytes := -1, uint32(0), uint32(0)
	for i := range d.stage.items {
		if it := &d.stage.items[i]; it.head.Kind == EgressResponse && it.head.Session == s.id {
			it.head.Correlation = r.Correlation
			responses, bytes = responses+1, bytes+it.to-it.from
			last = i
		}
	}
	s.learn(responses, bytes)
	if last >= 0 {
		d.stage.items[last].head.Last = true
		return
	}
	head := d.header(EgressApplied, s.id)
	head.Service, head.Correlation, head.Code = r.Service, r.Correlation, code
	s.tell(&head)
	d.stage.add(&head, nil)
}

func (d *Driver) applyOpen(r *wire.Record, payload []byte) {
	if d.table.find(r.Session) != nil {
		d.meters.strays.Inc()
		return
	}
	var open wire.SessionOpen
	ok := open.Decode(payload)
	over := d.closed.find(open.Token)
	head := d.header(EgressClosed, r.Session)
	switch {
	case !ok || r.Session == 0 || len(open.Name) > wire.MaxName:
		d.meters.refused.Inc()
		head.Code = wire.RefusalMalformed
		d.stage.add(&head, nil)
		return
	case d.passing:
		head.Code, head.Token = wire.RefusalSkipped, open.Token
		d.stage.add(&head, nil)
		return
	case over != nil && !simbug.On(simbug.ForgetClosed):
		d.meters.refused.Inc() // it comes late: that session was open, and is over
		head.Code, head.Token = over.code.Ending(), open.Token
		d.stage.add(&head, nil)
		return
	case d.table.full():
		d.meters.refused.Inc()
		head.Code, head.Token = wire.RefusalBusySessions, open.Token
		d.stage.add(&head, nil)
		return
	}
	s := d.table.open(r.Session, open.Token, open.Window, open.Name)
	d.meters.sessions.Set(uint64(d.table.count()))
	head.Kind, head.Token, head.Window = EgressOpened, s.token, s.window
	d.stage.add(&head, s.name)
	d.tellServices(s.id, true)
}

func (d *Driver) applyClose(r *wire.Record, payload []byte) {
	s := d.table.find(r.Session)
	if s == nil {
		d.meters.strays.Inc()
		return
	}
	d.closeSession(s, reason(payload, wire.RefusalNone))
}

// reason reads why a session was closed or a message not carried out.
func reason(payload []byte, otherwise wire.Refusal) wire.Refusal {
	var why wire.Reason
	if !why.Decode(payload) || why.Code == wire.RefusalNone {
		return otherwise
	}
	return why.Code
}

func (d *Driver) applyAcks(r *wire.Record) {
	s := d.table.find(r.Session)
	if s == nil {
		d.meters.strays.Inc()
		return
	}
	d.acknowledge(s, r.Acked)
	head := d.header(EgressAcked, s.id)
	s.tell(&head)
	d.stage.add(&head, nil)
}

func (d *Driver) acknowledge(s *session, acked uint32) {
	if !s.kept.drop(acked) {
		d.meters.badAcks.Inc()
	}
}

// closeSession takes a session out and tells the ingress and the services.
func (d *Driver) closeSession(s *session, code wire.Refusal) {
	head := d.header(EgressClosed, s.id)
	head.Token, head.Code = s.token, code
	head.Correlation, head.Response, head.Acked = s.correlation, s.kept.last, s.kept.acked
	d.stage.add(&head, nil)
	d.closed.add(&closedSession{
		id: s.id, token: s.token, correlation: s.correlation, response: s.kept.last,
		timestamp: d.record.Timestamp, code: code,
	})
	d.table.close(s)
	d.meters.sessions.Set(uint64(d.table.count()))
	d.tellServices(head.Session, false)
}

// tellServices tells of a session, unless the record is passed over: a service has failed at just that.
func (d *Driver) tellServices(id wire.SessionID, opened bool) {
	if d.passing {
		return
	}
	for i, s := range &d.o.Services {
		if s != nil {
			d.enter(uint16(i))
			s.OnSession(&d.context, id, opened)
		}
	}
	d.calling = 0
}

// enter notes whose code runs next, for its responses and for the case of a panic.
func (d *Driver) enter(service uint16) { d.calling, d.context.service = service, service }

// header returns an egress header with the stamps of the record being applied.
func (d *Driver) header(kind EgressKind, id wire.SessionID) Egress {
	return Egress{
		Kind: kind, Session: id, Term: d.term,
		Sequence: d.record.Sequence, Position: d.record.Position, Timestamp: d.record.Timestamp,
	}
}

// settle numbers and keeps the responses that the record caused. A session for whose responses there is no room is
// closed as a slow consumer; the services hear of that, and what they answer is settled as well.
func (d *Driver) settle(r *wire.Record) {
	d.closing = d.closing[:0]
	closed := 0
	for next := 0; ; {
		for ; next < len(d.stage.items); next++ {
			switch it := &d.stage.items[next]; it.head.Kind {
			case EgressResponse:
				d.number(it, r)
			case EgressTimer, EgressTimerCanceled:
				it.head.Term = d.term
			}
		}
		if closed == len(d.closing) {
			return
		}
		s := d.closing[closed]
		closed++
		d.meters.slow.Inc()
		d.closeSession(s, wire.RefusalSlowConsumer)
	}
}

// tellOutputs tells of the responses that the record caused, and of the sessions that it closed.
func (d *Driver) tellOutputs() {
	for i := range d.stage.items {
		switch it := &d.stage.items[i]; {
		case it.head.Kind == EgressResponse && d.o.OnOutput != nil:
			d.o.OnOutput(&it.head, d.stage.payload(it))
		case it.head.Kind == 0 && d.o.OnLost != nil:
			it.head.Sequence, it.head.Position, it.head.Timestamp = d.record.Sequence, d.record.Position, d.record.Timestamp
			d.o.OnLost(&it.head, d.stage.payload(it))
		case it.head.Kind == EgressClosed && d.o.OnClosed != nil:
			d.o.OnClosed(&it.head)
		}
	}
}

// number gives a response its number and keeps it, or makes it go nowhere.
func (d *Driver) number(it *item, r *wire.Record) {
	s := d.table.find(it.head.Session)
	if s == nil || s.closing {
		it.head.Kind = 0
		d.meters.lost.Inc()
		return
	}
	h := &it.head
	h.Term = d.term
	h.Sequence, h.Position, h.Timestamp = r.Sequence, r.Position, r.Timestamp
	if !s.kept.push(h, d.stage.payload(it)) {
		it.head.Kind = 0
		d.meters.lost.Inc()
		s.closing = true
		d.closing = append(d.closing, s)
		return
	}
	s.tell(h)
	d.meters.responsesNew++
}

// extendHash takes the record's end and its outputs into the chained hash and reports it when due.
func (d *Driver) extendHash(r *wire.Record) {
	end := r.End()
	h := Mix(d.hash, uint64(end))
	for i := range d.stage.items {
		it := &d.stage.items[i]
		if it.head.Kind != 0 {
			h = mixItem(h, &it.head, d.stage.payload(it))
		}
	}
	d.hash = h
	every := uint64(d.o.Limits.HashEvery)
	if d.reported = uint64(end)/every != uint64(r.Position)/every && end > d.quiet; d.reported {
		d.progress.hash.set(end, h)
	}
}
