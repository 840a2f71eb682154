package node

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"lockstep/replica"
	"lockstep/service"
	"lockstep/wire"
)

// wrong is an echo that answers something else once it is told to.
type wrong struct {
	answered uint64
	told     *bool
}

func (s *wrong) Name() string { return "wrong" }

func (s *wrong) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.answered++
	if *s.told {
		payload = []byte("wrong")
	}
	ctx.Respond(r.Session, payload)
}

func (s *wrong) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *wrong) Snapshot(io.Writer) error                         { return nil }
func (s *wrong) Restore(io.Reader) error                          { return nil }
func (s *wrong) Hash() uint64                                     { return s.answered }

// wrongCluster is a cluster of which any node's service goes wrong when it is told to. Points are 4 KiB apart.
func wrongCluster(t *testing.T) (c *cluster, told []*bool) {
	opened := 0
	c = newClusterOn(t, 3, "durable", t.TempDir(), func(_ int, m *Machine) {
		mine := new(bool)
		if opened < 3 {
			told = append(told, mine)
		}
		opened++
		m.Services = func(s *[service.MaxServices]service.Service) { s[fragileID] = &wrong{told: mine} }
		m.Limits.Service.HashEvery = 4096
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.mayEnd = true
	return c, told
}

// talk has the client send messages, one after the other, until a condition holds.
func (c *cluster) talk(what string, condition func() bool) {
	c.t.Helper()
	payload := bytes.Repeat([]byte("x"), 500)
	for i := 0; i < 200 && !condition(); i++ {
		c.say(fmt.Sprintf("%d %s", i, payload))
		for k := 0; k < 2000 && !condition() && c.client.Open() > 0; k++ {
			c.cycle(20_000)
		}
	}
	if !condition() {
		c.t.Fatalf("not within 200 messages: %s", what)
	}
}

// A service that goes wrong on one node is found at the next fixed point, and that node stops by name with both hashes,
// be it a follower or the leader. Started again it comes to the right answers and carries on.
func TestNodeThatDivergesStops(t *testing.T) {
	for _, who := range []string{"a follower", "the leader"} {
		t.Run(who, func(t *testing.T) {
			c, told := wrongCluster(t)
			c.talk("some points", func() bool { at, _ := c.nodes[c.leaderOf()].progress.HashAt(); return at > 8192 })
			bad := c.leaderOf()
			if who == "a follower" {
				bad = (bad + 1) % 3
			}
			*told[bad] = true
			c.talk("it stops", func() bool { return c.down[bad] })
			if err := c.ended[bad].Error(); !strings.Contains(err, "diverged: at position") {
				t.Errorf("it stops with %q", err)
			}
			for i := range c.nodes {
				if i != bad && c.down[i] {
					t.Errorf("node %d stops too: %v", i+1, c.ended[i])
				}
			}
			c.until("a leader", 1_000_000, 5000, func() bool { return c.leaderOfRunning() >= 0 })
			c.syncRest(bad)
			c.restart(bad)
			c.until("all to agree", 1_000_000, 10_000, func() bool { return c.client.Open() == 0 && c.sameState() })
			at, _ := c.nodes[0].progress.HashAt()
			c.talk("another point", func() bool { now, _ := c.nodes[bad].progress.HashAt(); return now > at })
			if c.down[bad] {
				t.Errorf("it stops again: %v", c.ended[bad])
			}
		})
	}
}

// Where two of three differ from the third and from each other nobody is believed: clients are told so, by name.
func TestNobodyIsBelievedWhileNoMajorityAgrees(t *testing.T) {
	c, told := wrongCluster(t)
	leader := c.leaderOf()
	c.stop((leader + 1) % 3)
	*told[leader] = true
	c.say(string(bytes.Repeat([]byte("x"), 1000)))
	for range 8 {
		c.say(string(bytes.Repeat([]byte("x"), 1000)))
	}
	c.until("a dispute", 100_000, 50_000, func() bool { return c.nodes[leader].core.Disputed() > 0 })
	if n := c.nodes[leader].gauge("lockstep_disputed"); n != 1 {
		t.Errorf("lockstep_disputed is %d", n)
	}
	c.say("and now?")
	c.until("the client to be told", 100_000, 50_000, func() bool {
		return c.client.Stats().BusyCode == wire.RefusalBusyDiverged
	})
	c.down[(leader+1)%3] = false
	c.until("the wrong one to stop", 1_000_000, 5000, func() bool { return c.down[leader] })
	c.until("answers from another leader", 1_000_000, 10_000, func() bool {
		next := c.leaderOfRunning()
		return next >= 0 && c.nodes[next].core.Role() == replica.Leader && c.client.Open() == 0
	})
}
