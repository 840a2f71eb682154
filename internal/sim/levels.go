package sim

import (
	"errors"
	"math/rand/v2"

	"lockstep/client"
	"lockstep/node"
	"lockstep/wire"
)

// The faults of the table of guarantee levels: what each level's acknowledgement promises is said of these.
const (
	lossLeader        = iota // the leader's process ends, and begins again when another one leads
	lossHolder               // and another holder begins again with what its disk has: or the leader, before another one leads
	lossProcesses            // a majority of processes ends at once, the leader's among them
	lossMinorityDisks        // as many disks are lost as a majority can spare, the leader's among them
	lossMajorityDisks        // one more
	numLosses
)

var lossNames = [numLosses]string{"leader gone", "and a holder restarted", "majority killed", "minority of disks lost",
	"majority of disks lost"}

// levelRules are the commit rules of the table.
var levelRules = [2]string{"durable", "replicated"}

// askedLevels are what the clients of such a world ask for: each level alone, and two.
var askedLevels = []wire.Levels{wire.LevelsOf(wire.LevelReceived), wire.LevelsOf(wire.LevelSequenced),
	wire.LevelsOf(wire.LevelReplicated), wire.LevelsOf(wire.LevelDurable), wire.LevelsOf(wire.LevelApplied),
	wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied)}

// levelWorld is a world in which clients send and die with a fault: nobody sends anything again, so that what their
// acknowledgements were worth is what is left of them.
type levelWorld struct {
	*World
	rng      *rand.Rand
	loss     int
	holders  []*member // a majority, the leader first: who is hit first
	laggards []*member // the others
	orderNs  int64     // when an operator looks whether he has to order something
	lost     levelCounts
}

// levelOptions are those of a world of the table. Disks take long beside the network, and the network beside a turn, so
// that each level is reached some time before the next.
func levelOptions(rule string, loss int, r *rand.Rand) Options {
	o := Options{
		Nodes: pick(r, 3, 5), Rule: rule, SafetyNs: 1, MTU: 1472, IdleTickNs: 4e6, BusyTickNs: 20e3,
		TimeoutMinMs: 50, TimeoutMaxMs: 100, HeartbeatMs: 10,
		SegmentBytes: 128 << 10, RingBytes: 128 << 10, SyncIntervalUs: 1000, Window: 64, SessionNs: 60e9,
		Sessions: 12, Acks: 1024,
		Network: NetworkOptions{DelayMinNs: 100e3, DelayMeanNs: pick[int64](r, 50e3, 400e3), Capacity: inboxSlots},
		Disk:    DiskOptions{DelayNs: pick[int64](r, 500e3, 4e6, 8e6), Direct: r.IntN(2) == 0},
		Clients: ClientOptions{Clients: len(askedLevels), Messages: 1 << 30, PauseNs: 1e6, Burst: 4, Window: 64, Payload: 100},
		Faults:  FaultOptions{EveryNs: 1e15},
	}
	if loss == lossHolder && rule == "replicated" {
		o.Nodes = 5 // two of three are a majority
	}
	return o
}

// runLevels plays one world of the table and counts what became of what was acknowledged.
func runLevels(seed uint64, rule string, loss int) (levelCounts, error) {
	r := fork(seed, "levels "+rule+lossNames[loss])
	w := &levelWorld{World: newWorld(r.Uint64(), levelOptions(rule, loss, r)), rng: r, loss: loss}
	w.trace.silent = true
	for i, l := range w.loads {
		l.only = askedLevels[i]
	}
	if w.failure == nil {
		w.play()
	}
	w.finish()
	w.tally()
	return w.lost, w.failure
}

// levelPatienceNs is far beyond what anything takes here.
const levelPatienceNs = int64(10e9)

func (w *levelWorld) play() {
	w.expect("the cluster is at work", w.passes(levelPatienceNs, w.atWork))
	w.passes(between(w.rng, 20e6, 50e6), func() bool { return false })
	if w.failure != nil {
		return
	}
	w.choose()
	w.trouble()
	w.strikeLevels()
	w.part(w.holders[0], false)
	w.lag(false)
	w.expect("a leader serves", w.passes(levelPatienceNs, w.servesAgain))
}

// trouble comes before the fault, so that the last messages are in few places: no more than a majority holds them, in
// memory, or the leader alone.
func (w *levelWorld) trouble() {
	some := func() { w.passes(between(w.rng, 1e6, 15e6), func() bool { return false }) }
	if w.rng.IntN(4) > 0 {
		w.lag(true)
		some()
	}
	switch w.rng.IntN(3) {
	case 0:
		w.part(w.holders[0], true)
		some()
	case 1:
		for _, m := range w.members {
			m.process.pausedNs[agentJournal] = w.nowNs + 15e6
		}
		some()
	}
}

// expect fails the run unless something that must come has come.
func (w *levelWorld) expect(what string, came bool) {
	if !came {
		w.fail("not within %d s: %s; %s", levelPatienceNs/1e9, what, w.unsettled())
	}
}

// atWork says whether every node counts, and its disk says so, and every client is served.
func (w *levelWorld) atWork() bool {
	if !w.serves(w.leader()) {
		return false
	}
	for _, m := range w.members {
		if m.process == nil || !m.joined || m.impaired || w.crashForgets() && m.markedRecovering() {
			return false
		}
	}
	for _, l := range w.loads {
		if !l.session.client.Connected() || len(l.session.acks) == 0 {
			return false
		}
	}
	return true
}

// choose says who is hit first: the leader, then others in any order.
func (w *levelWorld) choose() {
	leader := w.leader()
	w.holders = []*member{leader}
	for _, i := range w.rng.Perm(len(w.members)) {
		switch m := w.members[i]; {
		case m == leader:
		case len(w.holders) <= w.o.Nodes/2:
			w.holders = append(w.holders, m)
		default:
			w.laggards = append(w.laggards, m)
		}
	}
}

// lag parts the laggards from the holders, or undoes it.
func (w *levelWorld) lag(on bool) {
	for _, m := range w.laggards {
		w.part(m, on)
	}
}

// part parts a node from all others, or undoes it; clients reach it.
func (w *levelWorld) part(m *member, on bool) {
	for _, x := range w.members {
		w.net.links[m.end.number][x.end.number].cut = on
		w.net.links[x.end.number][m.end.number].cut = on
	}
}

// strikeLevels has the clients die and the fault happen, at one instant.
func (w *levelWorld) strikeLevels() {
	for _, l := range w.loads {
		l.dead = true
		l.end.open = false
	}
	majority := w.o.Nodes/2 + 1
	switch w.loss {
	case lossLeader:
		w.gone(w.holders[0])
	case lossHolder:
		if w.rng.IntN(4) == 0 {
			w.down(w.holders[0], between(w.rng, 1e6, 20e6))
			return
		}
		w.gone(w.holders[0])
		w.down(w.holders[1], between(w.rng, 1e6, 20e6))
	case lossProcesses:
		for _, m := range w.holders {
			w.down(m, between(w.rng, 1e6, 300e6))
		}
	case lossMinorityDisks:
		w.loseDisks(majority - 1)
	case lossMajorityDisks:
		w.loseDisks(majority)
	}
}

// end ends a process, with its power or without.
func (w *levelWorld) end(m *member) {
	m.impaired = m.impaired || w.crashForgets()
	m.starting = true // not by itself
	m.crash(w.rng.IntN(2) == 0)
}

// down ends a process for so long.
func (w *levelWorld) down(m *member, forNs int64) {
	w.end(m)
	w.startAfter(m, forNs)
}

// gone ends a process until another one leads.
func (w *levelWorld) gone(m *member) {
	w.end(m)
	var look func()
	look = func() {
		if w.serves(w.leader()) {
			w.startAfter(m, between(w.rng, 1, 300e6))
		} else {
			w.later(10e6, look)
		}
	}
	look()
}

func (w *levelWorld) loseDisks(n int) {
	for _, m := range w.holders[:n] {
		m.starting = true
		m.wipe()
		w.startAfter(m, between(w.rng, 1e6, 300e6))
	}
}

func (w *levelWorld) startAfter(m *member, forNs int64) {
	w.later(forNs, func() {
		m.starting = false
		w.startLater(m, 1)
	})
}

// servesAgain says whether a leader serves. Where a majority may have forgotten an operator has to order it, once.
func (w *levelWorld) servesAgain() bool {
	if w.serves(w.leader()) {
		return true
	}
	if w.nowNs < w.orderNs {
		return false
	}
	w.orderNs = w.nowNs + 100e6
	for _, m := range w.members {
		if m.process == nil {
			return false
		}
	}
	if err := w.order(); err != nil && !errors.Is(err, node.ErrNoRecovery) {
		w.fail("the order to recover: %v", err)
	}
	return false
}

// order has the node with the newest log lead by order. What is not in its log is given up.
func (w *levelWorld) order() error {
	var asked []node.Asked
	for _, m := range w.members {
		asked = append(asked, node.Asked{Node: m.config.Self(), Status: m.process.node.Status()})
	}
	plan, err := node.PlanRecovery(asked)
	if err != nil {
		return err
	}
	request, err := plan.Order.Request()
	if err != nil {
		return err
	}
	chosen := w.members[plan.Chosen.Node-1]
	if chosen.process.in.Operator.Begin(request) != nil {
		w.check.giveUp(chosen)
		w.lost.orders++
	}
	return nil
}

// giveUp forgets what the cluster has committed beyond what a member holds.
func (c *checker) giveUp(m *member) {
	n := 0
	for n < len(c.log) && n < len(m.seen.log) && c.log[n].chain == m.seen.log[n].chain {
		n++
	}
	log, payloads := c.log[:n:n], c.payloads[:n:n]
	c.log, c.payloads, c.end = nil, nil, 0
	clear(c.byAt)
	clear(c.deeds)
	clear(c.model)
	clear(c.over)
	for i := range log {
		c.byAt[log[i].Position] = i
		c.log, c.payloads, c.end = append(c.log, log[i]), append(c.payloads, payloads[i]), log[i].chain.Position
		c.apply(&log[i].Record, payloads[i])
	}
	c.bytes = c.bytes[:c.end]
	for _, known := range []map[wire.Position]uint64{c.states, c.hashes} {
		for at := range known {
			if at > c.end {
				delete(known, at)
			}
		}
	}
	for _, other := range c.w.members {
		other.seen.checked = min(other.seen.checked, n)
	}
}

// levelCounts are acknowledgements by level, and how many of them were true no more when the cluster had come to peace.
type levelCounts struct {
	worlds, orders int
	acked, lost    [wire.LevelApplied + 1]int
}

func (c *levelCounts) add(o *levelCounts) {
	c.worlds += o.worlds
	c.orders += o.orders
	for l := range c.acked {
		c.acked[l] += o.acked[l]
		c.lost[l] += o.lost[l]
	}
}

// tally counts what is left of what was acknowledged: the message is in the log, where the acknowledgement said.
func (w *levelWorld) tally() {
	w.lost.worlds = 1
	for _, s := range w.sessions {
		for i := range s.acks {
			if a := &s.acks[i]; a.Level != wire.LevelNone && a.Code == wire.RefusalNone {
				w.lost.acked[a.Level]++
				if !w.stands(s, a) {
					w.lost.lost[a.Level]++
				}
			}
		}
	}
}

func (w *levelWorld) stands(s *session, a *client.Ack) bool {
	i, there := w.check.deeds[deed{s.id, a.Correlation}]
	if !there {
		return false
	}
	r := &w.check.log[i]
	return a.Sequence == 0 || a.Sequence == r.Sequence && a.Position == r.Position && a.Timestamp == r.Timestamp
}
