package replica

import (
	"fmt"

	"lockstep/wire"
)

// The divergence guard: rule 12 of docs/consensus.md. Every node reports the hash of all that its services have put out
// at fixed points of the log; the leader holds the reports against each other, its own included.

// point is a hash at one of the fixed points; at 0: none.
type point struct {
	at   wire.Position
	hash uint64
}

// points are the newest reports of a node, newest first. Nodes that report at different times are compared at what they
// have in common.
type points [4]point

// note takes a report; false when it is not a newer one.
func (p *points) note(at wire.Position, hash uint64) bool {
	if at <= p[0].at {
		return false
	}
	copy(p[1:], p[:])
	p[0] = point{at, hash}
	return true
}

func (p *points) find(at wire.Position) (hash uint64, ok bool) {
	for i := range p {
		if p[i].at == at {
			return p[i].hash, true
		}
	}
	return 0, false
}

// onApplied keeps what STATUS reports of the service, and compares it with what others have reported.
func (c *Core) onApplied(in *Input) {
	s := &c.s
	s.applied = in.Position
	if s.points.note(in.HashPosition, in.Hash) && s.role == Leader {
		c.compare(in.HashPosition)
	}
}

// compareStatus (leader) takes the hash that a counted follower reports.
func (c *Core) compareStatus(p *peer, st *wire.Status) {
	switch {
	case p.points.note(st.HashPosition, st.Hash):
		c.compare(st.HashPosition)
	case p.wrongAt != 0:
		c.compare(p.wrongAt) // it has not heard yet
	}
}

// compare holds against each other what nodes report at a point. Who differs from a majority is told, or is this node
// itself, and stops. Where so many have reported that a majority could agree and none does, nobody can be believed until
// one does: no client is answered meanwhile.
func (c *Core) compare(at wire.Position) {
	s := &c.s
	reported, most, agreed := 0, 0, uint64(0)
	for _, n := range c.o.Voters {
		hash, ok := c.pointsOf(n).find(at)
		if !ok {
			continue
		}
		reported++
		if same := c.countHash(at, hash); same > most {
			most, agreed = same, hash
		}
	}
	switch {
	case most >= c.majority:
		if at >= s.lead.disputed {
			s.lead.disputed = 0
		}
		c.tellDiverged(at, agreed)
	case reported >= c.majority:
		s.lead.disputed = max(s.lead.disputed, at)
	}
}

func (c *Core) pointsOf(n wire.NodeID) *points {
	if n == c.s.self.Node {
		return &c.s.points
	}
	return &c.s.peers[n].points
}

func (c *Core) countHash(at wire.Position, hash uint64) (same int) {
	for _, n := range c.o.Voters {
		if other, ok := c.pointsOf(n).find(at); ok && other == hash {
			same++
		}
	}
	return same
}

// tellDiverged tells those that differ from a majority at a point. If this node is one, it stops: others elect.
func (c *Core) tellDiverged(at wire.Position, agreed uint64) {
	s := &c.s
	if own, ok := s.points.find(at); ok && own != agreed {
		c.stopDiverged(at, own, agreed)
		return
	}
	for _, n := range c.nodes { // learners as well, although they do not make up a majority
		hash, ok := c.pointsOf(n).find(at)
		if !ok || hash == agreed {
			continue
		}
		s.peers[n].wrongAt = at
		out := c.send(wire.DatagramDiverged, n, s.term)
		out.Diverged = wire.Diverged{Position: at, Hash: hash, Majority: agreed}
	}
}

func (c *Core) stopDiverged(at wire.Position, own, agreed uint64) {
	c.stop(fmt.Sprintf("the services of this node have diverged: at position %d the hash of all that they have put out "+
		"is %016x, and a majority's is %016x: a service that is not deterministic, another build, or broken memory",
		at, own, agreed))
}

// onDiverged (follower) hears from its leader that a majority has another hash. It is about this run only if this node
// has reported just that.
func (c *Core) onDiverged(in *Input) {
	s := &c.s
	if c.sender(&in.From) == nil || !c.sameTerm(in.Term) {
		return
	}
	d := &in.Diverged
	own, ok := s.points.find(d.Position)
	switch {
	case in.From != s.follow.from:
		c.refuse(RefusedNotFromLeader)
	case !ok || own != d.Hash || own == d.Majority:
		c.refuse(RefusedReport)
	default:
		c.stopDiverged(d.Position, own, d.Majority)
	}
}
