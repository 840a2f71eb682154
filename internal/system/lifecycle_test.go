package system

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/lab"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
)

// since is what a node has printed behind the first n bytes.
func (c *cluster) since(id, n int) string { return c.log(id)[n:] }

// TestShouldStopCleanlyUnderLoad stops every node in turn, the leader first, which hands over, while messages flow. Under rule
// replicated a node that did not end cleanly could not count at once.
func TestShouldStopCleanlyUnderLoad(t *testing.T) {
	needNamespaces(t)
	for _, rule := range []string{"replicated", "durable"} {
		t.Run(rule, func(t *testing.T) {
			c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: rule})
			f := c.start(0, flowOptions{Payload: 500, Window: 64})
			f.awaitAcked(200)
			leader := c.leader()
			for _, id := range append([]int{leader}, c.others(leader)...) {
				printed := len(c.log(id))
				c.do(c.lab.Stop(id))
				said := c.since(id, printed)
				if strings.Contains(said, "not marked clean") {
					t.Errorf("node %d was stopped gracefully and says\n%s", id, said)
				}
				if id == leader && !strings.Contains(said, "handed over: node") {
					t.Errorf("node %d led, was stopped gracefully, and handed over to nobody:\n%s", id, said)
				}
				if _, err := os.Stat(filepath.Join(c.node(id).Dir, "clean")); err != nil {
					t.Errorf("node %d was stopped gracefully and left no clean marker: %v", id, err)
				}
				f.awaitAcked(200)
				printed = len(c.log(id))
				c.do(c.lab.Start(id))
				c.follows(id)
				if said = c.since(id, printed); !strings.Contains(said, ": intact") || strings.Contains(said, "recovering:") {
					t.Errorf("node %d starts again after a graceful stop and says\n%s", id, said)
				}
				if _, err := os.Stat(filepath.Join(c.node(id).Dir, "clean")); err == nil {
					t.Errorf("node %d runs and has a clean marker", id)
				}
			}
			c.prove()
		})
	}
}

// TestShouldReadJournalsFromTheShell looks at the journals of a stopped cluster, damages one, and has the cluster fill
// it again.
func TestShouldReadJournalsFromTheShell(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic"})
	f := c.start(0, flowOptions{Orders: true, Count: 500, Window: 64})
	c.await("the client is done", func() bool { return f.now().Done })
	c.prove()
	one, two := c.node(1).Dir, c.node(2).Dir
	expect := func(wantCode int, args []string, words ...string) string {
		t.Helper()
		out, code := run(t, args...)
		if code != wantCode {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, wantCode, out)
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("%v does not say %q: %s", args, word, out)
			}
		}
		return out
	}
	for _, n := range c.lab.Nodes() {
		expect(0, []string{"journal", "verify", n.Dir}, "intact")
	}
	expect(0, []string{"journal", "diff", one, two}, "the same up to")
	messages := 0
	for line := range strings.Lines(expect(0, []string{"journal", "dump", one})) {
		var r struct {
			Kind, Session string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("dump prints %q: %v", line, err)
		}
		if r.Kind == "message" && r.Session == fmt.Sprintf("%016x", uint64(f.now().Session)) {
			messages++
		}
	}
	if messages != 500 {
		t.Errorf("dump prints %d messages of 500", messages)
	}
	c.damage(1)
	expect(1, []string{"journal", "verify", one}, "damaged")
	before := len(c.log(1))
	for _, n := range c.lab.Nodes() {
		c.do(c.lab.Start(n.ID))
	}
	c.awaitStatus(1, "the damaged node runs", func(s *node.Status) bool { return s.Append > 0 })
	if said := c.since(1, before); !strings.Contains(said, "with the bytes of node ") || strings.Contains(said, "recovering: ") {
		t.Errorf("the damaged node has not mended its log: %s", said)
	}
	c.prove()
	expect(0, []string{"journal", "diff", one, two}, "the same up to")
}

// TestP4ShouldMendFlippedBitsFromTheOthers turns 20 bits all over the log of one node that is stopped under load: it mends
// them all at start, and counts at once.
func TestP4ShouldMendFlippedBitsFromTheOthers(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: "durable"})
	f := c.start(0, flowOptions{Orders: true, Window: 64})
	f.awaitAcked(500)
	victim := c.others(c.leader())[0]
	c.do(c.lab.Stop(victim))
	f.awaitAcked(200)
	c.damageAt(victim, 20)
	before := len(c.log(victim))
	c.do(c.lab.Start(victim))
	c.awaitStatus(victim, "the damaged node runs", func(s *node.Status) bool { return s.Append > 0 && s.Recovering == "" })
	f.awaitAcked(200)
	f.stop()
	c.prove()
	said := c.since(victim, before)
	if mended := strings.Count(said, "with the bytes of node "); mended < 10 || strings.Contains(said, "recovering: ") {
		t.Errorf("%d ranges mended: %s", mended, said)
	}
	if got := c.counter(victim, "lockstep_journal_mended_bytes_total"); got == 0 {
		t.Error("no mended bytes are counted")
	}
}

// damage turns a bit in the middle of a stopped node's log.
func (c *cluster) damage(id int) {
	c.t.Helper()
	c.damageAt(id, 1)
}

// damageAt turns bits at even distances in a stopped node's log, none in its last record.
func (c *cluster) damageAt(id, bits int) {
	c.t.Helper()
	dir := c.node(id).Dir
	s, err := journal.Verify(vfs.Real{}, dir)
	c.do(err)
	segments, err := filepath.Glob(filepath.Join(dir, "journal", "*.seg"))
	c.do(err)
	f, err := os.OpenFile(segments[0], os.O_RDWR, 0)
	c.do(err)
	defer f.Close()
	const header = 4096
	for i := range bits {
		at := int64(header) + int64(s.Chain.Position)*int64(i+1)/int64(bits+1)
		var b [1]byte
		_, err = f.ReadAt(b[:], at)
		c.do(err)
		b[0] ^= 0x10
		_, err = f.WriteAt(b[:], at)
		c.do(err)
	}
}
