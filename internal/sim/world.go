package sim

import (
	"fmt"
	"math/rand/v2"

	"lockstep/internal/mixflow"
	"lockstep/internal/orderflow"
	"lockstep/internal/vfs"
	"lockstep/node"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

const clusterID = 0x51

// livenessNs is how long a cluster may take to settle once nothing fails any more.
const livenessNs = int64(30e9)

// World is one run.
type World struct {
	seed     uint64
	o        Options
	nowNs    int64
	queue    queue
	net      network
	members  []*member
	loads    []*load
	sessions []*session
	addrs    []transport.Addr
	faultRng *rand.Rand
	storeRng *rand.Rand
	check    checker
	trace    trace
	count    Counts
	healed   bool
	lied     bool // a script's: a node has answered what the others would not
	failure  error
}

// Counts say what happened in a run.
type Counts struct {
	Events, Messages, Voids, Starts, PowerCuts, Kills, Finishes, Ends, Wipes, Fetches, SessionsClosed uint64
	Leaders, Records, Committed, Cuts, Recovered                                                      uint64
	Faults                                                                                            [numFaults]uint64
	Stored                                                                                            [numStoreFaults]uint64
	Network                                                                                           NetworkCounts
	VirtualNs                                                                                         int64
	Sometimes                                                                                         [numSometimes]uint64
	Refused                                                                                           [wire.NumRefusals]uint64 // to clients, by reason
}

// epochNs is what clocks show that are right when a world begins.
const epochNs = int64(1_700_000_000e9)

// newWorld makes a cluster and its clients, everything at its beginning.
func newWorld(seed uint64, o Options) *World {
	w := &World{seed: seed, o: o, faultRng: fork(seed, "faults"), storeRng: fork(seed, "store faults")}
	w.check.init(w)
	w.net = network{w: w, rng: fork(seed, "network"), o: o.Network}
	config := w.config()
	w.net.group, _ = transport.ParseAddr(config.Cluster.Group)
	for i := 1; i <= o.Nodes+o.Learners; i++ {
		m := w.newMember(i, config)
		w.members = append(w.members, m)
		w.addrs = append(w.addrs, m.end.local)
	}
	for _, m := range w.members {
		if err := m.newDirectory(); err != nil {
			w.fail("node %d: %v", m.id, err)
			return w
		}
		w.startLater(m, w.faultRng.Int64N(50e6))
	}
	for i := 1; i <= o.Clients.Clients; i++ {
		w.newLoad(i)
	}
	w.later(w.faultRng.Int64N(2*o.Faults.EveryNs), w.strike)
	if o.Store.EveryNs > 0 {
		w.later(w.storeRng.Int64N(2*o.Store.EveryNs), w.strikeStore)
	}
	return w
}

func (w *World) config() node.Config {
	o := &w.o
	c := node.Defaults()
	c.Cluster.Rule, c.Cluster.RingBytes = o.Rule, o.RingBytes
	c.Journal = node.JournalConfig{SegmentBytes: o.SegmentBytes, SyncIntervalUs: o.SyncIntervalUs,
		SyncBytes: o.RingBytes / 4, HungMs: o.HungMs, ScrubBytesPerS: o.Store.ScrubBytesPerS}
	c.Election = node.ElectionConfig{TimeoutMinMs: o.TimeoutMinMs, TimeoutMaxMs: o.TimeoutMaxMs,
		HeartbeatMs: o.HeartbeatMs, ClockSkewMs: o.ClockSkewMs}
	c.Snapshot.EveryBytes, c.Retention.Bytes = o.Store.SnapshotBytes, o.Store.RetainBytes
	c.Threads.Idle, c.Limits.Window, c.Dir = "yield", o.Window, nodeDir
	for i := 1; i <= o.Nodes+o.Learners; i++ {
		c.Cluster.Nodes = append(c.Cluster.Nodes, node.NodeConfig{ID: i, Learner: i > o.Nodes,
			Data: fmt.Sprintf("10.0.0.%d:7400", i), Control: fmt.Sprintf("10.0.0.%d:7500", i)})
	}
	return c
}

// voters are the members but the learners.
func (w *World) voters() []*member { return w.members[:w.o.Nodes] }

func (w *World) newMember(i int, config node.Config) *member {
	// It has to show that the cluster has admitted it before others may lose anything.
	m := &member{w: w, id: wire.NodeID(i), config: config, learner: i > w.o.Nodes, impaired: w.o.Nodes > 1,
		spoiltAt: map[wire.Position]bool{},
		rng:      fork(w.seed, fmt.Sprint("member", i))}
	m.config.Node = i
	var key [32]byte
	for k := range key {
		key[k] = byte(m.rng.Uint32())
	}
	m.random = rand.NewChaCha8(key)
	local, _ := transport.ParseAddr(m.config.Self().Data)
	m.end = &endpoint{w: w, local: local, inGroup: true, mtu: w.o.MTU,
		wake: func() { m.schedule(agentNode, w.nowNs+m.soon()) }}
	w.net.add(m.end)
	m.clock = clock{w: w, startNs: 1e9 + m.rng.Int64N(1e12), wallNs: epochNs}
	if d := w.o.Clock.DriftPPM; d > 0 {
		m.clock.driftPPM = m.rng.Int64N(2*d) - d
		m.clock.wallNs += m.rng.Int64N(2*w.o.Clock.WallOffsetNs) - w.o.Clock.WallOffsetNs
	}
	m.clock.wallNs -= m.clock.startNs
	m.mount(vfs.NewMem())
	return m
}

func (w *World) newLoad(i int) {
	l := &load{w: w, number: i, rng: fork(w.seed, fmt.Sprint("client", i)), left: w.o.Clients.Messages, dueNs: -1}
	l.flow = orderflow.New(orderflow.Options{Seed: w.seed, Client: uint64(i), Instruments: bookInstruments,
		PriceLimit: bookPrices, Open: 64})
	l.mixed = fork(w.seed, fmt.Sprint("mixed", i))
	l.mix = mixflow.NewMix(mixflow.Options{Rand: l.mixed, Client: uint64(i),
		StampNs: func() uint64 { return uint64(epochNs + w.nowNs) }})
	l.end = &endpoint{w: w, local: transport.Addr{IP: [4]byte{10, 0, 1, byte(i)}, Port: 7600}, mtu: w.o.MTU,
		wake: func() { l.schedule(w.nowNs + 1000) }}
	w.net.add(l.end)
	w.loads = append(w.loads, l)
	l.newSession()
	l.schedule(l.rng.Int64N(300e6))
}

// later runs f after some time.
func (w *World) later(afterNs int64, f func()) {
	w.queue.push(event{atNs: w.nowNs + afterNs, kind: eventFault, run: f})
}

func (w *World) startLater(m *member, afterNs int64) {
	if m.starting {
		return
	}
	m.starting = true
	w.queue.push(event{atNs: w.nowNs + afterNs, kind: eventStart, who: int32(m.id)})
}

// fail ends the run.
func (w *World) fail(format string, args ...any) {
	if w.failure == nil {
		w.failure = fmt.Errorf("%.6f ms: "+format, append([]any{float64(w.nowNs) / 1e6}, args...)...)
	}
}

// run is the whole of it: faults, then none, then what must be true in the end.
func (w *World) run() {
	w.until(w.o.SafetyNs, func() bool { return false })
	w.finish()
}

// finish ends all faults, waits for the cluster to settle and looks at what it has come to.
func (w *World) finish() {
	if w.failure == nil && !w.o.Unlimited {
		w.heal()
		healedNs := w.nowNs
		done := w.until(w.nowNs+livenessNs, w.settled)
		if !done && w.failure == nil {
			w.fail("the cluster has not settled within %d s of peace: %s", livenessNs/1e9, w.unsettled())
		}
		w.check.settleNs = w.nowNs - healedNs
		if w.failure == nil {
			w.check.final()
		}
	}
	if w.failure == nil {
		w.check.history()
	}
	if w.failure == nil {
		w.check.verdict()
	}
	for _, m := range w.members {
		if m.process != nil {
			w.collect(m.process)
			m.disk.Step = nil
			_ = m.process.node.Abandon()
			m.process = nil
		}
	}
	w.count.VirtualNs, w.count.Network = w.nowNs, w.net.count
}

// until handles events until a time, a failure, or done, which is asked now and then.
func (w *World) until(endNs int64, done func() bool) bool {
	askNs := w.nowNs
	for w.failure == nil && len(w.queue.heap) > 0 {
		if w.queue.heap[0].atNs > endNs {
			w.nowNs = endNs
			return done()
		}
		e := w.queue.pop()
		w.nowNs = e.atNs
		w.count.Events++
		w.handle(&e)
		if w.nowNs-askNs > 20e6 {
			askNs = w.nowNs
			if done() {
				return true
			}
		}
	}
	return false
}

// passes lets so much time pass, less if done before; done is asked after every event. It ends with a failure as well.
func (w *World) passes(limitNs int64, done func() bool) bool {
	for endNs := w.nowNs + limitNs; w.failure == nil; {
		if done() {
			return true
		}
		if w.queue.heap[0].atNs > endNs {
			w.nowNs = endNs
			return false
		}
		e := w.queue.pop()
		w.nowNs = e.atNs
		w.count.Events++
		w.handle(&e)
	}
	return false
}

func (w *World) handle(e *event) {
	switch e.kind {
	case eventPacket:
		w.net.arrive(w.net.ends[e.who], e.packet)
	case eventAgent:
		w.members[e.who-1].turn(e)
	case eventClient:
		w.loads[e.who-1].turn(e)
	case eventFault:
		e.run()
	case eventStart:
		w.members[e.who-1].start()
	}
}

// heal ends all faults. Clients have nothing new to say.
func (w *World) heal() {
	w.healed = true
	w.net.heal()
	w.trace.add(w, "heal", 0, -1, 0, 0, 0)
	for _, m := range w.members {
		m.stepsLeft, m.storeSteps, m.full = 0, 0, false
		m.failing.Heal()
		m.disk.SetCapacity(0)
		if m.process == nil {
			w.startLater(m, 1e6)
			continue
		}
		for i := range m.process.pausedNs {
			if m.process.pausedNs[i] > w.nowNs {
				m.process.pausedNs[i] = w.nowNs
				m.process.dueNs[i] = -1
				m.schedule(i, w.nowNs+1000)
			}
		}
	}
	for _, l := range w.loads {
		l.stopped = true
	}
}

// leader is the leader of the highest term.
func (w *World) leader() *member {
	var best *member
	for _, m := range w.members {
		if m.leads() && (best == nil || m.process.in.Core.Term() > best.process.in.Core.Term()) {
			best = m
		}
	}
	return best
}

// serves says whether a node leads and has committed its own term record: a majority follows it.
func (w *World) serves(m *member) bool {
	if m == nil || !m.leads() {
		return false
	}
	c := m.process.in.Core
	return c.Durable() > 0 || w.o.Rule == "replicated" && c.Replicated() > 0
}

func (w *World) settled() bool { return w.unsettled() == "" }

// unsettled says what is missing to peace.
func (w *World) unsettled() string {
	leader := w.leader()
	if leader == nil {
		return "no leader"
	}
	end := leader.process.in.Core.Append()
	for _, m := range w.members {
		if m.process == nil {
			return fmt.Sprintf("node %d is down", m.id)
		}
		c, p := m.process.in.Core, m.process.in.Progress
		if c.Append() != end || c.Commit() != end || p.Applied() != end || c.Recovering() ||
			m != leader && c.Role() != replica.Follower {
			return fmt.Sprintf("node %d (%v, term %d, recovering %v) has append %d, commit %d, applied %d of %d",
				m.id, c.Role(), c.Term(), c.Recovering(), c.Append(), c.Commit(), p.Applied(), end)
		}
	}
	for _, m := range w.members {
		if m.ringsSoon(leader) {
			return fmt.Sprintf("node %d has timers pending", m.id)
		}
		if at, rotten := m.unmended(); rotten {
			return fmt.Sprintf("node %d: what it synced at %d is spoilt, and not mended", m.id, at)
		}
	}
	for _, l := range w.loads {
		if c := l.session.client; c.Open() > 0 && !c.Closed() && !l.dead {
			return fmt.Sprintf("client %d has %d open messages", l.number, c.Open())
		}
	}
	return w.check.unanswered()
}
