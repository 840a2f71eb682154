package replica

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// onNode decodes a datagram of another node into an input and steps the core.
func (a *Agent) onNode(h *wire.Header, body []byte) {
	if h.Kind != wire.DatagramLog || h.Term != a.core.Term() {
		a.verifyBatch()
	}
	in := &a.heard
	in.From = Peer{Node: wire.NodeID(h.Sender), Incarnation: h.Incarnation, Run: h.Run}
	in.Term = h.Term
	ok := false
	switch h.Kind {
	case wire.DatagramLog:
		in.Kind = InLog
		if ok = in.Log.Decode(body); ok {
			a.clock.noteLeader(a, in)
			a.receiveWindow(in, body[wire.LogHeaderSize:])
		}
	case wire.DatagramStatus:
		in.Kind = InStatus
		if ok = in.Status.Decode(body); ok {
			a.clock.noteFollower(a, in.From.Node, in.Status.Wall)
		}
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
	case wire.DatagramDiverged:
		in.Kind = InDiverged
		ok = in.Diverged.Decode(body)
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
	if a.leading && a.core.HandingOver() != (a.held != wire.RefusalNone) {
		a.hold()
	}
	a.appendOwing()
	if !a.batching {
		a.verifyBatch()
	}
}

// verifyBatch verifies what was stored. Of a batch of LOG that is done once, so that all of it is acknowledged with one STATUS;
// before any other input of another node the core hears how far the log is.
func (a *Agent) verifyBatch() {
	if a.verify {
		a.verify = false
		a.verifyStored()
	}
	if a.spoilt {
		a.spoilt = false
		a.dropFetched()
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
		a.owed = owedRecord{kind: wire.RecordTerm}
	case OutAppendConfig:
		a.owed = owedRecord{kind: wire.RecordConfig, config: out.Config}
	case OutAppendSnapshot:
		a.oweSnapshot(&out.Snapshot)
	case OutStream:
		a.sendLog(out.From, out.Until, out, a.o.Group)
	case OutRetransmit:
		a.retransmit(out)
	case OutCommit:
		a.onCommit(out.Position)
	case OutCatchUp:
		a.o.CatchUp.start(out)
	case OutStop:
		if out.Diverged.Position != 0 {
			a.fail("%w: stopping: %s", ErrDiverged, out.Reason)
		}
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
	a.fetched = 0 // with the alignment all is forgotten that was not verified
	a.m.lead(out, a.o.WallNs())
	if a.leading && (!lead || out.Term != a.ledTerm) {
		a.resign()
	}
	if lead && !a.leading {
		a.leading, a.ledTerm, a.progress = true, out.Term, progressSeen{}
		a.held, a.farewell = wire.RefusalNone, false
		a.o.Leading.Lead(a.nowNs, a.o.WallNs(), out.Term, a.chain)
	}
}

// resign ends leadership. What was appended since the last publication is discarded: neither the journal, nor another
// node, nor a client has seen any of it.
func (a *Agent) resign() {
	a.leading, a.owed.kind, a.farewell = false, 0, true
	a.owedSnap, a.askedAt = wire.SnapshotRecord{}, 0
	a.m.disputed.Set(0)
	a.o.Leading.Resign()
	a.o.Services.Resign()
}

// hold has clients wait, or not, while this leader hands over.
func (a *Agent) hold() {
	a.held = wire.RefusalNone
	if a.core.HandingOver() {
		a.held = wire.RefusalBusyHandOver
	}
	a.o.Leading.Hold(a.held)
}

// sayFarewell tells the clients of this node's last leadership who leads now, as soon as that is known: a planned
// hand-over costs them a few round trips then, not a time-out.
func (a *Agent) sayFarewell() {
	if leader := a.core.Leader(); leader != 0 && !a.leading {
		a.farewell = !a.o.Leading.Farewell(leader, a.o.Peers[leader], a.core.Term())
	}
}

// owedRecord is a record of the cluster that the core asked for. It is appended once the core's outputs are carried
// out, or, while the ring has no room even for that (a disk that hangs), as soon as it has.
type owedRecord struct {
	kind   wire.RecordKind // 0: none
	config wire.Config
}

// appendOwed appends the record owed and steps it in: behind it the service is pointed at the end of a term record.
func (a *Agent) appendOwed() {
	if !a.leading {
		a.owed.kind = 0
		return
	}
	kind := a.owed.kind
	a.owed.kind = 0 // before any Step: that may owe the next
	a.publishAppended()
	start := a.chain.Position
	if !a.appendOwn(kind) {
		a.owed.kind = kind
		return
	}
	end := a.o.Leading.Chain().Position
	if kind == wire.RecordTerm {
		a.tell(event{kind: InTermStart, position: start, lastTerm: a.ledTerm})
		a.o.Services.Lead(a.ledTerm, end)
	} else {
		a.tell(event{kind: InConfig, position: end, config: &a.owed.config})
	}
	a.publishAppended()
}

func (a *Agent) appendOwn(kind wire.RecordKind) bool {
	if kind == wire.RecordConfig {
		return a.o.Leading.AppendConfig(a.nowNs, &a.owed.config)
	}
	self := &a.o.Self
	return a.o.Leading.AppendTerm(a.nowNs, wire.TermRecord{Leader: self.Node, Version: a.core.o.Version,
		Incarnation: self.Incarnation, Run: self.Run})
}

// onCommit tells the service how far it may apply.
func (a *Agent) onCommit(commit wire.Position) {
	if simbug.On(simbug.ApplyPastCommit) {
		commit = a.core.Append()
	}
	a.o.Services.Commit(commit)
}

// tellProgress tells the leader's role what has become true since the last cycle, once.
func (a *Agent) tellProgress() {
	if !a.leading {
		return
	}
	seen := progressSeen{a.core.Replicated(), a.core.Durable(), a.core.Commit(), a.core.Disputed()}
	if seen != a.progress {
		if seen.disputed != a.progress.disputed {
			a.onDisputed(seen.disputed)
		}
		a.progress = seen
		a.o.Leading.OnProgress(a.nowNs, seen.replicated, seen.durable, seen.commit)
	}
}

// onDisputed has clients wait while nobody knows which node is right.
func (a *Agent) onDisputed(at wire.Position) {
	a.m.disputed.Set(gauge01(at != 0))
	a.o.Leading.Disputed(at != 0)
	if at != 0 {
		a.o.Log("the nodes disagree about what the services have put out up to position %d, and no majority agrees: "+
			"no client is answered until one does; stop the nodes whose hash in /status is wrong", at)
		return
	}
	a.o.Log("a majority agrees again about what the services have put out")
}
