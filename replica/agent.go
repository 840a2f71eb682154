package replica

import (
	"cmp"
	"fmt"

	"lockstep/internal/counters"
	"lockstep/internal/simbug"
	"lockstep/journal"
	"lockstep/ringbuf"
	"lockstep/transport"
	"lockstep/wire"
)

// Leading is the leader's role: what takes client messages, appends records to the ring and answers. The agent calls
// it on its own thread. Package sequencer implements it.
type Leading interface {
	// Lead starts leadership of term behind chain, the verified end of the log.
	Lead(nowNs, wallNs int64, term wire.Term, chain wire.Chain)
	// AppendTerm and AppendConfig append the cluster's own records.
	AppendTerm(nowNs int64, t wire.TermRecord) bool
	AppendConfig(nowNs int64, c *wire.Config) bool
	// AppendSkip appends a skip record that names a position.
	AppendSkip(nowNs int64, position wire.Position) bool
	// AppendSnapshot appends a snapshot record.
	AppendSnapshot(nowNs int64, x wire.SnapshotRecord) bool
	// Resign ends leadership. What was appended and not published is discarded.
	Resign() wire.Chain
	// Arrived says when the client datagrams from here on had arrived, by the clock of AgentOptions.StampNs; Sent, that what
	// was published has been handed to the transmit side. Neither changes anything but what is known of stages.
	Arrived(stampNs int64)
	Sent()
	// OnClient takes one client datagram.
	OnClient(nowNs int64, h *wire.Header, body []byte, from transport.Addr)
	// OnProgress tells how far a majority holds, has synced, and has committed the log.
	OnProgress(nowNs int64, replicated, durable, commit wire.Position)
	// Disputed says whether nodes differ about what the services have put out and no majority agrees: no client is
	// answered then.
	Disputed(disputed bool)
	// DoWork drains what the service has to say to clients and fills frames with answers.
	DoWork(nowNs int64) int
	// Publish makes what was appended visible to the ring's readers and returns the end of it.
	Publish() wire.Chain
	// Chain is the end of what was appended, published or not.
	Chain() wire.Chain
	// SyncTo is the highest position for which a client waits to be told that it is durable.
	SyncTo() wire.Position
	// Hold has records of clients refused with why, RefusalNone: taken again.
	Hold(why wire.Refusal)
	// DiskBad says whether this node's disk is full or hangs.
	DiskBad(bad bool)
	// Farewell tells the clients of the leadership before this one where the leader is now; false: not all yet.
	Farewell(leader wire.NodeID, at transport.Addr, term wire.Term) bool
}

// Services is what the agent tells the service driver, and hears of it.
type Services interface {
	// Commit publishes how far the service may apply.
	Commit(p wire.Position)
	// Lead asks for the session table once the term record that ends at end is applied, Resign ends that.
	Lead(term wire.Term, end wire.Position)
	Resign()
	// Applied brings x up to date with how far the service is, and what it reports up to there. False when x is that
	// already: its position alone was looked at.
	Applied(x *Applied) (moved bool)
	// Skippable says why the record at a position cannot be passed over, nil if it can: apply has halted there because
	// a service failed. Cold.
	Skippable(at wire.Position) error
}

// Applied is how far the service is, and what it reports of the log up to there: a report is published before the
// position that includes it.
type Applied struct {
	Position         wire.Position
	HashPosition     wire.Position // the last fixed point,
	Hash             uint64        // and its divergence hash there
	SnapshotPosition wire.Position // end of the newest snapshot record that asks for one; 0: none
	SnapshotDigest   uint64        // of the state there
	Verified         wire.Position // newest position that a snapshot record calls verified; 0: none
	VerifiedDigest   uint64        // as that record has it
}

// Redirector answers clients of a node that does not lead: stateless.
type Redirector interface {
	Redirect(h *wire.Header, body []byte, from transport.Addr, leader wire.NodeID, at transport.Addr, term wire.Term)
}

// AgentOptions is what an Agent works with. All of it belongs to the agent's thread once it runs, except where a type
// says that it is shared.
type AgentOptions struct {
	Core       *Core
	Self       Peer
	Cluster    uint64
	Nodes      []wire.NodeID                     // all, learners included
	Peers      [wire.MaxNodes + 1]transport.Addr // data addresses by node id
	Group      transport.Addr
	Transport  transport.Transport
	Sender     *transport.Sender // over Transport; the sequencer fills the same one
	Ring       *ringbuf.LogRing
	Chain      wire.Chain // verified end of the log as recovered
	Journal    *journal.Port
	SyncAlways bool // commit rule durable: every record is synced at once
	Votes      *VotePort
	CatchUp    *CatchUpPort
	Operator   *Operator
	Leading    Leading
	Redirector Redirector
	Services   Services
	WallNs     func() int64
	StampNs    func() int64 // a clock that is cheap to read within a cycle; nil: nothing is stamped
	Counters   *counters.File
	ChainAt    func(wire.Position) (wire.Chain, error) // from the journal; cold, blocks
	Log        func(format string, args ...any)        // role changes and the like; never on the hot path
	RingBytes  wire.Position                           // the ring holds so many
	// Recovering is told, about a millisecond later and without waiting, when this node begins or ceases to be one
	// that may have forgotten: its directory says so as long as that is true.
	Recovering func(bool)
	// DiskHungNs is how long the journal may owe what it was asked to sync before the disk counts as one that hangs,
	// and ClockSkewNs how far this node's wall clock may be from the cluster's; 0: neither is looked at.
	DiskHungNs, ClockSkewNs int64
}

// Agent is the shell of the core: it receives datagrams, feeds the core, carries out what the core says, and owns the
// receiving side of the log ring. With Tail it brackets the service driver in one duty cycle.
type Agent struct {
	o         AgentOptions
	core      *Core
	validator wire.Validator
	rx        []transport.Received
	header    wire.Header // of the datagram at hand
	heard     Input       // the datagram at hand, reused
	own       Input       // filled by tell alone, reused
	nowNs     int64

	chain       wire.Chain // verified end of the log, while not leading
	checkpoints checkpoints
	bytes       []byte              // body of the LOG being stepped in, behind its header
	bytesAt     wire.Position       // position of bytes[0]
	verify      bool                // bytes were stored: look for complete records
	batching    bool                // more datagrams are at hand: that can wait for the last of them
	fetched     wire.Position       // up to here bytes came by a catch-up, from a disk that may have spoilt them
	spoilt      bool                // they are not the log's
	owed        owedRecord          // to be appended for the core
	owedSnap    wire.SnapshotRecord // likewise; the zero value: none
	askedAt     wire.Position       // end of the newest snapshot record that asks for one, of this leadership
	cutting     bool
	leading     bool
	ledTerm     wire.Term
	progress    progressSeen
	applied     Applied
	terms       [AlignPage]wire.TermStart
	reports     [16]journal.Report
	err         error
	m           metrics
	statusAtNs  int64
	recovering  bool
	saidConfig  bool
	held        wire.Refusal // what Leading was last told to refuse records of clients with
	farewell    bool         // the clients of this node's last leadership are to be told who leads now
	disk        diskWatch
	clock       clockWatch
	snapshots   snapshotWatch
}

// progressSeen is what Leading.OnProgress was last told.
type progressSeen struct{ replicated, durable, commit, disputed wire.Position }

// NewAgent returns the agent, and the agent that ends its duty cycle: run it last on the same thread, behind the
// service driver where that shares the thread, so that responses leave in the cycle that made them.
func NewAgent(o AgentOptions) (*Agent, *Tail) {
	a := &Agent{o: o, core: o.Core, rx: make([]transport.Received, 64), chain: o.Chain}
	a.validator = wire.Validator{Cluster: o.Cluster, Self: o.Self.Node}
	for _, n := range o.Nodes {
		a.validator.Nodes[n] = true
	}
	a.checkpoints.reset(o.Chain, o.RingBytes)
	a.m.init(o.Counters, o.Self.Node, o.Nodes)
	return a, &Tail{a: a}
}

// Name implements agent.Agent.
func (a *Agent) Name() string { return "replica" }

// OnStart implements agent.Agent.
func (a *Agent) OnStart(nowNs int64) error {
	a.nowNs = nowNs
	a.clock.wallNs, a.clock.atNs = a.o.WallNs(), nowNs
	if commit := a.core.Commit(); commit > 0 {
		a.o.Services.Commit(commit)
	}
	a.tick()
	return a.err
}

// DoWork is one duty cycle: what arrived, what other threads report, what is due, what was appended, and one flush.
func (a *Agent) DoWork(nowNs int64) (int, error) {
	if simbug.On(simbug.ElectByWallClock) {
		nowNs = a.o.WallNs()
	}
	a.nowNs = nowNs
	work := a.receive()
	work += a.pollJournal()
	work += a.pollVotes()
	work += a.pollCatchUp()
	work += a.pollOperator()
	if nowNs >= a.core.NextDeadline() {
		a.tick()
		work++
	}
	a.pollServices()
	a.appendOwing()
	if a.farewell {
		a.sayFarewell()
	}
	a.publishAppended()
	a.o.Sender.Flush()
	if a.leading {
		a.o.Leading.Sent()
	}
	a.demandSync()
	a.tellProgress()
	if nowNs-a.statusAtNs >= 1e6 {
		a.slowTick()
		a.statusAtNs = nowNs
	}
	if a.err == nil {
		a.err = a.o.Transport.Err()
	}
	return work, a.err
}

// slowTick is what is done about once a millisecond.
func (a *Agent) slowTick() {
	a.m.publish(a)
	a.watchDisk()
	a.watchClock()
	a.watchSnapshots()
	if !a.saidConfig && a.core.Refused(RefusedConfig) > 0 {
		a.saidConfig = true
		a.o.Log("the leader's config record says otherwise than this node's file (rule, ring size, limits of sessions, voters): " +
			"this node takes nothing from it; correct the file and start again")
	}
	if recovering := a.core.Recovering(); recovering != a.recovering {
		a.recovering = recovering
		a.o.Recovering(recovering)
	}
}

// OnClose implements agent.Agent.
func (a *Agent) OnClose() error {
	a.m.publish(a)
	return nil
}

// Tail ends the duty cycle: answers to clients, and the second flush.
type Tail struct{ a *Agent }

// Name implements agent.Agent.
func (t *Tail) Name() string { return "answers" }

// OnStart implements agent.Agent.
func (t *Tail) OnStart(int64) error { return nil }

// DoWork fills frames with answers and flushes them. A leader's own records appended here (a session that closes,
// acknowledgements of silent clients) leave with the next cycle.
func (t *Tail) DoWork(nowNs int64) (int, error) {
	a := t.a
	if !a.leading {
		return 0, nil
	}
	work := a.o.Leading.DoWork(nowNs)
	a.o.Sender.Flush()
	return work, nil
}

// OnClose implements agent.Agent.
func (t *Tail) OnClose() error { return nil }

// receive takes one batch from the transport.
func (a *Agent) receive() int {
	n := a.o.Transport.Receive(a.rx)
	if n == 0 {
		return 0
	}
	stampNs := int64(0) // of the batch, for datagrams that have none of their own
	if a.leading && a.o.StampNs != nil {
		stampNs = a.o.StampNs()
	}
	a.batching = true
	for i := range n {
		rx := &a.rx[i]
		if a.leading {
			a.o.Leading.Arrived(cmp.Or(rx.AtNs, stampNs))
		}
		a.onDatagram(rx)
	}
	a.batching = false
	a.verifyBatch()
	a.o.Transport.Release()
	return n
}

func (a *Agent) onDatagram(rx *transport.Received) {
	h := &a.header
	body, drop := a.validator.Validate(rx.Payload, h)
	if drop != wire.DropNone {
		a.m.dropped(drop)
		return
	}
	switch {
	case h.Kind.FromNode():
		a.onNode(h, body)
	case !h.Kind.FromClient():
		a.m.dropped(wire.DropKind)
	case a.leading:
		a.o.Leading.OnClient(a.nowNs, h, body, rx.From)
	default:
		leader := a.core.Leader()
		if a.farewell && leader == 0 && h.Kind != wire.DatagramConnect && h.Kind != wire.DatagramProve {
			// Its sessions' clients are told who leads as soon as that is known. "Nobody" would have them wait.
			a.m.dropped(wire.DropRole)
			return
		}
		a.o.Redirector.Redirect(h, body, rx.From, leader, a.o.Peers[leader], a.core.Term())
	}
}

// publishAppended makes what the leader appended since the last cycle visible, once, and has the core stream it.
func (a *Agent) publishAppended() {
	if !a.leading {
		return
	}
	chain := a.o.Leading.Publish()
	if chain.Position == a.chain.Position {
		return
	}
	a.chain = chain
	a.checkpoints.add(chain)
	a.stepAppended()
}

func (a *Agent) stepAppended() {
	a.tell(event{kind: InAppended, position: a.chain.Position, lastTerm: a.chain.Term, checksum: a.chain.Checksum})
}

// demandSync tells the journal how far the log goes and what somebody waits for.
func (a *Agent) demandSync() {
	if a.cutting {
		return
	}
	syncTo := a.core.SyncTo()
	if a.leading {
		syncTo = max(syncTo, a.o.Leading.SyncTo())
	}
	if a.o.SyncAlways {
		syncTo = a.chain.Position
	}
	a.o.Journal.Want(a.chain.Position, min(syncTo, a.chain.Position))
}

// tick gives the core a chance to look at its deadlines.
func (a *Agent) tick() { a.tell(event{kind: InTick}) }

// event is an input that comes from this node itself: the fields of Input that such inputs use.
type event struct {
	kind           InputKind
	flag           bool
	node           wire.NodeID
	term, lastTerm wire.Term
	checksum       uint32
	position       wire.Position
	generation     uint64
	config         *wire.Config // of InConfig; else nil
	applied        *Applied     // of InApplied; else nil
}

// tell steps an event in. Events are values, whole before the call: what works one out may step in others without the
// two getting into each other's way.
func (a *Agent) tell(e event) {
	in := &a.own
	in.Kind, in.Flag, in.Node = e.kind, e.flag, e.node
	in.Term, in.LastTerm, in.Checksum = e.term, e.lastTerm, e.checksum
	in.Position, in.Generation = e.position, e.generation
	if x := e.applied; x != nil {
		in.HashPosition, in.Hash = x.HashPosition, x.Hash
		in.SnapshotPosition, in.SnapshotDigest = x.SnapshotPosition, x.SnapshotDigest
		in.Verified, in.VerifiedDigest = x.Verified, x.VerifiedDigest
	}
	if e.config != nil {
		in.Config = *e.config
	}
	a.step(in)
}

// fail ends the node: the first reason stands.
func (a *Agent) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf("replica: "+format, args...)
	}
}
