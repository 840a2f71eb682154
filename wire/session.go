package wire

import (
	"unicode"
	"unicode/utf8"

	"lockstep/wire/fb"
)

// Sizes of the bodies of session set-up, in bytes; of Connect and Prove without the name.
const (
	ConnectSize   = 32
	ChallengeSize = 16
	ProveSize     = 40
	AcceptSize    = 56
	RejectSize    = 24
	RedirectSize  = 32
	// MaxName is the longest client name, in bytes.
	MaxName = 64
)

// ValidName says whether a client may have this name: 1 to MaxName bytes of printable UTF-8.
func ValidName(name []byte) bool {
	if len(name) == 0 || len(name) > MaxName || !utf8.Valid(name) {
		return false
	}
	for len(name) > 0 {
		r, n := utf8.DecodeRune(name)
		if !unicode.IsPrint(r) {
			return false
		}
		name = name[n:]
	}
	return true
}

// Connect asks for a session, or to go on with one.
type Connect struct {
	Token    uint64    // random, chosen by the client, the same on every retry
	Session  SessionID // 0 for a new one, else the one to resume
	Received uint64    // last response number received (resume)
	Window   uint32    // messages the client wants to have unanswered
	Protocol uint16    // Protocol
	Name     []byte    // after Decode a view of the datagram; ValidName judges it
}

// Put writes the body, name included. The name is at most 65535 bytes long.
func (x *Connect) Put(b []byte) int {
	var w fb.Connect
	w.Init(b[:ConnectSize], 0)
	w.MutateToken(x.Token)
	w.MutateSession(uint64(x.Session))
	w.MutateReceived(x.Received)
	w.MutateWindow(x.Window)
	w.MutateProtocol(x.Protocol)
	w.MutateNameLength(uint16(len(x.Name)))
	return ConnectSize + copy(b[ConnectSize:ConnectSize+len(x.Name)], x.Name)
}

// Decode reads the body; the name must fill the rest of it.
func (x *Connect) Decode(b []byte) bool {
	if len(b) < ConnectSize {
		return false
	}
	var w fb.Connect
	w.Init(b, 0)
	x.Token = w.Token()
	x.Session = SessionID(w.Session())
	x.Received = w.Received()
	x.Window = w.Window()
	x.Protocol = w.Protocol()
	x.Name = b[ConnectSize:]
	return len(x.Name) == int(w.NameLength())
}

// Prove is Connect again, with the nonce of the challenge.
type Prove struct {
	Token    uint64
	Nonce    uint64
	Session  SessionID
	Received uint64
	Window   uint32
	Protocol uint16
	Name     []byte // after Decode a view of the datagram
}

// Put writes the body, name included.
func (x *Prove) Put(b []byte) int {
	var w fb.Prove
	w.Init(b[:ProveSize], 0)
	w.MutateToken(x.Token)
	w.MutateNonce(x.Nonce)
	w.MutateSession(uint64(x.Session))
	w.MutateReceived(x.Received)
	w.MutateWindow(x.Window)
	w.MutateProtocol(x.Protocol)
	w.MutateNameLength(uint16(len(x.Name)))
	return ProveSize + copy(b[ProveSize:ProveSize+len(x.Name)], x.Name)
}

// Decode reads the body; the name must fill the rest of it.
func (x *Prove) Decode(b []byte) bool {
	if len(b) < ProveSize {
		return false
	}
	var w fb.Prove
	w.Init(b, 0)
	x.Token = w.Token()
	x.Nonce = w.Nonce()
	x.Session = SessionID(w.Session())
	x.Received = w.Received()
	x.Window = w.Window()
	x.Protocol = w.Protocol()
	x.Name = b[ProveSize:]
	return len(x.Name) == int(w.NameLength())
}

// Challenge makes the client prove that it has the address it sends from.
type Challenge struct {
	Token uint64 // as in CONNECT
	Nonce uint64 // to be given back in PROVE, from the same address
}

// Put writes the body.
func (x *Challenge) Put(b []byte) int {
	var w fb.Challenge
	w.Init(b[:ChallengeSize], 0)
	w.MutateToken(x.Token)
	w.MutateNonce(x.Nonce)
	return ChallengeSize
}

// Decode reads the body.
func (x *Challenge) Decode(b []byte) bool {
	if len(b) < ChallengeSize {
		return false
	}
	var w fb.Challenge
	w.Init(b, 0)
	x.Token = w.Token()
	x.Nonce = w.Nonce()
	return true
}

// Accept says that the session is open: its record is committed and applied.
type Accept struct {
	Token       uint64
	Session     SessionID
	Correlation uint64 // last one that is committed: the client goes on with the next
	Response    uint64 // last response number given out
	Leader      NodeID
	Term        Term
	Window      uint32 // granted: messages the client may have unanswered
	MaxMessage  uint32 // longest payload, bytes
	SilenceMs   uint32 // of silence after which the leader closes the session
}

// Put writes the body.
func (x *Accept) Put(b []byte) int {
	var w fb.Accept
	w.Init(b[:AcceptSize], 0)
	w.MutateToken(x.Token)
	w.MutateSession(uint64(x.Session))
	w.MutateCorrelation(x.Correlation)
	w.MutateResponse(x.Response)
	w.MutateLeader(uint32(x.Leader))
	w.MutateTerm(uint32(x.Term))
	w.MutateWindow(x.Window)
	w.MutateMaxMessage(x.MaxMessage)
	w.MutateSilenceMs(x.SilenceMs)
	w.MutateReserved(0)
	return AcceptSize
}

// Decode reads the body.
func (x *Accept) Decode(b []byte) bool {
	if len(b) < AcceptSize {
		return false
	}
	var w fb.Accept
	w.Init(b, 0)
	x.Token = w.Token()
	x.Session = SessionID(w.Session())
	x.Correlation = w.Correlation()
	x.Response = w.Response()
	x.Leader = NodeID(w.Leader())
	x.Term = Term(w.Term())
	x.Window = w.Window()
	x.MaxMessage = w.MaxMessage()
	x.SilenceMs = w.SilenceMs()
	return x.Session != 0 && x.Leader.Valid() && w.Reserved() == 0
}

// Reject says why there is no session, or no longer one.
type Reject struct {
	Token   uint64    // of the CONNECT or PROVE it answers; 0 else
	Session SessionID // the one it speaks of; 0 when none
	Code    Refusal
}

// Put writes the body.
func (x *Reject) Put(b []byte) int {
	var w fb.Reject
	w.Init(b[:RejectSize], 0)
	w.MutateToken(x.Token)
	w.MutateSession(uint64(x.Session))
	w.MutateCode(uint16(x.Code))
	w.MutateReserved0(0)
	w.MutateReserved1(0)
	return RejectSize
}

// Decode reads the body. A code that this version does not know is taken: a newer node may give one.
func (x *Reject) Decode(b []byte) bool {
	if len(b) < RejectSize {
		return false
	}
	var w fb.Reject
	w.Init(b, 0)
	x.Token = w.Token()
	x.Session = SessionID(w.Session())
	x.Code = Refusal(w.Code())
	return w.Reserved0() == 0 && w.Reserved1() == 0
}

// Redirect says where the leader is.
type Redirect struct {
	Token   uint64    // of the CONNECT or PROVE it answers; 0 else
	Session SessionID // the one it speaks of; 0 when none
	Leader  NodeID    // 0 when nobody is known to lead
	IP      [4]byte   // IPv4 address, in the usual order
	Port    uint16
	Term    Term
}

// Put writes the body.
func (x *Redirect) Put(b []byte) int {
	var w fb.Redirect
	w.Init(b[:RedirectSize], 0)
	w.MutateToken(x.Token)
	w.MutateSession(uint64(x.Session))
	w.MutateLeader(uint32(x.Leader))
	w.MutateIp(uint32(x.IP[0]) | uint32(x.IP[1])<<8 | uint32(x.IP[2])<<16 | uint32(x.IP[3])<<24)
	w.MutatePort(x.Port)
	w.MutateReserved0(0)
	w.MutateTerm(uint32(x.Term))
	return RedirectSize
}

// Decode reads the body.
func (x *Redirect) Decode(b []byte) bool {
	if len(b) < RedirectSize {
		return false
	}
	var w fb.Redirect
	w.Init(b, 0)
	x.Token = w.Token()
	x.Session = SessionID(w.Session())
	x.Leader = NodeID(w.Leader())
	ip := w.Ip()
	x.IP = [4]byte{byte(ip), byte(ip >> 8), byte(ip >> 16), byte(ip >> 24)}
	x.Port = w.Port()
	x.Term = Term(w.Term())
	return x.Leader <= MaxNodes && w.Reserved0() == 0
}
