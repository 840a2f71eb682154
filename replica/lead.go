package replica

import (
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// The leader's side of the stream: the first record, LOG, heartbeats, retransmission, hand-over. Rules 3, 4, 6 and 17
// of docs/consensus.md.

// handOverPause is how many election time-outs a leader that had better not lead waits after a hand-over that failed:
// clients wait while it tries.
const handOverPause = 4

// becomeLeader leads the term that this node was elected for, if it still may.
func (c *Core) becomeLeader() {
	if !c.fit() {
		c.awaitLeader()
		return
	}
	c.lead()
}

// lead begins leadership of the current term: its first record is a term record.
func (c *Core) lead() {
	s := &c.s
	s.role, s.leader, s.follow.from = Leader, s.self.Node, s.self
	c.forgetAlignment()
	c.off(timerElection)
	c.off(timerRetry)
	s.lead = lead{streamed: s.append, lagAppend: s.append}
	s.lead.appendOf[s.self.Node], s.lead.durableOf[s.self.Node] = s.append, s.durable
	// Followers need a while to align: the first election time-out of a leadership is the longest there is.
	heardNs := s.nowNs + c.o.ElectionTimeoutMaxNs - c.o.ElectionTimeoutMinNs
	for n := range s.peers {
		c.openProgress(wire.NodeID(n), 0)
		s.peers[n].heardNs = heardNs
		s.peers[n].sent = sent{}
	}
	if c.majority > 1 {
		c.after(timerQuorum, c.o.ElectionTimeoutMaxNs)
	}
	if len(c.nodes) > 1 {
		c.after(timerHeartbeat, c.o.HeartbeatNs)
		c.after(timerLag, c.o.HeartbeatNs)
	}
	c.announce()
	c.emit(OutAppendTerm).Term = s.term
}

// openProgress begins to follow a peer's progress anew, under the nonce of an alignment (0: it has none).
func (c *Core) openProgress(n wire.NodeID, nonce uint64) {
	p := &c.s.peers[n]
	p.nonce, p.reported, p.unfit = nonce, false, false
	p.append, p.durable, p.lagAppend = 0, 0, 0
	p.version = 0
	p.points, p.wrongAt = [numGuards]points{}, [numGuards]wire.Position{}
	c.uncount(n)
}

// onAppendedLeader streams what was appended. Commit moves first: the stream tells it.
func (c *Core) onAppendedLeader(in *Input) {
	s := &c.s
	if !c.appended(in) {
		return
	}
	s.received = s.append
	first := s.lead.countFrom == 0 && in.LastTerm == s.term
	ready := s.configs.n > 0 && s.order.Members == 0 && !s.lead.asked
	if first && ready {
		s.lead.countFrom = s.append
	}
	c.count(s.self.Node, s.append, s.durable)
	if len(c.nodes) > 1 {
		out := c.emit(OutStream)
		out.From, out.Until, out.Term = s.lead.streamed, s.append, s.term
		c.fillLog(&out.Log)
		s.lead.streamed = s.append
		c.spoke()
	}
	c.maybeRecovered()
	switch {
	case !first || ready || s.lead.asked:
	case s.order.Members > 0:
		c.orderedConfig()
	default:
		c.firstConfig()
	}
	if len(c.o.Voters) == 1 {
		c.raiseVersion()
	}
	c.appendSnapshots()
}

// fillLog fills all but Position, SyncTo and Floor.
func (c *Core) fillLog(log *wire.Log) {
	s := &c.s
	log.Append, log.Commit, log.ConfigDigest = s.append, s.commit, 0
	if s.configs.n > 0 {
		log.ConfigDigest = c.digest
	}
}

// spoke notes that the group hears of append and commit now.
func (c *Core) spoke() {
	c.after(timerHeartbeat, c.o.HeartbeatNs)
	c.off(timerEcho)
}

// onHeartbeatTimer sends an empty LOG: nothing was said for a while, or commit moved and nothing followed.
func (c *Core) onHeartbeatTimer() {
	c.sendEmptyLog(0)
	c.spoke()
}

func (c *Core) sendEmptyLog(to wire.NodeID) {
	out := c.send(wire.DatagramLog, to, c.s.term)
	out.Log.Position = c.s.append
	c.fillLog(&out.Log)
}

// onLagTimer speaks to each follower alone that reports no progress, as multicast may not reach it any more, and to the
// target of a hand-over that says nothing.
func (c *Core) onLagTimer() {
	s := &c.s
	for _, n := range c.nodes {
		p := &s.peers[n]
		if n == s.self.Node {
			continue
		}
		if !p.reported || p.append == p.lagAppend && p.append < s.lead.lagAppend {
			c.unicast++
			c.sendEmptyLog(n)
		}
		p.lagAppend = p.append
	}
	s.lead.lagAppend = s.append
	c.after(timerLag, c.o.HeartbeatNs)
	if s.lead.target != 0 {
		s.lead.transferred = false
		c.checkHandOver()
	}
}

// onQuorumTimer steps down when a majority has not been heard for an election time-out.
func (c *Core) onQuorumTimer() {
	s := &c.s
	var heard [wire.MaxNodes + 1]int64
	n := 0
	for _, v := range c.o.Voters {
		heard[n] = s.peers[v].heardNs
		if v == s.self.Node {
			heard[n] = never - c.o.ElectionTimeoutMinNs
		}
		n++
	}
	at := kthLargest(heard[:n], c.majority) + c.o.ElectionTimeoutMinNs
	if at <= s.nowNs && !simbug.On(simbug.SkipStepDown) {
		c.resign()
		return
	}
	c.set(timerQuorum, at)
}

// onNak sends a range again: to the node that asks, or to the group when several ask.
func (c *Core) onNak(in *Input) {
	p := c.follower(&in.From)
	if p == nil || !c.sameTerm(in.Term) {
		return
	}
	s := &c.s
	from, until := in.Nak.From, min(in.Nak.To, s.append)
	if from >= until || simbug.On(simbug.IgnoreNak) {
		c.refuse(RefusedMalformed)
		return
	}
	if c.recent(&p.sent, from, until, true) || c.recent(&s.lead.group, from, until, true) {
		c.refuse(RefusedRepeated)
		return
	}
	to, note := in.From.Node, &p.sent
	for _, n := range c.nodes {
		if n != in.From.Node && c.recent(&s.peers[n].sent, from, until, false) {
			to, note = 0, &s.lead.group
		}
	}
	*note = sent{s.nowNs, from, until}
	out := c.emit(OutRetransmit)
	out.To, out.From, out.Until, out.Term = to, from, until, s.term
	c.fillLog(&out.Log)
}

// recent says whether [from, until), all of it or any of it, was sent again a moment ago.
func (c *Core) recent(x *sent, from, until wire.Position, all bool) bool {
	if x.until == 0 || c.s.nowNs-x.atNs >= c.o.RetransmitLingerNs {
		return false
	}
	if all {
		return x.from <= from && until <= x.until
	}
	return x.from < until && from < x.until
}

// onHandOver lets another node lead.
func (c *Core) onHandOver(in *Input) {
	switch {
	case len(c.o.Voters) == 1 || in.Node == c.s.self.Node || in.Node > wire.MaxNodes || in.Node != 0 && !c.voter[in.Node]:
		c.refuse(RefusedSender)
	case c.s.lead.target != 0:
		c.refuse(RefusedRepeated)
	default:
		c.handOver(in.Node)
	}
}

// handOver waits until the target (0: whoever holds most) holds all, and then has it campaign. Nothing is appended
// meanwhile; if no higher term shows within an election time-out, this node goes on.
func (c *Core) handOver(target wire.NodeID) {
	s := &c.s
	if target == 0 {
		target = c.furthest()
	}
	if target == 0 || !s.peers[target].counted || s.peers[target].unfit {
		c.refuse(RefusedBehind)
		return
	}
	s.lead.target, s.lead.transferred = target, false
	c.after(timerHandOver, c.o.ElectionTimeoutMaxNs)
	c.checkHandOver()
}

// leaveIfUnfit hands over, now and again later, while this leader had better not lead. Where nobody could do it better
// it goes on: a cluster whose leader's disk is full serves more than one without a leader.
func (c *Core) leaveIfUnfit() {
	s := &c.s
	if !c.unfit() || s.lead.target != 0 {
		return
	}
	if c.furthest() == 0 {
		c.after(timerHandOver, c.o.HeartbeatNs)
		return
	}
	c.handOver(0)
}

// furthest is the counted follower, fit to lead, that holds most; 0 if there is none. One that has just failed to take
// over comes last.
func (c *Core) furthest() wire.NodeID {
	s := &c.s
	best := wire.NodeID(0)
	for _, n := range c.o.Voters {
		p := &s.peers[n]
		if p.counted && !p.unfit && (best == 0 || best == s.lead.failed ||
			n != s.lead.failed && p.append > s.peers[best].append) {
			best = n
		}
	}
	return best
}

// handOverObstacle says why this leader cannot hand over to target (0: to anybody) now, for people. Cold.
func (c *Core) handOverObstacle(target wire.NodeID) string {
	switch {
	case len(c.o.Voters) == 1:
		return "no other node votes"
	case target == c.s.self.Node:
		return "this node leads already"
	case target <= wire.MaxNodes && c.learner[target]:
		return fmt.Sprintf("node %d is a learner", target)
	case target > wire.MaxNodes || target != 0 && !c.voter[target]:
		return fmt.Sprintf("there is no node %d", target)
	case target == 0:
		return "no other node could lead now: none is heard, aligned, admitted, and fit by disk and clock"
	case c.s.peers[target].unfit:
		return fmt.Sprintf("node %d had better not lead: its disk is full or hangs, or its clock is off", target)
	case c.s.lead.target != 0:
		return fmt.Sprintf("this node is handing over to node %d already", c.s.lead.target)
	}
	return fmt.Sprintf("node %d could not lead now: it is not heard, or not aligned, or not admitted", target)
}

// checkHandOver, of a hand-over under way, sends TRANSFER once the target holds all (under rule durable: has synced it),
// and again while it says nothing.
func (c *Core) checkHandOver() {
	s := &c.s
	p := &s.peers[s.lead.target]
	if p.unfit || !p.counted { // by now
		s.lead.target, s.lead.transferred = 0, false
		c.leaveIfUnfit()
		return
	}
	if s.lead.transferred || p.append < s.append || c.o.Rule == wire.RuleDurable && p.durable < s.append {
		return
	}
	s.lead.transferred = true
	c.send(wire.DatagramTransfer, s.lead.target, s.term).Position = s.append
}

// onHandOverTimer goes on leading: the target did not take over. A leader that had better not lead tries again, later.
func (c *Core) onHandOverTimer() {
	l := &c.s.lead
	if l.target == 0 {
		c.leaveIfUnfit()
		return
	}
	l.failed, l.target, l.transferred = l.target, 0, false
	if c.unfit() {
		c.after(timerHandOver, handOverPause*c.o.ElectionTimeoutMaxNs)
	}
	c.appendSnapshots()
}
