package system

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"lockstep/internal/lab"
	"lockstep/node"
)

// TestShouldTakeASnapshotWhenAsked asks a cluster under load for a snapshot, of the followers and then of the leader too: all
// take it at the position that the command names, and a majority verifies it.
func TestShouldTakeASnapshotWhenAsked(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Payload: 200, Window: 16})
	f.awaitAcked(500)
	said := regexp.MustCompile(`^node (\d+): a snapshot is asked for at position (\d+)\n$`)
	for _, flags := range [][]string{nil, {"--leader"}} {
		leader := c.leader()
		args := append([]string{"snapshot", "--config", c.node(c.others(leader)[0]).Config}, flags...)
		m := said.FindStringSubmatch(c.at(leader, 0, args))
		if m == nil || m[1] != strconv.Itoa(leader) {
			t.Fatalf("%v says %q; node %d leads", args, m, leader)
		}
		at, _ := strconv.ParseUint(m[2], 10, 64)
		for _, n := range c.lab.Nodes() {
			c.awaitStatus(n.ID, fmt.Sprintf("holds a verified snapshot of %d", at), func(s *node.Status) bool {
				return s.SnapshotVerified == at && (s.NewestVerified() == at || n.ID == leader && flags == nil)
			})
		}
	}
	f.awaitAcked(100)
	c.prove()
}
