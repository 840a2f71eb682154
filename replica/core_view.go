package replica

import "lockstep/wire"

// What the outside may see of a core.

// Role is what this node is now.
func (c *Core) Role() Role { return c.s.role }

// Term is the current term.
func (c *Core) Term() wire.Term { return c.s.term }

// Leader is the node that leads the current term, 0 if none is known.
func (c *Core) Leader() wire.NodeID { return c.s.leader }

// Append is the end of this node's log, all of it verified.
func (c *Core) Append() wire.Position { return c.s.append }

// Received is how far bytes are stored without a hole; what lies behind Append is to be verified.
func (c *Core) Received() wire.Position { return c.s.received }

// Commit is how far the log is known here to be committed. It is never past Append.
func (c *Core) Commit() wire.Position { return c.s.commit }

// Replicated is how far a majority holds the log, past the leader's own term record; 0 on any but a leader.
func (c *Core) Replicated() wire.Position { return c.s.lead.replicated }

// Durable is how far a majority has synced the log, past the leader's own term record; 0 on any but a leader.
func (c *Core) Durable() wire.Position { return c.s.lead.durable }

// Synced is how far this node itself has synced its log, and the generation that this was told for.
func (c *Core) Synced() (wire.Position, uint64) { return c.s.durable, c.s.generation }

// Counted is how far a leader takes a node to hold and to have synced the log; 0 on any but a leader.
func (c *Core) Counted(n wire.NodeID) (append, durable wire.Position) {
	return c.s.lead.appendOf[n&wire.MaxNodes], c.s.lead.durableOf[n&wire.MaxNodes]
}

// SyncTo is up to where somebody waits for this node to sync, as the leader says; 0 on a leader.
func (c *Core) SyncTo() wire.Position { return c.s.follow.syncTo }

// Aligned says whether this node's log is known to be a prefix of the leader's. A leader is.
func (c *Core) Aligned() bool { return c.s.follow.aligned || c.s.role == Leader }

// Recovering says whether this node may have forgotten bytes or votes: it neither votes, nor counts, nor leads. While
// it does, its directory must say so.
func (c *Core) Recovering() bool { return c.s.amnesia || c.s.unlisted }

// Admitted says whether the newest config record in this node's log, committed or not, lists its incarnation.
func (c *Core) Admitted() bool { return c.lists(c.s.self.Node, c.s.self.Incarnation) }

// CatchingUp is the generation of the catch-up under way, 0 if there is none. Bytes of another are to be dropped.
func (c *Core) CatchingUp() uint64 {
	if !c.s.follow.catchUp.active {
		return 0
	}
	return c.s.follow.catchUp.generation
}

// HandingOver says whether this leader waits for another node to take over: it takes no client message meanwhile.
func (c *Core) HandingOver() bool { return c.s.lead.target != 0 }

// Disputed is a point at which nodes differ about what the services have put out and no majority agrees; 0 if there is
// none, or on any but a leader. No client is to be answered meanwhile.
func (c *Core) Disputed() wire.Position { return c.s.lead.disputed[guardOutputs] }

// SnapshotDisputed is the end of a snapshot record at which nodes differ about the state and no majority agrees; 0 if
// there is none, or on any but a leader. No snapshot is verified there.
func (c *Core) SnapshotDisputed() wire.Position { return c.s.lead.disputed[guardState] }

// Verified is the newest snapshot that the log which this node has applied calls verified; 0: none.
func (c *Core) Verified() wire.Position { return c.s.verified }

// Follower is how far a node is, as this leader heard it in its term, and whether it counts towards a majority; zero on
// any but a leader.
func (c *Core) Follower(n wire.NodeID) (append, durable wire.Position, counts bool) {
	if c.s.role != Leader {
		return 0, 0, false
	}
	p := &c.s.peers[n&wire.MaxNodes]
	return p.append, p.durable, p.counted
}

// Refused is how many inputs were refused for a reason. It is no part of the state.
func (c *Core) Refused(r Refusal) uint64 { return c.refused[r] }

// Unicast is how many LOG datagrams went to single nodes because they reported no progress: a node that is down, or
// one that multicast does not reach. It is no part of the state.
func (c *Core) Unicast() uint64 { return c.unicast }

// NextDeadline is when the core must be stepped at the latest, if only with InTick.
func (c *Core) NextDeadline() int64 {
	next := int64(never)
	for _, at := range c.s.timers {
		next = min(next, at)
	}
	return next
}
