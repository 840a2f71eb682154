package service

import (
	"encoding/binary"

	"lockstep/wire"
)

// EgressKind says what an egress message tells the ingress.
type EgressKind uint8

// The kinds. The comment names the fields that count; Term is set in all of them.
const (
	// EgressResponse is a numbered response; its payload follows. Session, Service, Correlation (0 when no message
	// of this session asked for it), Last (the last one that its message causes), Response, Acked, Sequence,
	// Position, Timestamp.
	EgressResponse EgressKind = 1 + iota
	// EgressApplied: a message was applied and has no response. Session, Service, Correlation, Code (of a message that
	// was refused for good), Sequence, Position, Timestamp.
	EgressApplied
	// EgressOpened: a session-open record was applied; the client's name follows. Session, Token, Window, Sequence,
	// Position, Timestamp.
	EgressOpened
	// EgressClosed: a session is closed, or was refused when it opened, or is unknown. Session, Token (0 when
	// unknown), Code, Correlation (last applied), Response (last given out), Sequence, Position, Timestamp.
	EgressClosed
	// EgressSession is one session of the dump; the client's name follows. Session, Token, Window, Correlation (last
	// applied), Response (last given out), Acked.
	EgressSession
	// EgressRefused is a message of the session dumped before it that took no effect. Session, Correlation, Code.
	EgressRefused
	// EgressPlace is where one of the newest messages stands, of a session that was dumped before: of each session the
	// last ones, in their order. Session, Correlation, Sequence, Position, Timestamp.
	EgressPlace
	// EgressTimer is a timer that was set, or, in the dump, is pending. Service, Correlation (its id), Response (its
	// deadline).
	EgressTimer
	// EgressTimerCanceled is a timer that was taken back. Service, Correlation (its id), Response (its deadline).
	EgressTimerCanceled
	// EgressReady ends the dump: from here on the ingress's tables are complete. Position (end of the last record
	// applied).
	EgressReady
	// EgressEnded is a session that is over, in the dump: the newest ones, in the order in which they ended. Session, Token,
	// Code, Correlation (last applied), Response (last given out), Timestamp (of the record that closed it).
	EgressEnded
	// EgressAcked: an acks record was applied. Session, Acked, Kept.
	EgressAcked
)

// Egress is the header of a message from the driver to the ingress. Position is the one of the record's header (its
// first byte), but for EgressReady.
type Egress struct {
	Kind        EgressKind
	Last        bool
	Code        wire.Refusal
	Service     uint16
	Window      uint32
	Term        wire.Term // of the CommandLead under which it was written: an ingress drops those of an older term
	Session     wire.SessionID
	Token       uint64
	Correlation uint64
	Sequence    uint64
	Position    wire.Position
	Timestamp   uint64
	Response    uint64 // number of the response within its session
	Acked       uint64 // last response that the client has acknowledged in the log

	// What is kept for the session, and what one of its messages has caused of late: responses to itself, and bytes of
	// them. Of Response, Applied, Session and Acked.
	Kept    uint64 // bytes of responses, of those behind Acked
	Largest uint32 // bytes for one message, a maximum that fades
	Most    uint32 // responses for one message, likewise; 0: nothing is known yet
}

// EgressHeaderSize is the length of an encoded Egress; the payload follows.
const EgressHeaderSize = 96

// Layout, little-endian: 0 kind, 1 last, 2 code, 4 service, 6 zero, 8 window, 12 term, 16 session, 24 token,
// 32 correlation, 40 sequence, 48 position, 56 timestamp, 64 response, 72 acked, 80 kept, 88 largest, 92 most. It never leaves the process.

// Put writes the header to b, which is at least EgressHeaderSize long, and returns its length.
func (e *Egress) Put(b []byte) int {
	b = b[:EgressHeaderSize:EgressHeaderSize]
	last := byte(0)
	if e.Last {
		last = 1
	}
	b[0], b[1] = byte(e.Kind), last
	le := binary.LittleEndian
	le.PutUint16(b[2:], uint16(e.Code))
	le.PutUint16(b[4:], e.Service)
	le.PutUint16(b[6:], 0)
	le.PutUint32(b[8:], e.Window)
	le.PutUint32(b[12:], uint32(e.Term))
	le.PutUint64(b[16:], uint64(e.Session))
	le.PutUint64(b[24:], e.Token)
	le.PutUint64(b[32:], e.Correlation)
	le.PutUint64(b[40:], e.Sequence)
	le.PutUint64(b[48:], uint64(e.Position))
	le.PutUint64(b[56:], e.Timestamp)
	le.PutUint64(b[64:], e.Response)
	le.PutUint64(b[72:], e.Acked)
	le.PutUint64(b[80:], e.Kept)
	le.PutUint32(b[88:], e.Largest)
	le.PutUint32(b[92:], e.Most)
	return EgressHeaderSize
}

// Decode reads the header at the start of b and returns the payload behind it, a view of b. It reports false when b
// is too short for a header.
func (e *Egress) Decode(b []byte) (payload []byte, ok bool) {
	if len(b) < EgressHeaderSize {
		return nil, false
	}
	le := binary.LittleEndian
	e.Kind, e.Last = EgressKind(b[0]), b[1] != 0
	e.Code = wire.Refusal(le.Uint16(b[2:]))
	e.Service = le.Uint16(b[4:])
	e.Window = le.Uint32(b[8:])
	e.Term = wire.Term(le.Uint32(b[12:]))
	e.Session = wire.SessionID(le.Uint64(b[16:]))
	e.Token = le.Uint64(b[24:])
	e.Correlation = le.Uint64(b[32:])
	e.Sequence = le.Uint64(b[40:])
	e.Position = wire.Position(le.Uint64(b[48:]))
	e.Timestamp = le.Uint64(b[56:])
	e.Response = le.Uint64(b[64:])
	e.Acked = le.Uint64(b[72:])
	e.Kept = le.Uint64(b[80:])
	e.Largest, e.Most = le.Uint32(b[88:]), le.Uint32(b[92:])
	return b[EgressHeaderSize:], true
}
