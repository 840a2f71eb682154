package client

import (
	"slices"

	"lockstep/transport"
	"lockstep/wire"
)

// tryNext tries the next node, round robin: at once as long as there are some that were not tried, and then after a
// pause.
func (c *Client) tryNext() {
	if c.tries >= len(c.o.Nodes) {
		c.pause(c.nextNode(), c.backOffNs())
		return
	}
	c.hops = 0
	c.tries++
	c.try(c.nextNode())
}

// backOffNs is the pause before the next node is tried: somebody is about to be elected, or nobody is there. It is twice
// as long after every further time that all were tried, and drawn, so that many clients do not come in step.
func (c *Client) backOffNs() int64 {
	rounds := min(c.tries/len(c.o.Nodes), 32)
	half := min(c.o.ResendNs/4<<max(rounds-1, 0), c.o.ResendMaxNs/2)
	c.tries++
	return half + c.rng.Int64N(half+1)
}

// nextNode is the next node in turn, other than the one just tried if there is one, and other than the leader that has
// fallen silent as long as that is news.
func (c *Client) nextNode() transport.Addr {
	for range 3 {
		next := c.o.Nodes[c.node]
		c.node = (c.node + 1) % len(c.o.Nodes)
		if next == c.gone && c.silenceIsNews() {
			continue
		}
		if next != c.peer {
			return next
		}
	}
	return c.peer
}

// silenceIsNews says whether the leader that was last known fell silent so lately that others may not know yet.
func (c *Client) silenceIsNews() bool { return c.silentNs != 0 && c.nowNs-c.silentNs < c.o.SilenceNs/2 }

// try asks a node for the session, from now on.
func (c *Client) try(peer transport.Addr) {
	c.state, c.peer, c.startingNs = stateConnecting, peer, 0
	c.attemptNs, c.waitNs = c.nowNs, c.o.ResendNs
	c.sendConnect()
}

// pause has a node asked after a while.
func (c *Client) pause(peer transport.Addr, ns int64) {
	c.state, c.peer, c.hops = stateConnecting, peer, 0
	c.later(ns)
}

// full has the leader asked again when it may have room: after a longer while each time.
func (c *Client) full() {
	c.busyNs = min(max(2*c.busyNs, c.o.ResendNs), c.o.ResendMaxNs)
	c.hops = 0
	c.later(c.busyNs/2 + c.rng.Int64N(c.busyNs/2+1))
}

// soon asks the peer again in a moment: it has only just begun to lead, or is about to say who does. The moments grow,
// at first faster than the time that this has taken so far.
func (c *Client) soon() {
	switch first := c.o.ResendNs / 128; {
	case c.startingNs < first:
		c.startingNs = first
	case c.startingNs < c.o.ResendNs/2:
		c.startingNs *= 2
	default:
		c.startingNs = min(c.startingNs+c.startingNs/2, c.o.ResendMaxNs)
	}
	c.later(c.startingNs - c.rng.Int64N(c.startingNs/4+1))
}

// later has the peer asked after a while. An address that was proven stays so.
func (c *Client) later(ns int64) {
	c.retryNs = c.nowNs + ns
	c.attemptNs, c.waitNs = c.retryNs, c.o.ResendNs
}

// connect looks after an attempt under way.
func (c *Client) connect() {
	switch {
	case c.nowNs >= c.giveUpNs():
		c.closed(Event{})
	case c.nowNs-c.attemptNs >= c.o.ConnectTimeoutNs:
		c.tryNext()
	case c.nowNs < c.retryNs:
	case c.state == stateConnecting:
		c.sendConnect()
	default:
		c.sendProve()
	}
}

// again notes when CONNECT or PROVE is due if there is no answer: each time later, and not in step with other clients.
func (c *Client) again() {
	c.retryNs = c.nowNs + c.waitNs - c.rng.Int64N(c.waitNs/4+1)
	c.waitNs = min(2*c.waitNs, c.o.ResendMaxNs)
}

func (c *Client) sendConnect() {
	c.again()
	b := c.buffer()
	if b == nil {
		return
	}
	body := wire.Connect{
		Token: c.token, Session: c.session, Received: c.received, Window: c.o.Window, Protocol: wire.Protocol,
		Name: c.name,
	}
	c.send(wire.DatagramConnect, b, body.Put(b[wire.DatagramHeaderSize:]))
}

func (c *Client) sendProve() {
	c.again()
	b := c.buffer()
	if b == nil {
		return
	}
	body := wire.Prove{
		Token: c.token, Nonce: c.nonce, Session: c.session, Received: c.received, Window: c.o.Window,
		Protocol: wire.Protocol, Name: c.name,
	}
	c.send(wire.DatagramProve, b, body.Put(b[wire.DatagramHeaderSize:]))
}

// onChallenge proves this client's address to the node being tried.
func (c *Client) onChallenge(body []byte) {
	var m wire.Challenge
	if !m.Decode(body) || c.state != stateConnecting || m.Token != c.token {
		c.stats.Stale++
		return
	}
	c.state, c.nonce, c.waitNs = stateProving, m.Nonce, c.o.ResendNs
	c.sendProve()
}

// onAccept goes on with the session.
func (c *Client) onAccept(body []byte) {
	var m wire.Accept
	stale := !m.Decode(body) || c.state != stateProving || m.Token != c.token || m.Term < c.term ||
		c.session != 0 && m.Session != c.session || m.Correlation >= c.window.next ||
		m.Correlation < c.window.committed && m.Term == c.term
	if stale {
		c.stats.Stale++
		return
	}
	if m.Correlation < c.window.committed {
		// A later term without what an earlier one had committed: the cluster has lost more than it may lose.
		c.closed(Event{Code: wire.RefusalUnknownSession})
		return
	}
	changed := c.leader != 0 && (m.Leader != c.leader || m.Term != c.term)
	c.session, c.leader, c.term = m.Session, m.Leader, m.Term
	c.granted = min(uint64(c.o.Window), uint64(max(m.Window, 1)))
	c.maxMessage = min(c.maxMessage, int(m.MaxMessage))
	c.state, c.hops, c.tries, c.startingNs, c.silentNs = stateConnected, 0, 0, 0, 0
	c.idleNs = idleNs
	if m.SilenceMs != 0 {
		c.idleNs = int64(m.SilenceMs) * 1e6 / 4
	}
	c.idleNs -= c.rng.Int64N(c.idleNs/8 + 1) // many clients do not beat in step
	c.window.commit(m.Correlation)
	c.window.advance()
	c.window.again(c.window.oldest, c.window.next)
	c.cursor, c.offset = c.window.oldest, 0
	c.resendNs, c.movedNs = c.o.ResendNs, c.nowNs
	c.busyNs, c.pausedNs, c.owedNs = 0, 0, 0
	c.sentNs, c.told = c.nowNs, c.received
	c.event(Event{Kind: EventConnected})
	if changed {
		c.event(Event{Kind: EventLeaderChanged})
	}
}

// onRedirect goes where a node says that the leader is.
func (c *Client) onRedirect(body []byte) {
	var m wire.Redirect
	if !m.Decode(body) || m.Term < c.term || !c.answersNow(m.Token) || m.Session != c.session {
		c.stats.Stale++
		return
	}
	if c.state == stateClosing {
		c.closed(Event{})
		return
	}
	if !c.lost() {
		return
	}
	at := transport.Addr{IP: m.IP, Port: m.Port}
	gone := c.silenceIsNews() && m.Leader == c.leader && m.Term == c.term // who says so has not noticed yet
	if m.Leader == 0 || at.Port == 0 || gone || c.hops > len(c.o.Nodes) {
		c.pause(c.nextNode(), c.backOffNs())
		return
	}
	c.hops++
	c.try(at)
}

// onProbed takes what another node than the leader says while that owes an answer. Only a later term counts: a node that
// redirects names its leader, one that rejects leads itself.
func (c *Client) onProbed(h *wire.Header, body []byte, from transport.Addr) {
	var redirect wire.Redirect
	var reject wire.Reject
	switch {
	case c.state != stateConnected || c.owedNs == 0 || h.Term <= c.term || !c.isNode(from):
	case h.Kind == wire.DatagramReject && reject.Decode(body) && reject.Session == c.session:
		if !c.lost() {
			return
		}
		c.try(from)
		return
	case h.Kind == wire.DatagramRedirect && redirect.Decode(body) && redirect.Leader != 0 && redirect.Port != 0:
		if !c.lost() {
			return
		}
		c.hops++
		c.try(transport.Addr{IP: redirect.IP, Port: redirect.Port})
		return
	}
	c.stats.Dropped++
}

// isNode says whether an address is one of the cluster's nodes, as far as this client was told.
func (c *Client) isNode(a transport.Addr) bool { return slices.Contains(c.o.Nodes, a) }

// onReject takes no for an answer where it is one.
func (c *Client) onReject(body []byte) {
	var m wire.Reject
	if !m.Decode(body) || !c.answersNow(m.Token) || m.Session != c.session && m.Session != 0 {
		c.stats.Stale++
		return
	}
	final := m.Code != wire.RefusalNotLeader && m.Code != wire.RefusalBadNonce && !m.Code.Busy()
	switch {
	case final:
		c.closed(Event{Code: m.Code})
	case c.state == stateClosing: // asked again, or given up
	case m.Code == wire.RefusalNotLeader:
		if !c.lost() {
			return
		}
		c.pause(c.nextNode(), c.backOffNs())
	case m.Code == wire.RefusalBadNonce:
		if !c.lost() {
			return
		}
		c.try(c.peer)
	case m.Code == wire.RefusalBusyStarting || m.Code == wire.RefusalBusyHandOver:
		if !c.lost() {
			return
		}
		c.soon()
	default:
		c.stats.Busy++
		c.stats.BusyCode = m.Code
		if !c.lost() {
			return
		}
		c.full()
	}
}

// answersNow says whether an answer with this token is to what this client asks now: an attempt to connect has the
// token, a datagram of the session has none.
func (c *Client) answersNow(token uint64) bool {
	if c.state == stateConnected || c.state == stateClosing {
		return token == 0
	}
	return token == c.token
}

// lost notes that the peer is no longer the one that the session goes on with. It says whether it is to go on at all: the
// handler may have closed it.
func (c *Client) lost() bool {
	if c.state != stateConnected {
		return true
	}
	c.state, c.severedNs = stateConnecting, c.nowNs
	c.stats.Disconnects++
	c.event(Event{Kind: EventDisconnected})
	return c.state < stateClosing
}

// disconnect asks the cluster to close the session, until it says so or the time is up.
func (c *Client) disconnect() {
	if c.nowNs-c.closingNs > c.o.SilenceNs {
		c.closed(Event{})
		return
	}
	if c.nowNs < c.retryNs {
		return
	}
	c.retryNs = c.nowNs + c.o.ResendNs
	if b := c.buffer(); b != nil {
		c.send(wire.DatagramDisconnect, b, c.putReceived(b))
	}
}

// closed ends the session.
func (c *Client) closed(e Event) {
	c.state = stateClosed
	if c.place.mux != nil {
		c.place.mux.forget(c)
	}
	e.Kind = EventClosed
	c.window.advance()
	if c.window.oldest < c.window.next {
		e.First, e.Last = c.window.oldest, c.window.next-1
	}
	c.event(e)
}

// event tells the handler, with what is the same in every event.
func (c *Client) event(e Event) {
	e.Session, e.Leader, e.Term = c.session, c.leader, c.term
	c.handler.OnEvent(e)
}
