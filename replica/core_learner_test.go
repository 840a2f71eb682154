package replica

import (
	"strings"
	"testing"

	"lockstep/wire"
)

// withLearner makes a probe of a core among voters 1 to 3 and learner 4.
func withLearner(t *testing.T, self wire.NodeID, r Restored) *probe {
	o := testOptions(wire.RuleReplicated)
	o.Self, o.Learners = self, []wire.NodeID{4}
	if r.Incarnation == 0 {
		r.Incarnation, r.Run = uint64(self)*1000, 1
	}
	return &probe{t: t, c: NewCore(o, r, 0)}
}

func TestLearnerNeitherVotesNorLeads(t *testing.T) {
	p := withLearner(t, 4, Restored{})
	p.now = 1e9
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Follower && p.find(OutSend) == nil, "a learner canvasses")
	ballot := wire.Ballot{ConfigDigest: p.c.digest, Append: 9e9, Transfer: true}
	p.refused(Input{Kind: InCanvass, From: other(2), Term: 3, Ballot: ballot}, RefusedLearner)
	p.refused(Input{Kind: InVoteRequest, From: other(2), Term: 3, Ballot: ballot}, RefusedLearner)
	p.want(len(p.out) == 0 && p.c.Term() == 0, "a learner answers a ballot")
	p.refused(Input{Kind: InRecover}, RefusedLearner)
	p.follow()
	p.refused(Input{Kind: InTransfer, From: other(2), Term: 1}, RefusedUnfit)
}

func TestLearnerIsNeverRecovering(t *testing.T) {
	p := withLearner(t, 4, Restored{Incarnation: 4000, Run: 3, Recovering: true})
	p.want(!p.c.Recovering(), "what a learner forgot counts")
	p.follow()
	p.step(p.config(Peer{1, 1000, 1}, other(2), other(3)))
	p.want(!p.c.Recovering(), "a config record does not list a learner, and it waits to be admitted")
}

func TestLearnerIsFedAndCountsForNothing(t *testing.T) {
	p := withLearner(t, 1, Restored{})
	p.lead()
	p.want(p.c.Commit() == 0, "commit %d", p.c.Commit())
	p.step(Input{Kind: InAlign, From: other(4), Term: 1, Align: wire.Align{Nonce: 4, LastPage: true}})
	p.want(p.sent(wire.DatagramAlignAnswer) != nil, "a learner is not aligned")
	p.step(statusOf(4, 1, 0, 0))
	p.want(p.sent(wire.DatagramLog) != nil && p.sent(wire.DatagramLog).To == 4, "a learner is not told what it misses")
	p.step(Input{Kind: InNak, From: other(4), Term: 1, Nak: wire.Nak{From: 0, To: firstConfig}})
	p.want(p.find(OutRetransmit) != nil && p.find(OutRetransmit).To == 4, "a learner's NAK is not answered")
	p.step(statusOf(4, 1, firstConfig, firstConfig))
	p.want(p.c.Commit() == 0 && p.find(OutAppendConfig) == nil, "a learner counts, or is admitted: commit %d", p.c.Commit())
	at, durable, counts := p.c.Follower(4)
	p.want(at == firstConfig && durable == firstConfig && !counts, "%d %d %v", at, durable, counts)
	for range 30 {
		p.now += 10e6
		p.step(statusOf(4, 1, firstConfig, firstConfig))
	}
	p.want(p.c.Role() == Follower, "a learner keeps a leader in office")
}

func TestLearnerHasNoSay(t *testing.T) {
	p := withLearner(t, 1, Restored{})
	p.lead()
	p.refused(statusOf(4, 9, 0, 0), RefusedLearner)
	p.refused(Input{Kind: InHandOver, Node: 4}, RefusedSender)
	p.want(strings.Contains(p.c.handOverObstacle(4), "learner"), "%q", p.c.handOverObstacle(4))
	in := heartbeat(9, 0, 0)
	in.From = other(4)
	p.refused(in, RefusedSender)
	p.refused(Input{Kind: InVoteRequest, From: other(4), Term: 9, Ballot: wire.Ballot{ConfigDigest: p.c.digest, Transfer: true}},
		RefusedSender)
	p.want(p.c.Role() == Leader && p.c.Term() == 1, "%v of term %d", p.c.Role(), p.c.Term())
}

// A cluster of one voter has somebody to speak to when it has a learner.
func TestLearnerOfASingleVoter(t *testing.T) {
	c := newClusterOf(1, 2, wire.RuleDurable, 3, 1<<16)
	c.advance(500e6)
	c.leader().propose(3, 100)
	c.advance(100e6)
	if wrong := c.checkConverged(); wrong != "" || len(c.failures) > 0 {
		t.Fatal(wrong, c.failures, c.status())
	}
}

func TestLearnerOptionsAreChecked(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	o.Learners = []wire.NodeID{3}
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "each once") {
		t.Errorf("a node that votes and learns: %v", err)
	}
	o.Voters, o.Learners = nil, []wire.NodeID{1}
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "no voters") {
		t.Errorf("nobody votes: %v", err)
	}
}
