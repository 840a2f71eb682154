package node

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/wire"
)

// anotherLeads runs until another node than from leads, and returns it.
func (c *cluster) anotherLeads(from int) (to int) {
	c.t.Helper()
	c.until("another node leads", 200_000, 20_000, func() bool {
		to = c.leaderOf()
		return to >= 0 && to != from
	})
	return to
}

// TestE6HungDiskHandsOver hangs every write and sync of the leader's disk for good, under either rule: its heartbeats go
// on, and another node leads all the same, without an election time-out, and what clients send meanwhile arrives.
func TestE6HungDiskHandsOver(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c := newClusterOn(t, 3, rule, inMemory(t), func(_ int, m *Machine) { m.FS = vfs.NewFailing(m.FS) })
			c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
			c.roundTrip(wire.LevelApplied, []byte("before"))
			from := c.leaderOf()
			hang := make(chan struct{})
			failing := c.nodes[from].machine.FS.(*vfs.Failing)
			failing.Inject(vfs.Fault{Ops: vfs.OpWrite | vfs.OpSync, Path: "journal", Times: -1, Hang: hang})
			stop := c.detach(from, "journal") // it is to block alone
			term := c.nodes[from].core.Term()
			c.send(wire.LevelApplied, []byte("into the hang"))
			to := c.anotherLeads(from)
			if got := c.nodes[to].core.Term(); got != term+1 {
				t.Errorf("node %d leads term %d, want %d: a hand-over, not elections", to+1, got, term+1)
			}
			c.until("the new leader answers", 10_000, 500_000, func() bool { return c.client.Open() == 0 })
			if s := c.nodes[from].Status(); !s.DiskHung || c.nodes[to].Status().DiskHung {
				t.Errorf("the status of node %d says disk_hung %v, want true of it alone", from+1, s.DiskHung)
			}
			failing.Heal()
			close(hang)
			c.until("the disk is known to go on", 100_000, 100_000, func() bool { return !c.nodes[from].Status().DiskHung })
			stop()
			c.until("every node has applied the same", 1_000_000, 5000, func() bool { return c.sameState() })
		})
	}
}

// TestOddClockHandsOver sets the leader's wall clock wrong, then right, then all clocks apart.
func TestOddClockHandsOver(t *testing.T) {
	clocks := make([]*offsetClock, 3)
	c := newClusterOn(t, 3, "durable", inMemory(t), func(i int, m *Machine) {
		clocks[i] = &offsetClock{Clock: m.Clock}
		m.Clock = clocks[i]
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.roundTrip(wire.LevelApplied, []byte("before"))
	for _, offset := range []int64{-30e9, 5e9} {
		from := c.leaderOf()
		clocks[from].offsetNs = offset
		to := c.anotherLeads(from)
		if s := c.nodes[from].Status(); !s.ClockSkewed {
			t.Errorf("node %d, %d s off, is not said to be", from+1, offset/1e9)
		}
		c.until("the odd node knows by how much", 200_000, 20_000, func() bool {
			us := c.nodes[from].Status().ClockOffset
			return us > uint64(max(offset, -offset)/1e3)-20e3 && us < uint64(max(offset, -offset)/1e3)+20e3
		})
		if answer := c.ask(to, handOverTo(c.nodes[from])); answer.Err == nil {
			t.Errorf("node %d, whose clock is off, is made the leader", from+1)
		}
		clocks[from].offsetNs = 0
		c.until("the clock is known to be right", 200_000, 50_000, func() bool { return !c.nodes[from].Status().ClockSkewed })
	}
	for i, clock := range clocks {
		clock.offsetNs = int64(i) * 100e9
	}
	leader := c.leaderOf()
	until := c.clock.NowNs() + 5e9
	c.until("five seconds pass", 200_000, 26_000, func() bool { return c.clock.NowNs() > until })
	if got := c.leaderOf(); got != leader {
		t.Errorf("all clocks differ, nobody can say which is right, and node %d leads instead of %d", got+1, leader+1)
	}
	for i, n := range c.nodes {
		if n.Status().ClockSkewed {
			t.Errorf("all clocks differ, and node %d is said to be the odd one", i+1)
		}
	}
}

func handOverTo(n *Node) replica.OperatorRequest {
	return replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: n.identity.Node}
}

// offsetClock is a clock whose wall time is off.
type offsetClock struct {
	agent.Clock
	offsetNs int64
}

func (c *offsetClock) WallNs() int64 { return c.Clock.WallNs() + c.offsetNs }

// detach drives one agent of a node on a goroutine of its own, as a thread does, until the function that it returns is
// called: then it is driven with the others again.
func (c *cluster) detach(i int, name string) (attach func()) {
	c.t.Helper()
	agents := c.agentsOf(i)
	for at, a := range c.nodes[i].Agents() {
		if !strings.Contains(a.Name(), name) {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended, invoker := make(chan error, 1), agents[at]
		agents[at] = nil
		go func() {
			for ctx.Err() == nil {
				if _, err := invoker.Invoke(c.clock.NowNs()); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				c.t.Fatal(err)
			}
			agents[at] = invoker
		}
	}
	c.t.Fatal(fmt.Errorf("node %d has no agent %q", i+1, name))
	return nil
}
