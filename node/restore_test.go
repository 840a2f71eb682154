package node

import (
	"fmt"
	"path/filepath"
	"testing"

	"lockstep/internal/archive"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// TestRestoredNodesMakeAClusterOfTheirOwn ships the log of a cluster at work, makes nodes from the archive, and runs
// them: they elect a leader and go on behind what was archived, in the same state, deaf to who speaks for the old cluster.
func TestRestoredNodesMakeAClusterOfTheirOwn(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		for _, rule := range []string{"durable", "replicated"} {
			t.Run(fmt.Sprintf("%d nodes, %s", nodes, rule), func(t *testing.T) { restoreCluster(t, nodes, rule) })
		}
	}
}

func restoreCluster(t *testing.T, nodes int, rule string) {
	dir := t.TempDir()
	c := newCluster(t, nodes, rule, dir)
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	for i := range 300 {
		c.roundTrip(wire.LevelApplied, fmt.Append(nil, "message ", i))
	}
	c.until("every node has applied the same", 1_000_000, 1000, func() bool { return c.sameState() })
	c.until("all of it is shipped", 1_000_000, 1000, func() bool { return c.shipped(filepath.Join(dir, "archive")) })
	at, hash := c.nodes[0].progress.StateHash()
	const another = 78
	for i := range c.nodes {
		c.configs[i].Dir = filepath.Join(dir, fmt.Sprint("restored", i))
		r, err := archive.Restore(archive.RestoreOptions{FS: vfs.Real{}, From: filepath.Join(dir, "archive"), To: c.configs[i].Dir,
			Node: wire.NodeID(i + 1), Cluster: another, Incarnation: uint64(1000 + i), SegmentBytes: 1 << 20})
		if err != nil || r.End.Position != at || !r.Listed {
			t.Fatalf("%+v, %v, want the end %d", r, err, at)
		}
		c.restart(i)
	}
	answered := c.acks
	c.until("the restored nodes have elected a leader and go on", 1_000_000, 5000, func() bool {
		return c.nodes[0].ring.Append() > uint64(at) && c.sameState()
	})
	if _, now := c.nodes[0].progress.StateHash(); now != hash {
		t.Errorf("the state is %x, was %x", now, hash)
	}
	if _, err := c.client.Send(c.clock.NowNs(), 1, wire.LevelsOf(wire.LevelApplied), nil); err == nil {
		for range 1000 {
			c.cycle(1_000_000)
		}
	}
	if c.acks != answered {
		t.Error("a client of the old cluster was answered")
	}
}

// shipped ships what there is of node 1's log, and says whether that was all of it.
func (c *cluster) shipped(to string) bool {
	c.t.Helper()
	n := c.nodes[0]
	r, err := archive.Ship(archive.Options{FS: vfs.Real{}, From: c.configs[0].Dir, To: to, Commit: n.progress.Commit(),
		SegmentBytes: 128 << 10})
	if err != nil {
		c.t.Fatal(err)
	}
	return uint64(r.End.Position) == n.ring.Append()
}
