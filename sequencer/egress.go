package sequencer

import (
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/wire"
)

// drain takes what the service has to say, up to a limit, and stops at a message for which the transmit side has no
// room: it comes first in the next cycle.
func (s *Sequencer) drain() (work int) {
	for work < s.o.Limits.EgressPerCycle {
		b := s.held
		if b == nil {
			if b = s.o.Egress.Next(); b == nil {
				break
			}
		}
		if s.held = b; !s.onEgress(b) {
			return work // not released: held is still to be read
		}
		s.held, s.packed = nil, 0
		work++
	}
	if work > 0 {
		s.o.Egress.Release()
	}
	return work
}

// onEgress takes one message; false when it has to wait, and then nothing changed.
func (s *Sequencer) onEgress(b []byte) bool {
	e := &s.egress
	payload, ok := e.Decode(b)
	if !ok || e.Term != s.term {
		s.meters.stale.Inc()
		return true
	}
	switch e.Kind {
	case service.EgressSession:
		s.restore(e)
		return true
	case service.EgressRefused:
		if x := s.table.find(e.Session); x != nil {
			x.refused = append(x.refused, refused{e.Correlation, e.Code})
		}
		return true
	case service.EgressEnded:
		s.noteEnded(e, nil)
		return true
	case service.EgressPlace:
		if x := s.table.find(e.Session); x != nil {
			x.place(e)
		}
		return true
	case service.EgressTimer:
		s.setTimer(e)
		return true
	case service.EgressTimerCanceled:
		s.cancelTimer(e)
		return true
	case service.EgressReady:
		s.becomeReady()
		return true
	}
	x := s.table.find(e.Session)
	if x == nil {
		return true
	}
	done := true
	switch e.Kind {
	case service.EgressOpened:
		s.opened(x, e)
		return true
	case service.EgressClosed:
		return s.closed(x, e)
	case service.EgressResponse:
		done = s.response(x, e, payload)
	case service.EgressApplied:
		done = s.applied(x, e)
	case service.EgressAcked:
	default:
		return true
	}
	if done {
		s.learn(x, e)
	}
	return done
}

// restore puts a session that the service knows into the table. Its client has to prove its address first.
func (s *Sequencer) restore(e *service.Egress) {
	slot, ok := s.table.take()
	if !ok {
		panic(fmt.Sprintf("sequencer: the service knows more sessions than Limits.Sessions, which is %d: "+
			"it must not be below the driver's limit", s.o.Limits.Sessions))
	}
	x := s.table.begin(slot, e.Session, e.Token, e.Window)
	x.state = sessionOpen
	x.inherited, x.applied, x.committed, x.next = e.Correlation, e.Correlation, e.Correlation, e.Correlation+1
	x.placed = x.next
	if simbug.On(simbug.SkipDedup) && e.Correlation > 0 {
		x.next--
		x.inherited--
	}
	x.responses, x.received, x.logged = e.Response, e.Acked, e.Acked
	s.learn(x, e)
}

// becomeReady opens the door to clients. Their silence is measured from here.
func (s *Sequencer) becomeReady() {
	s.ready = true
	s.hearAll(s.nowNs)
	s.meters.sessions.Set(uint64(len(s.table.byID)))
}

func (s *Sequencer) opened(x *session, e *service.Egress) {
	if x.state != sessionOpening {
		return
	}
	x.state, x.heardNs = sessionOpen, s.nowNs
	s.meters.opened.Inc()
	if x.proven {
		s.accept(x)
	}
}

// closed ends a session, or refuses to open one. How it ended is remembered; its slot is free once it has been told.
func (s *Sequencer) closed(x *session, e *service.Egress) bool {
	if x.state == sessionOpening {
		if x.proven {
			s.reject(x.addr, x.token, 0, e.Code)
		}
		s.release(x)
		return true
	}
	code := e.Code.Ending()
	x.applied, x.responses = max(x.applied, e.Correlation), max(x.responses, e.Response)
	a := wire.Answer{Kind: wire.AnswerClosed, Code: code, Correlation: x.applied, Response: x.responses}
	if !s.pack(x, &a, nil, nil) {
		return false
	}
	s.meters.refuse(code)
	s.noteEnded(e, x)
	x.state = sessionClosed
	s.assemblies.drop(x)
	s.table.forget(x)
	s.meters.sessions.Set(uint64(len(s.table.byID)))
	if x.staged == 0 {
		s.release(x)
	}
	return true
}

// release frees a session's slot.
func (s *Sequencer) release(x *session) {
	s.table.release(x.slot)
	s.meters.sessions.Set(uint64(len(s.table.byID)))
}

// response passes a response on, new or replayed; in fragments when it fits no datagram.
func (s *Sequencer) response(x *session, e *service.Egress, payload []byte) bool {
	a := wire.Answer{
		Kind: wire.AnswerResponse, Correlation: e.Correlation, Response: e.Response, Service: e.Service, Code: e.Code,
		Sequence: e.Sequence, Position: e.Position, Timestamp: e.Timestamp,
	}
	if e.Last {
		a.Level = wire.LevelApplied
	}
	size := answersRoom + wire.AnswerSize(len(payload))
	var about *entry
	if e.Last && e.Correlation != 0 && size+wire.StagesSize <= s.o.MaxPayload {
		about = x.entry(e.Correlation)
	}
	if size > s.o.MaxPayload {
		if !s.packParts(x, &a, payload) {
			return false
		}
	} else if !s.pack(x, &a, payload, about) {
		return false
	}
	s.given(x, e.Response)
	if e.Last {
		s.advance(x, e.Correlation)
	}
	return true
}

// applied takes note of a message that the service answered with nothing.
func (s *Sequencer) applied(x *session, e *service.Egress) bool {
	known := x.entry(e.Correlation)
	if known == nil {
		return true
	}
	code := e.Code
	a := wire.Answer{
		Kind: wire.AnswerAck, Level: wire.LevelApplied, Code: code, Service: e.Service,
		Correlation: e.Correlation, Sequence: known.sequence, Position: known.position, Timestamp: known.timestamp,
	}
	refused, about := final(code), known
	if refused {
		about = nil
		a.Kind, a.Level = wire.AnswerRefused, wire.LevelNone
	}
	told := refused && known.code == code // when it was sequenced
	wanted := refused || known.levels.Has(wire.LevelApplied)
	if wanted && !told && !s.pack(x, &a, nil, about) {
		return false
	}
	known.silent, known.code = true, code
	s.advance(x, e.Correlation)
	return true
}

// advance notes that the service has processed a message, which is committed therefore.
func (s *Sequencer) advance(x *session, correlation uint64) {
	x.applied = max(x.applied, correlation)
	if correlation > x.committed {
		x.committed = correlation
		s.owe(x)
	}
}
