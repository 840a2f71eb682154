package client

import "math"

// A client waits for nothing without end: it says when it does not know what becomes of a message, and it gives up when
// there is nobody to speak to.

// doubt tells the handler of the messages that have been open for too long, each once.
func (c *Client) doubt() {
	w := &c.window
	for c.nowNs >= c.doubtNs() {
		e := Event{Kind: EventUnknown}
		for ; c.nowNs >= c.doubtNs(); c.doubted++ {
			n := c.doubted + 1
			if m := w.open(n); m == nil || m.refused {
				break
			}
			if e.First == 0 {
				e.First = n
			}
			e.Last = n
		}
		if e.First == 0 {
			c.doubted++ // that one is settled, only older ones are not
			continue
		}
		c.event(e)
	}
}

// doubtNs is when the next message is due to be reported; the largest int64 when none is.
func (c *Client) doubtNs() int64 {
	w := &c.window
	c.doubted = max(c.doubted, w.oldest-1)
	if c.o.OutcomeNs < 0 || c.state >= stateClosing || c.doubted+1 >= w.next {
		return math.MaxInt64
	}
	return w.at(c.doubted+1).bornNs + c.o.OutcomeNs
}

// giveUpNs is when the session ends if no node lets it go on before.
func (c *Client) giveUpNs() int64 {
	if c.o.GiveUpNs < 0 {
		return math.MaxInt64
	}
	return c.severedNs + c.o.GiveUpNs
}
