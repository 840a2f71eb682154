package replica

import "lockstep/wire"

// onNode decodes a datagram of another node into an input and steps the core.
func (a *Agent) onNode(h *wire.Header, body []byte) {
	in := a.input(InTick)
	in.From = Peer{Node: wire.NodeID(h.Sender), Incarnation: h.Incarnation, Run: h.Run}
	in.Term = h.Term
	ok := false
	switch h.Kind {
	case wire.DatagramLog:
		in.Kind = InLog
		if ok = in.Log.Decode(body); ok {
			a.receiveWindow(in, body[wire.LogHeaderSize:])
		}
	case wire.DatagramStatus:
		in.Kind = InStatus
		ok = in.Status.Decode(body)
	case wire.DatagramNak:
		in.Kind = InNak
		ok = in.Nak.Decode(body)
	case wire.DatagramAlign:
		in.Kind = InAlign
		in.Terms, ok = in.Align.DecodeTerms(body, a.terms[:0])
	case wire.DatagramAlignAnswer:
		in.Kind = InAlignAnswer
		ok = in.AlignAnswer.Decode(body)
	case wire.DatagramCanvass, wire.DatagramVoteRequest:
		in.Kind = InCanvass
		if h.Kind == wire.DatagramVoteRequest {
			in.Kind = InVoteRequest
		}
		ok = in.Ballot.Decode(body)
	case wire.DatagramCanvassAnswer, wire.DatagramVote:
		in.Kind = InCanvassAnswer
		if h.Kind == wire.DatagramVote {
			in.Kind = InVote
		}
		ok = in.Answer.Decode(body)
	case wire.DatagramTransfer:
		in.Kind = InTransfer
		var t wire.Transfer
		ok = t.Decode(body)
		in.Position = t.Append
	}
	if !ok {
		a.m.dropped(wire.DropBody)
		return
	}
	a.step(in)
	a.bytes = nil
}

// receiveWindow keeps the bytes of a LOG for OutStore, unless the ring cannot take them now: then the core hears of
// an empty LOG, and asks again later.
func (a *Agent) receiveWindow(in *Input, bytes []byte) {
	end := in.Log.Position + wire.Position(len(bytes))
	if len(bytes) > 0 && (uint64(end) > a.o.Ring.Limit() || end < in.Log.Position) {
		a.m.ringFull.Inc()
		in.Log.Position, bytes = in.Log.Append, nil
	}
	in.LogLength = len(bytes)
	a.bytes, a.bytesAt = bytes, in.Log.Position
}

// step gives the core one input and carries out what it says. What carrying it out finds (records verified, own
// records appended) is stepped in afterwards: the core's outputs are good only until its next Step.
func (a *Agent) step(in *Input) {
	if a.err != nil {
		return
	}
	outputs := a.core.Step(a.nowNs, in)
	for i := range outputs {
		a.carry(&outputs[i])
	}
	if a.own.kind != 0 {
		a.stepOwn()
	}
	if a.verify {
		a.verify = false
		a.verifyStored()
	}
}

// carry carries out one output. Exhaustive: a kind that is not here stops the node.
func (a *Agent) carry(out *Output) {
	switch out.Kind {
	case OutSend:
		a.send(out)
	case OutPersist:
		a.o.Votes.request(out.Term, out.Node)
	case OutStore:
		a.store(out.From, out.Until)
	case OutCompare:
		a.compare(out.From, out.Until)
	case OutCut:
		a.cut(out.Position, out.Generation)
	case OutRole:
		a.onRole(out)
	case OutAppendTerm:
		a.appendTerm()
	case OutAppendConfig:
		a.appendConfig(&out.Config)
	case OutStream:
		a.sendLog(out.From, out.Until, out, a.o.Group)
	case OutRetransmit:
		a.retransmit(out)
	case OutCommit:
		a.onCommit(out.Position)
	case OutCatchUp:
		a.o.CatchUp.start(out)
	case OutStop:
		a.fail("stopping: %s", out.Reason)
	default:
		a.fail("stopping: the core left an output of unknown kind %d", out.Kind)
	}
}

// onRole starts and ends leadership.
func (a *Agent) onRole(out *Output) {
	lead := out.Role == Leader
	a.o.Log("term %d: %s, leader %d", out.Term, out.Role, out.Leader)
	a.m.roleChanges.Inc()
	a.m.lead(out)
	if a.leading && (!lead || out.Term != a.ledTerm) {
		a.resign()
	}
	if lead && !a.leading {
		a.leading, a.ledTerm, a.progress = true, out.Term, progressSeen{}
		a.o.Leading.Lead(a.nowNs, a.o.WallNs(), out.Term, a.chain)
	}
}

// resign ends leadership. What was appended since the last publication is discarded: neither the journal, nor another
// node, nor a client has seen any of it.
func (a *Agent) resign() {
	a.leading = false
	a.o.Leading.Resign()
	a.o.Services.Resign()
}

// ownRecord is a record of the cluster that the core asked for: it is appended while outputs are carried out, and
// stepped in behind them.
type ownRecord struct {
	kind   wire.RecordKind // 0: none
	start  wire.Position
	config wire.Config
}

func (a *Agent) appendTerm() {
	t := wire.TermRecord{Leader: a.o.Self.Node, Version: BehaviourVersion,
		Incarnation: a.o.Self.Incarnation, Run: a.o.Self.Run}
	a.own = ownRecord{kind: wire.RecordTerm, start: a.chain.Position}
	if !a.o.Leading.AppendTerm(a.nowNs, t) {
		a.fail("stopping: no room for a term record at %d: the ring's reserve is gone", a.chain.Position)
	}
}

func (a *Agent) appendConfig(c *wire.Config) {
	a.publishAppended()
	a.own = ownRecord{kind: wire.RecordConfig, start: a.chain.Position, config: *c}
	if !a.o.Leading.AppendConfig(a.nowNs, c) {
		a.fail("stopping: no room for a config record at %d: the ring's reserve is gone", a.chain.Position)
	}
}

// stepOwn tells the core of its own record, publishes it, and points the service at the end of the term record.
func (a *Agent) stepOwn() {
	own := a.own
	a.own.kind = 0
	chain := a.o.Leading.Chain()
	switch own.kind {
	case wire.RecordTerm:
		in := a.input(InTermStart)
		in.Position, in.LastTerm = own.start, a.ledTerm
		a.step(in)
		a.o.Services.Lead(a.ledTerm, chain.Position)
	case wire.RecordConfig:
		in := a.input(InConfig)
		in.Position, in.Config = chain.Position, own.config
		a.step(in)
	}
	a.publishAppended()
}

// onCommit tells the service how far it may apply.
func (a *Agent) onCommit(commit wire.Position) { a.o.Services.Commit(commit) }

// tellProgress tells the leader's role what has become true since the last cycle, once.
func (a *Agent) tellProgress() {
	if !a.leading {
		return
	}
	seen := progressSeen{a.core.Replicated(), a.core.Durable(), a.core.Commit()}
	if seen != a.progress {
		a.progress = seen
		a.o.Leading.OnProgress(a.nowNs, seen.replicated, seen.durable, seen.commit)
	}
}
