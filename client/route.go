package client

import "lockstep/wire"

// receive takes what has arrived, batch by batch, and gives it to the clients that it is for.
func (m *Mux) receive() (work int) {
	p := m.port
	for range receiveBatches {
		n := p.transport.Receive(p.rx)
		for i := range n {
			var h wire.Header
			body, drop := p.validator.Validate(p.rx[i].Payload, &h)
			if drop != wire.DropNone {
				m.stats.Dropped++
				continue
			}
			c := m.route(h.Kind, body)
			if c == nil {
				m.stats.Nobody++
				continue
			}
			had := c.session
			c.nowNs = m.nowNs
			c.take(&h, body, p.rx[i].From)
			if c.session != had && c.state != stateClosed {
				m.sessions[c.session] = c
			}
			c.mark()
		}
		if n > 0 {
			p.transport.Release()
		}
		work += n
		if n < len(p.rx) {
			break
		}
	}
	return work
}

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
