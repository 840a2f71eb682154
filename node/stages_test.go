package node

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"lockstep/agent"
	"lockstep/agent/tsc"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// stampingClock is a virtual clock whose stamps are a microsecond apart at least, so that what comes later is seen to.
type stampingClock struct {
	*agent.Virtual
	stamps int64
}

func (c *stampingClock) StampNs() int64 {
	c.stamps += 1000
	return c.NowNs() + c.stamps
}

// asking is a client that asks where the time of its messages went.
type asking struct {
	client *client.Client
	acks   []client.Ack
}

func (a *asking) OnAck(x client.Ack)         { a.acks = append(a.acks, x) }
func (a *asking) OnResponse(client.Response) {}
func (a *asking) OnEvent(client.Event)       {}

// newAsking has a cluster on stamping clocks, and a client there in the place of its own.
func newAsking(t *testing.T, rule string) (*cluster, *asking) {
	t.Helper()
	c := newClusterOn(t, 3, rule, t.TempDir(), func(_ int, m *Machine) {
		m.Clock = &stampingClock{Virtual: m.Clock.(*agent.Virtual)}
	})
	a := &asking{}
	a.client = c.asks(a)
	return c, a
}

// asks has a client that asks in the place of the cluster's own.
func (c *cluster) asks(h client.Handler) *client.Client {
	c.t.Helper()
	at, err := c.net.Join(transport.Addr{IP: [4]byte{10, 0, 0, 101}, Port: 7600})
	if err != nil {
		c.t.Fatal(err)
	}
	var nodes []transport.Addr
	for i := range c.configs {
		addr, _ := transport.ParseAddr(c.configs[i].Self().Data)
		nodes = append(nodes, addr)
	}
	c.client, err = client.New(client.Options{Cluster: 77, Nodes: nodes, Name: "asking", Transport: at, Seed: 9, Stages: true}, h)
	if err != nil {
		c.t.Fatal(err)
	}
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	return c.client
}

// onWay are the stages that an answer at a level waits for.
func onWay(level wire.Level, rule string) []wire.Stage {
	way := []wire.Stage{wire.StageTaken, wire.StageSequenced, wire.StageSent}
	if level >= wire.LevelReplicated {
		way = append(way, wire.StageReplicated)
	}
	if level == wire.LevelDurable || level == wire.LevelApplied && rule == "durable" {
		way = append(way, wire.StageDurable)
	}
	if level == wire.LevelApplied {
		way = append(way, wire.StageApplied)
	}
	return way
}

// TestAcksSayWhereTheTimeWent: every acknowledgement, at every level and rule, has the stages on its way and no other, in order,
// which add up to the whole; alone and in bursts that share datagrams.
func TestAcksSayWhereTheTimeWent(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c, a := newAsking(t, rule)
			all := wire.LevelsOf(wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable, wire.LevelApplied)
			sent := 0
			for _, burst := range []int{1, 1, 20, 60, 1} {
				for range burst {
					if _, err := a.client.Send(c.clock.NowNs(), service.Echo, all, bytes.Repeat([]byte{1}, 100)); err != nil {
						t.Fatal(err)
					}
				}
				sent += burst
				c.until("all acknowledged", 1000, 50_000, func() bool { return a.client.Open() == 0 })
			}
			seen := map[wire.Level]int{}
			for i := range a.acks {
				seen[a.acks[i].Level]++
				checkStages(t, &a.acks[i], rule)
			}
			if seen[wire.LevelApplied] != sent || seen[wire.LevelReceived] == 0 || seen[wire.LevelSequenced] == 0 {
				t.Errorf("%d messages, acknowledgements by level: %v", sent, seen)
			}
			for range 50 { // under rule replicated journals sync later
				c.cycle(1_000_000)
			}
			checkStageStatus(t, c, sent)
		})
	}
}

func checkStages(t *testing.T, ack *client.Ack, rule string) {
	t.Helper()
	steps, ok := ack.Stages.Steps()
	if !ack.Stages.Known() || !ok {
		t.Fatalf("message %d at %v: %+v", ack.Correlation, ack.Level, ack.Stages)
	}
	way := onWay(ack.Level, rule)
	total := steps[wire.StageAnswered]
	for stage, ns := range steps[:wire.StageAnswered] {
		// A datagram of acknowledgements that is full leaves before what it acknowledges is visible in the log ring.
		early := ack.Level <= wire.LevelSequenced && wire.Stage(stage) > wire.StageTaken && ns == wire.NoStep
		if there := ns != wire.NoStep; there != slices.Contains(way, wire.Stage(stage)) && !early {
			t.Fatalf("message %d at %v: stage %v is %d", ack.Correlation, ack.Level, wire.Stage(stage), ns)
		}
		total += max(0, ns)
	}
	if total != int64(ack.Stages.TotalNs) || steps[wire.StageAnswered] <= 0 {
		t.Fatalf("message %d at %v: steps %v are not %d", ack.Correlation, ack.Level, steps, ack.Stages.TotalNs)
	}
	// The clock stands still within a cycle but for the stamps, so a message that waited for others has waited for cycles.
	if ack.Level == wire.LevelReplicated && steps[wire.StageReplicated] < 1000 {
		t.Fatalf("message %d was replicated in %d ns", ack.Correlation, steps[wire.StageReplicated])
	}
}

// checkStageStatus: the leader has counted every message at every stage, the others none; /status says so.
func checkStageStatus(t *testing.T, c *cluster, sent int) {
	t.Helper()
	for i, n := range c.nodes {
		status := n.Status()
		text, err := json.Marshal(status)
		if err != nil {
			t.Fatal(err)
		}
		if status.Role != "leader" {
			if len(status.Stages) != 0 {
				t.Errorf("node %d follows and has stages %+v", i+1, status.Stages)
			}
			continue
		}
		if len(status.Stages) != wire.NumStages || !bytes.Contains(text, []byte(`"stage":"replicated"`)) {
			t.Errorf("the leader shows %+v", status.Stages)
		}
		for _, s := range status.Stages {
			if s.Count != uint64(sent) {
				t.Errorf("stage %s has %d messages, %d were sent", s.Stage, s.Count, sent)
			}
		}
	}
}

// TestOnlyWhoAsksIsTold: without the option acknowledgements have no stages, and with nodes that do not stamp neither.
func TestOnlyWhoAsksIsTold(t *testing.T) {
	c := newClusterOn(t, 1, "replicated", t.TempDir(), func(_ int, m *Machine) { m.Unstamped = true })
	a := &asking{}
	a.client = c.asks(a)
	if _, err := a.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), nil); err != nil {
		t.Fatal(err)
	}
	c.until("the answer", 1000, 50_000, func() bool { return len(a.acks) > 0 })
	if a.acks[0].Stages.Known() || len(c.nodes[0].Status().Stages) != 0 {
		t.Errorf("a node that does not stamp says %+v", a.acks[0].Stages)
	}
}

// TestStagesDoNotAllocate, on any node or in the client, when they are asked for.
func TestStagesDoNotAllocate(t *testing.T) {
	c := newCluster(t, 3, "replicated", t.TempDir())
	c.asks(c)
	payload := bytes.Repeat([]byte{7}, 200)
	for range 200 {
		c.roundTrip(wire.LevelApplied, payload)
	}
	if allocs := testing.AllocsPerRun(200, func() { c.roundTrip(wire.LevelApplied, payload) }); allocs != 0 {
		t.Errorf("%v allocations per message", allocs)
	}
}

// TestStagesSurviveALeader: the next leader stamps from its own first message on.
func TestStagesSurviveALeader(t *testing.T) {
	c, a := newAsking(t, "replicated")
	send := func() {
		if _, err := a.client.Send(c.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		send()
	}
	c.until("all acknowledged", 1000, 50_000, func() bool { return a.client.Open() == 0 })
	leader, _ := a.client.Leader()
	c.stop(int(leader) - 1)
	send()
	c.until("all acknowledged", 100_000, 50_000, func() bool { return a.client.Open() == 0 })
	a.acks = nil
	for range 3 {
		send()
		c.until("acknowledged", 1000, 50_000, func() bool { return a.client.Open() == 0 })
	}
	for i := range a.acks {
		checkStages(t, &a.acks[i], "replicated")
	}
	if len(a.acks) != 3 {
		t.Errorf("%d acknowledgements, want 3", len(a.acks))
	}
}

// realStamps is a virtual clock whose stamps are the machine's, for what reading them costs.
type realStamps struct{ *agent.Virtual }

func (realStamps) StampNs() int64 { return tsc.Now() }

// pipeline is three nodes and a client on one thread, no kernel network.
type pipeline struct {
	*cluster
	burst   int
	payload []byte
}

func newPipeline(b *testing.B, stamped bool, burst int) *pipeline {
	c := newClusterOn(b, 3, "replicated", b.TempDir(), func(_ int, m *Machine) {
		m.Clock, m.Unstamped = realStamps{m.Clock.(*agent.Virtual)}, !stamped
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	p := &pipeline{cluster: c, burst: burst, payload: bytes.Repeat([]byte{7}, 200)}
	for range 200 {
		p.trip()
	}
	return p
}

// trip sends a burst and waits until all of it is answered.
func (p *pipeline) trip() {
	for range p.burst - 1 {
		if _, err := p.client.Send(p.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), p.payload); err != nil {
			p.t.Fatal(err)
		}
	}
	p.roundTrip(wire.LevelApplied, p.payload)
}

// BenchmarkPipeline is CPU cost, not latency. What comes in a burst shares datagrams and cycles. Two clusters take turns, one
// that stamps and one that does not; the median of each is told, so that their difference is what stages cost.
func BenchmarkPipeline(b *testing.B) {
	tsc.Start()
	for name, burst := range map[string]int{"alone": 1, "burst of 20": 20} {
		b.Run(name, func(b *testing.B) {
			stamped, unstamped := newPipeline(b, true, burst), newPipeline(b, false, burst)
			var with, without []float64
			b.ReportAllocs()
			for b.Loop() {
				with = append(with, stamped.chunk())
				without = append(without, unstamped.chunk())
			}
			b.ReportMetric(median(with), "stamped-ns/message")
			b.ReportMetric(median(without), "unstamped-ns/message")
		})
	}
}

// chunk is how long a few trips took, ns a message.
func (p *pipeline) chunk() float64 {
	const trips = 5
	began := tsc.Now()
	for range trips {
		p.trip()
	}
	return float64(tsc.Now()-began) / float64(trips*p.burst)
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
