package client

import "math"

// DueNs is when Poll next has something to do of itself, if nothing arrives and nothing is sent before; it may be past.
// Who polls when a datagram has arrived, after Send, Void and Close, and at that time, misses nothing. Nanoseconds of
// the clock that Poll is given; the largest int64 when the session is over.
func (c *Client) DueNs() int64 {
	switch c.state {
	case stateIdle:
		return 0
	case stateConnecting, stateProving:
		return min(c.retryNs, c.attemptNs+c.o.ConnectTimeoutNs, c.doubtNs(), c.giveUpNs())
	case stateConnected:
		return min(c.connectedDueNs(), c.doubtNs())
	case stateClosing:
		return min(c.retryNs, c.closingNs+c.o.SilenceNs+1)
	}
	return math.MaxInt64
}

// connectedDueNs mirrors watch and transmit.
func (c *Client) connectedDueNs() int64 {
	if c.toTell() {
		return 0
	}
	due := c.sentNs + c.keepaliveNs()
	if c.owedNs != 0 {
		due = min(due, c.owedNs+c.o.SilenceNs, max(c.owedNs+c.o.SilenceNs/4, c.probeNs))
	}
	if w := &c.window; w.oldest < w.next {
		due = min(due, max(c.movedNs+c.resendNs, c.pausedNs))
		if max(c.cursor, w.oldest) < min(w.next, w.oldest+c.granted) {
			due = min(due, c.pausedNs) // 0 but for a pause
		}
	}
	return due
}
