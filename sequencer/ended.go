package sequencer

import (
	"lockstep/internal/simbug"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// ended is how a session ended: what its client is told, whichever node leads by then.
type ended struct {
	id        wire.SessionID
	token     uint64
	applied   uint64 // its last message that was applied
	responses uint64 // the last one given out
	timestamp uint64 // of the record that closed it
	code      wire.Refusal
	proven    bool // addr is the client's
	addr      transport.Addr
}

// endings are the newest sessions that are over, as many as the service driver remembers: a ring, which takes memory as
// it fills. The maps change only when a session ends.
type endings struct {
	list    []ended
	count   int // of all there ever were
	byID    map[wire.SessionID]int
	byToken map[uint64]int
}

func newEndings() endings {
	return endings{byID: map[wire.SessionID]int{}, byToken: map[uint64]int{}}
}

func (e *endings) reset() {
	clear(e.byID)
	clear(e.byToken)
	e.list, e.count = e.list[:0], 0
}

func (e *endings) add(x *ended) {
	slot := e.count % service.ClosedSessions
	if slot == len(e.list) {
		e.list = append(e.list, *x)
	} else {
		old := &e.list[slot]
		delete(e.byID, old.id)
		if e.byToken[old.token] == slot {
			delete(e.byToken, old.token)
		}
		*old = *x
	}
	e.byID[x.id], e.byToken[x.token] = slot, slot
	e.count++
}

// noteEnded remembers how a session ended.
func (s *Sequencer) noteEnded(e *service.Egress, to *session) {
	x := ended{
		id: e.Session, token: e.Token, applied: e.Correlation, responses: e.Response, timestamp: e.Timestamp,
		code: e.Code.Ending(),
	}
	if to != nil {
		x.proven, x.addr = to.proven, to.addr
	}
	if e.Token != 0 && !simbug.On(simbug.ForgetClosed) {
		s.ended.add(&x)
	}
}

// endedByID returns a session that is over, nil when there is none of this id, or that is longer ago than may be asked.
func (s *Sequencer) endedByID(id wire.SessionID) *ended {
	slot, ok := s.ended.byID[id]
	return s.recent(slot, ok)
}

// endedByToken is the same by the token that its client opened it with.
func (s *Sequencer) endedByToken(token uint64) *ended {
	slot, ok := s.ended.byToken[token]
	return s.recent(slot, ok)
}

// recent measures by the time of the log, so that every leader agrees.
func (s *Sequencer) recent(slot int, ok bool) *ended {
	if !ok {
		return nil
	}
	x := &s.ended.list[slot]
	if s.log.stamper.Next(s.nowNs)-x.timestamp > uint64(s.o.Limits.ClosedNs) {
		return nil
	}
	return x
}

// onEnded answers a datagram of a session that is over: as it does to one that shows itself from another address.
func (s *Sequencer) onEnded(x *ended, from transport.Addr) {
	switch {
	case !x.proven:
		s.meters.dropped[wire.DropAddress].Inc()
		s.reject(from, 0, x.id, wire.RefusalBadNonce)
	case x.addr != from:
		s.meters.dropped[wire.DropAddress].Inc()
	default:
		s.sendEnded(x)
	}
}

// sendEnded tells a client how its session ended.
func (s *Sequencer) sendEnded(x *ended) {
	b := s.o.Sender.Next()
	if b == nil {
		s.meters.sendFull.Inc()
		return
	}
	head := wire.Answers{Session: x.id, Committed: x.applied}
	n := wire.DatagramHeaderSize + head.Put(b[wire.DatagramHeaderSize:])
	n += wire.PutAnswer(b[n:], &wire.Answer{
		Kind: wire.AnswerClosed, Code: x.code, Correlation: x.applied, Response: x.responses,
	}, nil)
	s.send(wire.DatagramAnswers, b, n-wire.DatagramHeaderSize, x.addr)
	s.meters.datagrams.Inc()
}
