package sim

import (
	"bytes"
	"fmt"

	"lockstep/client"
	"lockstep/internal/history"
	"lockstep/service"
	"lockstep/wire"
)

// apply is what the log means, said once more and simply.
func (c *checker) apply(r *wire.Record, payload []byte) {
	s := c.model[r.Session]
	switch r.Kind {
	case wire.RecordSessionOpen:
		if s != nil {
			c.w.fail("session %x is opened again at %d", r.Session, r.Position)
			return
		}
		var open wire.SessionOpen
		if open.Decode(payload) && !c.over[open.Token] { // or the table is full, and nobody hears of it
			c.model[r.Session] = &modelSession{next: 1, token: open.Token}
		}
	case wire.RecordSessionClose:
		if s != nil {
			s.closed, c.over[s.token] = true, true
		}
	case wire.RecordSnapshot:
		c.onVerified(r, payload)
	case wire.RecordMessage:
		if s == nil || s.closed || r.Correlation != s.next {
			return
		}
		s.next++
		c.deeds[deed{r.Session, r.Correlation}] = len(c.log) - 1
		x := c.byID[r.Session]
		if x == nil || r.Correlation > uint64(len(x.sent)) {
			c.w.fail("message %d of session %x at %d was never sent", r.Correlation, r.Session, r.Position)
			return
		}
		y := &x.sent[r.Correlation-1]
		if r.Service != service.None && (r.Service != y.service || !bytes.Equal(payload, y.payload)) {
			c.w.fail("message %d of session %x at %d is not what was sent", r.Correlation, r.Session, r.Position)
		}
	}
}

// restarts is how often processes have ended.
func (w *World) restarts() uint64 { return w.count.PowerCuts + w.count.Kills + w.count.Finishes }

// onAck takes an acknowledgement: it must have been asked for, and what it says must be true.
func (c *checker) onAck(s *session, a client.Ack) {
	if a.Correlation == 0 || a.Correlation > uint64(len(s.sent)) {
		c.w.fail("client %d: message %d is acknowledged, which was never sent", s.owner.number, a.Correlation)
		return
	}
	x := &s.sent[a.Correlation-1]
	if a.Level == wire.LevelNone {
		x.code = a.Code // it is certain whatever becomes of the record: the message alone is to blame
		if x.service != 9 {
			c.w.fail("client %d: message %d is refused: %s", s.owner.number, a.Correlation, a.Code.Name())
		}
		return
	}
	if !x.levels.Has(a.Level) || x.acked.Has(a.Level) {
		c.w.fail("client %d: message %d is acknowledged at level %v, asked for %b, acknowledged at %b",
			s.owner.number, a.Correlation, a.Level, x.levels, x.acked)
		return
	}
	x.acked |= wire.LevelsOf(a.Level)
	x.code = a.Code
	c.onVoid(x, a)
	p := promise{a.Level, a, x.restarts}
	if c.final1(a.Level) {
		c.keep(s, &p, true)
		if x.returnNs == 0 {
			x.returnNs = c.w.nowNs
		}
		return
	}
	x.promises = append(x.promises, p)
}

// onVoid looks at what became of a message that was to have no effect: one of two things, and it says which.
func (c *checker) onVoid(x *sent, a client.Ack) {
	switch {
	case a.Code == wire.RefusalVoided && !x.voided:
		c.w.fail("message %d is voided, and nobody asked for that", a.Correlation)
	case a.Code == wire.RefusalVoided:
		c.w.sometimes(sometimesVoided)
	case x.voided && a.Level == wire.LevelApplied:
		c.w.sometimes(sometimesVoidedLate)
	}
}

// onUnknown looks at what a client is told not to know: of messages that it sent and that are not refused, once.
func (c *checker) onUnknown(s *session, e client.Event) {
	if e.First == 0 || e.Last < e.First || e.Last > uint64(len(s.sent)) {
		c.w.fail("client %d: messages %d to %d of %d are unknown", s.owner.number, e.First, e.Last, len(s.sent))
		return
	}
	for i := e.First; i <= e.Last; i++ {
		x := &s.sent[i-1]
		if age := c.w.nowNs - x.invokeNs; x.doubted || x.code != wire.RefusalNone && !x.voided || age < c.w.o.Clients.OutcomeNs {
			c.w.fail("client %d: message %d is said to be unknown, %d ms old, %+v", s.owner.number, i, age/1e6, *x)
			return
		}
		x.doubted = true
	}
	c.w.sometimes(sometimesUnknown)
}

// final1 says whether an acknowledgement at a level means that the message is committed.
func (c *checker) final1(l wire.Level) bool {
	return l == wire.LevelApplied || l == wire.LevelDurable && c.w.o.Rule == "durable" ||
		l == wire.LevelReplicated && c.w.o.Rule == "replicated"
}

// keep says whether a promise is kept: the message is committed, where the acknowledgement says.
func (c *checker) keep(s *session, p *promise, must bool) {
	a := &p.ack
	i, done := c.deeds[deed{s.id, a.Correlation}]
	if !done {
		if must {
			c.w.fail("client %d: message %d of session %x, acknowledged at level %v, position %d, is not committed",
				s.owner.number, a.Correlation, s.id, p.level, a.Position)
		}
		return
	}
	r := &c.log[i]
	if a.Sequence != 0 && (r.Position != a.Position || r.Sequence != a.Sequence || r.Timestamp != a.Timestamp) && must {
		c.w.fail("client %d: message %d, acknowledged at level %v as sequence %d position %d, is sequence %d position %d",
			s.owner.number, a.Correlation, p.level, a.Sequence, a.Position, r.Sequence, r.Position)
	}
}

// onResponse takes a response: the next one, and the right one.
func (c *checker) onResponse(s *session, r client.Response) {
	s.responses++
	if r.Number != s.responses {
		c.w.fail("client %d: response %d comes where %d must", s.owner.number, r.Number, s.responses)
	}
	i, known := c.byAt[r.Position]
	if !known || c.log[i].Sequence != r.Sequence || c.log[i].Timestamp != r.Timestamp {
		c.w.fail("client %d: response %d is to the record at %d, which is not committed",
			s.owner.number, r.Number, r.Position)
		return
	}
	s.hear(&r)
	if r.Service != service.Echo {
		return
	}
	if r.Correlation == 0 || r.Correlation > uint64(len(s.sent)) {
		c.w.fail("client %d: echo %d of message %d, which was never sent", s.owner.number, r.Number, r.Correlation)
		return
	}
	x := &s.sent[r.Correlation-1]
	if x.answered++; x.answered > 1 || !bytes.Equal(r.Payload, x.payload) || c.deeds[deed{s.id, r.Correlation}] != i {
		c.w.fail("client %d: response %d is a wrong echo of message %d: %d bytes of %d, record %d of %d, echo %d",
			s.owner.number, r.Number, r.Correlation, len(r.Payload), len(x.payload), i,
			c.deeds[deed{s.id, r.Correlation}], x.answered)
	}
}

// final is what must be true once the cluster has settled.
func (c *checker) final() {
	for _, m := range c.w.members {
		if m.seen.checked != len(c.log) {
			c.w.fail("node %d has %d committed records of %d", m.id, m.seen.checked, len(c.log))
		}
	}
	for _, s := range c.w.sessions {
		if !s.owner.dead {
			c.finalSession(s)
		}
	}
}

func (c *checker) finalSession(s *session) {
	model := c.model[s.id]
	if s.event.Settled && model != nil && s.event.Applied != model.next-1 &&
		(s.event.Code != wire.RefusalSlowConsumer || s.event.Applied >= model.next) { // which no record of its own says
		c.w.fail("client %d: it was told that its session ended with message %d, which was %d: %s",
			s.owner.number, s.event.Applied, model.next-1, s.event.Code.Name())
	}
	if s.closed && s.event.Code == wire.RefusalUnknownSession && model != nil && !model.closed {
		c.w.fail("client %d: it was told that nobody knows its session %x, which is open", s.owner.number, s.id)
	}
	for i := range s.sent {
		x := &s.sent[i]
		n, done := c.deeds[deed{s.id, uint64(i + 1)}]
		if !s.closed && !done {
			c.w.fail("client %d: message %d is open to nobody and not committed", s.owner.number, i+1)
		}
		if !s.closed && x.levels&^x.acked != 0 && x.code == wire.RefusalNone && n >= 0 && !c.covered(x) {
			c.w.fail("client %d: message %d lacks acknowledgements: %b of %b", s.owner.number, i+1, x.acked, x.levels)
		}
		if done && !s.closed && x.service == service.Echo && x.answered != 1 && c.log[n].Service == service.Echo {
			c.w.fail("client %d: message %d has %d echoes", s.owner.number, i+1, x.answered)
		}
		for k := range x.promises {
			if p := &x.promises[k]; c.binding(p) && !(s.closed && !done && p.level < wire.LevelReplicated) {
				c.keep(s, p, true)
			}
		}
	}
}

// unanswered names an echo that is still to come. One that got lost is asked for with the next keepalive.
func (c *checker) unanswered() string {
	for _, s := range c.w.sessions {
		for i := range s.sent {
			if s.owner.dead {
				break
			}
			if n, done := c.deeds[deed{s.id, uint64(i + 1)}]; !s.closed && done && s.sent[i].answered == 0 &&
				c.log[n].Service == service.Echo {
				return fmt.Sprintf("client %d has no echo of message %d", s.owner.number, i+1)
			}
		}
	}
	return ""
}

// covered says whether a higher acknowledgement stands for those that are missing.
func (c *checker) covered(x *sent) bool {
	missing := x.levels &^ x.acked
	for l := wire.LevelApplied; l > wire.LevelNone; l-- {
		if x.acked.Has(l) {
			return missing < wire.LevelsOf(l)
		}
	}
	return false
}

// binding says whether a promise below commit binds: nothing happened that it does not outlive.
func (c *checker) binding(p *promise) bool {
	switch p.level {
	case wire.LevelReplicated: // rule durable: lost only if another holder restarts
		return p.restarts == c.w.restarts()
	case wire.LevelDurable: // rule replicated: in peace it becomes committed
		return true
	}
	return false
}

// Porcupine, which searches, is slow: it looks at windows of so many operations, in one world of so many.
const (
	porcupineEvery  = 8
	porcupineWindow = 64
)

// history looks at all sessions together: what was acknowledged must be linearizable.
func (c *checker) history() {
	var ops []history.Op
	for _, s := range c.w.sessions {
		if s.owner.dead {
			continue // what it was told is counted, not judged by this
		}
		for i := range s.sent {
			x := &s.sent[i]
			n, done := c.deeds[deed{s.id, uint64(i + 1)}]
			op := history.Op{Client: s.owner.number, ID: fmt.Sprintf("%x/%d", s.id, i+1),
				InvokeNs: x.invokeNs, ReturnNs: x.returnNs}
			if done {
				op.Sequence = c.log[n].Sequence
			}
			ops = append(ops, op)
		}
	}
	if err := history.Check(ops); err != nil {
		c.w.fail("%v", err)
	}
	if c.w.seed%porcupineEvery == 0 {
		if err := history.CheckWindows(ops, porcupineWindow, 8); err != nil {
			c.w.fail("%v", err)
		}
		c.search()
		c.w.sometimes(sometimesPorcupine)
	}
	c.w.count.Sometimes[sometimesHistory] += uint64(len(ops))
}
