package node

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// cluster is a whole cluster on one goroutine: production agents, an in-process network, virtual time.
type cluster struct {
	t       testing.TB
	clock   *agent.Virtual
	net     *transport.Network
	nodes   []*Node
	logs    []*bytes.Buffer
	agents  []*agent.Invoker
	client  *client.Client
	acks    [wire.LevelApplied + 1]uint64 // highest correlation acknowledged
	answer  []byte                        // last response
	refused []client.Ack                  // final refusals
	alter   func(i int, m *Machine)       // what node i runs on; nil: as it is
	configs []Config
	down    []bool  // no turns for these nodes
	ended   []error // of nodes that ended by themselves; only where mayEnd
	mayEnd  bool
}

func (c *cluster) OnAck(a client.Ack) {
	c.acks[a.Level] = a.Correlation
	if a.Level == wire.LevelNone {
		c.refused = append(c.refused, a)
	}
}

func (c *cluster) OnResponse(r client.Response) { c.answer = append(c.answer[:0], r.Payload...) }

func (c *cluster) OnEvent(client.Event) {}

func newCluster(t testing.TB, nodes int, rule, dir string) *cluster {
	t.Helper()
	return newClusterOn(t, nodes, rule, dir, nil)
}

// newClusterOn is newCluster on machines that alter has changed.
func newClusterOn(t testing.TB, nodes int, rule, dir string, alter func(i int, m *Machine)) *cluster {
	t.Helper()
	return newClusterOf(t, nodes, rule, dir, alter, func(*Config) {})
}

// newClusterOf is newClusterOn with configs that edit has changed.
func newClusterOf(t testing.TB, nodes int, rule, dir string, alter func(int, *Machine), edit func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, alter: alter, clock: agent.NewVirtual(1e9, 1_700_000_000e9), net: transport.NewMemory(transport.MemoryOptions{})}
	config := Defaults()
	config.Cluster.Rule = rule
	config.Cluster.RingBytes, config.Journal.SyncBytes = 1<<20, 1<<18
	config.Journal.SegmentBytes = 1 << 20
	for i := 1; i <= nodes; i++ {
		config.Cluster.Nodes = append(config.Cluster.Nodes, NodeConfig{ID: i,
			Data: fmt.Sprintf("10.0.0.%d:7400", i), Control: fmt.Sprintf("10.0.0.%d:7500", i)})
	}
	edit(&config)
	group, err := transport.ParseAddr(config.Cluster.Group)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []transport.Addr
	const clusterID = 77
	for i := 1; i <= nodes; i++ {
		config.Node, config.Dir = i, fmt.Sprintf("%s/node%d", dir, i)
		if _, err := Format(context.Background(), config.Dir, i, clusterID, nil); err != nil {
			t.Fatal(err)
		}
		local, _ := transport.ParseAddr(config.Self().Data)
		addrs = append(addrs, local)
		c.configs, c.down = append(c.configs, config), append(c.down, false)
		c.ended = append(c.ended, nil)
		n, log, agents := c.open(config, local, group)
		c.nodes, c.logs, c.agents = append(c.nodes, n), append(c.logs, log), append(c.agents, agents...)
	}
	at, err := c.net.Join(transport.Addr{IP: [4]byte{10, 0, 0, 100}, Port: 7600})
	if err != nil {
		t.Fatal(err)
	}
	c.client, err = client.New(client.Options{Cluster: clusterID, Nodes: addrs, Name: "test", Transport: at, Seed: 5}, c)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) open(config Config, local, group transport.Addr) (*Node, *bytes.Buffer, []*agent.Invoker) {
	c.t.Helper()
	var log bytes.Buffer
	machine := Real()
	machine.Clock, machine.Inline = c.clock, true
	machine.Transport = func(Config) (transport.Transport, error) { return c.net.Join(local, group) }
	if c.alter != nil {
		c.alter(config.Node-1, &machine)
	}
	n, err := OpenOn(machine, config, &log)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = n.Abandon() })
	var agents []*agent.Invoker
	for _, a := range n.Agents() {
		invoker := agent.NewInvoker(a)
		if err := invoker.Start(c.clock.NowNs()); err != nil {
			c.t.Fatal(err)
		}
		agents = append(agents, invoker)
	}
	return n, &log, agents
}

// agentsOf is a node's part of c.agents.
func (c *cluster) agentsOf(i int) []*agent.Invoker {
	each := len(c.agents) / len(c.nodes)
	return c.agents[i*each : (i+1)*each]
}

// stop takes a node's turns away, as a process that hangs for ever.
func (c *cluster) stop(i int) { c.down[i] = true }

// syncRest has the journal of a node that has ended store what it has, as a process that ends by itself does.
func (c *cluster) syncRest(i int) {
	c.t.Helper()
	n := c.nodes[i]
	for limit := 1000; n.durable.Load() < n.ring.Append(); limit-- {
		c.clock.Advance(1_000_000)
		for _, a := range c.agentsOf(i)[:3] { // all but the one that writes the log
			if _, err := a.Invoke(c.clock.NowNs()); err != nil || limit == 0 {
				c.t.Fatalf("node %d does not sync the rest: %v", i+1, err)
			}
		}
	}
}

// restart ends a node's process as a crash does and opens its directory again.
func (c *cluster) restart(i int) {
	c.t.Helper()
	_ = c.nodes[i].transport.Close()
	_ = c.nodes[i].Abandon()
	local, _ := transport.ParseAddr(c.configs[i].Self().Data)
	group, _ := transport.ParseAddr(c.configs[i].Cluster.Group)
	n, log, agents := c.open(c.configs[i], local, group)
	c.nodes[i], c.logs[i], c.down[i] = n, log, false
	copy(c.agentsOf(i), agents)
}

// cycle gives every agent and the client one duty cycle.
func (c *cluster) cycle(stepNs int64) {
	c.clock.Advance(stepNs)
	nowNs := c.clock.NowNs()
	for i := range c.nodes {
		if c.down[i] {
			continue
		}
		for _, a := range c.agentsOf(i) {
			if a == nil {
				continue // detached
			}
			_, err := a.Invoke(nowNs)
			if err == nil {
				continue
			}
			if !c.mayEnd {
				c.t.Fatalf("node %d: %v", i+1, err)
			}
			c.down[i], c.ended[i] = true, err
			c.nodes[i].Ended(err)
			break
		}
	}
	c.client.Poll(nowNs)
}

// until runs cycles until a condition holds.
func (c *cluster) until(what string, stepNs int64, limit int, condition func() bool) {
	c.t.Helper()
	for range limit {
		if condition() {
			return
		}
		c.cycle(stepNs)
	}
	for _, log := range c.logs {
		c.t.Log(log.String())
	}
	c.t.Fatalf("not within %d cycles: %s", limit, what)
}

// roundTrip sends one message and runs until it is acknowledged at a level.
func (c *cluster) roundTrip(level wire.Level, payload []byte) {
	correlation, err := c.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(level), payload)
	if err != nil {
		c.t.Fatal(err)
	}
	for limit := 10_000; c.acks[level] < correlation; limit-- {
		if limit == 0 {
			c.t.Fatalf("message %d is not acknowledged at level %v", correlation, level)
		}
		c.cycle(1000)
	}
}

func TestOneThreadRunsAWholeCluster(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		for _, rule := range []string{"durable", "replicated"} {
			t.Run(fmt.Sprintf("%d nodes, %s", nodes, rule), func(t *testing.T) {
				c := newCluster(t, nodes, rule, t.TempDir())
				c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
				for _, level := range []wire.Level{wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated,
					wire.LevelDurable, wire.LevelApplied} {
					payload := []byte("payload at level " + level.String())
					c.roundTrip(level, payload)
					c.until("the echo", 1000, 20_000, func() bool { return bytes.Equal(c.answer, payload) })
				}
				c.until("every node has applied the same", 1_000_000, 1000, func() bool { return c.sameState() })
			})
		}
	}
}

func (c *cluster) sameState() bool {
	at, hash := c.nodes[0].progress.StateHash()
	for _, n := range c.nodes {
		if a, h := n.progress.StateHash(); a != at || h != hash || uint64(a) != n.ring.Append() {
			return false
		}
	}
	return at > 0
}

// TestMessagesDoNotAllocate is the proof for the hot path of every node at once: leader, followers, service, journal,
// and the client, from the client's Send to its acknowledgement.
func TestMessagesDoNotAllocate(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c := newCluster(t, 3, rule, t.TempDir())
			c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
			payload := bytes.Repeat([]byte{7}, 200)
			for range 200 {
				c.roundTrip(wire.LevelApplied, payload)
			}
			if allocs := testing.AllocsPerRun(200, func() { c.roundTrip(wire.LevelApplied, payload) }); allocs != 0 {
				t.Errorf("%v allocations per message", allocs)
			}
		})
	}
}
