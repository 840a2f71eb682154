package replica

import (
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// The divergence guard: rules 12 and 13 of docs/consensus.md. Every node reports the hash of all that its services have
// put out at fixed points of the log, and the digest of its whole state at the ends of snapshot records; the leader holds
// the reports against each other, its own included.

// guard says which of the two a report is about.
type guard uint8

const (
	guardOutputs guard = iota // hashes of what services have put out, at fixed points
	guardState                // digests of the state, at the ends of snapshot records
	numGuards
)

// point is a hash at one of the points; at 0: none.
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
	hashed := s.points[guardOutputs].note(in.HashPosition, in.Hash)
	taken := s.points[guardState].note(in.SnapshotPosition, in.SnapshotDigest)
	if in.Verified > s.verified {
		c.verified(in.Verified, in.VerifiedDigest)
	}
	if s.role != Leader {
		return
	}
	if hashed {
		c.compare(guardOutputs, in.HashPosition)
	}
	if taken {
		c.compare(guardState, in.SnapshotPosition)
	}
	c.appendSnapshots()
}

// compareStatus (leader) takes what a counted follower, or a learner, reports of its services.
func (c *Core) compareStatus(p *peer, st *wire.Status) {
	c.compareReport(p, guardOutputs, st.HashPosition, st.Hash)
	c.compareReport(p, guardState, st.SnapshotPosition, st.SnapshotDigest)
}

func (c *Core) compareReport(p *peer, g guard, at wire.Position, hash uint64) {
	switch {
	case p.points[g].note(at, hash):
		c.compare(g, at)
	case p.wrongAt[g] != 0:
		c.compare(g, p.wrongAt[g]) // it has not heard yet
	}
}

// compare holds against each other what nodes that count report at a point. Who differs from a majority is told, or is
// this node itself, and stops. Where so many have reported that a majority could agree and none does, nobody can be
// believed until one does: about outputs, no client is answered meanwhile; about states, no snapshot is verified.
func (c *Core) compare(g guard, at wire.Position) {
	s := &c.s
	if s.stopped {
		return
	}
	reported, most, agreed := 0, 0, uint64(0)
	for _, n := range c.o.Voters {
		hash, ok := c.report(g, n, at)
		if !ok {
			continue
		}
		reported++
		if same := c.countHash(g, at, hash); same > most {
			most, agreed = same, hash
		}
	}
	majority := c.majority
	if g == guardState && simbug.On(simbug.VerifyByMinority) {
		majority = max(1, majority-1)
	}
	switch {
	case most >= majority:
		if at >= s.lead.disputed[g] {
			s.lead.disputed[g] = 0
		}
		c.tellDiverged(g, at, agreed)
		if g == guardState && !s.stopped {
			c.agree(at, agreed)
		}
	case reported >= c.majority:
		s.lead.disputed[g] = max(s.lead.disputed[g], at)
	}
}

func (c *Core) pointsOf(g guard, n wire.NodeID) *points {
	if n == c.s.self.Node {
		return &c.s.points[g]
	}
	return &c.s.peers[n].points[g]
}

// report is what a voter that counts, or this node, has reported at a point.
func (c *Core) report(g guard, n wire.NodeID, at wire.Position) (hash uint64, ok bool) {
	if n != c.s.self.Node && !c.s.peers[n].counted {
		return 0, false
	}
	p := c.pointsOf(g, n)
	if g == guardState && simbug.On(simbug.CountStalePoint) {
		return p[0].hash, p[0].at != 0
	}
	return p.find(at)
}

func (c *Core) countHash(g guard, at wire.Position, hash uint64) (same int) {
	for _, n := range c.o.Voters {
		if other, ok := c.report(g, n, at); ok && other == hash {
			same++
		}
	}
	return same
}

// tellDiverged tells those that differ from a majority at a point. If this node is one, it stops: others elect.
func (c *Core) tellDiverged(g guard, at wire.Position, agreed uint64) {
	s := &c.s
	if own, ok := s.points[g].find(at); ok && own != agreed {
		c.stopDiverged(g, at, own, agreed)
		return
	}
	for _, n := range c.nodes { // learners as well, although they do not make up a majority
		hash, ok := c.pointsOf(g, n).find(at)
		if !ok || hash == agreed {
			continue
		}
		s.peers[n].wrongAt[g] = at
		out := c.send(wire.DatagramDiverged, n, s.term)
		out.Diverged = wire.Diverged{Position: at, Hash: hash, Majority: agreed, State: g == guardState}
	}
}

func (c *Core) stopDiverged(g guard, at wire.Position, own, agreed uint64) {
	what := "hash of all that they have put out"
	if g == guardState {
		what = "digest of their state"
	}
	c.stop(fmt.Sprintf("the services of this node have diverged: at position %d the %s is %016x, and a majority's is "+
		"%016x: a service that is not deterministic, another build, or broken memory", at, what, own, agreed))
	c.out[len(c.out)-1].Diverged = wire.Diverged{Position: at, Hash: own, Majority: agreed, State: g == guardState}
}

// onDiverged (follower) hears from its leader that a majority has another hash. It is about this run only if this node
// has reported just that.
func (c *Core) onDiverged(in *Input) {
	s := &c.s
	if c.sender(&in.From) == nil || !c.sameTerm(in.Term) {
		return
	}
	d := &in.Diverged
	g := guardOutputs
	if d.State {
		g = guardState
	}
	own, ok := s.points[g].find(d.Position)
	switch {
	case in.From != s.follow.from:
		c.refuse(RefusedNotFromLeader)
	case !ok || own != d.Hash || own == d.Majority:
		c.refuse(RefusedReport)
	default:
		c.stopDiverged(g, d.Position, own, d.Majority)
	}
}
