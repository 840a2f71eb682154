package sim

import (
	"syscall"

	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/wire"
)

// The faults that the nemesis can bring, bits of FaultOptions.Kinds.
const (
	faultKill      = iota // the process dies
	faultPower            // the power fails
	faultPowerAtIO        // the power fails at an operation of the disk
	faultPause            // the whole process stands still
	faultHang             // one agent stands still: a disk that hangs
	faultPartition        // nodes are parted, both ways or one
	faultIsolate          // one end point loses some of its links, one way or both
	faultClog             // a link holds everything back for a while
	faultStep             // a wall clock steps
	faultEIO              // an operation of the disk fails
	faultFull             // the disk is full
	faultRot              // synced bytes are flipped or unreadable after a power cut
	faultWipe             // the directory is lost, and made anew
	faultFinish           // the process is told to stop
	faultStorm            // the network is much worse for a while
	faultDepose           // the leader hears clients and no node, until another one leads
	faultHandOver         // an operator has the leader hand over
	faultRaise            // the process dies, and had campaigned alone in higher terms
	numFaults
)

var faultNames = [numFaults]string{"kill", "power", "power-at-io", "pause", "hang", "partition", "isolate", "clog",
	"clock-step", "eio", "full", "rot", "wipe", "finish", "storm", "depose", "hand-over", "raise"}

// strike brings one fault, and comes again.
func (w *World) strike() {
	if w.healed {
		return
	}
	r := w.faultRng
	w.later(r.Int64N(2*w.o.Faults.EveryNs)+1, w.strike)
	w.probe()
	kind := r.IntN(numFaults)
	if w.o.Faults.Kinds&(1<<kind) == 0 {
		return
	}
	m := w.members[r.IntN(len(w.members))]
	if kind == faultPause || kind == faultKill || kind == faultPower || kind == faultIsolate {
		if leader := w.leader(); leader != nil && r.IntN(2) == 0 {
			m = leader
		}
	}
	if !w.bring(kind, m) {
		return
	}
	w.count.Faults[kind]++
	w.trace.add(w, "fault "+faultNames[kind], int(m.id), -1, uint64(kind), 0, 0)
}

// probe asks every node for what it has beyond commit, as a follower of its term would that takes it for the leader.
func (w *World) probe() {
	for _, m := range w.members {
		if m.process == nil || m.leads() {
			continue
		}
		core := m.process.in.Core
		commit := core.Commit()
		body, err := m.process.node.LogFor(m.id, core.Term(), commit, core.Append())
		if err == nil && len(body) > 0 {
			w.fail("node %d serves %d bytes beyond %d, all that it knows to be committed", m.id, len(body), commit)
		}
	}
}

// bring brings a fault; false when the budget or the state of things forbids it.
func (w *World) bring(kind int, m *member) bool {
	r := w.faultRng
	forNs := r.Int64N(pick[int64](r, 20e6, 400e6, 1500e6)) + 1e6
	switch kind {
	case faultKill, faultPower, faultPowerAtIO, faultEIO, faultFinish, faultRaise:
		if kind == faultRaise && m.learner {
			return false // nobody may begin a term for a learner's sake
		}
		return m.process != nil && w.mayCrash(m) && w.stopProcess(kind, m)
	case faultPause, faultHang:
		if m.process == nil {
			return false
		}
		for i := range m.process.pausedNs {
			if kind == faultPause || i == agentJournal || i == agentVote && r.IntN(2) == 0 {
				m.process.pausedNs[i] = w.nowNs + forNs
			}
		}
	case faultPartition:
		w.part(forNs)
	case faultIsolate:
		w.isolate(m, forNs)
	case faultClog:
		from, to := r.IntN(len(w.net.ends)), r.IntN(len(w.net.ends))
		w.net.links[from][to].clogNs = w.nowNs + forNs
	case faultStep:
		m.clock.wallNs += pick[int64](r, -10e9, -1e6, 1e6, 10e9)
	case faultFull:
		w.fill(m, 3*forNs)
	case faultRot:
		return w.mayImpair(m) && m.process != nil && w.rot(m)
	case faultWipe:
		if !w.mayImpair(m) || w.o.Nodes == 1 || m.starting && m.process == nil && m.epoch == 0 {
			return false
		}
		m.wipe()
	case faultStorm:
		w.storm(forNs)
	case faultDepose:
		return w.depose()
	case faultHandOver:
		return w.handOver(pick(r, 0, m.id))
	}
	return true
}

func (w *World) stopProcess(kind int, m *member) bool {
	r := w.faultRng
	if w.crashForgets() && kind != faultFinish {
		m.impaired = true
	}
	switch kind {
	case faultKill:
		m.crash(false)
	case faultPower:
		m.crash(true)
	case faultRaise:
		m.raise(m.process.in.Core.Term() + 1 + wire.Term(r.IntN(3)))
	case faultPowerAtIO:
		m.stepsLeft = 1 + r.IntN(40)
	case faultEIO:
		m.diskBad = true
		m.failing.Inject(vfs.Fault{Ops: pick(r, vfs.OpWrite, vfs.OpSync, vfs.OpWrite|vfs.OpSync|vfs.OpAllocate),
			Path: pick(r, "", "journal", "vote", "watermark"), Skip: r.IntN(10), Times: pick(r, 1, -1),
			Err: syscall.EIO, Short: r.IntN(4) == 0, Drop: true})
		if r.IntN(2) == 0 { // in case it goes on
			w.powerSoon(m, 30e6)
		}
	case faultFinish:
		if w.crashForgets() {
			m.impaired = true // if it cannot be marked clean
		}
		m.finish()
	}
	return true
}

// crashForgets says whether a process that dies may have promised what its disk does not hold.
func (w *World) crashForgets() bool { return w.o.Rule == "replicated" && w.o.Nodes > 1 }

func (w *World) mayCrash(m *member) bool { return !w.crashForgets() || w.mayImpair(m) }

// mayImpair is the budget: a majority must be as good as its promises. A voter that no config record lists yet is none
// that the others may count on.
func (w *World) mayImpair(m *member) bool {
	if w.o.Unlimited || m.learner {
		return true
	}
	impaired := 1
	for _, other := range w.voters() {
		if other != m && (other.impaired || !other.joined) {
			impaired++
		}
	}
	return impaired <= (w.o.Nodes-1)/2
}

// part cuts the network in two, or only one direction between the two sides. Clients stay with the first side's nodes,
// the second's, or both.
func (w *World) part(forNs int64) {
	r := w.faultRng
	side := make([]bool, len(w.net.ends))
	for i := range side {
		side[i] = r.IntN(2) == 0
	}
	oneWay := r.IntN(3) == 0
	w.cut(forNs, func(from, to int) bool { return side[from] && !side[to] || !oneWay && !side[from] && side[to] })
}

// isolate cuts one end point from some of the others.
func (w *World) isolate(m *member, forNs int64) {
	r := w.faultRng
	n, mode, partial := m.end.number, r.IntN(3), r.IntN(2) == 0
	spared := make([]bool, len(w.net.ends))
	clients := r.IntN(2) == 0 // who is parted from the other nodes may still hear clients
	for i := range spared {
		spared[i] = partial && r.IntN(2) == 0 || clients && i >= len(w.members)
	}
	w.cut(forNs, func(from, to int) bool {
		return from == n && mode != 1 && !spared[to] || to == n && mode != 0 && !spared[from]
	})
}

func (w *World) cut(forNs int64, which func(from, to int) bool) {
	var links []*link
	for i := range w.net.links {
		for j := range w.net.links[i] {
			if i != j && which(i, j) && !w.net.links[i][j].cut {
				w.net.links[i][j].cut = true
				links = append(links, &w.net.links[i][j])
			}
		}
	}
	w.later(forNs, func() {
		for _, l := range links {
			l.cut = false
		}
	})
}

func (w *World) storm(forNs int64) {
	before := w.net.o
	w.net.o.Loss, w.net.o.Reorder = max(before.Loss, 0.4), max(before.Reorder, 0.3)
	w.later(forNs, func() {
		if !w.healed {
			w.net.o = w.o.Network
		}
	})
}

// depose parts the leader from the other nodes, or from most of them, and leaves it its clients: what they send it
// becomes a tail to be cut. Later it may be asked to lead again.
func (w *World) depose() bool {
	m, r := w.leader(), w.faultRng
	if m == nil || w.o.Nodes == 1 {
		return false
	}
	with := make([]bool, w.o.Nodes) // the leader's side
	with[m.end.number] = true
	if w.o.Nodes > 3 && r.IntN(2) == 0 {
		with[r.IntN(w.o.Nodes)] = true
	}
	forNs := w.o.TimeoutMaxMs * 1e6 * (1 + r.Int64N(5))
	w.cut(forNs, func(from, to int) bool { return from < w.o.Nodes && to < w.o.Nodes && with[from] != with[to] })
	if r.IntN(2) == 0 {
		w.later(forNs+w.o.TimeoutMaxMs*1e6, func() { w.handOver(m.id) })
	}
	return true
}

// afterCut has the power fail just when a cut was carried out, now and then: what it took must not come back.
func (w *World) afterCut(m *member) {
	if w.healed || w.o.Faults.Kinds == 0 || w.faultRng.IntN(2) != 0 {
		return
	}
	w.powerSoon(m, 50e3)
}

// powerSoon has the power of a process fail within some time.
func (w *World) powerSoon(m *member, withinNs int64) {
	epoch := m.epoch
	w.later(w.faultRng.Int64N(withinNs), func() {
		if m.epoch == epoch && m.process != nil && !w.healed && w.mayCrash(m) && w.stopProcess(faultPower, m) {
			w.count.Faults[faultPower]++
		}
	})
}

// handOver has the leader hand over: to a node, or, 0, to whoever holds most.
func (w *World) handOver(to wire.NodeID) bool {
	m := w.leader()
	if m == nil || w.healed {
		return false
	}
	return w.operate(m, replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: to}, sometimesHandOvers)
}

// operate puts an operator's request in at a running node: in time it is done, which is counted, or the operator gives
// up. False when the node has another one at hand.
func (w *World) operate(m *member, request replica.OperatorRequest, done int) bool {
	operator := m.process.in.Operator
	call := operator.Begin(request)
	if call == nil {
		return false
	}
	w.later(3*w.o.TimeoutMaxMs*1e6, func() {
		select {
		case a := <-call.Done():
			if a.Err == nil {
				w.sometimes(done)
			}
		default:
			operator.Withdraw(call)
		}
	})
	return true
}
