package replica

import "lockstep/wire"

// Snapshots: when they are asked for, and which a majority agrees about. Rule 13 of docs/consensus.md.

// agree (leader) notes that a majority has the same digest at a point. It is said in the log as soon as that may be.
func (c *Core) agree(at wire.Position, digest uint64) {
	if l := &c.s.lead; at > l.agreed.at {
		l.agreed = point{at, digest}
		c.appendSnapshots()
	}
}

// verified takes what an applied snapshot record says of an earlier one: a majority has that digest there.
func (c *Core) verified(at wire.Position, digest uint64) {
	s := &c.s
	s.verified = at
	if own, ok := s.points[guardState].find(at); ok && own != digest {
		c.stopDiverged(guardState, at, own, digest)
	}
}

// appendSnapshots (leader) has a snapshot record appended if one is due: to say which snapshot a majority agrees about,
// once a leadership, and to ask for the next when the log has grown by so much. A leader begins when it has applied its
// own first records: then it knows what the log before them asks and says.
func (c *Core) appendSnapshots() {
	s := &c.s
	l := &s.lead
	say := l.agreed.at > max(s.verified, l.said)
	ask := c.o.SnapshotBytes > 0 &&
		uint64(s.append-max(s.points[guardState][0].at, l.askedAt)) >= c.o.SnapshotBytes
	if !say && !ask || s.stopped || l.countFrom == 0 || s.applied < l.countFrom || l.asked || l.target != 0 {
		return
	}
	ask = ask && !s.diskFull && !s.diskHung // a snapshot needs space; to say that one is verified lets log go
	if !say && !ask {
		return
	}
	out := c.emit(OutAppendSnapshot)
	out.Snapshot = wire.SnapshotRecord{}
	if say {
		l.said = l.agreed.at
		out.Snapshot.Verified, out.Snapshot.Digest = l.agreed.at, l.agreed.hash
	}
	if ask {
		c.ask(out, false)
	}
}

// ask makes a snapshot record one that asks for a snapshot. Followers take it beside what they do; a lone voter has to
// take its own.
func (c *Core) ask(out *Output, leader bool) {
	c.s.lead.askedAt = c.s.append
	out.Snapshot.Take, out.Snapshot.Leader = true, leader || len(c.o.Voters) == 1
}

// onSnapshot asks for a snapshot because an operator wants one. Flag: the leader is to take one, too.
func (c *Core) onSnapshot(in *Input) {
	if _, why := c.snapshotObstacle(); why != RefusedNone {
		c.refuse(why)
		return
	}
	out := c.emit(OutAppendSnapshot)
	out.Snapshot = wire.SnapshotRecord{}
	c.ask(out, in.Flag)
}

// snapshotObstacle says why this leader cannot ask for a snapshot now: for people, and by name. Cold.
func (c *Core) snapshotObstacle() (string, Refusal) {
	s := &c.s
	l := &s.lead
	switch {
	case l.countFrom == 0 || s.applied < l.countFrom:
		return "this node has only begun to lead, and has not applied the log before: ask again", RefusedBehind
	case l.asked:
		return "the record before is still to be appended: ask again", RefusedRepeated
	case l.target != 0:
		return "this node hands leadership over: ask again", RefusedUnfit
	case s.diskFull:
		return "this node's disk is full", RefusedUnfit
	case s.diskHung:
		return "this node's disk hangs", RefusedUnfit
	}
	return "", RefusedNone
}
