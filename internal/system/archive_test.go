package system

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
)

// archived is trimmed, but that a node keeps what no archive has yet.
const archived = trimmed + `archive_wait_bytes = 4294967296
`

// archive ships the log of a node, which may run.
func (c *cluster) archive(id int, to string) string {
	c.t.Helper()
	out, code := run(c.t, "journal", "archive", "--from", c.node(id).Dir, "--to", to)
	if code != 0 {
		c.t.Fatalf("archiving node %d: exit code %d\n%s", id, code, out)
	}
	return out
}

var clusterLine = regexp.MustCompile("of the new cluster ([0-9a-f]{16})")

// restore makes the directory of every node anew from an archive, as of one new cluster, and starts them.
func (c *cluster) restore(archive string) {
	c.t.Helper()
	var cluster []string
	for _, n := range c.lab.Nodes() {
		c.do(os.RemoveAll(n.Dir))
		args := append([]string{"journal", "restore", "--from", archive, "--to", n.Dir, "--node", strconv.Itoa(n.ID)}, cluster...)
		out, code := run(c.t, args...)
		id := clusterLine.FindStringSubmatch(out)
		if code != 0 || id == nil {
			c.t.Fatalf("restoring node %d: exit code %d\n%s", n.ID, code, out)
		}
		cluster = []string{"--cluster", id[1]}
		c.lab.Cluster, _ = strconv.ParseUint(id[1], 16, 64)
		c.do(c.lab.Start(n.ID))
	}
}

// TestShouldRestoreAClusterFromItsArchive ships the log and the snapshots of one node while the cluster works and drops log; then
// all nodes are lost. Those that are restored start from a snapshot, with the state that was there, and go on.
func TestShouldRestoreAClusterFromItsArchive(t *testing.T) {
	needNamespaces(t)
	o := trimmedLab()
	o.Override = archived
	c := up(t, o)
	c.load()
	source := c.others(c.leader())[0]
	archive := filepath.Join(t.TempDir(), "archive")
	c.await("log is dropped once it is archived", func() bool {
		if out := c.archive(source, archive); strings.Contains(out, "lacks the log") {
			t.Fatalf("log was dropped before it was shipped:\n%s", out)
		}
		s, ok := c.status(source)
		return ok && s.LogFloor > 8<<20 && len(s.Snapshots) >= 2
	})
	c.settle()
	before, _ := c.status(source)
	c.await("everything is archived", func() bool {
		c.archive(source, archive)
		out, _ := run(t, "journal", "stat", archive)
		return strings.Contains(out, "to "+strconv.FormatUint(before.Append, 10)+":")
	})
	if out, code := run(t, "journal", "verify", archive); code != 0 || !strings.Contains(out, "snapshots") {
		t.Fatalf("the archive: exit code %d\n%s", code, out)
	}
	fromStart, _ := run(t, "journal", "replay", "--from-start", archive)
	if !strings.Contains(fromStart, "state "+before.StateHash) {
		t.Errorf("replayed from the start the archive comes to another state than %s:\n%s", before.StateHash, fromStart)
	}
	printed := map[int]int{}
	for _, n := range c.lab.Nodes() {
		c.do(c.lab.Stop(n.ID))
		printed[n.ID] = len(c.log(n.ID))
	}
	c.restore(archive)
	c.leader()
	c.converge()
	for _, n := range c.lab.Nodes() {
		c.awaitStatus(n.ID, "has the state that was archived", func(s *node.Status) bool { return s.StateHash == before.StateHash })
		if said := c.since(n.ID, printed[n.ID]); !strings.Contains(said, "starting from the snapshot at position") {
			t.Errorf("node %d does not start from a snapshot:\n%s", n.ID, said)
		}
	}
	c.start(0, flowOptions{Orders: true, Rate: 2000}).awaitAcked(500)
	c.settle()
}

// TestShouldArchiveANodeThatDropsLogAtOnce: there are gaps, but everything that is shipped is sound, and the newest state can be
// restored.
func TestShouldArchiveANodeThatDropsLogAtOnce(t *testing.T) {
	needNamespaces(t)
	c := up(t, trimmedLab())
	c.load()
	source := c.leader()
	archive := filepath.Join(t.TempDir(), "archive")
	gaps := 0
	for range 3 {
		shipped, _, err := journal.LoadArchived(vfs.Real{}, c.node(source).Dir)
		c.do(err)
		c.awaitStatus(source, "has dropped more than was shipped", func(s *node.Status) bool { return s.LogFloor > uint64(shipped) })
		if out := c.archive(source, archive); strings.Contains(out, "lacks the log") {
			gaps++
		}
		for range 3 {
			c.archive(source, archive)
		}
	}
	if gaps == 0 {
		t.Error("no gap")
	}
	c.settle()
	c.archive(source, archive)
	s, _ := c.status(source)
	if out, code := run(t, "journal", "verify", archive); code != 0 || strings.Count(out, ": intact") < 2 {
		t.Fatalf("%d gaps; the archive: exit code %d\n%s", gaps, code, out)
	}
	out, code := run(t, "journal", "replay", archive, "--to", strconv.FormatUint(s.StateAt, 10))
	if code != 0 || !strings.Contains(out, "state "+s.StateHash) {
		t.Errorf("%d gaps; replayed the archive comes to another state than %s: exit code %d\n%s", gaps, s.StateHash, code, out)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	if out, code := run(t, "journal", "restore", "--from", archive, "--to", restored, "--node", "1"); code != 0 {
		t.Fatalf("restoring: exit code %d\n%s", code, out)
	}
	out, code = run(t, "journal", "replay", restored)
	if code != 0 || !strings.Contains(out, "state "+s.StateHash) {
		t.Errorf("the restored node comes to another state than %s: exit code %d\n%s", s.StateHash, code, out)
	}
}
