package sequencer

import (
	"lockstep/service"
	"lockstep/wire"
)

// keeping is what the driver says of the responses that it keeps for a session: a session for which it would have to keep
// too many is closed, by the log alone, and that is what the leader avoids by taking no more messages.
type keeping struct {
	acked   uint64 // the log acknowledges responses up to here
	bytes   uint64 // of those behind
	largest uint64 // bytes that one message has caused of late
	most    uint64 // responses likewise; 0: nothing is known yet
	starved bool   // BUSY was answered because of it
}

// note takes what an egress message says.
func (k *keeping) note(e *service.Egress) {
	k.acked, k.bytes = max(k.acked, e.Acked), e.Kept
	k.largest, k.most = uint64(e.Largest), uint64(e.Most)
}

// largePart of KeptBytes is what a message has at least that is taken to be answered by as many bytes as it has itself,
// and what nobody is taken to be answered by less than while nothing is known.
const largePart = 512

// learn notes what the driver says of a session, and of what messages cause of late, whoever sends them: a maximum that
// fades, by which a session is judged of which nothing is known yet.
func (s *Sequencer) learn(x *session, e *service.Egress) {
	x.kept.note(e)
	s.usual = max(x.kept.largest, s.usual-(s.usual+1023)/1024)
}

// hasRoom says whether what a session's next message and those before it that are not applied yet may cause can be kept.
// A client that was given responses and has acknowledged none for long gets no such care: it is closed as what it is.
func (s *Sequencer) hasRoom(x *session, length int) bool {
	l, k := &s.o.Limits, &x.kept
	largest, most := k.largest, k.most
	if most == 0 {
		largest, most = max(s.usual, uint64(l.KeptBytes/largePart)), 1
	}
	if length > l.KeptBytes/largePart {
		largest = max(largest, uint64(length))
	}
	flying, count := x.next-x.applied, x.responses-min(k.acked, x.responses)
	alone := flying == 1 && count == 0
	if alone || k.bytes+flying*largest <= uint64(l.KeptBytes) && count+flying*most <= uint64(l.KeptResponses) {
		k.starved = false
		return true
	}
	if x.received < x.responses && s.nowNs-x.behindNs > l.SessionNs/4 {
		return true
	}
	k.starved = true
	return false
}

// hear notes that the client is there, and what responses it has.
func (s *Sequencer) hear(x *session, received uint64) {
	x.heardNs = s.nowNs
	if received > x.received {
		x.received, x.behindNs = received, s.nowNs
	}
}

// given notes a response that has gone out to the client, for the first time or again.
func (s *Sequencer) given(x *session, response uint64) {
	if response > x.responses {
		if x.received == x.responses {
			x.behindNs = s.nowNs
		}
		x.responses = response
	}
}

// logReceived puts into the log what a client has acknowledged, if no message has done so: a lot of it, a quarter of what
// may be kept, or what there is when that keeps its next message out.
func (s *Sequencer) logReceived(x *session) {
	l, k := &s.o.Limits, &x.kept
	news, count := x.received-x.logged, x.responses-min(k.acked, x.responses)
	if news == 0 {
		return
	}
	due := k.starved || news >= min(l.AcksEvery, uint64(l.KeptResponses+3)/4) ||
		news <= count && k.bytes*news/count >= uint64(l.KeptBytes/4)
	if !due || s.log.Admits(0) != wire.RefusalNone {
		return
	}
	if _, ok := s.log.Append(s.nowNs, wire.RecordAcks, x.id, 0, 0, uint32(x.received), nil); ok {
		x.logged = x.received
		s.meters.acks.Inc()
	}
}
