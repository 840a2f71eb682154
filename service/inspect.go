package service

import (
	"context"
	"errors"
	"sync/atomic"

	"lockstep/wire"
)

// SessionInfo is what the log says about a session, as far as this node has applied it.
type SessionInfo struct {
	Session   wire.SessionID
	Closed    wire.Refusal // how it ended, if it has; then only Applied and Responses are known beside it
	Name      string
	Window    uint32
	Applied   uint64 // correlation of the last message applied
	Refused   uint64 // messages that took no effect
	Responses uint64 // last one given out
	Acked     uint64 // last one that the log says the client has
	Kept      int    // responses kept for it
	KeptBytes int    // of their payloads
}

// ErrInspecting says that somebody else is looking at the sessions.
var ErrInspecting = errors.New("service: another request looks at the sessions: ask again")

// inspectedAtOnce bounds how many sessions are described in one DoWork: records must not wait for people.
const inspectedAtOnce = 256

// inspection is a question about sessions, from any goroutine to the driver's thread.
type inspection struct {
	one  wire.SessionID // 0: all
	done chan []SessionInfo

	// Of the driver's thread.
	begun bool
	left  []wire.SessionID
	found []SessionInfo
}

// inspections is where the question of the moment stands; it costs one atomic load a DoWork.
type inspections struct{ slot atomic.Pointer[inspection] }

// Sessions describes the open sessions, or one, which may be over if it is one of those remembered. Those that open or close meanwhile may
// be in it or not. Any goroutine. Errors: ErrInspecting, and that of ctx.
func (d *Driver) Sessions(ctx context.Context, one wire.SessionID) ([]SessionInfo, error) {
	q := &inspection{one: one, done: make(chan []SessionInfo, 1)}
	if !d.inspections.slot.CompareAndSwap(nil, q) {
		return nil, ErrInspecting
	}
	select {
	case found := <-q.done:
		return found, nil
	case <-ctx.Done():
		d.inspections.slot.CompareAndSwap(q, nil)
		return nil, context.Cause(ctx)
	}
}

// inspect describes some of the sessions that somebody asks for.
func (d *Driver) inspect() (work int) {
	q := d.inspections.slot.Load()
	if q == nil {
		return 0
	}
	if !q.begun {
		q.begun = true
		q.left = d.sessionIDs(q.one)
		q.found = make([]SessionInfo, 0, len(q.left))
	}
	n := min(len(q.left), inspectedAtOnce)
	for _, id := range q.left[:n] {
		if s := d.table.find(id); s != nil {
			q.found = append(q.found, s.info())
		} else if x := d.closed.byID(id); x != nil && q.one != 0 {
			q.found = append(q.found, SessionInfo{Session: id, Closed: x.code.Ending(), Applied: x.correlation, Responses: x.response})
		}
	}
	if q.left = q.left[n:]; len(q.left) == 0 {
		d.inspections.slot.CompareAndSwap(q, nil) // whoever has the answer may ask again at once
		q.done <- q.found
	}
	return 1
}

// sessionIDs are those of all open sessions, or the one.
func (d *Driver) sessionIDs(one wire.SessionID) []wire.SessionID {
	if one != 0 {
		return []wire.SessionID{one}
	}
	ids := make([]wire.SessionID, 0, d.table.count())
	for id := range d.table.byID {
		ids = append(ids, id)
	}
	return ids
}

// byID finds a session that is over, nil when it is not remembered. Cold: it looks at all of them.
func (c *closedSessions) byID(id wire.SessionID) *closedSession {
	for n := c.count; n > c.first(); n-- {
		if x := c.at(n - 1); x.id == id {
			return x
		}
	}
	return nil
}

// info describes a session.
func (s *session) info() SessionInfo {
	return SessionInfo{Session: s.id, Name: string(s.name), Window: s.window, Applied: s.correlation, Refused: s.refused.count,
		Responses: s.kept.last, Acked: s.kept.acked, Kept: int(s.kept.last - s.kept.acked),
		KeptBytes: int(s.kept.to - s.kept.from)}
}
