package client

import "lockstep/wire"

// Ack says that a message has reached a guarantee level; with a Code, that it was refused for good or voided.
type Ack struct {
	Level       wire.Level   // LevelNone when refused for good
	Code        wire.Refusal // RefusalNone, or why the message is not in the log
	Term        wire.Term    // of the leader that says so
	Correlation uint64       // of the message
	// Where the message stands in the log. All three are 0 when the leader knows only that it is there: when it was
	// sequenced under an earlier leader, has no response, and is not among the newest 1024 messages that this one had
	// applied when it took over.
	Sequence  uint64 // number of its record, from 1
	Position  wire.Position
	Timestamp uint64 // ns since the Unix epoch
	// Stages are where the message's time went on the leader, if Options.Stages asked and the leader knows: see
	// Stages.Known. What is left of the round trip the leader cannot see.
	Stages wire.Stages
}

// Response is something that a service answered.
type Response struct {
	Number      uint64 // within the session, dense from 1
	Correlation uint64 // the message that caused it; 0: none of this session
	Last        bool   // the last one that its message causes
	Service     uint16 // the service that answered
	Sequence    uint64 // of the record that caused it
	Position    wire.Position
	Timestamp   uint64
	Payload     []byte // a view: good during the call only
}

// EventKind says what has happened to the session.
type EventKind uint8

// The events.
const (
	// EventConnected: the session is open, or goes on, with the Leader of Term.
	EventConnected EventKind = 1 + iota
	// EventDisconnected: the leader is silent, or leads no more. The others are being tried; nothing is lost.
	EventDisconnected
	// EventLeaderChanged: the session goes on with another Leader, or in a later Term, than before. It follows
	// EventConnected.
	EventLeaderChanged
	// EventClosed: the session is over, for Code. RefusalNone: it was closed here and the cluster did not confirm it, or
	// no node has let it go on for Options.GiveUpNs. The messages First to Last, if First is not 0, have an unknown
	// outcome; with Settled, those up to Applied took effect, and those beyond never will.
	EventClosed
	// EventUnknown: the messages First to Last have been open for Options.OutcomeNs, and nobody can tell yet what
	// becomes of them. Each is reported once. The client goes on sending them: acknowledgements may still come, and
	// Void settles them.
	EventUnknown
)

// String is the event's name.
func (k EventKind) String() string {
	switch k {
	case EventConnected:
		return "connected"
	case EventDisconnected:
		return "disconnected"
	case EventLeaderChanged:
		return "leader-changed"
	case EventClosed:
		return "closed"
	case EventUnknown:
		return "unknown"
	}
	return "unknown event"
}

// Event is a change of the session.
type Event struct {
	Kind        EventKind
	Code        wire.Refusal
	Settled     bool
	Leader      wire.NodeID
	Term        wire.Term
	Session     wire.SessionID // 0 when none was opened
	First, Last uint64         // correlations
	Applied     uint64         // correlation
}

// Handler is told what happens, on the thread that calls Poll, inside Poll (and EventClosed inside Close, where nothing
// has to be awaited). It may call Send, Void and Close.
type Handler interface {
	OnAck(Ack)
	OnResponse(Response)
	OnEvent(Event)
}

// Stats count what a client did and met with.
type Stats struct {
	Sent         uint64       // messages put into datagrams, repeats included
	Resent       uint64       // of these, repeats
	Acks         uint64       // handed to the handler
	Responses    uint64       // handed to the handler
	Duplicates   uint64       // responses, and parts of them, that had been handed out before
	Holes        uint64       // responses, and parts of them, that came ahead of a missing one, and were dropped until it comes
	Gaps         uint64       // times that the leader missed a message
	Busy         uint64       // times that the leader was busy
	BusyCode     wire.Refusal // why it last was
	Disconnects  uint64
	Probes       uint64 // times that another node was asked who leads, because the leader owed an answer
	Dropped      uint64 // datagrams that were not the cluster's, or from somebody else than the node being spoken to
	Stale        uint64 // datagrams of an older term, or of an earlier attempt to connect
	TransmitFull uint64 // times that the transport had no room
}
