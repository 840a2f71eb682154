package replica

import (
	"cmp"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// What a majority holds, and commit. Rules 4, 7 and 8 of docs/consensus.md.

// onStatus (leader) takes a follower's report.
func (c *Core) onStatus(in *Input) {
	p := c.follower(&in.From)
	if p == nil {
		return
	}
	s := &c.s
	if simbug.On(simbug.CountStaleTerm) && in.Term < s.term {
		c.count(in.From.Node, min(in.Status.Append, s.append), min(in.Status.Durable, s.append))
		return
	}
	if in.Term != s.term {
		c.onStatusOfTerm(in, p)
		return
	}
	st := &in.Status
	if st.Aligned == 0 || st.Aligned != p.nonce {
		c.refuse(RefusedNonce)
		return
	}
	if st.Append > s.append || st.Durable > st.Append || st.SnapshotPosition > st.Append {
		c.refuse(RefusedMalformed)
		return
	}
	if !p.reported {
		if c.regressed(p, st) {
			c.refuse(RefusedDurableRegress)
			return
		}
		p.reported = true
		p.seenGeneration, p.seenDurable = st.Generation, st.Durable
		if st.Append < s.append {
			c.sendEmptyLog(in.From.Node) // what was streamed while it was not aligned is missing: let it ask at once
		}
	}
	if st.Append < p.append || st.Durable < p.durable || st.Generation != p.seenGeneration {
		c.refuse(RefusedReport)
		return
	}
	p.append, p.durable, p.seenDurable = st.Append, st.Durable, st.Durable
	p.unfit, p.version = st.Unfit, st.Version
	if c.learner[in.From.Node&wire.MaxNodes] {
		c.compareStatus(p, st)
		return // its progress is known, and counts for nothing
	}
	if (!p.admitted || st.Recovering) && !simbug.On(simbug.CountUnadmitted) {
		c.refuse(RefusedIncarnation)
		c.uncount(in.From.Node)
		c.admit(in.From.Node, p)
		if c.awaited(in.From.Node, p) {
			p.heardNs = s.nowNs
		}
		return
	}
	p.counted = true
	p.heardNs = s.nowNs
	c.count(in.From.Node, p.append, p.durable)
	c.compareStatus(p, st)
	if s.stopped {
		return
	}
	if s.lead.target != 0 {
		c.checkHandOver()
	}
	if st.Version > c.versionInForce() {
		c.raiseVersion()
	}
}

// regressed says whether a node's disk holds less than it was seen to hold, without a cut. A node that says that it
// may have forgotten is taken at its word.
func (c *Core) regressed(p *peer, st *wire.Status) bool {
	return !st.Recovering && st.Generation <= p.seenGeneration && st.Durable < p.seenDurable
}

// onStatusOfTerm looks at a STATUS of another term. A term above this one must be led: the node that has it would be
// stuck for ever.
func (c *Core) onStatusOfTerm(in *Input, p *peer) {
	switch {
	case in.Term < c.s.term:
		c.refuse(RefusedOldTerm)
	case c.learner[in.From.Node&wire.MaxNodes]:
		c.refuse(RefusedLearner)
	case !p.admitted:
		c.refuse(RefusedIncarnation)
		c.admit(in.From.Node, p)
	case simbug.On(simbug.IgnoreHigherTerm):
	default:
		c.enter(in.Term)
		if c.fit() {
			c.campaign(true)
		}
	}
}

// count notes how far a node that counts is, and moves what a majority holds and commit.
func (c *Core) count(n wire.NodeID, append, durable wire.Position) {
	l := &c.s.lead
	l.appendOf[n], l.durableOf[n] = append, durable
	if l.countFrom == 0 || append <= l.replicated && durable <= l.durable {
		return
	}
	if append > l.replicated {
		l.replicated = c.majorityAt(&l.appendOf, l.replicated)
	}
	if durable > l.durable {
		l.durable = c.majorityAt(&l.durableOf, l.durable)
	}
	c.leadCommit()
}

// uncount takes a node's positions out of the count. What a majority held stays committed.
func (c *Core) uncount(n wire.NodeID) {
	s := &c.s
	s.peers[n].counted = false
	if n != s.self.Node {
		s.lead.appendOf[n], s.lead.durableOf[n] = 0, 0
	}
}

// majorityAt is how far a majority of all voters is, at or past the end of this term's first record; else held.
func (c *Core) majorityAt(of *[wire.MaxNodes + 1]wire.Position, held wire.Position) wire.Position {
	var p [wire.MaxNodes + 1]wire.Position
	n := 0
	for _, v := range c.o.Voters {
		p[n&wire.MaxNodes] = of[v&wire.MaxNodes]
		n++
	}
	k := c.majority
	if simbug.On(simbug.CommitByMinority) {
		k = max(1, k-1)
	}
	at := kthLargest(p[:n], k)
	if at < c.s.lead.countFrom && !simbug.On(simbug.CommitOldTerm) {
		return held
	}
	return max(held, at)
}

// kthLargest sorts values, which are few, and returns the k-th largest.
func kthLargest[T cmp.Ordered](values []T, k int) T {
	for i := 1; i < len(values); i++ {
		for j := i; j > 0 && values[j] > values[j-1]; j-- {
			values[j], values[j-1] = values[j-1], values[j]
		}
	}
	return values[k-1]
}

// leadCommit moves commit by the commit rule. Followers hear of it with what is streamed next, or with an empty LOG
// if nothing is for a short while.
func (c *Core) leadCommit() {
	s := &c.s
	p := s.lead.durable
	if c.o.Rule == wire.RuleReplicated {
		p = s.lead.replicated
	}
	if simbug.On(simbug.CommitMidRecord) && p > 8 {
		p -= 8
	}
	if p <= s.commit {
		return
	}
	s.commit = p
	c.emit(OutCommit).Position = p
	if s.timers[timerEcho] == never && len(c.nodes) > 1 {
		c.after(timerEcho, c.o.CommitEchoNs)
	}
}

// onDurableLeader takes how far the leader itself has synced.
func (c *Core) onDurableLeader(in *Input) {
	if c.synced(in) {
		c.count(c.s.self.Node, c.s.append, c.s.durable)
		c.maybeRecovered()
		if len(c.o.Voters) == 1 {
			c.raiseVersion()
		}
	}
}
