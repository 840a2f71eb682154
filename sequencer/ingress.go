package sequencer

import (
	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// onSession takes a datagram of a session: MESSAGES, KEEPALIVE or DISCONNECT.
func (s *Sequencer) onSession(h *wire.Header, body []byte, from transport.Addr) {
	id := wire.SessionID(h.Sender)
	switch {
	case h.Term > s.term:
		s.reject(from, 0, id, wire.RefusalNotLeader)
		return
	case !s.ready:
		s.reject(from, 0, id, s.starting())
		return
	}
	x := s.table.find(id)
	if x == nil {
		if over := s.endedByID(id); over != nil {
			s.onEnded(over, from)
			return
		}
	}
	switch {
	case x == nil || x.state == sessionOpening:
		s.meters.dropped[wire.DropSession].Inc()
		s.reject(from, 0, id, wire.RefusalUnknownSession)
		return
	case !x.proven:
		// It was dumped by the service, and its client has not shown itself to this leader yet.
		s.meters.dropped[wire.DropAddress].Inc()
		s.reject(from, 0, id, wire.RefusalBadNonce)
		return
	case x.addr != from:
		s.meters.dropped[wire.DropAddress].Inc()
		return
	case x.state == sessionClosing:
		return
	}
	var m wire.Messages
	if !m.Decode(body) || m.Received > x.responses {
		s.meters.dropped[wire.DropBody].Inc()
		return
	}
	s.hear(x, m.Received)
	switch h.Kind {
	case wire.DatagramMessages:
		s.stages.take()
		s.onMessages(x, body[wire.MessagesHeaderSize:])
	case wire.DatagramKeepalive:
		s.begin(x) // an answer is owed, if only with what is committed
		if x.received < x.responses {
			s.replay(x)
		}
	case wire.DatagramDisconnect:
		s.appendClose(x, wire.RefusalNone) // without room: the client asks again
		return
	}
	s.logReceived(x)
}

// onMessages takes the packed messages in order, up to the first that cannot be taken.
func (s *Sequencer) onMessages(x *session, rest []byte) {
	var m wire.Message
	for len(rest) > 0 {
		payload, behind, ok := wire.NextMessage(rest, &m)
		if !ok {
			s.meters.dropped[wire.DropBody].Inc()
			return
		}
		rest = behind
		switch {
		case m.Correlation == x.next:
			if !s.take(x, &m, payload) {
				return
			}
		case m.Correlation < x.next:
			s.repeat(x, &m, payload)
		default:
			s.gap(x)
			return
		}
	}
}

// take takes the session's next message, or a part of it. It reports false when what is behind it in the datagram is not
// to be looked at, and has told the client why.
func (s *Sequencer) take(x *session, m *wire.Message, payload []byte) bool {
	var busy wire.Refusal
	var gap bool
	if m.Kind == wire.MessageFragment {
		busy, gap = s.fragment(x, m, payload)
	} else {
		busy = s.sequence(x, m, payload)
	}
	switch {
	case busy != wire.RefusalNone:
		s.busy(x, busy)
	case gap:
		s.gap(x)
	}
	return busy == wire.RefusalNone && !gap
}

// final says whether a code means that a message was refused for good. A void is not refused: it does what it is for.
func final(code wire.Refusal) bool { return code != wire.RefusalNone && code != wire.RefusalVoided }

// judge says whether a message of so many bytes in all is refused for good. It depends on the message alone, so that a
// repeat gets the same.
func (s *Sequencer) judge(m *wire.Message, length int) wire.Refusal {
	switch {
	case m.Kind == wire.MessageVoid:
		return wire.RefusalVoided
	case length > int(s.o.MaxMessage):
		return wire.RefusalTooLong
	case m.Service >= service.MaxServices || !s.o.Services[m.Service]:
		return wire.RefusalUnknownService
	}
	return wire.RefusalNone
}

// whole is how long a message is, all its fragments together.
func whole(m *wire.Message, payload []byte) int {
	if m.Kind == wire.MessageFragment {
		return int(m.Fragment.Total)
	}
	return len(payload)
}

// sequence appends the session's next message, whose payload is whole. A final refusal and a void consume its
// correlation by a record for no service. It returns why it is busy instead, and then nothing was consumed.
func (s *Sequencer) sequence(x *session, m *wire.Message, payload []byte) wire.Refusal {
	if code := s.judge(m, whole(m, payload)); code != wire.RefusalNone {
		return s.refuseNext(x, m, code)
	}
	return s.put(x, m, m.Service, payload, wire.RefusalNone)
}

// refuseNext appends that the session's next message takes no effect, and why; as sequence does.
func (s *Sequencer) refuseNext(x *session, m *wire.Message, code wire.Refusal) wire.Refusal {
	why := wire.Reason{Code: code}
	return s.put(x, m, service.None, s.payload[:why.Put(s.payload[:])], code)
}

// put appends the record of the session's next message to a service, with why it takes no effect, or RefusalNone; it
// returns why it is busy instead.
func (s *Sequencer) put(x *session, m *wire.Message, to uint16, payload []byte, code wire.Refusal) wire.Refusal {
	switch {
	case s.obstacle != wire.RefusalNone:
		return s.obstacle
	case m.Correlation > x.committed+uint64(x.window) || m.Correlation > x.applied+x.most:
		return wire.RefusalBusyWindow
	case s.acks.full():
		return wire.RefusalBusyAcks
	case !s.hasRoom(x, len(payload)):
		return wire.RefusalBusyKept
	case !s.keepsPace(x):
		return wire.RefusalBusyRate
	}
	if busy := s.log.Admits(len(payload)); busy != wire.RefusalNone {
		return busy
	}
	end, ok := s.log.Append(s.nowNs, wire.RecordMessage, x.id, m.Correlation, to, uint32(x.received), payload)
	if !ok {
		return wire.RefusalBusyDisk
	}
	r := &s.log.record
	x.makeRoom()
	e := x.at(m.Correlation)
	*e = entry{
		position: r.Position, end: end, sequence: r.Sequence, timestamp: r.Timestamp, levels: m.Levels, code: code,
	}
	if m.Stages {
		e.asked = asked(s.acks.tail)
	}
	x.next++
	x.rateNs = max(x.rateNs, s.nowNs) + s.rate.everyNs
	x.logged = x.received
	x.busy = false
	s.assemblies.drop(x)
	s.meters.messages.Inc()
	levels := m.Levels
	if final(code) {
		s.refuse(x, m.Correlation, code)
		levels = 0
	}
	if levels.Has(wire.LevelDurable) {
		s.syncTo = end
	}
	s.acks.push(ack{end: end, session: x.id, slot: x.slot, correlation: m.Correlation, levels: levels})
	if levels.Has(wire.LevelReceived) {
		s.acknowledge(x, m.Correlation, e, wire.LevelReceived)
	}
	if levels.Has(wire.LevelSequenced) {
		s.acknowledge(x, m.Correlation, e, wire.LevelSequenced)
	}
	if simbug.On(simbug.AckBeforeCommit) && levels.Has(wire.LevelDurable) {
		s.acknowledge(x, m.Correlation, e, wire.LevelDurable)
	}
	return wire.RefusalNone
}

// repeat answers a message that was sequenced before with what is true of it by now; of one in fragments, the last. If
// there is nothing new it does so with an empty datagram: its client is to know that the leader is there, however long a
// majority takes.
func (s *Sequencer) repeat(x *session, m *wire.Message, payload []byte) {
	s.begin(x)
	if m.Kind == wire.MessageFragment && !m.Fragment.Ends(len(payload)) {
		return
	}
	s.meters.repeats.Inc()
	if code := s.judge(m, whole(m, payload)); final(code) {
		s.refuse(x, m.Correlation, code)
		return
	}
	e := x.entry(m.Correlation)
	if e == nil {
		s.repeatInherited(x, m)
		return
	}
	if e.code == wire.RefusalMalformed { // its fragments did not fit one another: none alone shows that
		s.refuse(x, m.Correlation, e.code)
		return
	}
	e.levels |= m.Levels
	for level := wire.LevelReceived; level <= wire.LevelDurable; level++ {
		if m.Levels.Has(level) && s.reached(level, e.end) {
			s.acknowledge(x, m.Correlation, e, level)
		}
	}
	switch {
	case !m.Levels.Has(wire.LevelApplied):
		return
	case m.Correlation > x.applied:
		if s.obstacle != wire.RefusalNone {
			s.meters.refuse(s.obstacle)
			s.pack(x, &wire.Answer{Kind: wire.AnswerBusy, Correlation: m.Correlation, Code: s.obstacle}, nil, nil)
		}
		return // its answer is to come
	case final(e.code):
		s.refuse(x, m.Correlation, e.code)
		return
	}
	if e.silent || x.received == x.responses { // without a response, or its client has them all
		s.acknowledge(x, m.Correlation, e, wire.LevelApplied)
	} else {
		s.replay(x)
	}
}

// repeatInherited answers a message that an earlier leader sequenced: its record is applied. Where it stands is known
// here of the newest ones only, of others a response may say so. That it took no effect is known.
func (s *Sequencer) repeatInherited(x *session, m *wire.Message) {
	e := x.inheritedEntry(m.Correlation)
	if final(e.code) {
		s.refuse(x, m.Correlation, e.code)
		return
	}
	for level := wire.LevelReceived; level <= wire.LevelDurable; level++ {
		if m.Levels.Has(level) && s.reached(level, s.termEnd) {
			s.acknowledge(x, m.Correlation, &e, level)
		}
	}
	switch {
	case !m.Levels.Has(wire.LevelApplied):
	case e.code == wire.RefusalNone && x.received < x.responses:
		s.replay(x)
	default: // the client has every response there is
		s.acknowledge(x, m.Correlation, &e, wire.LevelApplied)
	}
}

// reached says whether a record that ends at end has reached a level below applied.
func (s *Sequencer) reached(level wire.Level, end wire.Position) bool {
	switch level {
	case wire.LevelReplicated:
		return end <= s.replicated
	case wire.LevelDurable:
		return end <= s.durable
	}
	return true
}

// busy has the client send everything from its next message on again, later.
func (s *Sequencer) busy(x *session, code wire.Refusal) {
	x.busy, x.why, x.busyNs = true, code, s.nowNs
	s.meters.refuse(code)
	s.pack(x, &wire.Answer{Kind: wire.AnswerBusy, Correlation: x.next, Code: code}, nil, nil)
}

// gap asks for what is missing, once in a while: if it was too recently, later. What follows a message that was told
// BUSY is no gap: it is dropped, and comes again behind that.
func (s *Sequencer) gap(x *session) {
	hold := s.o.Limits.GapNs
	switch {
	case x.busy && s.nowNs-x.busyNs < hold:
	case s.nowNs-x.gapNs >= hold:
		s.ask(x)
	case !x.asking:
		x.asking = true
		s.asking = append(s.asking, x.slot)
		fallthrough
	default:
		x.missing = s.missing(x)
	}
}

// place is up to where a session's messages are there.
type place struct {
	next uint64 // correlation
	have uint32 // bytes of that message
}

// missing is what a session's client would be asked for.
func (s *Sequencer) missing(x *session) place {
	if a := s.assemblies.of(x); a != nil {
		return place{x.next, a.Have()}
	}
	return place{x.next, 0}
}

// ask asks the client for everything from the session's next message on, and says what of that is there.
func (s *Sequencer) ask(x *session) {
	x.gapNs = s.nowNs
	s.meters.gaps.Inc()
	there := wire.Position(s.missing(x).have)
	s.pack(x, &wire.Answer{Kind: wire.AnswerGap, Correlation: x.next, Position: there}, nil, nil)
}

// askAgain asks for what was found missing too soon after the last time, if it still is: the client may have nothing else
// to send that would bring it up again.
func (s *Sequencer) askAgain() {
	left := s.asking[:0]
	for _, slot := range s.asking {
		x := &s.table.slots[slot]
		if x.state == sessionOpen && s.nowNs-x.gapNs < s.o.Limits.GapNs {
			left = append(left, slot)
			continue
		}
		x.asking = false
		if x.state == sessionOpen && !x.busy && s.missing(x) == x.missing {
			s.ask(x)
		}
	}
	s.asking = left
}

// refuse tells that a message is refused for good.
func (s *Sequencer) refuse(x *session, correlation uint64, code wire.Refusal) {
	s.meters.refuse(code)
	s.pack(x, &wire.Answer{Kind: wire.AnswerRefused, Correlation: correlation, Code: code}, nil, nil)
}

// replay asks the service driver for all responses that the client does not have, once in a while.
func (s *Sequencer) replay(x *session) {
	if s.nowNs-x.replayNs < s.o.Limits.ReplayNs || s.o.Commands.Free() <= commandReserve {
		s.meters.replaysHeld.Inc()
		return
	}
	x.replayNs = s.nowNs
	s.command = service.Command{Kind: service.CommandReplay, Session: x.id, Response: x.received + 1}
	s.o.Commands.Offer(&s.command)
	s.o.Commands.Publish()
	s.meters.replays.Inc()
}
