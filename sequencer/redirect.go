package sequencer

import (
	"lockstep/transport"
	"lockstep/wire"
)

// Redirector answers the clients of a node that does not lead. It keeps nothing about them. Owned by the thread of its
// sender, which the caller flushes.
type Redirector struct {
	identity Identity
	sender   *transport.Sender
}

// NewRedirector makes a redirector that sends through sender.
func NewRedirector(identity Identity, sender *transport.Sender) *Redirector {
	return &Redirector{identity: identity, sender: sender}
}

// Redirect answers a client's datagram with REDIRECT: the leader of term and where it is reached, or leader 0 when
// nobody is known to lead. Whoever asks gets one datagram of 80 bytes, so that forged senders multiply next to nothing.
// When the transmit side is full the client is left to ask again.
func (r *Redirector) Redirect(h *wire.Header, body []byte, from transport.Addr,
	leader wire.NodeID, at transport.Addr, term wire.Term) {
	if !h.Kind.FromClient() {
		return
	}
	answer := wire.Redirect{Leader: leader, Term: term}
	if leader != 0 {
		answer.IP, answer.Port = at.IP, at.Port
	}
	var c wire.Connect
	var p wire.Prove
	switch {
	case h.Kind == wire.DatagramConnect && c.Decode(body):
		answer.Token, answer.Session = c.Token, c.Session
	case h.Kind == wire.DatagramProve && p.Decode(body):
		answer.Token, answer.Session = p.Token, p.Session
	case h.Kind != wire.DatagramConnect && h.Kind != wire.DatagramProve:
		answer.Session = wire.SessionID(h.Sender)
	}
	r.identity.redirect(r.sender, &answer, from)
}

// redirect sends one REDIRECT; false when the transmit side is full.
func (i *Identity) redirect(sender *transport.Sender, answer *wire.Redirect, to transport.Addr) bool {
	b := sender.Next()
	if b == nil {
		return false
	}
	n := wire.DatagramHeaderSize + answer.Put(b[wire.DatagramHeaderSize:])
	head := i.header(wire.DatagramRedirect, answer.Term)
	wire.Seal(b[:n], &head)
	sender.Commit(n, to)
	return true
}

// farewell is a client to be told that this node leads no more.
type farewell struct {
	to      transport.Addr
	session wire.SessionID
}

// noteClients keeps where the clients are whose sessions this leader served.
func (s *Sequencer) noteClients() {
	s.clients = s.clients[:0]
	for i := range s.table.slots {
		if x := &s.table.slots[i]; x.state != sessionFree && x.proven {
			s.clients = append(s.clients, farewell{x.addr, x.id})
		}
	}
}

// Farewell tells the clients of a leadership that is over who leads now, once each, so that they need not find out by
// silence. It reports whether all were told: the transmit side may be full. A client that misses it asks.
func (s *Sequencer) Farewell(leader wire.NodeID, at transport.Addr, term wire.Term) bool {
	answer := wire.Redirect{Leader: leader, Term: term, IP: at.IP, Port: at.Port}
	for n := len(s.clients); n > 0; n = len(s.clients) {
		x := &s.clients[n-1]
		answer.Session = x.session
		if !s.o.Identity.redirect(s.o.Sender, &answer, x.to) {
			return false
		}
		s.clients = s.clients[:n-1]
	}
	return true
}
