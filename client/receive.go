package client

import (
	"lockstep/internal/simbug"
	"lockstep/transport"
	"lockstep/wire"
)

// dropped counts a datagram that is not the cluster's.
func (c *Client) dropped() { c.stats.Dropped++ }

// take takes what the node being spoken to sends, and what others say while that one is silent.
func (c *Client) take(h *wire.Header, body []byte, from transport.Addr) {
	switch {
	case c.state == stateClosed:
		c.stats.Dropped++
		return
	case from != c.peer:
		c.onProbed(h, body, from)
		return
	}
	switch h.Kind {
	case wire.DatagramChallenge:
		c.onChallenge(body)
	case wire.DatagramAccept:
		c.onAccept(body)
	case wire.DatagramReject:
		c.onReject(body)
	case wire.DatagramRedirect:
		c.onRedirect(body)
	case wire.DatagramAnswers:
		c.onAnswers(h, body)
	}
}

// onAnswers takes a datagram of acknowledgements and responses.
func (c *Client) onAnswers(h *wire.Header, body []byte) {
	var head wire.Answers
	inSession := c.state == stateConnected || c.state == stateClosing
	if c.state == stateProving && c.session != 0 && head.Decode(body) && head.Session == c.session {
		c.resumedTooLate(&head, body[wire.AnswersHeaderSize:])
		return
	}
	foreign := !head.Decode(body) || head.Session != c.session && !simbug.On(simbug.AnswersOfAnySession)
	if foreign || !inSession || h.Term != c.term || head.Committed >= c.window.next {
		c.stats.Stale++
		return
	}
	c.owedNs = 0
	var a wire.Answer
	rest := body[wire.AnswersHeaderSize:]
	for len(rest) > 0 {
		payload, behind, ok := wire.NextAnswer(rest, &a)
		if !ok {
			c.stats.Dropped++
			break
		}
		rest = behind
		switch a.Kind {
		case wire.AnswerAck:
			c.acknowledge(&a, a.Level)
		case wire.AnswerRefused:
			c.refused(&a)
		case wire.AnswerResponse:
			c.onResponse(&a, payload)
		case wire.AnswerFragment:
			c.onFragment(&a, payload)
		case wire.AnswerBusy:
			c.onBusy(&a)
		case wire.AnswerGap:
			c.onGap(&a)
		case wire.AnswerClosed:
			c.window.commit(head.Committed)
			c.closed(Event{Code: a.Code, Settled: true, Applied: a.Correlation})
			return
		}
	}
	c.window.commit(head.Committed)
	if c.window.advance() {
		c.movedNs, c.resendNs = c.nowNs, c.o.ResendNs
		c.busyNs = 0
	}
}

// resumedTooLate takes what a leader says of a session that was to be resumed and is over. That is final, whoever says it.
func (c *Client) resumedTooLate(head *wire.Answers, rest []byte) {
	var a wire.Answer
	if _, _, ok := wire.NextAnswer(rest, &a); !ok || a.Kind != wire.AnswerClosed || head.Committed >= c.window.next {
		c.stats.Stale++
		return
	}
	c.window.commit(head.Committed)
	c.closed(Event{Code: a.Code, Settled: true, Applied: a.Correlation})
}

// acknowledge hands out an acknowledgement that is waited for. Those below its level are done with as well.
func (c *Client) acknowledge(a *wire.Answer, level wire.Level) {
	m := c.window.open(a.Correlation)
	if m == nil || !m.waiting.Has(level) {
		return
	}
	m.waiting &^= 2<<level - 1
	c.handOut(a, level)
}

// refused hands out that a message was refused for good. It waits for nothing else then.
func (c *Client) refused(a *wire.Answer) {
	m := c.window.open(a.Correlation)
	if m == nil || m.refused {
		return
	}
	m.refused, m.waiting = true, 0
	c.handOut(a, wire.LevelNone)
}

func (c *Client) handOut(a *wire.Answer, level wire.Level) {
	c.stats.Acks++
	c.handler.OnAck(Ack{
		Level: level, Code: a.Code, Term: c.term, Correlation: a.Correlation,
		Sequence: a.Sequence, Position: a.Position, Timestamp: a.Timestamp, Stages: a.Stages,
	})
}

// onBusy waits, longer each time, and then sends everything from the message named again.
func (c *Client) onBusy(a *wire.Answer) {
	if c.window.open(a.Correlation) == nil {
		return
	}
	c.stats.Busy++
	c.stats.BusyCode = a.Code
	if c.nowNs < c.pausedNs {
		return
	}
	c.busyNs = min(max(2*c.busyNs, c.o.ResendNs/16), c.o.ResendMaxNs)
	c.pausedNs = c.nowNs + c.busyNs/2 + c.rng.Int64N(c.busyNs/2+1)
	c.window.again(a.Correlation, c.cursor+1)
	c.back(a.Correlation)
}

// onGap sends everything from the message that the leader misses again, but for what is there of it.
func (c *Client) onGap(a *wire.Answer) {
	m := c.window.open(a.Correlation)
	if m == nil {
		return
	}
	there := 0
	if int(m.length) > c.whole && a.Position < wire.Position(m.length) {
		there = int(a.Position) &^ 7
	}
	if a.Correlation > c.cursor || a.Correlation == c.cursor && c.offset <= there {
		return // it is to come
	}
	c.stats.Gaps++
	c.window.again(a.Correlation, c.cursor+1)
	c.back(a.Correlation)
	c.offset = there
}
