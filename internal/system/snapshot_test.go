package system

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/lab"
	"lockstep/node"
)

// trimmed has a snapshot taken every 2 MiB and keeps no log beyond what a start needs.
const trimmed = smallRing + `
[snapshot]
every_bytes = 2097152
[retention]
bytes = 0
`

// trimmedLog is what the log of such a node takes at most: from the older of two snapshots, over the newer and the one
// that is under way, to the end, with a segment at the beginning that is not wholly superfluous, the one that is written
// and the one prepared behind it: 9 MiB. More than that, because snapshots take their time on a machine that does much
// else, and what another node has read stays for 2 s: 10 MiB at the rate below.
const trimmedLog = 28 << 20

// settle stops the clients, which hold what they were answered against what they sent, and waits until all nodes have
// the same state.
func (c *cluster) settle() {
	c.t.Helper()
	for _, f := range c.flows {
		f.stop()
	}
	c.flows = nil
	c.converge()
}

// awaitTrimmed waits until the log of a node has been dropped below so many bytes more.
func (c *cluster) awaitTrimmed(id int, more uint64) {
	c.t.Helper()
	s, _ := c.status(id)
	c.awaitStatus(id, "drops log", func(now *node.Status) bool { return now.LogFloor >= s.LogFloor+more })
}

// load sends much, for the echo service, and little for the order book, which keeps it.
func (c *cluster) load() {
	c.start(0, flowOptions{Payload: 1300, Window: 128, Rate: 4000})
	c.start(1, flowOptions{Orders: true, Rate: 500})
}

func trimmedLab() lab.Options {
	return lab.Options{Transport: "xdp", XDPMode: "generic", Clients: 2, Override: trimmed}
}

// TestShouldKeepTheDiskBoundedUnderLoad writes many times what is kept: no node's log takes more, the leader's neither.
// Every node then starts again from a snapshot, one after the other, under load.
func TestShouldKeepTheDiskBoundedUnderLoad(t *testing.T) {
	needNamespaces(t)
	c := up(t, trimmedLab())
	c.load()
	most := map[int]uint64{}
	c.await("the log was dropped many times over", func() bool {
		done := true
		for _, n := range c.lab.Nodes() {
			s, ok := c.status(n.ID)
			most[n.ID] = max(most[n.ID], s.LogDisk)
			done = done && ok && s.LogFloor > trimmedLog
		}
		return done
	})
	for id, bytes := range most {
		if bytes > trimmedLog {
			t.Errorf("the log of node %d took %d bytes", id, bytes)
		}
	}
	leader := c.leader()
	for _, id := range append(c.others(leader), leader) {
		printed := len(c.log(id))
		c.do(c.lab.Kill(id))
		c.do(c.lab.Start(id))
		c.follows(id)
		if said := c.since(id, printed); !strings.Contains(said, "starting from the snapshot at position") {
			t.Errorf("node %d does not start from a snapshot:\n%s", id, said)
		}
		c.awaitTrimmed(id, 1)
	}
	c.settle()
}

// TestL13ShouldInstallASnapshotUnderLoad has a node miss more log than anybody keeps: it installs a snapshot while the load
// goes on, and catches up. So does one that has lost everything.
func TestL13ShouldInstallASnapshotUnderLoad(t *testing.T) {
	needNamespaces(t)
	for _, loss := range []string{"behind", "wiped"} {
		t.Run(loss, func(t *testing.T) {
			c := up(t, trimmedLab())
			c.load()
			leader := c.leader()
			c.awaitTrimmed(leader, 1)
			victim := c.others(leader)[0]
			n := c.node(victim)
			c.do(c.lab.Kill(victim))
			if loss == "wiped" {
				c.do(os.RemoveAll(n.Dir))
				c.at(victim, 0, []string{"reseed", "--config", n.Config})
			}
			end := c.endOf(n)
			for _, id := range c.others(victim) {
				c.awaitStatus(id, "has dropped what the other lacks", func(s *node.Status) bool { return s.LogFloor > end })
			}
			printed := len(c.log(victim))
			c.do(c.lab.Start(victim))
			c.follows(victim)
			said := c.since(victim, printed)
			for _, words := range []string{"install: fetching the snapshot", "the node opens again", "dropped the log that ended at"} {
				if n := strings.Count(said, words); n != 1 {
					t.Errorf("node %d says %d times %q:\n%s", victim, n, words, said)
				}
			}
			c.awaitStatus(victim, "tells where it began", func(s *node.Status) bool { return s.Installed > end })
			c.awaitTrimmed(victim, 1)
			if loss == "wiped" {
				c.counts(victim)
			}
			c.settle()
		})
	}
}

// endOf is where the log of a node that does not run may end at most.
func (c *cluster) endOf(n *lab.Node) uint64 {
	segments, err := filepath.Glob(filepath.Join(n.Dir, "journal", "*.seg"))
	c.do(err)
	if len(segments) == 0 {
		return 0
	}
	var first uint64
	_, err = fmt.Sscanf(filepath.Base(segments[len(segments)-1]), "%d.seg", &first)
	c.do(err)
	return first + 1<<20
}

// snapshotsOf are the directories of the snapshots that a node holds, oldest first.
func (c *cluster) snapshotsOf(id int) []string {
	list, err := filepath.Glob(filepath.Join(c.node(id).Dir, "snapshot", strings.Repeat("[0-9]", 20)))
	c.do(err)
	return list
}

// TestShouldFallBackWhenTheNewestSnapshotIsDamaged turns a bit in the newest snapshot of a stopped node: it sets it aside and
// starts from the one before. With both damaged it refuses, and says what to do.
func TestShouldFallBackWhenTheNewestSnapshotIsDamaged(t *testing.T) {
	needNamespaces(t)
	c := up(t, trimmedLab())
	c.load()
	victim := c.others(c.leader())[0]
	c.awaitTrimmed(victim, 1)
	c.awaitStatus(victim, "holds two snapshots", func(s *node.Status) bool { return len(s.Snapshots) >= 2 && s.NewestVerified() > 0 })
	c.do(c.lab.Stop(victim))
	held := c.snapshotsOf(victim)
	flip(t, filepath.Join(held[len(held)-1], "data"))
	printed := len(c.log(victim))
	c.do(c.lab.Start(victim))
	c.follows(victim)
	said := c.since(victim, printed)
	before := strings.TrimLeft(filepath.Base(held[len(held)-2]), "0")
	if !strings.Contains(said, "set aside") || !strings.Contains(said, "starting from the snapshot at position "+before) {
		t.Errorf("node %d does not fall back:\n%s", victim, said)
	}
	if bad, _ := filepath.Glob(filepath.Join(c.node(victim).Dir, "snapshot", "*.bad")); len(bad) != 1 {
		t.Errorf("the damaged snapshot is not kept aside: %v", bad)
	}
	c.awaitTrimmed(victim, 1)
	c.settle()
	c.do(c.lab.Stop(victim))
	for _, dir := range c.snapshotsOf(victim) {
		flip(t, filepath.Join(dir, "data"))
	}
	c.at(victim, 2, []string{"node", "--config", c.node(victim).Config}, "no snapshot", "lockstep reseed")
}

// flip turns a bit in the middle of a file.
func flip(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		b[len(b)/2] ^= 4
		err = os.WriteFile(name, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestShouldBearAKillInTheMidstOfSnapshots kills a node again and again while it takes snapshots, and one while it installs
// one: it starts every time, and comes to the same state.
func TestShouldBearAKillInTheMidstOfSnapshots(t *testing.T) {
	needNamespaces(t)
	c := up(t, trimmedLab())
	c.load()
	victim := c.others(c.leader())[0]
	n := c.node(victim)
	for range 3 {
		c.spin("a snapshot is being taken", func() bool {
			list, _ := filepath.Glob(filepath.Join(n.Dir, "snapshot", "*.tmp"))
			return len(list) > 0
		})
		c.do(c.lab.Kill(victim))
		c.do(c.lab.Start(victim))
		c.follows(victim)
	}
	c.do(c.lab.Kill(victim))
	end := c.endOf(n)
	for _, id := range c.others(victim) {
		c.awaitStatus(id, "has dropped what the other lacks", func(s *node.Status) bool { return s.LogFloor > end })
	}
	for range 3 {
		printed := len(c.log(victim))
		c.do(c.lab.Start(victim))
		c.spin("a snapshot is being fetched", func() bool {
			return strings.Contains(c.since(victim, printed), "install: fetching the snapshot")
		})
		c.do(c.lab.Kill(victim))
	}
	c.do(c.lab.Start(victim))
	c.follows(victim)
	c.settle()
}

// spin is await for what lasts a moment only.
func (c *cluster) spin(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s\n%s", patience, what, c.statuses())
		}
		time.Sleep(200 * time.Microsecond)
	}
}
