package client

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// awaited says whether a response, or a part of one, is of the next one. One that comes ahead of a missing one is
// dropped, and that one asked for.
func (c *Client) awaited(a *wire.Answer) bool {
	switch {
	case a.Response <= c.received && !(simbug.On(simbug.RepeatResponses) && a.Response == c.received):
		c.stats.Duplicates++
		return false
	case a.Response > c.received+1:
		c.hole()
		return false
	}
	return true
}

// hole asks for everything that is not received yet, once in a while: the leader then repeats it.
func (c *Client) hole() {
	c.stats.Holes++
	if c.askedNs == 0 || c.nowNs-c.askedNs >= c.o.ResendNs/4 {
		c.askedNs = c.nowNs
		c.sendKeepalive()
	}
}

// onResponse takes a response in one piece.
func (c *Client) onResponse(a *wire.Answer, payload []byte) {
	if c.awaited(a) {
		c.respond(a, payload)
	}
}

// onFragment takes a part of a response, and hands the response out when it is whole.
func (c *Client) onFragment(a *wire.Answer, part []byte) {
	f := &a.Fragment
	switch {
	case f.Total > wire.MaxMessage:
		c.stats.Dropped++
		return
	case !c.awaited(a):
		return
	}
	r := &c.response
	if c.assembling != a.Response || r.Total() != f.Total {
		c.assembling = a.Response
		r.Begin(f.Total, 0)
	}
	if !r.Add(f.Offset, part) {
		c.stats.Duplicates++
	}
	switch {
	case r.Whole():
		c.assembling = 0
		c.respond(a, r.Payload())
	case f.Offset > r.Have():
		c.hole()
	}
}

// respond hands out the next response.
func (c *Client) respond(a *wire.Answer, payload []byte) {
	c.received++
	c.beatNs = beatNs // if the next one gets lost, the cluster is asked soon
	c.untold += len(payload)
	c.stats.Responses++
	last := a.Level == wire.LevelApplied
	c.handler.OnResponse(Response{
		Number: a.Response, Correlation: a.Correlation, Last: last, Service: a.Service,
		Sequence: a.Sequence, Position: a.Position, Timestamp: a.Timestamp, Payload: payload,
	})
	if last && a.Correlation != 0 {
		c.acknowledge(a, wire.LevelApplied)
	}
}
