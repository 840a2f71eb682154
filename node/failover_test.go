package node

import (
	"os"
	"testing"

	"lockstep/client"
	"lockstep/replica"
	"lockstep/service"
	"lockstep/wire"
)

// inMemory is a directory on tmpfs where there is one: these tests sync often and look at virtual time only.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lockstep-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// gaps has the client of a cluster send one message at a time and notes the longest virtual time between two answers.
type gaps struct {
	c         *cluster
	answered  uint64
	lastNs    int64
	longestNs int64
}

func (g *gaps) cycle(stepNs int64) {
	c := g.c
	if c.acks[wire.LevelApplied] != g.answered {
		g.answered = c.acks[wire.LevelApplied]
		g.longestNs = max(g.longestNs, c.clock.NowNs()-g.lastNs)
		g.lastNs = c.clock.NowNs()
	}
	if c.client.Open() < 4 {
		if _, err := c.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("x")); err != nil &&
			err != client.ErrWindow {
			c.t.Fatal(err)
		}
	}
	c.cycle(stepNs)
}

// TestHandOverTakesAFewRoundTrips counts time in cycles of 10 microseconds, in which every datagram moves once: what a
// client waits for is hops, not timers. One of them would be 20 ms.
func TestHandOverTakesAFewRoundTrips(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c := newCluster(t, 3, rule, inMemory(t))
			c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
			const stepNs = 10_000
			g := &gaps{c: c, lastNs: c.clock.NowNs()}
			for range 3 {
				for range 500 {
					g.cycle(stepNs)
				}
				from := c.leaderOf()
				g.longestNs = 0
				call := c.nodes[from].operator.Begin(replica.OperatorRequest{Kind: replica.OperatorHandOver})
				for range 500 {
					g.cycle(stepNs)
				}
				if answer := <-call.Done(); answer.Err != nil {
					t.Fatal(answer.Err)
				}
				if g.longestNs > 100*stepNs {
					t.Errorf("the client waited %d cycles for an answer, want at most 100", g.longestNs/stepNs)
				}
			}
		})
	}
}

// TestClientFindsTheNextLeaderSoon stops the leader for good and counts the time from the first leadership after that to
// the client's next answer: it does not wait for its own time-outs, nor is it sent back to the node that is gone.
func TestClientFindsTheNextLeaderSoon(t *testing.T) {
	c := newCluster(t, 3, "replicated", inMemory(t))
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	const stepNs = 50_000
	for range 6 {
		g := &gaps{c: c, lastNs: c.clock.NowNs()}
		for range 2000 {
			g.cycle(stepNs)
		}
		old := c.leaderOf()
		c.stop(old)
		electedNs, answered := int64(0), g.answered
		for limit := 40_000; g.answered <= answered+1; limit-- {
			if now := c.leaderBut(old); now >= 0 && electedNs == 0 {
				electedNs, answered = c.clock.NowNs(), c.acks[wire.LevelApplied]
			}
			if limit == 0 {
				t.Fatal("no answer after the leader is gone")
			}
			g.cycle(stepNs)
		}
		t.Logf("found %d us after the election, outage %d us", (c.clock.NowNs()-electedNs)/1000, g.longestNs/1000)
		if found := c.clock.NowNs() - electedNs; found > 25e6 {
			t.Errorf("answered %d ms after the election, want at most 25", found/1e6)
		}
		c.restart(old)
		c.until("the node is back", 200_000, 50_000, func() bool {
			return !c.nodes[old].core.Recovering() && c.nodes[old].core.Aligned()
		})
	}
}

// leaderBut is the index of the node that leads, other than one; -1: none.
func (c *cluster) leaderBut(but int) int {
	for i, n := range c.nodes {
		if i != but && n.core.Role() == replica.Leader {
			return i
		}
	}
	return -1
}

// TestHandOverOnASlowDiskWaitsForSyncsOnly gives journals and state files a turn once in 2 ms, while a message comes every
// 500 us: what the client waits for then is a handful of syncs. It is not told meanwhile that nobody leads, which would
// have it pause.
func TestHandOverOnASlowDiskWaitsForSyncsOnly(t *testing.T) {
	c := newCluster(t, 3, "durable", inMemory(t))
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	const stepNs, syncCycles = 10_000, 200
	answered, lastNs, longestNs, cycles := uint64(0), c.clock.NowNs(), int64(0), 0
	cycle := func() {
		cycles++
		if cycles%50 == 0 {
			c.send(wire.LevelApplied, []byte("x"))
		}
		c.clock.Advance(stepNs)
		for i := range c.nodes {
			for k, a := range c.agentsOf(i) {
				blocking := k < 3 // the disk's; the last one is the node's own thread
				if blocking && (cycles+i*7)%syncCycles != 0 {
					continue
				}
				if _, err := a.Invoke(c.clock.NowNs()); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.client.Poll(c.clock.NowNs())
		if at := c.acks[wire.LevelApplied]; at != answered {
			answered, longestNs, lastNs = at, max(longestNs, c.clock.NowNs()-lastNs), c.clock.NowNs()
		}
	}
	for range 4 {
		for range 3000 {
			cycle()
		}
		longestNs = 0
		call := c.nodes[c.leaderOf()].operator.Begin(replica.OperatorRequest{Kind: replica.OperatorHandOver})
		for range 5000 {
			cycle()
		}
		if answer := <-call.Done(); answer.Err != nil {
			t.Fatal(answer.Err)
		}
		if syncs := float64(longestNs) / (syncCycles * stepNs); syncs > 5 {
			t.Errorf("the client waited as long as %.1f syncs take for an answer, want at most 5", syncs)
		}
	}
}
