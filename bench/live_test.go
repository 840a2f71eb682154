package bench

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/node"
	"lockstep/transport"
	"lockstep/wire"
)

// live is one real node over an in-process network, driven by a goroutine of its own, that can be made to stall.
type live struct {
	target  Target
	network *transport.Network
	dir     string
	stallNs atomic.Int64 // taken, once, by the node's goroutine
	stop    chan struct{}
	stopped chan struct{}
	clients byte // that have measured
}

// nap is an idle strategy for a machine that others keep busy: who only yields there waits a turn of all of them for
// every look.
type nap struct{}

func (nap) Idle(work int) {
	if work == 0 {
		time.Sleep(20 * time.Microsecond)
	}
}

func startLive(t *testing.T, change ...func(*node.Config)) *live {
	t.Helper()
	l := &live{network: transport.NewMemory(transport.MemoryOptions{}), dir: filepath.Join(t.TempDir(), "node1"),
		stop: make(chan struct{}), stopped: make(chan struct{})}
	at := transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}
	identity, err := node.Format(context.Background(), l.dir, 1, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := node.Defaults()
	config.Node, config.Dir = 1, l.dir
	config.Cluster.Nodes = []node.NodeConfig{{ID: 1, Data: at.String(), Control: "10.0.0.1:7500"}}
	config.Journal.SegmentBytes = 1 << 20
	for _, f := range change {
		f(&config)
	}
	machine := node.Real()
	machine.Inline = true
	machine.Transport = func(node.Config) (transport.Transport, error) { return l.network.Join(at) }
	n, err := node.OpenOn(machine, config, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l.target = Target{Nodes: []transport.Addr{at}, Cluster: identity.Cluster}
	go l.run(t, n)
	t.Cleanup(l.end)
	return l
}

func (l *live) run(t *testing.T, n *node.Node) {
	defer close(l.stopped)
	var agents []*agent.Invoker
	clock := agent.System{}
	for _, a := range n.Agents() {
		i := agent.NewInvoker(a)
		if err := i.Start(clock.NowNs()); err != nil {
			t.Error(err)
			return
		}
		agents = append(agents, i)
	}
	for {
		select {
		case <-l.stop:
			if err := n.Abandon(); err != nil {
				t.Error(err)
			}
			return
		default:
		}
		time.Sleep(time.Duration(l.stallNs.Swap(0)))
		work := 0
		for _, a := range agents {
			done, err := a.Invoke(clock.NowNs())
			if err != nil {
				t.Error(err)
				return
			}
			work += done
		}
		nap{}.Idle(work)
	}
}

func (l *live) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	<-l.stopped
}

// measure runs a plan from a client on the network. While it sends its message number 400 it has something happen.
func (l *live) measure(t *testing.T, p *Plan, during func()) (*Result, *Recorder, *client.Client) {
	t.Helper()
	clock, idle := agent.System{}, nap{}
	l.clients++
	tr, err := l.network.Join(transport.Addr{IP: [4]byte{10, 0, 1, l.clients}, Port: 7600})
	if err != nil {
		t.Fatal(err)
	}
	rec := &Recorder{}
	c, err := l.target.Connect(t.Context(), tr, "test", uint32(p.Window), rec, clock, idle)
	if err != nil {
		t.Fatal(err)
	}
	load := NewLoad(p.LoadOptions(), clock, idle)
	load.o.OnSend = func(correlation uint64, nowNs int64) {
		if rec.Sent(correlation, nowNs); correlation == 400 && during != nil {
			during()
		}
	}
	rec.Use(load)
	result, err := load.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	rec.Use(nil)
	CloseSession(c, clock, idle)
	return result, rec, c
}

func TestClosedLoopAnswersEveryMessageAtEveryLevel(t *testing.T) {
	for _, level := range LevelNames {
		t.Run(level.String(), func(t *testing.T) {
			l := startLive(t)
			p := Plan{Level: level, Loop: Closed, Burst: 1, Flow: FlowOrders, Window: 16, Measure: 100 * time.Millisecond}
			r, _, _ := l.measure(t, &p, nil)
			if r.Acked == 0 || r.Lost() != 0 || r.Duplicated != 0 || r.Reordered != 0 {
				t.Errorf("%d sent, %d acknowledged, %d twice, %d out of order", r.Sent, r.Acked, r.Duplicated, r.Reordered)
			}
			if n := uint64(r.Histogram.TotalCount()); n != r.Acked {
				t.Errorf("%d round trips recorded for %d acknowledgements", n, r.Acked)
			}
		})
	}
}

// A stall is charged to every message that was due in it, not to the one that happened to be under way.
func TestOpenLoopChargesAStallToAllThatWereDue(t *testing.T) {
	l := startLive(t)
	const stall = 300 * time.Millisecond
	p := Plan{Level: wire.LevelSequenced, Loop: Open, Rate: 1000, Burst: 1, Flow: FlowEcho, Payload: 64, Window: 4096,
		Warmup: 100 * time.Millisecond, Measure: time.Second}
	stalls := func() { l.stallNs.Store(int64(stall)) }
	r, rec, _ := l.measure(t, &p, stalls)
	for try := 0; try < 20 && longestPause(rec) > stall/6; try++ { // it is the sender that stalled, on a busy machine
		r, rec, _ = l.measure(t, &p, stalls)
	}
	if r.Lost() != 0 || r.Sent < 990 {
		t.Errorf("%d sent, %d lost, want about 1000 and none", r.Sent, r.Lost())
	}
	slow := int64(0)
	for _, bar := range r.Histogram.Distribution() {
		if bar.From >= stall.Nanoseconds()/2 {
			slow += bar.Count
		}
	}
	// Half of the 300 messages due within the stall waited for half of it or more.
	if slow < 130 {
		t.Errorf("%d messages waited for %v or more, want about 150", slow, stall/2)
	}
	if r.Outage < stall-50*time.Millisecond {
		t.Errorf("the longest time without an answer is %v, want about %v", r.Outage, stall)
	}
}

// longestPause is the longest time between two messages sent.
func longestPause(rec *Recorder) (longest time.Duration) {
	for i := 1; i < len(rec.sentNs); i++ {
		longest = max(longest, time.Duration(rec.sentNs[i]-rec.sentNs[i-1]))
	}
	return longest
}

// TestFloorGoesRoundAnswersAllAndStops measures twice over the same relays: the second time fewer frames than the first.
func TestFloorGoesRoundAnswersAllAndStops(t *testing.T) {
	network := transport.NewMemory(transport.MemoryOptions{})
	group := transport.Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7401}
	leader := transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	for i := byte(1); i <= 3; i++ {
		tr, err := network.Join(transport.Addr{IP: [4]byte{10, 0, 0, i}, Port: 7400}, group)
		if err != nil {
			t.Fatal(err)
		}
		role := RelayFollower
		if i == 1 {
			role = RelayLeader
		}
		go func() { ended <- Relay(ctx, role, tr, leader, group, nap{}) }()
	}
	tr, err := network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 9}, Port: 7600})
	if err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{0, 200} {
		r, err := FloorLoad(tr, leader, 264, rate, 10*time.Millisecond, 100*time.Millisecond, agent.System{}, nap{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Acked == 0 || r.Lost() != 0 {
			t.Errorf("rate %v: %d sent, %d came back", rate, r.Sent, r.Acked)
		}
	}
	cancel()
	for range 3 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAuditHoldsAcknowledgementsAgainstTheJournal(t *testing.T) {
	l := startLive(t)
	p := Plan{Level: wire.LevelDurable, Loop: Open, Rate: 100, Burst: 1, Flow: FlowEcho, Payload: 32, Window: 16,
		Measure: 100 * time.Millisecond}
	_, rec, c := l.measure(t, &p, nil)
	for len(rec.Acks) < 3 && p.Measure < time.Minute { // the machine was busy
		p.Measure *= 2
		_, rec, c = l.measure(t, &p, nil)
	}
	l.end()
	path := filepath.Join(t.TempDir(), "acks")
	if err := WriteAcks(path, Told{c.Session(), rec.Acks}, Told{1, rec.Acks[:1]}); err != nil {
		t.Fatal(err)
	}
	told, err := ReadAcks(path)
	if err != nil || len(told) != 2 || len(told[1].Acks) != 1 || !slices.Equal(told[0].Acks, rec.Acks) || len(rec.Acks) < 3 {
		t.Fatalf("%d acknowledgements written, read %+v (%v)", len(rec.Acks), told, err)
	}
	acks := told[0].Acks
	audit := func(acks []Ack) Audit {
		a, err := RunAudit([]string{l.dir}, Told{c.Session(), acks})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := audit(acks); !a.Holds() || a.Messages < uint64(len(acks)) {
		t.Errorf("what was acknowledged does not hold: %+v", a)
	}
	moved := append([]Ack(nil), acks...)
	moved[1].Position += 8
	if a := audit(moved); a.Holds() || a.Misplaced != 1 {
		t.Errorf("a position that the journal does not have passes: %+v", a)
	}
	if n, err := CheckHistory(Told{1, acks}); n != len(acks) || err != nil {
		t.Errorf("of %d acknowledgements %d were looked at; not linearizable: %v", len(acks), n, err)
	}
	late := append([]Ack(nil), acks...)
	late[0].AckedNs, late[len(late)-1].SentNs = 1, 2
	late[0].Sequence, late[len(late)-1].Sequence = late[len(late)-1].Sequence, late[0].Sequence
	if _, err := CheckHistory(Told{1, late}); err == nil {
		t.Error("a message that has its place before one that was acknowledged earlier passes")
	}
	invented := append([]Ack(nil), acks...)
	invented[2].Correlation = 1 << 40
	if a := audit(invented); a.Holds() || a.Missing != 1 {
		t.Errorf("an acknowledgement of what was never sent passes: %+v", a)
	}
}
