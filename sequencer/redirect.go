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
// nobody is known to lead. Whoever asks gets one datagram of 72 bytes, so that forged senders multiply next to nothing.
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
		answer.Token = c.Token
	case h.Kind == wire.DatagramProve && p.Decode(body):
		answer.Token = p.Token
	}
	b := r.sender.Next()
	if b == nil {
		return
	}
	n := wire.DatagramHeaderSize + answer.Put(b[wire.DatagramHeaderSize:])
	head := r.identity.header(wire.DatagramRedirect, term)
	wire.Seal(b[:n], &head)
	r.sender.Commit(n, from)
}
