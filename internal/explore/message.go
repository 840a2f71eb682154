package explore

import (
	"fmt"

	"lockstep/replica"
	"lockstep/wire"
)

// message is a datagram under way, or a step of a catch-up over HTTP. Positions are counted in records.
type message struct {
	kind     uint8 // replica.InputKind, or fetch, chunk
	from, to uint8
	inc, run uint8
	term     uint8
	flags    uint8
	reason   uint8

	at, append, commit, floor, durable uint8

	lastTerm   uint8
	asked      uint8
	generation uint8
	page       uint8
	count      uint8 // of terms, or of records
	nonce      uint64
	terms      [maxTerm]wire.TermStart
	records    [maxRecords]record // that a LOG or a chunk carries
}

// The kinds that are none of the core's.
const (
	fetch = 100 + iota // asks for records over HTTP
	chunk              // brings them, or says (flagFailed) that not all came
)

const (
	flagGranted = 1 << iota
	flagRecovering
	flagFound
	flagLastPage
	flagTransfer
	flagDigest
	flagUnfit
	flagFailed
)

func flag(b bool, f uint8) uint8 {
	if b {
		return f
	}
	return 0
}

func (m *message) has(f uint8) bool { return m.flags&f != 0 }

func records(p wire.Position) uint8 { return uint8(p / recordBytes) }

func position(n uint8) wire.Position { return wire.Position(n) * recordBytes }

// inputOf is the input that a datagram becomes where it arrives.
var inputOf = map[wire.DatagramKind]replica.InputKind{
	wire.DatagramLog: replica.InLog, wire.DatagramStatus: replica.InStatus, wire.DatagramNak: replica.InNak,
	wire.DatagramAlign: replica.InAlign, wire.DatagramAlignAnswer: replica.InAlignAnswer,
	wire.DatagramCanvass: replica.InCanvass, wire.DatagramCanvassAnswer: replica.InCanvassAnswer,
	wire.DatagramVoteRequest: replica.InVoteRequest, wire.DatagramVote: replica.InVote,
	wire.DatagramTransfer: replica.InTransfer,
}

// messageOf is what an OutSend puts on the network, but for its sender.
func messageOf(out *replica.Output) message {
	kind, known := inputOf[out.Message]
	if !known {
		panic(fmt.Sprintf("explore: no world knows %v", out.Message))
	}
	m := message{kind: uint8(kind), to: uint8(out.To), term: uint8(out.Term)}
	switch out.Message {
	case wire.DatagramLog:
		m.log(&out.Log)
	case wire.DatagramStatus:
		st := &out.Status
		m.nonce, m.append, m.durable, m.generation = st.Aligned, records(st.Append), records(st.Durable), uint8(st.Generation)
		m.flags = flag(st.Recovering, flagRecovering) | flag(st.Unfit, flagUnfit)
	case wire.DatagramNak:
		m.at, m.append = records(out.Nak.From), records(out.Nak.To)
	case wire.DatagramAlign:
		a := &out.Align
		m.nonce, m.append, m.floor, m.page = a.Nonce, records(a.Append), records(a.Floor), uint8(a.Page)
		m.flags = flag(a.LastPage, flagLastPage) | flag(a.Recovering, flagRecovering)
		m.count = uint8(copy(m.terms[:], out.Terms))
	case wire.DatagramAlignAnswer:
		a := &out.AlignAnswer
		m.nonce, m.at, m.page, m.flags = a.Nonce, records(a.Cut), uint8(a.NextPage), flag(a.Found, flagFound)
	case wire.DatagramCanvass, wire.DatagramVoteRequest:
		b := &out.Ballot
		m.append, m.lastTerm = records(b.Append), uint8(b.LastTerm)
		m.flags = flag(b.ConfigDigest != 0, flagDigest) | flag(b.Transfer, flagTransfer)
	case wire.DatagramCanvassAnswer, wire.DatagramVote:
		a := &out.Answer
		m.asked, m.reason = uint8(a.Term), a.Reason
		m.flags = flag(a.Granted, flagGranted) | flag(a.Recovering, flagRecovering)
	case wire.DatagramTransfer:
		m.append = records(out.Position)
	}
	return m
}

// log fills what a LOG says beside the records that it carries.
func (m *message) log(log *wire.Log) {
	m.kind = uint8(replica.InLog)
	m.at, m.append, m.commit = records(log.Position), records(log.Append), records(log.Commit)
	m.flags = flag(log.ConfigDigest != 0, flagDigest)
}

// input makes the input of a message.
func (m *message) input(in *replica.Input, digest uint32) {
	if !m.has(flagDigest) {
		digest = 0
	}
	*in = replica.Input{Kind: replica.InputKind(m.kind), Term: wire.Term(m.term),
		From: replica.Peer{Node: wire.NodeID(m.from), Incarnation: uint64(m.inc), Run: uint32(m.run)}}
	switch in.Kind {
	case replica.InLog:
		in.Log = wire.Log{Position: position(m.at), Append: position(m.append), Commit: position(m.commit),
			Floor: position(m.floor), ConfigDigest: digest}
		in.LogLength = int(m.count) * recordBytes
	case replica.InStatus:
		in.Status = wire.Status{Aligned: m.nonce, Append: position(m.append), Durable: position(m.durable),
			Generation: uint64(m.generation), Recovering: m.has(flagRecovering), Unfit: m.has(flagUnfit)}
	case replica.InNak:
		in.Nak = wire.Nak{From: position(m.at), To: position(m.append)}
	case replica.InAlign:
		in.Align = wire.Align{Nonce: m.nonce, Append: position(m.append), Floor: position(m.floor),
			Page: uint32(m.page), Count: uint16(m.count), LastPage: m.has(flagLastPage),
			Recovering: m.has(flagRecovering)}
		in.Terms = m.terms[:m.count]
	case replica.InAlignAnswer:
		in.AlignAnswer = wire.AlignAnswer{Nonce: m.nonce, Cut: position(m.at), NextPage: uint32(m.page),
			Found: m.has(flagFound)}
	case replica.InCanvass, replica.InVoteRequest:
		in.Ballot = wire.Ballot{Append: position(m.append), LastTerm: wire.Term(m.lastTerm), ConfigDigest: digest,
			Transfer: m.has(flagTransfer)}
	case replica.InCanvassAnswer, replica.InVote:
		in.Answer = wire.BallotAnswer{Term: wire.Term(m.asked), Granted: m.has(flagGranted), Reason: m.reason,
			Recovering: m.has(flagRecovering)}
	case replica.InTransfer:
		in.Position = position(m.append)
	}
}

// hash is the message's hash under every renaming.
func (m *message) hash() (h hashes) {
	for i := range renamings {
		to := &renamings[i]
		x := hash(0x6d657373)
		x.bytes(m.kind, uint8(to[m.from]), uint8(to[m.to]), m.inc, m.run, m.term, m.flags, m.reason)
		x.bytes(m.at, m.append, m.commit, m.floor, m.durable, m.lastTerm, m.asked, m.generation)
		x.bytes(m.page, m.count)
		x.word(m.nonce)
		for _, t := range m.terms {
			x.word(uint64(t.Term)<<32 | uint64(t.Start))
		}
		x.records(&m.records, to)
		h[i] = uint64(x)
	}
	return h
}
