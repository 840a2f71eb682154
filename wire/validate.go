package wire

import (
	"hash/crc32"

	"lockstep/wire/fb"
)

// Drop says why a datagram was dropped. Every drop is counted by reason.
type Drop uint8

// The reasons. Validate gives those up to DropBody, in the order it looks at them; the others are for whoever knows
// roles, sessions and queues.
const (
	DropNone        Drop = iota
	DropShort            // shorter than a header
	DropLong             // longer than any datagram
	DropMagic            // not ours
	DropVersion          // another version of the format
	DropKind             // no such kind, or not one for this end
	DropLength           // the body is not as long as the header says
	DropCluster          // of another cluster
	DropCheck            // the check is not that of the bytes: corrupt
	DropSender           // from nobody: not a node of this cluster, or no session
	DropIncarnation      // a node without incarnation, or a client with one
	DropOwn              // our own, come back
	DropBody             // a body that its kind cannot have
	DropSession          // of a session that is not known here
	DropAddress          // of a session that has another address
	DropRole             // not for a node in this role
	DropTerm             // of an older term
	DropRun              // of an earlier run of its sender
	DropFull             // no room between two threads

	NumDrops = 19
)

var dropNames = [NumDrops]string{
	"none", "short", "long", "magic", "version", "kind", "length", "cluster", "crc", "sender", "incarnation", "own",
	"body", "session", "address", "role", "term", "run", "full",
}

// String is the reason's name, as counters have it.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "unknown drop"
}

// Validator holds what a datagram is checked against. One is made per transport end and not changed while in use;
// any number of threads may use it.
type Validator struct {
	Cluster uint64             // cluster id
	Self    NodeID             // this node; 0 for a client
	Nodes   [MaxNodes + 1]bool // which node ids there are; not looked at for a client, which knows nodes by address
}

// bodySize is what a kind's body must be at least, and exactly unless something follows the fixed part.
type bodySize struct {
	fixed uint16
	more  bool
}

var bodySizes = [NumDatagramKinds]bodySize{
	DatagramLog:           {LogHeaderSize, true},
	DatagramStatus:        {StatusSize, false},
	DatagramNak:           {NakSize, false},
	DatagramAlign:         {AlignSize, true},
	DatagramAlignAnswer:   {AlignAnswerSize, false},
	DatagramCanvass:       {BallotSize, false},
	DatagramCanvassAnswer: {BallotAnswerSize, false},
	DatagramVoteRequest:   {BallotSize, false},
	DatagramVote:          {BallotAnswerSize, false},
	DatagramTransfer:      {TransferSize, false},
	DatagramDiverged:      {DivergedSize, false},
	DatagramConnect:       {ConnectSize, true},
	DatagramProve:         {ProveSize, true},
	DatagramMessages:      {MessagesHeaderSize, true},
	DatagramDisconnect:    {MessagesHeaderSize, false},
	DatagramKeepalive:     {MessagesHeaderSize, false},
	DatagramChallenge:     {ChallengeSize, false},
	DatagramAccept:        {AcceptSize, false},
	DatagramReject:        {RejectSize, false},
	DatagramRedirect:      {RedirectSize, false},
	DatagramAnswers:       {AnswersHeaderSize, true},
}

// Validate decides whether the datagram b is taken. On DropNone h is filled and body is a view of what follows the
// header, of the size its kind must have; what is in it is for the kind's Decode. Otherwise body is nil and h is not
// to be looked at. It is the one gate for every transport: nothing else looks at bytes before it.
func (v *Validator) Validate(b []byte, h *Header) (body []byte, d Drop) {
	if len(b) < DatagramHeaderSize {
		return nil, DropShort
	}
	if len(b) > MaxDatagram {
		return nil, DropLong
	}
	var w fb.DatagramHeader
	w.Init(b, 0)
	kind := DatagramKind(w.Kind())
	switch {
	case w.Magic() != Magic:
		return nil, DropMagic
	case w.Version() != Version:
		return nil, DropVersion
	case !v.takes(kind):
		return nil, DropKind
	case int(w.BodyLength()) != len(b)-DatagramHeaderSize:
		return nil, DropLength
	case w.Cluster() != v.Cluster:
		return nil, DropCluster
	case w.Check() != uint64(crc32.Checksum(b[8:], castagnoli)):
		return nil, DropCheck
	}
	h.Kind = kind
	h.Cluster = v.Cluster
	h.Sender = w.Sender()
	h.Incarnation = w.Incarnation()
	h.Run = w.Run()
	h.Term = Term(w.Term())
	if d := v.checkSender(h); d != DropNone {
		return nil, d
	}
	body = b[DatagramHeaderSize:]
	size := bodySizes[kind]
	if len(body) < int(size.fixed) || len(body) > int(size.fixed) && !size.more {
		return nil, DropBody
	}
	return body, DropNone
}

// takes says whether this end takes datagrams of kind k at all.
func (v *Validator) takes(k DatagramKind) bool {
	if v.Self == 0 {
		return k.ToClient()
	}
	return k.FromNode() || k.FromClient()
}

// checkSender looks at who says to have sent a datagram whose check is good.
func (v *Validator) checkSender(h *Header) Drop {
	switch {
	case h.Kind.FromClient():
		opening := h.Kind == DatagramConnect || h.Kind == DatagramProve
		if h.Sender == 0 && !opening {
			return DropSender
		}
		if h.Incarnation != 0 || h.Run != 0 {
			return DropIncarnation
		}
	case h.Sender == 0 || h.Sender > MaxNodes || v.Self != 0 && !v.Nodes[h.Sender]:
		return DropSender
	case h.Incarnation == 0:
		return DropIncarnation
	case h.Sender == uint64(v.Self):
		return DropOwn
	}
	return DropNone
}
