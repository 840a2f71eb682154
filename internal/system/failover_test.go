package system

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/transport"
)

// follows waits until a node follows a leader and has everything that is committed.
func (c *cluster) follows(id int) {
	c.t.Helper()
	c.awaitStatus(id, "follows and has caught up", func(s *node.Status) bool {
		leader, ok := c.status(s.Leader)
		return ok && s.Leader != id && s.Recovering == "" && leader.Role == "leader" && s.Append >= leader.Commit
	})
}

func TestC1ShouldCarryOnWhenLeaderIsKilled(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		c := up(t, o)
		f := c.start(0, flowOptions{Orders: true, Rate: 1000})
		f.awaitAcked(200)
		leader := c.leader()
		c.do(c.lab.Kill(leader))
		f.awaitAcked(300)
		if now := c.leader(); now == leader {
			t.Fatalf("node %d was killed and leads", leader)
		}
		c.do(c.lab.Start(leader))
		c.follows(leader)
		f.awaitAcked(200)
		if s := f.now(); s.Connects < 2 {
			t.Errorf("the client connected %d times: the leader was killed under it", s.Connects)
		}
		c.prove()
	})
}

func TestC2ShouldSurviveOneFailureAfterTheOther(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Rate: 1000})
	for range 4 {
		f.awaitAcked(100)
		leader := c.leader()
		c.do(c.lab.Kill(leader))
		f.awaitAcked(100)
		c.do(c.lab.Start(leader))
		c.follows(leader)
	}
	c.prove()
}

// TestShouldCountAKilledNodeAgainUnderRuleReplicated kills a node, which may then have forgotten what it held in
// memory, and, once it is admitted again, another one: without the first the cluster could not go on.
func TestShouldCountAKilledNodeAgainUnderRuleReplicated(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: "replicated"})
	f := c.start(0, flowOptions{Payload: 200, Rate: 2000})
	f.awaitAcked(300)
	first := c.leader()
	c.do(c.lab.Kill(first))
	f.awaitAcked(300)
	c.do(c.lab.Start(first))
	c.await("the killed node is admitted again", func() bool {
		return strings.Contains(c.log(first), "admitted by the cluster")
	})
	if !strings.Contains(c.log(first), "recovering: this node did not end cleanly") {
		t.Errorf("node %d was killed and did not start as recovering", first)
	}
	c.follows(first)
	second := c.leader()
	c.do(c.lab.Kill(second))
	f.awaitAcked(300)
	c.do(c.lab.Start(second))
	c.follows(second)
	c.prove()
}

// TestShouldNotCountARecoveringNodeUnderRuleReplicated leaves one intact node and one that may have forgotten: the
// two must wait for the third, which is stalled and holds all that was acknowledged.
func TestShouldNotCountARecoveringNodeUnderRuleReplicated(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: "replicated"})
	f := c.start(0, flowOptions{Payload: 200, Rate: 1000})
	f.awaitAcked(300)
	leader := c.leader()
	forgetful, intact := c.others(leader)[0], c.others(leader)[1]
	c.do(c.lab.Kill(forgetful))
	c.do(c.lab.Signal(leader, syscall.SIGSTOP))
	c.do(c.lab.Start(forgetful))
	c.awaitStatus(forgetful, "is recovering", func(s *node.Status) bool { return s.Recovering != "" })
	c.awaitStatus(intact, "looks for votes", func(s *node.Status) bool { return s.Role == "canvassing" })
	acked := f.now().Acked
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if c.leads(intact) || c.leads(forgetful) {
			t.Fatalf("a node leads without an intact majority\n%s", c.statuses())
		}
	}
	if now := f.now().Acked; now != acked {
		t.Fatalf("%d messages were acknowledged without an intact majority", now-acked)
	}
	c.do(c.lab.Signal(leader, syscall.SIGCONT))
	c.counts(forgetful)
	f.awaitAcked(300)
	c.prove()
}

// counts waits until a node votes and counts, whatever its role.
func (c *cluster) counts(id int) {
	c.t.Helper()
	c.awaitStatus(id, "votes and counts", func(s *node.Status) bool { return s.Recovering == "" && s.Leader != 0 })
}

// TestE10C4ShouldServeNothingStaleWhenLeaderIsStalled stops the leader's process for longer than an election and lets it
// go on. One client knows no node but that one: its messages wait in the leader's own receive queue meanwhile.
func TestE10C4ShouldServeNothingStaleWhenLeaderIsStalled(t *testing.T) {
	needNamespaces(t)
	everyTransport(t, func(t *testing.T, o lab.Options) {
		o.Clients = 2
		c := up(t, o)
		leader := c.leader()
		f := c.start(0, flowOptions{Orders: true, Rate: 500})
		loyal := flowOptions{Payload: 100, Rate: 500}
		loyal.Target.Nodes = []transport.Addr{c.node(leader).Data}
		stuck := c.start(1, loyal)
		f.awaitAcked(100)
		stuck.awaitAcked(100)
		c.do(c.lab.Signal(leader, syscall.SIGSTOP))
		f.awaitAcked(300)
		before, _ := c.status(c.leaderBut(leader))
		c.do(c.lab.Signal(leader, syscall.SIGCONT))
		c.awaitStatus(leader, "knows the later term", func(s *node.Status) bool {
			return s.Term >= before.Term && s.Leader != 0
		})
		stuck.awaitAcked(200)
		f.awaitAcked(100)
		c.prove()
	})
}

// leaderBut waits for a leader that is not that node.
func (c *cluster) leaderBut(id int) (leader int) {
	c.t.Helper()
	c.await("another node leads", func() bool {
		for _, other := range c.others(id) {
			if s, ok := c.status(other); ok && s.Role == "leader" {
				leader = other
				return true
			}
		}
		return false
	})
	return leader
}
