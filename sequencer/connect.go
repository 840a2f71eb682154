package sequencer

import (
	"math"

	"lockstep/internal/simbug"
	"lockstep/transport"
	"lockstep/wire"
)

// OnClient takes one client datagram that wire.Validator has let pass, while this node leads.
func (s *Sequencer) OnClient(nowNs int64, h *wire.Header, body []byte, from transport.Addr) {
	s.nowNs = nowNs
	if !s.leading {
		s.meters.dropped[wire.DropRole].Inc()
		return
	}
	switch h.Kind {
	case wire.DatagramConnect:
		s.onConnect(h, body, from)
	case wire.DatagramProve:
		s.onProve(h, body, from)
	case wire.DatagramMessages, wire.DatagramKeepalive, wire.DatagramDisconnect:
		s.onSession(h, body, from)
	}
}

// onConnect makes no state: it answers with a challenge.
func (s *Sequencer) onConnect(h *wire.Header, body []byte, from transport.Addr) {
	var c wire.Connect
	if !c.Decode(body) {
		s.meters.dropped[wire.DropBody].Inc()
		return
	}
	if !s.admits(h.Kind, c.Token, c.Session, from) {
		return
	}
	if code := s.judgeConnect(h, c.Token, c.Protocol, c.Name); code != wire.RefusalNone {
		s.reject(from, c.Token, c.Session, code)
		return
	}
	b := s.o.Sender.Next()
	if b == nil {
		s.meters.sendFull.Inc()
		return
	}
	answer := wire.Challenge{Token: c.Token, Nonce: s.challenger.nonce(s.nowNs, from, c.Token)}
	s.send(wire.DatagramChallenge, b, answer.Put(b[wire.DatagramHeaderSize:]), from)
	s.meters.challenges.Inc()
}

// judgeConnect says what is wrong with CONNECT or PROVE in itself. A client that has seen a later term knows better
// than this node who leads.
func (s *Sequencer) judgeConnect(h *wire.Header, token uint64, protocol uint16, name []byte) wire.Refusal {
	switch {
	case h.Term > s.term:
		return wire.RefusalNotLeader
	case protocol != wire.Protocol:
		return wire.RefusalProtocolVersion
	case token == 0:
		return wire.RefusalMalformed
	case !wire.ValidName(name):
		return wire.RefusalBadName
	}
	return wire.RefusalNone
}

// onProve opens or resumes a session for a client whose address is proven by it.
func (s *Sequencer) onProve(h *wire.Header, body []byte, from transport.Addr) {
	var p wire.Prove
	if !p.Decode(body) {
		s.meters.dropped[wire.DropBody].Inc()
		return
	}
	if !s.admits(h.Kind, p.Token, p.Session, from) {
		return
	}
	code := s.judgeConnect(h, p.Token, p.Protocol, p.Name)
	switch {
	case code != wire.RefusalNone:
	case !s.challenger.check(s.nowNs, from, p.Token, p.Nonce):
		code = wire.RefusalBadNonce
	case !s.ready:
		code = s.starting()
	case p.Session != 0:
		code = s.resume(&p, from)
	default:
		code = s.open(&p, from)
	}
	if code != wire.RefusalNone {
		s.reject(from, p.Token, p.Session, code)
	}
}

// resume goes on with a session from an address just proven.
func (s *Sequencer) resume(p *wire.Prove, from transport.Addr) wire.Refusal {
	x := s.table.find(p.Session)
	if x == nil {
		if over := s.endedByID(p.Session); over != nil && over.token == p.Token {
			over.addr, over.proven = from, true
			s.sendEnded(over)
			return wire.RefusalNone
		}
	}
	switch {
	case x == nil || x.token != p.Token || x.state == sessionOpening:
		return wire.RefusalUnknownSession
	case x.state == sessionClosing:
		s.prove(x, from) // and it will be told that it is closed
		return wire.RefusalNone
	case p.Received > x.responses:
		return wire.RefusalMalformed
	}
	s.prove(x, from)
	s.hear(x, p.Received)
	s.meters.resumed.Inc()
	s.accept(x)
	if x.received < x.responses {
		s.replay(x)
	}
	return wire.RefusalNone
}

// prove makes from the address of x. Other sessions may have it too: what is sent there says which session it is for.
func (s *Sequencer) prove(x *session, from transport.Addr) {
	if !x.proven || x.addr != from {
		s.table.unpack(x)
		x.addr, x.proven = from, true
	}
}

// open appends the record that opens a new session, or finds the one that this client's token has already. The
// answer comes when the record is applied.
func (s *Sequencer) open(p *wire.Prove, from transport.Addr) wire.Refusal {
	if x := s.table.findToken(p.Token); x != nil {
		switch x.state {
		case sessionOpen:
			s.prove(x, from)
			s.accept(x)
		case sessionOpening:
			s.prove(x, from)
			return s.obstacle // its record waits for apply
		}
		return wire.RefusalNone
	}
	if over := s.endedByToken(p.Token); over != nil {
		return over.code // it comes late: that session was open
	}
	if s.obstacle != wire.RefusalNone {
		return s.obstacle
	}
	record := wire.SessionOpen{Token: p.Token, Window: s.window(p.Window), Name: p.Name}
	n := record.Put(s.payload[:])
	if busy := s.log.Admits(n); busy != wire.RefusalNone {
		return busy
	}
	slot, ok := s.table.take()
	if !ok {
		return wire.RefusalBusySessions
	}
	x := s.table.begin(slot, s.newID(), p.Token, record.Window)
	if _, ok = s.log.Append(s.nowNs, wire.RecordSessionOpen, x.id, 0, 0, 0, s.payload[:n]); !ok {
		s.table.release(slot)
		return wire.RefusalBusyDisk
	}
	x.state = sessionOpening
	s.prove(x, from)
	if simbug.On(simbug.AcceptBeforeCommit) {
		x.state = sessionOpen
		s.accept(x)
	}
	s.meters.sessions.Set(uint64(len(s.table.byID)))
	return wire.RefusalNone
}

// window is what a client that wants so much is granted.
func (s *Sequencer) window(wanted uint32) uint32 { return max(1, min(wanted, s.o.Limits.Window)) }

// newID draws a session id that nobody has.
func (s *Sequencer) newID() wire.SessionID {
	for {
		id := wire.SessionID(s.o.Random.Uint64())
		if id != 0 && s.table.find(id) == nil {
			return id
		}
	}
}

// accept tells the client that its session is open.
func (s *Sequencer) accept(x *session) {
	b := s.o.Sender.Next()
	if b == nil {
		s.meters.sendFull.Inc()
		return
	}
	a := wire.Accept{
		Token: x.token, Session: x.id, Correlation: x.committed, Response: x.responses,
		Leader: s.o.Identity.Node, Term: s.term, Window: x.window, MaxMessage: s.o.MaxMessage,
		SilenceMs: uint32(min(s.o.Limits.SessionNs/1e6, math.MaxUint32)),
	}
	s.send(wire.DatagramAccept, b, a.Put(b[wire.DatagramHeaderSize:]), x.addr)
}

// reject answers somebody without a session here.
func (s *Sequencer) reject(to transport.Addr, token uint64, session wire.SessionID, code wire.Refusal) {
	b := s.o.Sender.Next()
	if b == nil {
		s.meters.sendFull.Inc()
		return
	}
	r := wire.Reject{Token: token, Session: session, Code: code}
	s.send(wire.DatagramReject, b, r.Put(b[wire.DatagramHeaderSize:]), to)
	s.meters.refuse(code)
}

// send completes the datagram in b, whose body of n bytes is in place.
func (s *Sequencer) send(kind wire.DatagramKind, b []byte, n int, to transport.Addr) {
	n += wire.DatagramHeaderSize
	h := s.o.Identity.header(kind, s.term)
	wire.Seal(b[:n], &h)
	s.o.Sender.Commit(n, to)
}
