package wire

// Refusal is why something a client asked for was not done. The numbers are part of the protocol: a new one is added
// at the end, none changes its meaning. docs/wire.md has the same list.
type Refusal uint16

// The refusals.
const (
	RefusalNone            Refusal = 0
	RefusalMalformed       Refusal = 1
	RefusalProtocolVersion Refusal = 2
	RefusalBadName         Refusal = 3
	RefusalBadNonce        Refusal = 4
	RefusalNotLeader       Refusal = 5
	RefusalUnknownSession  Refusal = 6
	RefusalSessionClosed   Refusal = 7
	RefusalExpired         Refusal = 8
	RefusalSlowConsumer    Refusal = 9
	RefusalTooLong         Refusal = 10
	RefusalUnknownService  Refusal = 11
	RefusalVoided          Refusal = 12
	RefusalBusyWindow      Refusal = 13
	RefusalBusyLog         Refusal = 14
	RefusalBusySessions    Refusal = 15
	RefusalBusyAcks        Refusal = 16
	RefusalBusyDisk        Refusal = 17
	RefusalBusyStarting    Refusal = 18
	RefusalBusyHalted      Refusal = 19
	RefusalBusyDiverged    Refusal = 20
	RefusalSkipped         Refusal = 21
	RefusalBusyHandOver    Refusal = 22
	RefusalBusyConnecting  Refusal = 23
	RefusalBusyRate        Refusal = 24
	RefusalBusyKept        Refusal = 25
	RefusalBusyAssemblies  Refusal = 26

	NumRefusals = 27
)

// refusals holds name and sentence of every refusal.
var refusals = [NumRefusals]struct{ name, sentence string }{
	RefusalNone: {"none",
		"Nothing was refused."},
	RefusalMalformed: {"malformed",
		"The message is not laid out as the protocol says."},
	RefusalProtocolVersion: {"protocol-version",
		"The node does not speak this version of the client protocol."},
	RefusalBadName: {"bad-name",
		"A client name must be 1 to 64 bytes of printable UTF-8."},
	RefusalBadNonce: {"bad-nonce",
		"The nonce is wrong or too old: connect again from this address."},
	RefusalNotLeader: {"not-leader",
		"This node does not lead: ask the leader, or another node."},
	RefusalUnknownSession: {"unknown-session",
		"The cluster knows no such session: it was never opened, or is long closed."},
	RefusalSessionClosed: {"session-closed",
		"The session was closed at the client's request."},
	RefusalExpired: {"expired",
		"The session was closed because nothing was heard from the client for too long."},
	RefusalSlowConsumer: {"slow-consumer",
		"The session was closed because too many responses were left unacknowledged."},
	RefusalTooLong: {"too-long",
		"The message is longer than the cluster's max_message."},
	RefusalUnknownService: {"unknown-service",
		"The cluster runs no service of that number."},
	RefusalVoided: {"voided",
		"The message was not sequenced: a void took its place."},
	RefusalBusyWindow: {"busy-window",
		"The session has as many unanswered messages as its window allows: send again later."},
	RefusalBusyLog: {"busy-log",
		"Too much of the log awaits commitment: send again later."},
	RefusalBusySessions: {"busy-sessions",
		"The cluster has as many sessions as it can hold: connect again later."},
	RefusalBusyAcks: {"busy-acks",
		"The leader has as many acknowledgements pending as it can hold: send again later."},
	RefusalBusyDisk: {"busy-disk",
		"The leader's disk is full or does not answer: send again later."},
	RefusalBusyStarting: {"busy-starting",
		"The leader has just been elected and is not ready yet: send again at once."},
	RefusalBusyHalted: {"busy-halted",
		"A service has halted on the leader: an operator has to see to it; send again later."},
	RefusalBusyDiverged: {"busy-diverged",
		"The nodes disagree about what the services answered: an operator has to see to it; send again later."},
	RefusalSkipped: {"skipped",
		"The record was passed over at an operator's request: it has no effect."},
	RefusalBusyHandOver: {"busy-hand-over",
		"The leader is handing over to another node: send again, to the leader that there is then."},
	RefusalBusyConnecting: {"busy-connecting",
		"More clients are connecting than the leader admits at once: connect again later."},
	RefusalBusyRate: {"busy-rate",
		"The session sends more messages per second than it may: send again later."},
	RefusalBusyKept: {"busy-kept",
		"As many responses as may be kept for the session await its acknowledgement: send again later."},
	RefusalBusyAssemblies: {"busy-assemblies",
		"The leader is assembling as many long messages as it can hold: send again later."},
}

// Name is the refusal's name as docs, logs and command lines have it.
func (r Refusal) Name() string {
	if int(r) < len(refusals) {
		return refusals[r].name
	}
	return "unknown-refusal"
}

// Sentence says what the refusal means, for a human.
func (r Refusal) Sentence() string {
	if int(r) < len(refusals) {
		return refusals[r].sentence
	}
	return "The node gave a reason that this version does not know."
}

// String is the name.
func (r Refusal) String() string { return r.Name() }

// Busy says whether the same can simply be tried again later: nothing was consumed.
func (r Refusal) Busy() bool {
	return r >= RefusalBusyWindow && r <= RefusalBusyDiverged ||
		r >= RefusalBusyHandOver && r <= RefusalBusyAssemblies
}

// Ending is what a client is told of a session that ended for r: RefusalSessionClosed where r names no reason, as its
// client asked for it.
func (r Refusal) Ending() Refusal {
	if r == RefusalNone {
		return RefusalSessionClosed
	}
	return r
}
