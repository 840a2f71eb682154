package replica

import (
	"errors"

	"lockstep/transport"
	"lockstep/wire"
)

// errCutInRecord says that a cut point is not the end of a record of this log.
var errCutInRecord = errors.New("stopping: the cut point is not the end of a record")

// retransmitBytes bounds the answer to one NAK, so that repair does not starve live traffic: what is still missing is
// asked for again.
const retransmitBytes = 64 << 10

// send seals one datagram of the core.
func (a *Agent) send(out *Output) {
	to := a.o.Group
	if out.To != 0 {
		to = a.o.Peers[out.To]
	}
	if out.Message == wire.DatagramLog {
		a.sendLog(out.Log.Position, out.Log.Position, out, to)
		return
	}
	b := a.o.Sender.Next()
	if b == nil {
		return // the transmit side is full (counted there): a datagram lost, like any other
	}
	body := b[wire.DatagramHeaderSize:]
	n := 0
	switch out.Message {
	case wire.DatagramStatus:
		out.Status.Window = a.o.Ring.Limit() - uint64(a.chain.Position)
		out.Status.Wall = a.clock.wall(a.nowNs)
		n = out.Status.Put(body)
	case wire.DatagramNak:
		n = out.Nak.Put(body)
	case wire.DatagramAlign:
		n = out.Align.PutTerms(body, out.Terms)
	case wire.DatagramAlignAnswer:
		n = out.AlignAnswer.Put(body)
	case wire.DatagramCanvass, wire.DatagramVoteRequest:
		n = out.Ballot.Put(body)
	case wire.DatagramCanvassAnswer, wire.DatagramVote:
		n = out.Answer.Put(body)
	case wire.DatagramDiverged:
		a.m.diverged.Inc()
		n = out.Diverged.Put(body)
	case wire.DatagramTransfer:
		t := wire.Transfer{Append: out.Position}
		n = t.Put(body)
	default:
		a.fail("stopping: the core sent a datagram of unknown kind %d", out.Message)
		return
	}
	a.seal(b[:wire.DatagramHeaderSize+n], out.Message, out.Term, to)
}

func (a *Agent) seal(b []byte, kind wire.DatagramKind, term wire.Term, to transport.Addr) {
	h := wire.Header{Kind: kind, Cluster: a.o.Cluster, Sender: uint64(a.o.Self.Node),
		Incarnation: a.o.Self.Incarnation, Run: a.o.Self.Run, Term: term}
	wire.Seal(b, &h)
	a.o.Sender.Commit(len(b), to)
}

// sendLog sends the bytes [from, until) as LOG datagrams, cut by the MTU; none: one empty LOG.
func (a *Agent) sendLog(from, until wire.Position, out *Output, to transport.Addr) {
	log := out.Log
	log.Floor = wire.Position(a.o.Ring.Floor())
	log.SyncTo = a.o.Leading.SyncTo()
	log.Clock = a.clock.cluster(a.nowNs)
	for first := true; first || from < until; first = false {
		b := a.o.Sender.Next()
		if b == nil {
			return
		}
		room := len(b) - wire.DatagramHeaderSize - wire.LogHeaderSize
		end := min(until, from+wire.Position(room))
		log.Position = from
		n := wire.DatagramHeaderSize
		n += log.Put(b[n:])
		if end > from {
			n += copy(b[n:], a.o.Ring.View(uint64(from), uint64(end)))
		}
		a.seal(b[:n], wire.DatagramLog, out.Term, to)
		from = end
	}
}

// retransmit answers a NAK from the ring, as far as the ring still has the bytes.
func (a *Agent) retransmit(out *Output) {
	from := max(out.From, wire.Position(a.o.Ring.Floor()))
	until := min(out.Until, from+retransmitBytes)
	if from >= until {
		return
	}
	to := a.o.Group
	if out.To != 0 {
		to = a.o.Peers[out.To]
	}
	a.m.retransmitted.Add(uint64(until - from))
	a.sendLog(from, until, out, to)
}
