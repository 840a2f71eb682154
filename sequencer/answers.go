package sequencer

import "lockstep/wire"

// answersRoom is what stands before the first answer in a datagram.
const answersRoom = wire.DatagramHeaderSize + wire.AnswersHeaderSize

// acknowledge packs the acknowledgement of a message at a level.
func (s *Sequencer) acknowledge(x *session, correlation uint64, e *entry, level wire.Level) {
	a := wire.Answer{
		Kind: wire.AnswerAck, Level: level, Code: e.code,
		Correlation: correlation, Sequence: e.sequence, Position: e.position, Timestamp: e.timestamp,
	}
	s.pack(x, &a, nil, e)
}

// pack puts an answer into the client's datagram, sending the one before when it is full. It reports false, and
// counts, when the transmit side has no room for that. An answer to a client whose address is not proven goes
// nowhere: it will ask again when it resumes. about is the message that it is about, if stages may have been asked for of
// that; else nil.
func (s *Sequencer) pack(x *session, a *wire.Answer, payload []byte, about *entry) bool {
	if !x.proven {
		return true
	}
	if x.staged == 0 && !s.begin(x) {
		s.meters.acksLost.Inc()
		return false
	}
	s.leave(a, about)
	n := wire.PutAnswer(x.out[x.staged:], a, payload)
	if n == 0 {
		if !s.sendAnswers(x) {
			s.meters.acksLost.Inc()
			return false
		}
		s.begin(x)
		n = wire.PutAnswer(x.out[x.staged:], a, payload)
	}
	x.staged += n
	x.timed = x.timed || a.Timed
	return true
}

// leastPart is how much room there must be for a part of a response, beyond headers; else it goes into the next datagram.
const leastPart = 64

// packParts puts a response that fits no datagram into the client's datagrams, part by part. It reports false when the
// transmit side is full: the next call for the same response goes on where this one stopped.
func (s *Sequencer) packParts(x *session, a *wire.Answer, payload []byte) bool {
	a.Kind, a.Fragment.Total = wire.AnswerFragment, uint32(len(payload))
	for x.proven && s.packed < len(payload) {
		if !s.begin(x) {
			return false
		}
		n := min(wire.AnswerFragmentRoom(len(x.out)-x.staged), len(payload)-s.packed)
		if n < min(leastPart, len(payload)-s.packed) && x.staged > answersRoom {
			if !s.sendAnswers(x) {
				return false
			}
			continue
		}
		a.Fragment.Offset = uint32(s.packed)
		x.staged += wire.PutAnswer(x.out[x.staged:], a, payload[s.packed:s.packed+n])
		s.packed += n
	}
	return true
}

// begin starts a datagram of answers for a client, if none is begun; it leaves with the next flush, whatever gets in.
// false: too many are begun already, and the transmit side has no room for them.
func (s *Sequencer) begin(x *session) bool {
	if x.staged != 0 || !x.proven {
		return true
	}
	if len(s.table.rooms) == 0 {
		if s.flush(); len(s.table.rooms) == 0 {
			return false
		}
	}
	last := len(s.table.rooms) - 1
	x.out, s.table.rooms = s.table.rooms[last], s.table.rooms[:last]
	x.staged = answersRoom
	if !x.listed {
		x.listed = true
		s.dirty = append(s.dirty, x.slot)
	}
	return true
}

// sendAnswers hands a client's datagram to the sender; false when the transmit side is full.
func (s *Sequencer) sendAnswers(x *session) bool {
	b := s.o.Sender.Next()
	if b == nil {
		s.meters.sendFull.Inc()
		return false
	}
	head := wire.Answers{Session: x.id, Committed: x.committed}
	head.Put(x.out[wire.DatagramHeaderSize:])
	if x.timed {
		s.fill(x)
	}
	copy(b, x.out[:x.staged])
	s.send(wire.DatagramAnswers, b, x.staged-wire.DatagramHeaderSize, x.addr)
	s.meters.datagrams.Inc()
	s.table.unpack(x)
	x.toldCommitted = x.committed
	return true
}

// flush hands over every datagram begun. What finds no room stays for the next cycle.
func (s *Sequencer) flush() {
	if len(s.dirty) > 0 {
		s.noteApplied()
		s.beginFlush()
	}
	left := s.dirty[:0]
	for _, slot := range s.dirty {
		x := &s.table.slots[slot]
		if x.staged != 0 && !s.sendAnswers(x) {
			left = append(left, slot)
			continue
		}
		x.listed = false
		if x.state == sessionClosed {
			s.release(x)
		}
	}
	s.dirty = left
	s.endFlush()
}

// owe notes that a client is to be told what is committed, soon.
func (s *Sequencer) owe(x *session) {
	if x.owing || !x.proven {
		return
	}
	x.owing, x.owedNs = true, s.nowNs
	s.owed = append(s.owed, x.slot)
}

// tellCommitted begins a datagram for every client that nothing else has told what is committed, once that is a
// quarter of its window or was long enough ago.
func (s *Sequencer) tellCommitted() {
	left := s.owed[:0]
	for _, slot := range s.owed {
		x := &s.table.slots[slot]
		behind := x.committed - x.toldCommitted
		switch {
		case behind == 0 || !x.proven || x.state == sessionClosed:
			x.owing = false
			continue
		case behind >= uint64(x.window+3)/4 || s.nowNs-x.owedNs >= s.o.Limits.HeaderNs:
			s.begin(x)
		}
		left = append(left, slot)
	}
	s.owed = left
}
