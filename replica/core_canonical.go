package replica

import "lockstep/wire"

// Cores that will do the same from now on, and how to see that they will. What explores states (internal/explore)
// holds every core in this form.

// CopyFrom makes c equal to d, in c's own memory.
func (c *Core) CopyFrom(d *Core) {
	terms, out := c.terms, c.out
	*c = *d
	c.terms, c.out = append(terms[:0], d.terms...), out[:0]
}

// Normalize puts one core in the place of all that will do the same from now on: its newest Step was at 0, what is
// too long ago to matter is no longer told from what never was, and what its role does not look at is zero. Its
// seeded source goes on from seed. With oneIncarnation no node ever changes its incarnation, and when a node was
// heard last is forgotten too. Cold.
func (c *Core) Normalize(seed uint64, oneIncarnation bool) {
	s := &c.s
	now := s.nowNs
	since := func(at *int64, matters int64) { *at = max(*at-now, -matters) }
	since(&s.heardNs, c.o.ElectionTimeoutMinNs)
	since(&s.oldTermNs, 0)
	since(&s.follow.catchUp.notBefore, 0)
	for t := range s.timers {
		if s.timers[t] != never {
			s.timers[t] -= now
		}
	}
	if s.timers[timerNak] == never {
		s.follow.gapAt = 0
	}
	if s.role != Candidate {
		s.asked, s.transfer = false, false
	}
	c.normalizeSent(&s.lead.group)
	for n := range s.peers {
		p := &s.peers[n]
		since(&p.identityNs, c.o.ElectionTimeoutMinNs)
		if oneIncarnation || p.incarnation == 0 {
			p.identityNs = 0
		}
		c.normalizeSent(&p.sent)
		if s.role == Leader {
			since(&p.heardNs, c.o.ElectionTimeoutMinNs)
		} else {
			p.nonce, p.reported, p.counted, p.unfit = 0, false, false, false
			p.append, p.durable, p.lagAppend, p.heardNs = 0, 0, 0, 0
			p.version = 0
			p.points, p.wrongAt = [numGuards]points{}, [numGuards]wire.Position{}
		}
		if s.role == Follower || s.role == Leader && s.configs.n > 0 {
			p.answered, p.granted = false, false
		}
	}
	s.nowNs, s.rng = 0, seed
	c.next = c.NextDeadline()
}

// normalizeSent forgets what was sent too long ago to be held back.
func (c *Core) normalizeSent(x *sent) {
	if x.atNs -= c.s.nowNs; x.until == 0 || -x.atNs >= c.o.RetransmitLingerNs {
		*x = sent{}
	}
}

// Rename gives every node n the id to[n]; to maps the voters to the voters. The core becomes what it would be had the
// nodes had those ids from the first (but for what follows from the order of Options.Voters). Cold.
func (c *Core) Rename(to *[wire.MaxNodes + 1]wire.NodeID) {
	s := &c.s
	c.o.Self = to[c.o.Self]
	for _, n := range [...]*wire.NodeID{&s.self.Node, &s.vote, &s.leader, &s.stored.vote, &s.announced.leader,
		&s.follow.from.Node, &s.lead.target, &s.lead.failed} {
		*n = to[*n]
	}
	peers, appendOf, durableOf := s.peers, s.lead.appendOf, s.lead.durableOf
	for _, n := range c.o.Voters {
		m := to[n]
		s.peers[m], s.lead.appendOf[m], s.lead.durableOf[m] = peers[n], appendOf[n], durableOf[n]
	}
	for i := range s.order.Member[:s.order.Members] {
		s.order.Member[i].Node = to[s.order.Member[i].Node]
	}
	for i := range s.configs.at[:s.configs.n] {
		RenameConfig(&s.configs.at[i].Config, to)
	}
}

// RenameConfig gives the members of a config record other ids. They stay in the order that they have.
func RenameConfig(config *wire.Config, to *[wire.MaxNodes + 1]wire.NodeID) {
	was := *config
	for i := range was.Member[:was.Members] {
		if m := member(config, to[was.Member[i].Node]); m != nil {
			m.Run, m.Incarnation = was.Member[i].Run, was.Member[i].Incarnation
		}
	}
}
