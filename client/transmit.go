package client

import (
	"lockstep/internal/simbug"
	"lockstep/transport"
	"lockstep/wire"
)

// watch looks after the clocks of a session that goes on.
func (c *Client) watch() {
	switch owed := c.nowNs - c.owedNs; {
	case c.owedNs == 0:
	case owed >= c.o.SilenceNs:
		c.silentNs, c.gone = c.nowNs, c.peer
		if c.lost() {
			c.tryNext()
		}
		return
	case owed >= c.o.SilenceNs/4 && c.nowNs >= c.probeNs:
		c.probe()
	}
	if c.window.oldest < c.window.next && c.nowNs-c.movedNs >= c.resendNs && c.nowNs >= c.pausedNs {
		c.movedNs = c.nowNs
		c.resendNs = min(2*c.resendNs, c.o.ResendMaxNs)
		if c.window.oldest < c.cursor { // else it is being sent just now
			c.back(c.window.oldest)
		}
	}
	switch {
	case c.nowNs-c.sentNs >= c.keepaliveNs():
		if c.window.oldest == c.window.next && c.owedNs == 0 {
			c.beatNs = min(2*c.beatNs, c.idleNs)
		}
		c.sendKeepalive()
	case c.toTell():
		c.tell()
	}
}

// The longest time between signs of life where nothing else is said: while something is going on, and without.
const (
	beatNs = int64(500e6)
	idleNs = int64(2500e6)
)

// keepaliveNs is after what time without a datagram to the leader one is due. One that is not answered is repeated: a
// datagram that got lost is not yet a leader that did.
func (c *Client) keepaliveNs() int64 {
	ns := min(c.beatNs, c.idleNs)
	if c.o.KeepaliveNs != 0 {
		ns = min(c.o.KeepaliveNs, c.idleNs)
	}
	if c.owedNs != 0 {
		ns = min(ns, c.o.SilenceNs/4)
	}
	return ns
}

// toTell says whether the leader is to hear what responses are here: it keeps them until then.
func (c *Client) toTell() bool { return c.received-c.told >= ackEvery || c.untold >= ackBytes }

// probe asks another node, in turn, while the leader owes an answer: it says who leads, and by a later term than the
// session's that the leader is another one by now. Until then the session stays where it is.
func (c *Client) probe() {
	c.probeNs = c.nowNs + c.o.SilenceNs/20
	at := c.nextNode()
	b := c.buffer()
	if b == nil || at == c.peer {
		return
	}
	c.stats.Probes++
	c.sendTo(wire.DatagramKeepalive, b, c.putReceived(b), at)
}

// tell lets the leader know what responses are here: MESSAGES without a message. KEEPALIVE would have those repeated that are
// on their way.
func (c *Client) tell() {
	if b := c.buffer(); b != nil {
		c.send(wire.DatagramMessages, b, c.putReceived(b))
		c.sentNs, c.told, c.untold = c.nowNs, c.received, 0
	}
}

func (c *Client) sendKeepalive() {
	if b := c.buffer(); b != nil {
		c.send(wire.DatagramKeepalive, b, c.putReceived(b))
		c.toLeader()
	}
}

// burst is how many datagrams of messages one turn sends, so that a receiver's buffers have a chance; more in the next.
const burst = 64

// leastPart is how much room there must be for a part of a message, beyond headers; else it goes into the next datagram.
const leastPart = 64

// transmit packs every message that is to be sent and not yet beyond what the cluster grants.
func (c *Client) transmit() {
	if c.state != stateConnected || c.nowNs < c.pausedNs {
		return
	}
	w := &c.window
	if c.cursor < w.oldest {
		c.cursor, c.offset = w.oldest, 0
	}
	until := min(w.next, w.oldest+c.granted)
	var b []byte
	used := 0
	for left := burst; c.cursor < until && left > 0; {
		m := w.open(c.cursor)
		if m == nil || c.offset == 0 && !c.dueAgain(m) {
			c.cursor, c.offset = c.cursor+1, 0
			continue
		}
		if b == nil {
			if b = c.buffer(); b == nil {
				return
			}
			used = c.putReceived(b)
		}
		n, all := c.put(b[wire.DatagramHeaderSize+used:], m)
		used += n
		if !all {
			c.send(wire.DatagramMessages, b, used)
			c.toLeader()
			b = nil
			left--
			continue
		}
		c.stats.Sent++
		if m.sent {
			c.stats.Resent++
		}
		m.sentNs, m.sent = c.nowNs, true
		c.cursor, c.offset = c.cursor+1, 0
	}
	if b != nil {
		c.send(wire.DatagramMessages, b, used)
		c.toLeader()
	}
}

// dueAgain says whether a message is to be sent, at first or once more. Of a long one that only waits for its answer the
// end is enough: the leader answers it, or asks for all of it.
func (c *Client) dueAgain(m *message) bool {
	if m.sentNs != 0 && c.nowNs-m.sentNs < c.o.ResendNs || m.sent && simbug.On(simbug.NoResend) {
		return false
	}
	if m.sentNs != 0 && int(m.length) > c.whole {
		c.offset = int(m.length) - c.part
	}
	return true
}

// put packs the message at the cursor, or what fits of one in fragments, and says whether that is all of it; if not, the
// datagram is full.
func (c *Client) put(b []byte, m *message) (n int, all bool) {
	head := wire.Message{Correlation: c.cursor, Kind: m.kind, Levels: m.waiting, Service: m.service, Stages: c.o.Stages}
	payload := c.window.payload(m)
	if len(payload) <= c.whole {
		n = wire.PutMessage(b, &head, payload)
		return n, n > 0
	}
	left := len(payload) - c.offset
	part := min(wire.MessageFragmentRoom(len(b)), left)
	if part < min(leastPart, c.part, left) {
		return 0, false
	}
	head.Kind, head.Fragment = wire.MessageFragment, wire.Fragment{Total: m.length, Offset: uint32(c.offset)}
	n = wire.PutMessage(b, &head, payload[c.offset:c.offset+part])
	c.offset += part
	return n, part == left
}

// back has everything from a message on looked at again, from its first byte, unless it is yet to come.
func (c *Client) back(correlation uint64) {
	if correlation <= c.cursor {
		c.cursor, c.offset = correlation, 0
	}
}

// toLeader notes that the leader was sent something that it answers.
func (c *Client) toLeader() {
	c.sentNs, c.told, c.untold = c.nowNs, c.received, 0
	if c.owedNs == 0 {
		c.owedNs = c.nowNs
	}
}

// putReceived writes what begins every datagram of a session.
func (c *Client) putReceived(b []byte) int {
	head := wire.Messages{Received: c.received}
	return head.Put(b[wire.DatagramHeaderSize:])
}

// buffer returns room for a datagram, or nil, counted, when the transport has none.
func (c *Client) buffer() []byte {
	b := c.port.sender.Next()
	if b == nil {
		c.stats.TransmitFull++
	}
	return b
}

// send completes the datagram in b, whose body of n bytes is in place.
func (c *Client) send(kind wire.DatagramKind, b []byte, n int) { c.sendTo(kind, b, n, c.peer) }

func (c *Client) sendTo(kind wire.DatagramKind, b []byte, n int, to transport.Addr) {
	n += wire.DatagramHeaderSize
	h := wire.Header{Kind: kind, Cluster: c.o.Cluster, Sender: uint64(c.session), Term: c.term}
	wire.Seal(b[:n], &h)
	c.port.sender.Commit(n, to)
}
