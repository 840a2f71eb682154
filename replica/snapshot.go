package replica

// Snapshots: when they are asked for, and which a majority agrees about. Rule 13 of docs/consensus.md.

// onSnapshot asks for a snapshot because an operator wants one. Flag: the leader is to take one, too.
func (c *Core) onSnapshot(in *Input) {
	if _, why := c.snapshotObstacle(); why != RefusedNone {
		c.refuse(why)
		return
	}
	out := c.emit(OutAppendSnapshot)
	out.Snapshot.Take, out.Snapshot.Leader = true, in.Flag || len(c.o.Voters) == 1
	out.Snapshot.Verified, out.Snapshot.Digest = 0, 0
}

// snapshotObstacle says why no snapshot can be asked for now: for people, and by name. Cold.
func (c *Core) snapshotObstacle() (string, Refusal) {
	s := &c.s
	switch {
	case s.lead.countFrom == 0 || s.lead.asked:
		return "this node has just begun to lead, or admits a node: ask again", RefusedBehind
	case s.lead.target != 0:
		return "this node hands leadership over: ask again", RefusedUnfit
	case s.diskFull:
		return "this node's disk is full", RefusedUnfit
	case s.diskHung:
		return "this node's disk hangs", RefusedUnfit
	}
	return "", RefusedNone
}
