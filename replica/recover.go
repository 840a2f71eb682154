package replica

import (
	"fmt"
	"math"

	"lockstep/wire"
)

// Recovery by an operator's order, when a majority may have forgotten and nobody can be elected. Rule 8 of
// docs/consensus.md says why it is safe, given the operator's word.

// operatorTerms is the distance between the terms that orders begin: room for elections among nodes that nobody asked.
// The low part of such a term is the node's id: two orders, to two nodes, never begin the same term.
const operatorTerms = 256

// operatorTerm is the term that an order begins on a node: above all that were seen; 0 if there are no more.
func operatorTerm(seen wire.Term, self wire.NodeID) wire.Term {
	if seen > math.MaxUint32-2*operatorTerms {
		return 0
	}
	return (seen/operatorTerms+1)*operatorTerms + wire.Term(self)
}

// onRecover leads a new term without votes: an operator has compared the logs that are left, and takes this one.
func (c *Core) onRecover(in *Input) {
	if _, why := c.recoverObstacle(in); why != RefusedNone {
		c.refuse(why)
		return
	}
	s := &c.s
	c.enter(operatorTerm(max(s.term, in.Term), s.self.Node))
	s.role, s.vote = Candidate, s.self.Node
	s.transfer, s.asked = false, false
	s.order = in.Config
	c.openBallot()
}

// recoverObstacle says why an order cannot be carried out now: for people, and by name. Cold.
func (c *Core) recoverObstacle(in *Input) (string, Refusal) {
	s := &c.s
	self := member(&in.Config, s.self.Node)
	switch {
	case c.learns():
		return "it is a learner", RefusedLearner
	case c.leaderAlive():
		return fmt.Sprintf("it leads, or hears a leader (node %d)", s.leader), RefusedLeaderAlive
	case s.follow.cutting:
		return "it is cutting its log: ask again", RefusedCutting
	case c.unfit():
		return "it cannot lead: its disk is full or hangs, or its clock is too far from the others'", RefusedUnfit
	case in.LastTerm != s.lastTerm || in.Position != s.append || in.Checksum != s.checksum:
		return fmt.Sprintf("its log is another than the one that was chosen: it ends at %d, in term %d: ask again",
			s.append, s.lastTerm), RefusedReport
	case self == nil || self.Incarnation != s.self.Incarnation || self.Run != s.self.Run:
		return "it has been started again since it was asked: ask again", RefusedRun
	case !c.majorityListed(&in.Config):
		return "the list of processes is no majority of the voters", RefusedMalformed
	case operatorTerm(max(s.term, in.Term), s.self.Node) == 0:
		return "there is no term left above those that were seen", RefusedMalformed
	}
	return "", RefusedNone
}

// majorityListed says whether a list of processes names voters only, a majority of them.
func (c *Core) majorityListed(list *wire.Config) bool {
	for i := range list.Member[:list.Members] {
		m := &list.Member[i]
		if m.Node > wire.MaxNodes || !c.voter[m.Node] || m.Incarnation == 0 || member(list, m.Node) != m {
			return false
		}
	}
	return int(list.Members) >= c.majority
}

// orderedConfig has the record appended that carries the order out: it admits the processes that the operator listed.
// Who was not asked stays listed as before.
func (c *Core) orderedConfig() {
	s := &c.s
	s.lead.asked = true
	out := c.emit(OutAppendConfig)
	out.Config = c.o.Config()
	if last := s.configs.last(); last != nil {
		out.Config = last.Config
	}
	out.Config.ByOperator = true
	for i := range s.order.Member[:s.order.Members] {
		listed := &s.order.Member[i]
		*member(&out.Config, listed.Node) = *listed
	}
	s.order = wire.Config{}
}

// awaited says whether a process may still be fetching the log up to an order's record, which it needs to count: until
// that is committed nobody else could lead, so the leader by order goes on as long as such processes are heard.
func (c *Core) awaited(n wire.NodeID, p *peer) bool {
	last := c.s.configs.last()
	if last == nil || !last.Config.ByOperator || last.End <= c.s.commit {
		return false
	}
	m := member(&last.Config, n)
	return m != nil && m.Incarnation == p.incarnation && m.Run == p.run
}
