package service

import "lockstep/wire"

// CommandKind says what the ingress wants of the driver.
type CommandKind uint8

// The commands.
const (
	// CommandLead (Term, Position): this node leads Term, and its own term record ends at Position. When that is
	// applied, the driver dumps all sessions in ascending order of their ids (EgressSession, each followed by its
	// EgressRefused), the newest sessions that are over (EgressEnded), where the newest messages stand (EgressPlace) and
	// all timers (EgressTimer), then writes EgressReady, then whatever it applies.
	CommandLead CommandKind = 1 + iota
	// CommandResign: nobody reads the egress any more; what was not yet written is dropped.
	CommandResign
	// CommandReplay (Session, Response) repeats the responses that are kept, from number Response on, with the numbers
	// they have. An unknown session gives EgressClosed with RefusalUnknownSession.
	CommandReplay
)

// Command is an order of the ingress to the driver, through an SPSC ring. Only the fields that its kind names count.
type Command struct {
	Kind     CommandKind
	Term     wire.Term
	Position wire.Position
	Session  wire.SessionID
	Response uint64
}
