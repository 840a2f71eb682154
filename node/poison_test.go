package node

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"lockstep/replica"
	"lockstep/service"
	"lockstep/wire"
)

// fragile is an echo that cannot bear some messages.
type fragile struct {
	answered uint64
	bears    *bool // shared by all nodes: the version that they run
}

const fragileID = 5

func (s *fragile) Name() string { return "fragile" }

func (s *fragile) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.answered++ // what it did before it failed is to be gone as well
	if bytes.HasPrefix(payload, []byte("poison")) && !*s.bears {
		panic("cannot bear it")
	}
	ctx.Respond(r.Session, payload)
}

func (s *fragile) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *fragile) Snapshot(io.Writer) error                         { return nil }
func (s *fragile) Restore(io.Reader) error                          { return nil }
func (s *fragile) Hash() uint64                                     { return s.answered }

// fragileCluster is a cluster whose nodes run the fragile service, with a session.
func fragileCluster(t *testing.T, rule string) (c *cluster, bears *bool) {
	bears = new(bool)
	c = newClusterOn(t, 3, rule, t.TempDir(), func(_ int, m *Machine) {
		m.Services = func(s *[service.MaxServices]service.Service) { s[fragileID] = &fragile{bears: bears} }
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	return c, bears
}

// say has the client send a message to the fragile service.
func (c *cluster) say(payload string) uint64 {
	c.t.Helper()
	correlation, err := c.client.Send(c.clock.NowNs(), fragileID, wire.LevelsOf(wire.LevelApplied), []byte(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	return correlation
}

// halted tells whether apply has halted on every node that runs.
func (c *cluster) halted() bool {
	for i, n := range c.nodes {
		if !c.down[i] && n.driver.Status().Halt == nil {
			return false
		}
	}
	return true
}

// A cluster whose service cannot bear a message goes on as a cluster: the nodes say what is wrong, clients are told by
// name, leaders are elected and write their records. Once an operator has the record passed over, everybody goes on
// without it, a node that starts again later included, and the client hears of it.
func TestPoisonHaltsApplyAndNothingElse(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c, bears := fragileCluster(t, rule)
			c.say("good")
			c.until("an answer", 10_000, 100_000, func() bool { return string(c.answer) == "good" })
			poison := c.say("poison")
			c.until("all to halt", 100_000, 10_000, c.halted)
			leader := c.leaderOf()
			at := c.nodes[leader].driver.Status().Halt.Position()
			status := c.nodes[leader].Status()
			for _, word := range []string{"fragile", "cannot bear it", "kind message", "correlation 2"} {
				if !strings.Contains(status.Halted, word) || !strings.Contains(c.logs[leader].String(), word) {
					t.Errorf("/status says %q, the log %q: want %q in both", status.Halted, c.logs[leader], word)
				}
			}
			if n := c.nodes[leader].gauge("lockstep_apply_halted"); n != 1 {
				t.Errorf("lockstep_apply_halted is %d", n)
			}
			c.say("behind")
			c.until("a client that is told", 100_000, 100_000, func() bool {
				return c.client.Stats().BusyCode == wire.RefusalBusyHalted
			})

			// Another leader: elected by halted nodes, its term record is committed.
			c.stop(leader)
			c.until("another leader that commits", 1_000_000, 5000, func() bool {
				next := c.leaderOfRunning()
				return next >= 0 && c.nodes[next].core.Durable() > 0
			})
			next := c.leaderOfRunning()
			c.until("the client to be told by it", 1_000_000, 5000, func() bool {
				return c.client.Stats().Disconnects > 0 && c.client.Stats().BusyCode == wire.RefusalBusyHalted
			})
			c.refusedSkips(next, at)
			answer := c.ask(next, replica.OperatorRequest{Kind: replica.OperatorSkip, Position: at})
			if answer.Err != nil || answer.At <= at {
				t.Fatalf("skip: %+v", answer)
			}
			c.until("everything to be answered", 100_000, 100_000, func() bool {
				return c.client.Open() == 0 && string(c.answer) == "behind"
			})
			if len(c.refused) != 1 || c.refused[0].Correlation != poison || c.refused[0].Code != wire.RefusalSkipped {
				t.Errorf("refused: %+v, want message %d, skipped", c.refused, poison)
			}

			// The next version bears the message. Who has the skip record knows of it when he opens his log. Who has not, and applies the message, stops by name; started once more it knows as well.
			*bears, c.mayEnd = true, true
			c.restart(leader)
			c.until("the old leader to stop", 1_000_000, 10_000, func() bool { return c.down[leader] })
			if !errors.Is(c.ended[leader], service.ErrPassedOver) {
				t.Errorf("it stops with %v", c.ended[leader])
			}
			c.syncRest(leader)
			c.restart(leader)
			c.until("the old leader to follow", 1_000_000, 10_000, func() bool { return !c.down[leader] && c.sameState() })
			c.restart(next)
			c.until("the node that led to follow", 1_000_000, 10_000, func() bool { return c.sameState() })
			c.roundTrip(wire.LevelApplied, []byte("goes on"))
		})
	}
}

// leaderOfRunning is leaderOf among the nodes that have turns.
func (c *cluster) leaderOfRunning() int {
	for i, n := range c.nodes {
		if !c.down[i] && n.core.Role() == replica.Leader {
			return i
		}
	}
	return -1
}

// refusedSkips asks for what cannot be passed over.
func (c *cluster) refusedSkips(leader int, halted wire.Position) {
	c.t.Helper()
	commit := c.nodes[leader].core.Commit()
	for what, at := range map[string]wire.Position{
		"is applied here":  halted - 8,
		"only the record":  halted + 8,
		"is not committed": commit,
	} {
		answer := c.ask(leader, replica.OperatorRequest{Kind: replica.OperatorSkip, Position: at})
		if !errors.Is(answer.Err, replica.ErrRefused) || !strings.Contains(answer.Err.Error(), what) {
			c.t.Errorf("skip of %d: %v, want %q", at, answer.Err, what)
		}
	}
	for i := range c.nodes {
		if i != leader && !c.down[i] {
			answer := c.ask(i, replica.OperatorRequest{Kind: replica.OperatorSkip, Position: halted})
			if !errors.Is(answer.Err, replica.ErrNotLeading) {
				c.t.Errorf("a follower: %v", answer.Err)
			}
		}
	}
}

func TestSkipIsRefusedWhileApplyRuns(t *testing.T) {
	c, _ := fragileCluster(t, "durable")
	c.roundTrip(wire.LevelApplied, []byte("x"))
	leader := c.leaderOf()
	for _, at := range []wire.Position{0, c.nodes[leader].core.Commit(), 1 << 40} {
		if answer := c.ask(leader, replica.OperatorRequest{Kind: replica.OperatorSkip, Position: at}); !errors.Is(answer.Err, replica.ErrRefused) {
			t.Errorf("skip of %d: %v", at, answer.Err)
		}
	}
}
