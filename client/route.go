package client

import (
	"lockstep/transport"
	"lockstep/wire"
)

// take gives a datagram to the client that it is for.
func (m *Mux) take(h *wire.Header, body []byte, from transport.Addr) {
	c := m.route(h.Kind, body)
	if c == nil {
		m.stats.Nobody++
		return
	}
	had := c.session
	c.nowNs = m.nowNs
	c.take(h, body, from)
	if c.session != had && c.state != stateClosed {
		m.sessions[c.session] = c
	}
	c.mark()
}

// dropped counts a datagram that is not the cluster's.
func (m *Mux) dropped() { m.stats.Dropped++ }

// route finds the client that a datagram is for: by its token while it connects, by its session else.
func (m *Mux) route(kind wire.DatagramKind, body []byte) *Client {
	var token uint64
	var session wire.SessionID
	switch kind {
	case wire.DatagramAnswers:
		var b wire.Answers
		b.Decode(body)
		session = b.Session
	case wire.DatagramChallenge:
		var b wire.Challenge
		b.Decode(body)
		token = b.Token
	case wire.DatagramAccept:
		var b wire.Accept
		b.Decode(body)
		token = b.Token
	case wire.DatagramReject:
		var b wire.Reject
		b.Decode(body)
		token, session = b.Token, b.Session
	case wire.DatagramRedirect:
		var b wire.Redirect
		b.Decode(body)
		token, session = b.Token, b.Session
	}
	if token != 0 {
		return m.tokens[token]
	}
	return m.sessions[session] // nobody has session 0
}
