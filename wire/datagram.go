package wire

import (
	"hash/crc32"

	"lockstep/wire/fb"
)

// What stands in every datagram's header.
const (
	DatagramHeaderSize = 48
	// Magic is 'LKST', the L in the first byte.
	Magic uint32 = 'L' | 'K'<<8 | 'S'<<16 | 'T'<<24
	// Version is that of the datagram format.
	Version uint8 = 1
	// MaxDatagram is the longest UDP payload over IPv4. The network's MTU is usually far below it.
	MaxDatagram = 65535 - 28
	// Protocol is the version of the client protocol: what CONNECT and PROVE carry.
	Protocol uint16 = 1
)

// DatagramKind says what a datagram is. Its body follows from it.
type DatagramKind uint8

// The datagram kinds: 1 to 31 between nodes, 32 to 47 from a client, 48 and up to a client.
const (
	DatagramLog           DatagramKind = 1  // leader to all: Log, then bytes of the log
	DatagramStatus        DatagramKind = 2  // follower to leader: Status
	DatagramNak           DatagramKind = 3  // follower to leader: Nak
	DatagramAlign         DatagramKind = 4  // follower to leader: Align, then TermStart entries
	DatagramAlignAnswer   DatagramKind = 5  // leader to follower: AlignAnswer
	DatagramCanvass       DatagramKind = 6  // candidate to all: Ballot
	DatagramCanvassAnswer DatagramKind = 7  // to the candidate: BallotAnswer
	DatagramVoteRequest   DatagramKind = 8  // candidate to all: Ballot
	DatagramVote          DatagramKind = 9  // to the candidate: BallotAnswer
	DatagramTransfer      DatagramKind = 10 // leader to follower: Transfer
	DatagramDiverged      DatagramKind = 11 // leader to follower: Diverged

	DatagramConnect    DatagramKind = 32 // Connect, with the client's name
	DatagramProve      DatagramKind = 33 // Prove, with the client's name
	DatagramMessages   DatagramKind = 34 // Messages, then packed messages (NextMessage)
	DatagramDisconnect DatagramKind = 35 // Messages alone: the client ends its session
	DatagramKeepalive  DatagramKind = 36 // Messages alone: the client is there; answered with ANSWERS

	DatagramChallenge DatagramKind = 48 // Challenge
	DatagramAccept    DatagramKind = 49 // Accept
	DatagramReject    DatagramKind = 50 // Reject
	DatagramRedirect  DatagramKind = 51 // Redirect
	DatagramAnswers   DatagramKind = 52 // Answers, then packed answers (NextAnswer)

	// NumDatagramKinds is above every kind, for tables by kind.
	NumDatagramKinds = 53
)

var datagramKindNames = [NumDatagramKinds]string{
	DatagramLog: "LOG", DatagramStatus: "STATUS", DatagramNak: "NAK", DatagramAlign: "ALIGN",
	DatagramAlignAnswer: "ALIGN_ANSWER", DatagramCanvass: "CANVASS", DatagramCanvassAnswer: "CANVASS_ANSWER",
	DatagramVoteRequest: "VOTE_REQUEST", DatagramVote: "VOTE", DatagramTransfer: "TRANSFER",
	DatagramDiverged: "DIVERGED",
	DatagramConnect:  "CONNECT", DatagramProve: "PROVE", DatagramMessages: "MESSAGES",
	DatagramDisconnect: "DISCONNECT", DatagramKeepalive: "KEEPALIVE",
	DatagramChallenge: "CHALLENGE", DatagramAccept: "ACCEPT", DatagramReject: "REJECT",
	DatagramRedirect: "REDIRECT", DatagramAnswers: "ANSWERS",
}

// String is the kind's name as docs/wire.md spells it.
func (k DatagramKind) String() string {
	if k < NumDatagramKinds && datagramKindNames[k] != "" {
		return datagramKindNames[k]
	}
	return "unknown datagram kind"
}

// FromNode says whether nodes send this kind to each other.
func (k DatagramKind) FromNode() bool { return k >= DatagramLog && k <= DatagramDiverged }

// FromClient says whether clients send this kind.
func (k DatagramKind) FromClient() bool { return k >= DatagramConnect && k <= DatagramKeepalive }

// ToClient says whether nodes send this kind to clients.
func (k DatagramKind) ToClient() bool { return k >= DatagramChallenge && k <= DatagramAnswers }

// Header is a datagram's header without what Seal and Validate take care of themselves.
type Header struct {
	Kind        DatagramKind
	Cluster     uint64 // random, made by format
	Sender      uint64 // a node: its id; a client: its session, 0 before ACCEPT
	Incarnation uint64 // a node: its directory's; a client: 0
	Run         uint32 // a node: counts its starts; a client: 0
	Term        Term   // a node: its current term; a client: the last term it has seen
}

// Seal completes a datagram: b is room for the header and then the whole body. It writes the header and the check.
// It panics when b is shorter than a header or longer than MaxDatagram.
func Seal(b []byte, h *Header) {
	if len(b) < DatagramHeaderSize || len(b) > MaxDatagram {
		panic("wire: Seal: no datagram has this length")
	}
	var d fb.DatagramHeader
	d.Init(b, 0)
	d.MutateMagic(Magic)
	d.MutateVersion(Version)
	d.MutateKind(uint8(h.Kind))
	d.MutateBodyLength(uint16(len(b) - DatagramHeaderSize))
	d.MutateCluster(h.Cluster)
	d.MutateSender(h.Sender)
	d.MutateIncarnation(h.Incarnation)
	d.MutateRun(h.Run)
	d.MutateTerm(uint32(h.Term))
	d.MutateCheck(uint64(crc32.Checksum(b[8:], castagnoli)))
}
