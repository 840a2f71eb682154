package node

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"

	"lockstep/agent"
	"lockstep/journal"
	"lockstep/replica"
	"lockstep/ringbuf"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// thread is an agent on a thread, in the order in which threads are stopped: who writes the log first, the journal and
// the state files last.
type thread struct {
	agent   agent.Agent
	runner  *agent.Runner
	started bool
	hot     bool // it never blocks, but in idle strategy park
}

// Ring sizes between threads.
const (
	commandSlots = 256
	egressBytes  = 4 << 20
	senderBatch  = 64
	maxParkNs    = 1_000_000 // a parked thread looks at its deadlines this often
)

// assemble makes the agents and lays them out on threads.
func (n *Node) assemble() error {
	if err := n.chooseIdle(); err != nil {
		return err
	}
	if err := n.makeParkers(); err != nil {
		return err
	}
	core, net, err := n.coreTransport()
	if err != nil {
		return err
	}
	if err := n.checkLog(); err != nil { // before a snapshot of another kind of cluster is taken for a bad one
		return err
	}
	commands := ringbuf.NewSPSC(make([]service.Command, commandSlots))
	answers, err := n.memory("answers")(egressBytes)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	egress := ringbuf.NewMessageRing(answers)
	if err := n.makeDriver(commands, egress); err != nil {
		return err
	}
	tail, err := n.makeReplica(core, commands, egress)
	if err != nil {
		return err
	}
	if err := n.layOut(net, tail); err != nil {
		return err
	}
	n.tellMemory()
	n.watch = newWatch(n)
	return nil
}

// coreTransport is what the replica's thread sends and receives through: the transport itself, or rings to the thread
// that owns it.
func (n *Node) coreTransport() (transport.Transport, agent.Agent, error) {
	if n.config.Threads.Layout == "shared" {
		return n.transport, nil, nil
	}
	core, net, err := transport.NewRelay(n.transport, transport.RelayOptions{
		Memory: n.memory("received"), Counters: n.counters, StampNs: n.machine.stampNs(), WakeCore: n.parkers.core.WakeIfParked, WakeNetwork: n.parkers.net.WakeIfParked})
	if err != nil {
		return nil, nil, fmt.Errorf("node: %w", err)
	}
	return core, net, nil
}

func (n *Node) makeDriver(commands *ringbuf.SPSC[service.Command], egress *ringbuf.MessageRing) error {
	services, err := n.newServices()
	if err != nil {
		return err
	}
	n.known = service.Known(&services)
	for i, s := range services {
		if s != nil {
			n.serviceNames[i] = s.Name()
		}
	}
	source, err := n.newSource()
	if err != nil {
		return err
	}
	if err := n.newKeeper(); err != nil {
		return err
	}
	n.driver, err = service.NewDriver(service.Options{
		Ring: n.ring, Source: source, Progress: &n.progress, Commands: commands, Egress: egress, Services: services,
		Fresh: n.newServices, Skips: n.recovered.Skips, OnHalt: n.onHalt,
		Limits: n.serviceLimits(), Version: n.version(),
		Sink: n.keeper, Base: n.openBase, OnAbort: func(_ wire.Position, err error) { n.logf("%v", err) },
		Counters: n.counters, StampNs: n.machine.stampNs(),
	})
	if err != nil {
		return n.unusable(err)
	}
	return nil
}

// serviceLimits are those of the config, which the log's config record holds as well; a machine may set others.
func (n *Node) serviceLimits() service.Limits {
	limits, c := n.machine.Limits.Service, &n.config.Cluster
	limits.Sessions = cmp.Or(limits.Sessions, c.Sessions)
	limits.KeptResponses = cmp.Or(limits.KeptResponses, c.Responses)
	limits.KeptBytes = cmp.Or(limits.KeptBytes, c.KeptBytes)
	return limits
}

// version is the highest behaviour version that this build has.
func (n *Node) version() uint32 { return cmp.Or(n.machine.Limits.Version, service.Version) }

// newServices makes the services that this build runs, with nothing seen.
func (n *Node) newServices() (services [service.MaxServices]service.Service, err error) {
	if services, err = NewServices(n.machine.Limits); err != nil {
		return services, err
	}
	if n.machine.Services != nil {
		n.machine.Services(&services)
	}
	return services, nil
}

// onHalt tells operators that apply has halted, or goes on. It is called on the driver's thread.
func (n *Node) onHalt(h *service.Halt) {
	if h == nil {
		n.logf("apply goes on without the record: the log is applied anew, from the newest snapshot before it or from position 0")
		return
	}
	n.counters.Error(n.machine.Clock.WallNs(), h.String())
	n.logf("%v", h)
	if h.Skippable() {
		n.logf("replication goes on; lockstep leader skip %d has the cluster pass over that record\n%s", h.Position(), h.Stack)
	}
}

// makeReplica makes the core, the leader's role and their agent, joined to the ports of the blocking threads.
func (n *Node) makeReplica(t transport.Transport, commands *ringbuf.SPSC[service.Command],
	egress *ringbuf.MessageRing) (*replica.Tail, error) {
	sender := transport.NewSender(t, senderBatch)
	id := sequencer.Identity{Cluster: n.identity.Cluster, Node: n.identity.Node,
		Incarnation: n.identity.Incarnation, Run: n.identity.Run}
	seq, err := n.makeSequencer(id, t, sender, commands, egress)
	if err != nil {
		return nil, err
	}
	core := n.makeCore()
	n.core, n.sequencer = core, seq
	var parker *agent.Parker // of the vote's thread
	if !n.machine.Inline {
		if parker, err = agent.NewParker(); err != nil {
			return nil, err
		}
		n.closers = append(n.closers, parker.Close)
	}
	fetches, cancel := context.WithCancel(context.Background())
	n.fetches, n.cancel = fetches, cancel
	n.port = journal.NewPort()
	n.votePort = replica.NewVotePort(parker)
	n.operator = replica.NewOperator(n.parkers.core.WakeIfParked)
	n.port.OnReport, n.votePort.OnStored = n.parkers.core.WakeIfParked, n.parkers.core.WakeIfParked
	rule, _ := n.config.Rule()
	o := replica.AgentOptions{
		Core: core, Self: replica.Peer{Node: id.Node, Incarnation: id.Incarnation, Run: id.Run}, Cluster: id.Cluster,
		Transport: t, Sender: sender, Ring: n.ring, RingBytes: wire.Position(n.config.Cluster.RingBytes),
		Chain: n.recovered.Chain, Journal: n.port, SyncAlways: rule == wire.RuleDurable, Votes: n.votePort,
		CatchUp: n.newCatchUp(fetches), Operator: n.operator, Leading: seq,
		Redirector: sequencer.NewRedirector(id, sender),
		Services: &services{progress: &n.progress, driver: n.driver, commands: commands,
			wake: n.parkers.service.WakeIfParked},
		WallNs: n.machine.Clock.WallNs, StampNs: n.machine.stampNs(), Counters: n.counters, ChainAt: n.chainAt, Log: n.logf, Recovering: n.onRecovering,
		DiskHungNs: n.config.Journal.HungMs * 1e6, ClockSkewNs: n.config.Election.ClockSkewMs * 1e6,
	}
	o.Group, _ = transport.ParseAddr(n.config.Cluster.Group)
	for _, peer := range n.config.Cluster.Nodes {
		o.Nodes = append(o.Nodes, wire.NodeID(peer.ID))
		o.Peers[peer.ID], _ = transport.ParseAddr(peer.Data)
	}
	var tail *replica.Tail
	n.replica, tail = replica.NewAgent(o)
	return tail, nil
}

func (n *Node) makeSequencer(id sequencer.Identity, t transport.Transport, sender *transport.Sender,
	commands *ringbuf.SPSC[service.Command], egress *ringbuf.MessageRing) (*sequencer.Sequencer, error) {
	var secret [48]byte
	n.machine.fill(secret[:])
	o := sequencer.Options{
		Identity: id, Ring: n.ring, Sender: sender, MaxPayload: t.MaxPayload(), Egress: egress, Commands: commands,
		Services: n.known, Progress: &n.progress, MaxMessage: wire.MaxMessage, WallNs: n.machine.Clock.WallNs,
		Random: rand.New(rand.NewChaCha8([32]byte(secret[:32]))), Counters: n.counters,
		Limits: n.machine.Limits.Sequencer, StampNs: n.machine.stampNs(),
	}
	o.Rule, _ = n.config.Rule()
	o.Limits.Window = uint32(n.config.Limits.Window)
	o.Limits.AdmitPerS = cmp.Or(o.Limits.AdmitPerS, n.config.Limits.AdmitPerS)
	o.Limits.MessagesPerS = cmp.Or(o.Limits.MessagesPerS, n.config.Limits.MessagesPerS)
	limits := n.serviceLimits()
	o.Limits.Sessions = max(o.Limits.Sessions, limits.Sessions)
	o.Limits.KeptResponses, o.Limits.KeptBytes = limits.KeptResponses, limits.KeptBytes
	copy(o.Key[:], secret[32:])
	seq, err := sequencer.New(o)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return seq, nil
}

// checkLog holds the config against what the log says of the cluster.
func (n *Node) checkLog() error {
	o, restored := n.coreOptions()
	if err := o.CheckConfig(&restored); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

func (n *Node) makeCore() *replica.Core {
	o, restored := n.coreOptions()
	o.Seed = n.machine.bits64()
	return replica.NewCore(o, restored, n.machine.Clock.NowNs())
}

// coreOptions are what the core is told of this node: config, and what was found in the directory.
func (n *Node) coreOptions() (replica.Options, replica.Restored) {
	rule, _ := n.config.Rule()
	o := replica.Options{
		Self: n.identity.Node, Rule: rule, RingBytes: uint64(n.config.Cluster.RingBytes), MaxMessage: wire.MaxMessage,
		ElectionTimeoutMinNs: n.config.Election.TimeoutMinMs * 1e6,
		ElectionTimeoutMaxNs: n.config.Election.TimeoutMaxMs * 1e6,
		HeartbeatNs:          n.config.Election.HeartbeatMs * 1e6,
		Version:              n.version(),
		SnapshotBytes:        uint64(n.config.Snapshot.EveryBytes),
	}
	limits := n.serviceLimits()
	o.Limits = wire.ConfigLimits{Sessions: uint32(limits.Sessions), KeptResponses: uint32(limits.KeptResponses),
		KeptBytes: uint32(limits.KeptBytes)}
	for _, peer := range n.config.Cluster.Nodes {
		if peer.Learner {
			o.Learners = append(o.Learners, wire.NodeID(peer.ID))
		} else {
			o.Voters = append(o.Voters, wire.NodeID(peer.ID))
		}
	}
	term, votedFor := n.votes.Load()
	r := n.recovered
	restored := replica.Restored{
		Incarnation: n.identity.Incarnation, Run: n.identity.Run, Term: term, VotedFor: votedFor,
		End: r.Chain.Position, LastTerm: r.Chain.Term, Checksum: r.Chain.Checksum, Durable: r.Chain.Position,
		Generation: n.journal.Generation(), Terms: r.Terms, Floor: r.Floor,
		EarlierAll: !r.MoreConfigs, Recovering: n.recovering != "", Committed: n.base,
	}
	if last := len(r.Configs) - 1; last >= 0 {
		restored.Config, restored.ConfigPosition = r.Configs[last].Config, r.Configs[last].End
		restored.Earlier = r.Configs[:last]
	}
	return o, restored
}

// newCatchUp makes the port to whatever fetches: over HTTP, or as the machine does it.
func (n *Node) newCatchUp(ctx context.Context) *replica.CatchUpPort {
	return replica.NewCatchUpPort(ctx, n.fetchLog, n.machine.Inline, n.logf)
}

// layOut puts the agents on threads, in the order in which they are stopped.
func (n *Node) layOut(net agent.Agent, tail *replica.Tail) error {
	cores := n.config.Threads.Cores
	core := func(i int) int {
		if i < len(cores) {
			return cores[i]
		}
		return agent.NoCPU
	}
	if n.config.Threads.Layout == "shared" {
		hot := agent.NewComposite("node", n.replica, n.driver, tail)
		if err := n.hotThread(hot, core(0), false, n.parkers.core); err != nil {
			return err
		}
	} else {
		pin := n.idle == agent.IdleSpin
		hot := agent.NewComposite("core", n.replica, tail)
		if err := n.hotThread(hot, core(1), pin, n.parkers.core); err != nil {
			return err
		}
		// The service's own code runs unpinned in every layout: it may allocate, and it may panic.
		driver := waking{Agent: n.driver, wake: n.parkers.core.WakeIfParked}
		if err := n.hotThread(driver, core(2), false, n.parkers.service); err != nil {
			return err
		}
		if err := n.hotThread(net, core(0), pin, n.parkers.net); err != nil {
			return err
		}
	}
	blocking := func(a agent.Agent, cpu int) {
		n.addThread(a, agent.RunnerOptions{CPU: cpu, Idle: agent.NoIdle{}, Clock: n.machine.Clock})
	}
	writer, err := n.journal.Agent(n.ring, n.port)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	watermark, err := n.journal.WatermarkAgent()
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if n.config.Journal.ScrubBytesPerS > 0 {
		if err := n.makeScrub(); err != nil {
			return err
		}
		blocking(n.scrub, agent.NoCPU)
	}
	blocking(n.keeper, agent.NoCPU)
	n.journalAt = len(n.threads)
	blocking(writer, core(3))
	blocking(watermark, agent.NoCPU)
	blocking(replica.NewVoteAgent(n.votePort, n.votes), agent.NoCPU)
	return nil
}

// hotThread adds a thread that never blocks, or, with idle strategy park, only while nothing is to be done.
func (n *Node) hotThread(a agent.Agent, cpu int, pin bool, parker *agent.Parker) error {
	idle, err := agent.NewIdle(n.idle, parker, maxParkNs)
	if err != nil {
		return err
	}
	n.addThread(a, agent.RunnerOptions{CPU: cpu, Idle: idle, Clock: n.machine.Clock, BoundedPin: pin, Gaps: n.counters})
	n.threads[len(n.threads)-1].hot = true
	return nil
}

func (n *Node) addThread(a agent.Agent, o agent.RunnerOptions) {
	n.threads = append(n.threads, thread{agent: a, runner: agent.NewRunner(a, o)})
}

// chooseIdle decides what hot threads do without work, and why.
func (n *Node) chooseIdle() error {
	if kind := n.config.Threads.Idle; kind != "auto" {
		var err error
		n.idle, err = agent.ParseIdleKind(kind)
		n.idleWhy = "the config says so"
		return err
	}
	n.idle, n.idleWhy = agent.ChooseIdle(n.config.Threads.Cores)
	return nil
}

// start starts the threads, the last stopped first: the journal is there before anybody has something for it.
func (n *Node) start() error {
	hot := n.config.hotThreads()
	runtime.GOMAXPROCS(hot + 2)
	n.logf("layout %s, idle %s (%s), %d processors for Go", n.config.Threads.Layout, n.idle, n.idleWhy, hot+2)
	n.tellRecovering(n.recovering != "") // the cluster may admit it before anybody has said that it has to
	n.lockMemory()
	n.keepStamps()
	n.keepWatch()
	for i := len(n.threads) - 1; i >= 0; i-- {
		if err := n.threads[i].runner.Start(); err != nil {
			return err
		}
		n.threads[i].started = true
	}
	return nil
}
