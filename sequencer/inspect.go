package sequencer

import (
	"lockstep/transport"
	"lockstep/wire"
)

// SessionInfo is what a leader knows of a session beyond the log.
type SessionInfo struct {
	Session   wire.SessionID
	State     string         // opening, open, or closing
	Addr      transport.Addr // of its client; zero until the client has proven it to this leader
	Window    uint32
	Sequenced uint64       // correlation of the newest message in the log
	Committed uint64       // of the newest whose record is committed
	Applied   uint64       // of the newest that the service has processed
	Responses uint64       // last one given out
	Received  uint64       // last one the client says it has
	HeardNs   int64        // how long ago the client was heard
	Busy      wire.Refusal // what the client was told when its next message was not taken; none since one was
}

var sessionStates = [...]string{sessionFree: "free", sessionOpening: "opening", sessionOpen: "open",
	sessionClosing: "closing", sessionClosed: "closed"}

// String is the state's name.
func (x sessionState) String() string { return sessionStates[x] }

// Sessions describes sessions from a slot on, at most so many slots of them, and appends them to out. It returns where to
// go on, 0 at the end. None while this node does not lead. On the sequencer's thread; cold.
func (s *Sequencer) Sessions(nowNs int64, from, most int, out []SessionInfo) (next int, _ []SessionInfo) {
	until := min(from+most, len(s.table.slots))
	for i := from; i < until && s.leading; i++ {
		if x := &s.table.slots[i]; x.state != sessionFree && x.state != sessionClosed {
			out = append(out, x.info(nowNs))
		}
	}
	if until == len(s.table.slots) || !s.leading {
		until = 0
	}
	return until, out
}

// Session describes one session; false when this node does not lead or does not know it.
func (s *Sequencer) Session(nowNs int64, id wire.SessionID) (SessionInfo, bool) {
	x := s.table.find(id)
	if !s.leading || x == nil {
		return SessionInfo{}, false
	}
	return x.info(nowNs), true
}

func (x *session) info(nowNs int64) SessionInfo {
	i := SessionInfo{
		Session: x.id, State: x.state.String(), Window: x.window, Sequenced: x.next - 1,
		Committed: x.committed, Applied: x.applied, Responses: x.responses, Received: x.received, HeardNs: nowNs - x.heardNs,
	}
	if x.proven {
		i.Addr = x.addr
	}
	if x.busy {
		i.Busy = x.why
	}
	return i
}
