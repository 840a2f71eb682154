package system

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/wire"
)

// at runs the binary where a node is, and returns what it says.
func (c *cluster) at(id, wantCode int, args []string, says ...string) (out string) {
	c.t.Helper()
	out, code := runCmd(c.t, func(cmd *exec.Cmd) error { return c.lab.StartNode(id, cmd) }, exec.Command(binary, args...))
	if code != wantCode {
		c.t.Fatalf("%v: exit code %d, want %d\n%s\n%s", args, code, wantCode, out, c.statuses())
	}
	for _, text := range says {
		if !strings.Contains(out, text) {
			c.t.Errorf("%v does not say %q:\n%s", args, text, out)
		}
	}
	return out
}

// TestShouldGoOnByOrderWhenEveryProcessWasKilled kills all nodes of a cluster under rule replicated: each may have
// forgotten, nobody is elected, until an operator says which log to go on with.
func TestShouldGoOnByOrderWhenEveryProcessWasKilled(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: "replicated", Clients: 2})
	f := c.start(0, flowOptions{Payload: 200, Levels: []wire.Level{wire.LevelDurable}, Count: 3000, Rate: 3000})
	f.awaitAcked(300)
	leader := c.leader()
	behind, config := c.others(leader)[0], c.node(leader).Config
	c.at(leader, 1, []string{"recover", "--config", config, "--accept-loss"}, "lead")
	c.do(c.lab.Kill(behind))
	c.await("the client is done", func() bool { return f.now().Done })
	f.stop()
	for _, id := range c.others(behind) {
		c.do(c.lab.Kill(id))
	}
	for _, n := range c.lab.Nodes() {
		c.do(c.lab.Start(n.ID))
	}
	for _, n := range c.lab.Nodes() {
		c.awaitStatus(n.ID, "is recovering", func(s *node.Status) bool { return s.Recovering != "" })
	}
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		for _, n := range c.lab.Nodes() {
			if c.leads(n.ID) {
				t.Fatalf("node %d leads although all may have forgotten\n%s", n.ID, c.statuses())
			}
		}
	}
	c.at(behind, 0, []string{"recover", "--config", config}, "The newest log is node ", "Nothing was done")
	c.at(behind, 0, []string{"recover", "--config", config, "--accept-loss"}, "by order", "the cluster works again")
	if c.leads(behind) {
		t.Errorf("node %d, whose log was not the newest, leads by order\n%s", behind, c.statuses())
	}
	for _, n := range c.lab.Nodes() {
		c.counts(n.ID)
	}
	c.start(1, flowOptions{Payload: 200, Rate: 2000}).awaitAcked(300)
	c.prove()
}

// TestP11ShouldAdmitAWipedNodeThatWasReseeded loses a node's directory. Made anew it fetches the log, is admitted, and then
// counts: with another node gone the cluster goes on by its vote and its word. Fault P11.
func TestP11ShouldAdmitAWipedNodeThatWasReseeded(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Payload: 1000, Window: 64})
	f.awaitAcked(2000)
	leader := c.leader()
	wiped := c.others(leader)[0]
	n := c.node(wiped)
	c.do(c.lab.Kill(wiped))
	c.do(os.Rename(n.Dir, n.Dir+".old"))
	c.at(wiped, 0, []string{"reseed", "--config", n.Config})
	f.awaitAcked(200)
	c.do(c.lab.Start(wiped))
	c.await("the wiped node is admitted", func() bool {
		return strings.Contains(c.log(wiped), "recovering: reseeded") && strings.Contains(c.log(wiped), "admitted by the cluster")
	})
	c.follows(wiped)
	c.do(c.lab.Kill(leader))
	f.awaitAcked(500)
	c.do(c.lab.Start(leader))
	c.follows(leader)
	c.prove()
}
