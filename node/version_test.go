package node

import (
	"errors"
	"io"
	"strings"
	"testing"

	"lockstep/replica"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// versioned answers with the behaviour version that is in force.
type versioned struct{ applied uint64 }

const versionedID = 6

func (s *versioned) Name() string { return "versioned" }

func (s *versioned) Apply(ctx *service.Context, r *wire.Record, _ []byte) {
	s.applied++
	ctx.Respond(r.Session, []byte{byte(ctx.Version())})
}

func (s *versioned) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *versioned) Snapshot(io.Writer) error                         { return nil }
func (s *versioned) Restore(io.Reader) error                          { return nil }
func (s *versioned) Hash() uint64                                     { return s.applied }

// inForce asks the cluster which version it acts by.
func (c *cluster) inForce() byte {
	c.t.Helper()
	c.until("the client is heard", 1_000_000, 20_000, func() bool { return c.client.Connected() && c.client.Open() == 0 })
	c.answer = c.answer[:0]
	if _, err := c.client.Send(c.clock.NowNs(), versionedID, wire.LevelsOf(wire.LevelApplied), nil); err != nil {
		c.t.Fatal(err)
	}
	c.until("an answer", 1_000_000, 20_000, func() bool { return len(c.answer) > 0 })
	return c.answer[0]
}

// Two builds in one process: a higher behaviour version comes into force by record, once every voter has it, at the same
// place of the log everywhere; who does not have it halts apply, or does not start, and says so. A node that was started again
// applies its log as it was applied then.
func TestVersionComesIntoForceByRecord(t *testing.T) {
	versions := []uint32{1, 1, 1, 1} // of the nodes' builds; the last is a learner
	const learner = 3
	c := newClusterOf(t, 4, "durable", t.TempDir(), func(i int, m *Machine) {
		m.Limits.Version = versions[i]
		m.Services = func(s *[service.MaxServices]service.Service) { s[versionedID] = &versioned{} }
	}, func(config *Config) { config.Cluster.Nodes[learner].Learner = true })
	for i := range 3 {
		if got := c.inForce(); got != 1 {
			t.Fatalf("version %d is in force, and %d of 3 voters have 2", got, i)
		}
		versions[i] = 2
		c.restart(i)
		c.run(2e9)
	}
	if got := c.inForce(); got != 2 {
		t.Fatalf("version %d is in force, and every voter has 2", got)
	}
	c.until("voters have applied the same", 1_000_000, 1000, func() bool {
		at, hash := c.nodes[0].progress.StateHash()
		for _, n := range c.nodes[:3] {
			if a, h := n.progress.StateHash(); a != at || h != hash || uint64(a) != n.ring.Append() {
				return false
			}
		}
		return true
	})
	s := c.nodes[learner].Status()
	if !strings.Contains(s.Halted, "behaviour version 2") || s.InForce != 1 || s.Append != c.nodes[0].ring.Append() {
		t.Errorf("a learner of an older build: halted %q, version %d, append %d", s.Halted, s.InForce, s.Append)
	}
	versions[learner] = 2
	c.restart(learner)
	c.until("the learner goes on with a newer build", 1_000_000, 5000, func() bool { return c.sameState() })
	versions[0] = 1
	if err := c.refusedStart(0); !errors.Is(err, replica.ErrVersion) || !errors.Is(err, ErrConfig) ||
		!strings.Contains(err.Error(), "behaviour version 2") {
		t.Errorf("a build that is too old starts: %v", err)
	}
}

// refusedStart ends a node and opens its directory again, which must fail.
func (c *cluster) refusedStart(i int) error {
	_ = c.nodes[i].transport.Close()
	_ = c.nodes[i].Abandon()
	c.stop(i)
	var ends []transport.Transport
	machine := Real()
	machine.Clock, machine.Inline = c.clock, true
	machine.Transport = func(Config) (transport.Transport, error) {
		local, _ := transport.ParseAddr(c.configs[i].Self().Data)
		end, err := c.net.Join(local)
		if err == nil {
			ends = append(ends, end)
		}
		return end, err
	}
	if c.alter != nil {
		c.alter(i, &machine)
	}
	n, err := OpenOn(machine, c.configs[i], io.Discard)
	if err == nil {
		_ = n.Abandon()
	}
	for _, end := range ends {
		_ = end.Close()
	}
	return err
}

// Limits that change what services put out are the log's: a file that says otherwise is refused by name.
func TestLimitsAreTheLogs(t *testing.T) {
	c := newCluster(t, 1, "durable", t.TempDir())
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.run(100e6)
	for what, change := range map[string]func(*ClusterConfig){
		"sessions 7":        func(k *ClusterConfig) { k.Sessions = 7 },
		"kept_responses 64": func(k *ClusterConfig) { k.Responses = 64 },
		"kept_bytes 131072": func(k *ClusterConfig) { k.KeptBytes = 1 << 17 },
	} {
		was := c.configs[0].Cluster
		change(&c.configs[0].Cluster)
		if err := c.refusedStart(0); !errors.Is(err, replica.ErrConfig) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		c.configs[0].Cluster = was
	}
}
