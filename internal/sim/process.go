package sim

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"syscall"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/node"
	"lockstep/replica"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/service/orderbook"
	queues "lockstep/service/queue"
	timers "lockstep/service/timer"
	"lockstep/transport"
	"lockstep/wire"
)

// The agents of a process.
const (
	agentVote = iota
	agentMark
	agentJournal
	agentNode  // replica, service, sequencer
	agentScrub // in worlds that have it
	agentKeeper
	numAgents
)

// agentOf maps the agents' own names.
var agentOf = map[string]int{"vote": agentVote, "watermark": agentMark, "journal": agentJournal, "node": agentNode,
	"scrub": agentScrub, "keeper": agentKeeper}

// closing is the order in which the agents of a process that is told to stop are closed.
var closing = []int{agentNode, agentScrub, agentKeeper, agentJournal, agentMark, agentVote}

const nodeDir = "/node"

// member is a node of the cluster: its disk and clock, and its process while it runs.
type member struct {
	w       *World
	id      wire.NodeID
	config  node.Config
	learner bool
	end     *endpoint
	disk    *vfs.Mem
	failing *vfs.Failing
	clock   clock
	random  *rand.ChaCha8
	rng     *rand.Rand
	log     bytes.Buffer // what the node prints for operators
	said    int          // length of log when the process began
	epoch   uint32
	process *process // nil while it is down

	stepsLeft  int              // power fails at the operation of the disk at which this becomes 0
	storeSteps int              // the same, of operations on what it keeps
	impaired   bool             // it has lost something that only the others still have, or may do so any moment
	diskBad    bool             // an injected fault explains that the process ends by itself
	excuse     func(error) bool // a script's: whether it is right that the process ends with this
	full       bool
	starting   bool     // a start is due
	wiped      bool     // its directory is new, and the cluster has not admitted it
	rotten     []rotten // what is not as it was synced
	spoiltAt   map[wire.Position]bool
	spoilt     bool          // a snapshot of it is not what was written
	furthest   wire.Position // that it has applied, ever
	joined     bool          // the cluster has counted it, some time
	crashed    bool          // the process before did not end in order
	reported   wire.Position // what the process before had reported as durable
	complete   bool          // its log, as last seen, is all that its disk can hold
	lost       [][]entry     // logs that processes had which ended while it was impaired
	past       [][]entry     // logs of all processes before
	fetches    uint64        // catch-ups that were begun
	fetchTerm  wire.Term     // of the last
	marked     wire.Position
	seen       observed
	alarm      *alarm // its service, as last made
	wrong      bool   // a script's: its alarm answers something else than the others', and is not believed
}

// process is one run of a member.
type process struct {
	node   *node.Node
	in     node.Internals
	agents [numAgents]*agent.Invoker
	dueNs  [numAgents]int64
	// pausedNs is until when an agent gets no turn.
	pausedNs [numAgents]int64
	durable  *counters.Counter
	cuts     *counters.Counter
	cutsDone *counters.Counter
	caughtUp *counters.Counter
	journalG *counters.Counter
}

// powerCut unwinds whatever runs on a node whose power fails.
type powerCut struct{ m *member }

// onDisk is called before everything that changes the disk.
func (m *member) onDisk(op vfs.Op, name string) {
	if m.stepsLeft > 0 {
		if m.stepsLeft--; m.stepsLeft == 0 {
			panic(powerCut{m})
		}
	}
	if m.storeSteps > 0 && (op == vfs.OpRemove || strings.Contains(name, snapshot.Dir) || strings.Contains(name, "install")) {
		if m.storeSteps--; m.storeSteps == 0 {
			panic(powerCut{m})
		}
	}
}

// mount puts a file system under the node.
func (m *member) mount(fs *vfs.Mem) {
	m.disk = fs
	m.disk.Step = m.onDisk
	if !m.w.o.Disk.Direct {
		m.disk.RefuseDirect()
	}
	m.failing = vfs.NewFailing(fs)
}

// machine is what the node is opened on.
func (m *member) machine() node.Machine {
	of := limits.Service
	of.Sessions = m.w.o.Sessions
	return node.Machine{
		FS: m.failing, Clock: &m.clock, Random: m.random, Inline: true,
		Transport: func(node.Config) (transport.Transport, error) { return m.end.reopen(), nil },
		Fetch:     m.fetch,
		Snapshots: m.offers, SnapshotData: m.snapshotData,
		Services: m.addAlarm,
		Limits: node.MachineLimits{
			Book:         orderbook.Options{Instruments: bookInstruments, PriceLimit: bookPrices, MaxOrders: 4096, MaxFills: 64},
			Queue:        queues.Options{Queues: 16, Messages: 512, Blocks: 1024, Keys: 256, Waiters: 64, Payload: 4096},
			Lock:         lock.Options{MaxHolds: 256, MaxSession: 64, MaxWaiting: 16, MaxAnnounced: 16, MaxSubscriptions: 32},
			Timer:        timers.Options{Timers: 256, Subscriptions: 16},
			Service:      of,
			ScrubPauseNs: m.w.o.Store.ScrubPauseNs, PinNs: m.w.o.Store.PinNs,
			Sequencer: sequencer.Limits{Sessions: of.Sessions + 4, Timers: of.Timers, Acks: m.w.o.Acks, Assemblies: m.w.o.Assemblies,
				AdmitPerS: m.w.o.AdmitPerS, MessagesPerS: m.w.o.MessagesPerS, AcksEvery: 16,
				SessionNs: m.w.o.SessionNs, ClosedNs: 2e9},
		},
	}
}

// guard runs f, which may end by a power cut, or by a panic that is a failure of the run.
func (m *member) guard(f func() error) (cut bool, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case powerCut:
			cut = true
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return false, f()
}

// start opens the node and starts its agents.
func (m *member) start() {
	m.starting = false
	if m.process != nil {
		return
	}
	m.epoch++
	m.said = m.log.Len()
	p := &process{}
	cut, err := m.guard(func() (err error) {
		if p.node, err = node.OpenOn(m.machine(), m.config, &m.log); err != nil {
			return err
		}
		p.in = p.node.Internals()
		for _, a := range p.node.Agents() {
			i := agentOf[a.Name()]
			p.agents[i] = agent.NewInvoker(a)
			if err := p.agents[i].Start(m.clock.NowNs()); err != nil {
				return err
			}
		}
		return nil
	})
	m.w.count.Starts++
	m.w.trace.add(m.w, "start", int(m.id), -1, uint64(m.epoch), flag(cut), flag(err != nil))
	if cut || err != nil {
		if p.node != nil {
			_ = p.node.Abandon()
		}
		m.startFailed(cut, err)
		return
	}
	p.durable = p.in.Counters.Counter("lockstep_journal_durable_position", "")
	p.cuts = p.in.Counters.Counter("lockstep_cuts_total", "")
	p.cutsDone = p.in.Counters.Counter("lockstep_journal_cuts_total", "")
	p.caughtUp = p.in.Counters.Counter("lockstep_caught_up_bytes_total", "")
	p.journalG = p.in.Counters.Counter("lockstep_journal_generation", "")
	m.process = p
	m.diskBad = m.full
	m.w.check.onStart(m)
	m.observe()
	for i := range p.agents {
		p.dueNs[i] = -1
		m.schedule(i, m.w.nowNs+1000*int64(i))
	}
}

func (m *member) startFailed(cut bool, err error) {
	m.end.open = false
	if cut {
		m.crash(true)
		return
	}
	if !m.diskBad && !m.full && !m.excused(err) {
		m.w.fail("node %d does not start: %v", m.id, err)
		return
	}
	m.failing.Heal()
	m.disk.SetCapacity(0)
	m.full = false
	m.w.startLater(m, 50e6)
}

// schedule gives an agent its next turn, not later than at.
func (m *member) schedule(i int, atNs int64) {
	p := m.process
	if p == nil || p.agents[i] == nil || p.dueNs[i] >= 0 && p.dueNs[i] <= atNs {
		return
	}
	p.dueNs[i] = atNs
	m.w.queue.push(event{atNs: atNs, kind: eventAgent, who: int32(m.id), what: int32(i), epoch: m.epoch})
}

// soon is within how long an agent that has something to do has its turn.
func (m *member) soon() int64 { return 200 + m.rng.Int64N(m.w.o.BusyTickNs) }

// turn is one duty cycle of an agent.
func (m *member) turn(e *event) {
	p := m.process
	i := int(e.what)
	if p == nil || e.epoch != m.epoch || e.atNs != p.dueNs[i] {
		return
	}
	p.dueNs[i] = -1
	now := m.w.nowNs
	if p.pausedNs[i] > now {
		m.schedule(i, p.pausedNs[i])
		return
	}
	work, term := 0, p.in.Core.Term()
	cut, err := m.guard(func() (err error) {
		work, err = p.agents[i].Invoke(m.clock.NowNs())
		return err
	})
	m.w.trace.agent(m, i, work)
	switch {
	case cut:
		m.crash(true)
	case err != nil:
		m.ended(i, err)
	default:
		m.after(i, work)
		m.observe()
		if i == agentKeeper {
			m.w.check.kept(m)
		}
		if i == agentNode {
			m.w.check.heard(m)
			m.w.check.caughtUp(m, term)
		}
	}
}

// after says when which agents have their next turns.
func (m *member) after(i, work int) {
	p, now := m.process, m.w.nowNs
	switch i {
	case agentNode:
		next := min(m.clock.world(p.in.Core.NextDeadline()), now+m.w.o.IdleTickNs)
		if work > 0 {
			next = now + m.soon()
			m.schedule(agentVote, now+m.diskDelay())
			m.schedule(agentJournal, now+m.diskDelay())
		}
		m.schedule(i, max(next, now+200))
	case agentJournal, agentVote:
		if work > 0 {
			m.schedule(agentNode, now+m.soon())
			m.schedule(i, now+m.diskDelay())
		} else {
			m.schedule(i, now+5e6)
		}
	case agentMark:
		if work > 0 {
			m.marked = wire.Position(p.durable.Load())
		}
		m.schedule(i, now+5e6)
	case agentScrub, agentKeeper:
		m.afterStore(i, work)
	}
}

func (m *member) diskDelay() int64 { return 200 + m.rng.Int64N(2*m.w.o.Disk.DelayNs) }

// ended takes note of a process that ends itself.
func (m *member) ended(i int, err error) {
	explained := (m.diskBad || m.isRotten()) && (errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC)) ||
		m.isRotten() && (errors.Is(err, service.ErrLog) || strings.Contains(err.Error(), "cut at "))
	if errors.Is(err, node.ErrInstalled) {
		m.w.sometimes(sometimesInstalled)
		m.install()
		return
	}
	if !explained && !m.excused(err) {
		m.w.fail("node %d ends, agent %d: %v", m.id, i, err)
		return
	}
	m.w.count.Ends++
	m.process.node.Ended(err)
	m.crash(false)
}

// install has a process that had a snapshot installed end in order and begin again, or, now and then, die.
func (m *member) install() {
	if m.w.mayCrash(m) && m.w.storeRng.IntN(4) == 0 && m.w.stopProcess(faultPower, m) {
		return
	}
	m.finish()
}

func (m *member) excused(err error) bool { return m.excuse != nil && m.excuse(err) }

// crash ends the process, with the power or alone, and has it started again.
func (m *member) crash(power bool) {
	choose := vfs.Choose(vfs.KeepAll)
	if power {
		mode := m.rng.IntN(4)
		choose = func(n int) int {
			switch mode {
			case 0:
				return 0
			case 1:
				return n - 1
			}
			return m.rng.IntN(n)
		}
		m.w.count.PowerCuts++
	} else {
		m.w.count.Kills++
	}
	m.stepsLeft, m.storeSteps = 0, 0
	if p := m.process; p != nil {
		m.crashed = true
		m.observeLog() // in the middle of a turn it may have told others of more than was seen
		m.observeAdmission()
		m.remember(p)
		m.w.collect(p)
		m.disk.Step = nil
		_ = p.node.Abandon()
		m.process = nil
	}
	m.end.open = false
	m.mount(m.disk.Crash(choose))
	m.disk.SetCapacity(0)
	m.full = false
	m.epoch++
	m.w.trace.add(m.w, "crash", int(m.id), -1, flag(power), 0, 0)
	m.w.startLater(m, m.w.faultRng.Int64N(pick[int64](m.w.faultRng, 20e6, 200e6, 1e9)))
}

// remember notes what the next process must find on the disk; a cut that is under way says nothing for certain.
func (m *member) remember(p *process) {
	if p.cuts.Load() == p.cutsDone.Load() {
		m.reported = wire.Position(p.durable.Load())
		m.complete = true
	}
}

// finish ends the process as one that is told to stop. The journal gets the time it wants.
func (m *member) finish() {
	p := m.process
	marking := false
	cut, err := m.guard(func() error {
		for range pick(m.w.faultRng, 200, 200, 1) { // the process does not wait for ever
			if p.durable.Load() == p.in.Ring.Append() {
				break
			}
			m.clock.startNs += 1e6
			for _, i := range []int{agentJournal, agentMark, agentVote} {
				if _, err := p.agents[i].Invoke(m.clock.NowNs()); err != nil {
					return err
				}
			}
		}
		var errs []error
		for _, i := range closing {
			if p.agents[i] != nil {
				errs = append(errs, p.agents[i].Close())
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		m.w.collect(p)
		m.remember(p)
		marking, m.crashed = true, p.durable.Load() != p.in.Ring.Append()
		_ = p.node.Finish() // not marked clean when the log is not all synced
		return nil
	})
	if err == nil && !cut {
		m.w.count.Finishes++
		m.process = nil
		m.end.open = false
		m.mount(m.disk.Crash(vfs.KeepAll))
		m.epoch++
		m.w.trace.add(m.w, "finish", int(m.id), -1, 0, 0, 0)
		m.w.startLater(m, 20e6)
		return
	}
	m.process, m.crashed = nil, m.crashed || !marking // the mark may be there or not
	_ = p.node.Abandon()
	m.crash(cut)
}

// wipe loses the directory; a new one is made that joins the cluster.
func (m *member) wipe() {
	m.impaired = true
	m.lost = append(m.lost, m.seen.log)
	m.crash(true)
	m.mount(vfs.NewMem())
	m.marked, m.reported, m.wiped, m.complete, m.rotten = 0, 0, true, false, nil
	machine := m.machine()
	if _, err := machine.Reseed(nodeDir, int(m.id), clusterID); err != nil {
		m.w.fail("node %d is not reseeded: %v", m.id, err)
	}
	m.w.count.Wipes++
}

// leads says whether the process leads.
func (m *member) leads() bool { return m.process != nil && m.process.in.Core.Role() == replica.Leader }

// newDirectory formats the node of a new cluster.
func (m *member) newDirectory() error {
	machine := m.machine()
	_, err := machine.Format(nodeDir, int(m.id), clusterID)
	return err
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
