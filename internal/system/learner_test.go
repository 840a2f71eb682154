package system

import (
	"testing"

	"lockstep/internal/lab"
	"lockstep/node"
)

// TestShouldFeedALearner has a fourth node receive and apply everything without a say: through a cut-off long enough for
// a catch-up from disk, and while voters come and go; it never makes up for one.
func TestShouldFeedALearner(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Nodes: 4, Learners: 1})
	const learner = 4
	f := c.start(0, flowOptions{Payload: 1000, Window: 64})
	f.awaitAcked(1000)
	c.awaitStatus(learner, "applies", func(s *node.Status) bool { return s.Role == "learner" && s.Applied > 100_000 })
	c.do(c.lab.Kill(learner))
	f.awaitAcked(3000)
	c.do(c.lab.Start(learner))
	leader := c.leader()
	f.awaitAcked(500)
	c.do(c.lab.Kill(leader))
	f.awaitAcked(500)
	second := c.leader()
	if second == learner {
		t.Fatal("a learner leads")
	}
	c.awaitStatus(second, "shows the learner", func(s *node.Status) bool {
		for _, x := range s.Followers {
			if x.Node == learner {
				return x.Learner && !x.Counts && x.Append > 0
			}
		}
		return false
	})
	c.do(c.lab.Kill(second))
	third := c.others(leader)[0]
	if third == second {
		third = c.others(leader)[1]
	}
	c.awaitStatus(third, "has no majority with a learner", func(s *node.Status) bool { return s.Role == "canvassing" })
	c.do(c.lab.Start(second))
	f.awaitAcked(500)
	c.do(c.lab.Start(leader))
	c.follows(leader)
	c.prove()
}
