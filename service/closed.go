package service

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// ClosedSessions is how many sessions that are over a driver remembers: the newest, whatever the limits.
const ClosedSessions = 4096

// closedSession is how a session ended.
type closedSession struct {
	id          wire.SessionID
	token       uint64
	correlation uint64 // of the last message applied
	response    uint64 // the last one given out
	timestamp   uint64 // of the record that closed it
	code        wire.Refusal
}

// closedSessions remembers the newest sessions that are over: whoever leads can tell their clients how they ended, and a
// request to open one of them that comes late is not carried out as a new one. It is part of the state, and depends on
// the log only. A ring, which takes memory as it fills.
type closedSessions struct {
	list    []closedSession
	count   uint64            // of all there ever were
	byToken map[uint64]uint64 // their numbers, counted from 0
}

func newClosedSessions() closedSessions { return closedSessions{byToken: map[uint64]uint64{}} }

func (c *closedSessions) reset() {
	clear(c.byToken)
	c.list, c.count = c.list[:0], 0
}

func (c *closedSessions) add(x *closedSession) {
	if c.count < ClosedSessions {
		c.list = append(c.list, *x)
	} else {
		at := c.at(c.count)
		if c.byToken[at.token] == c.count-ClosedSessions {
			delete(c.byToken, at.token)
		}
		*at = *x
	}
	c.byToken[x.token] = c.count
	c.count++
}

// first is the number of the oldest that is remembered.
func (c *closedSessions) first() uint64 { return c.count - min(c.count, ClosedSessions) }

func (c *closedSessions) at(n uint64) *closedSession { return &c.list[n%ClosedSessions] }

// find returns the session that is over and had this token, or nil.
func (c *closedSessions) find(token uint64) *closedSession {
	if n, ok := c.byToken[token]; ok {
		return c.at(n)
	}
	return nil
}

// hash takes all that is remembered into h.
func (c *closedSessions) hash(h uint64) uint64 {
	h = Mix(h, c.count-c.first())
	for n := c.first(); n < c.count; n++ {
		x := c.at(n)
		h = Mix(Mix(Mix(h, uint64(x.id)), x.token), x.correlation)
		h = Mix(Mix(Mix(h, x.response), x.timestamp), uint64(x.code))
	}
	return h
}

// sendClosed writes what is left of the sessions that are over.
func (d *Driver) sendClosed() bool {
	for ; d.ended < d.closed.count; d.ended++ {
		b := d.claim(0)
		if b == nil {
			return false
		}
		x := d.closed.at(d.ended)
		head := Egress{
			Kind: EgressEnded, Term: d.term, Session: x.id, Token: x.token, Code: x.code,
			Correlation: x.correlation, Response: x.response, Timestamp: x.timestamp,
		}
		head.Put(b)
		d.commit()
	}
	return true
}

func (w *chunkWriter) closed(c *closedSessions) {
	w.uint32(uint32(c.count - c.first()))
	for n := c.first(); n < c.count; n++ {
		x := c.at(n)
		w.uint64(uint64(x.id))
		w.uint64(x.token)
		w.uint64(x.correlation)
		w.uint64(x.response)
		w.uint64(x.timestamp)
		w.uint16(uint16(x.code))
	}
}

// closed reads the sessions that are over, in the order in which they ended.
func (r *chunkReader) closed(d *Driver, last uint64) {
	n := r.uint32()
	if n > ClosedSessions {
		r.fail("%d sessions that are over, and %d are remembered", n, ClosedSessions)
	}
	before := uint64(0)
	for i := uint32(0); i < n && r.err == nil; i++ {
		x := closedSession{
			id: wire.SessionID(r.uint64()), token: r.uint64(), correlation: r.uint64(), response: r.uint64(),
			timestamp: r.uint64(), code: wire.Refusal(r.uint16()),
		}
		if x.id == 0 || d.table.find(x.id) != nil || x.timestamp < before || x.timestamp > last {
			r.fail("session %x ended at %d, behind one that did at %d", x.id, x.timestamp, before)
			return
		}
		before = x.timestamp
		if !simbug.On(simbug.ForgetClosed) {
			d.closed.add(&x)
		}
	}
}
