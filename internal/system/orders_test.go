package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"lockstep/internal/lab"
)

var audited = regexp.MustCompile(`(\d+) orders, (\d+) executions`)

// audited has the journal of every node dumped with what its records put out, and what the order book told its clients checked
// from that alone. The nodes are stopped. It returns how many executions there were.
func (c *cluster) audited() (executions int) {
	c.t.Helper()
	for _, n := range c.lab.Nodes() {
		file := filepath.Join(c.t.TempDir(), "dump")
		f, err := os.Create(file)
		c.do(err)
		dump := exec.Command(binary, "journal", "dump", "--outputs", n.Dir)
		dump.Stdout = f
		if err := dump.Run(); err != nil {
			c.t.Fatalf("dump of node %d: %v", n.ID, err)
		}
		c.do(f.Close())
		out, code := run(c.t, "order", "audit", file)
		found := audited.FindStringSubmatch(out)
		if code != 0 || found == nil {
			c.t.Fatalf("audit of node %d: exit code %d\n%s", n.ID, code, out)
		}
		executions, err = strconv.Atoi(found[2])
		c.do(err)
	}
	return executions
}

// TestOrdersShouldAddUpWhenLeadersAreKilled has three clients trade with one another while one leader after the other dies:
// every execution has two sides, quantities add up, no order is lost or executed twice, in the eyes of an auditor that
// reads nothing but the dumps of the journals.
func TestOrdersShouldAddUpWhenLeadersAreKilled(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "udp", Clients: mixedClients})
	for i := range mixedClients {
		c.start(i, flowOptions{Orders: true, Rate: 500})
	}
	c.allAcked(300)
	for range 3 {
		leader := c.leader()
		c.do(c.lab.Kill(leader))
		c.allAcked(200)
		c.do(c.lab.Start(leader))
		c.follows(leader)
	}
	c.prove()
	if n := c.audited(); n < 50 {
		t.Errorf("%d executions say little", n)
	}
}
