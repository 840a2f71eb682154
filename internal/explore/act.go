package explore

import (
	"math"

	"lockstep/replica"
	"lockstep/wire"
)

// An action is one thing that may happen to a node: its kind, the node, and an argument, from the low bits up.
type action uint32

const (
	actDeliver = iota // a message: its number
	actAgain          // the same, and it stays under way
	actLose           // a message is lost, because too many are under way
	actTick
	actJump
	actStored  // the state file has what it was given
	actCut     // the journal has cut
	actSync    // the disk has all that is verified
	actReport  // the core hears what the disk has
	actFailed  // a catch-up fails: whoever fetches says so in the end
	actPropose // a client record
	actCrash   // how many records survive; flags for what was under way
	actRestart // an orderly stop, and a new run
	actHandOver
	actWipe
	numActions
)

var actNames = [numActions]string{"deliver", "again", "lose", "tick", "jump", "stored", "cut", "sync", "report",
	"failed fetch", "propose", "crash", "restart", "hand-over", "wipe"}

// costs is which budget an action draws on.
var costs = [numActions]uint8{costNothing, costDup, costNothing, costTick, costJump, costNothing, costNothing,
	costNothing, costNothing, costNothing, costProposal, costCrash, costCrash, costHandOver, costWipe}

// What had reached the disk when a process died: bits of a crash's argument above the number of records.
const (
	crashStored = 1 << 4 // the state file had what it was given
	crashCut    = 1 << 5 // the journal had cut
)

func act(kind, node uint8, arg uint16) action {
	return action(kind) | action(node)<<8 | action(arg)<<16
}

func (a action) kind() uint8 { return uint8(a) }

// node is the node that it happens to, counted from 0.
func (a action) node() uint8 { return uint8(a >> 8) }

func (a action) arg() uint16 { return uint16(a >> 16) }

// possible is all that may happen to a node but messages.
func (s *site) possible(list []action) []action {
	sh, w := &s.sh, s.w
	add := func(kind uint8, arg uint16) { list = append(list, act(kind, sh.id-1, arg)) }
	if at := s.core.NextDeadline(); at < math.MaxInt64 {
		add(actTick, 0)
		if at < s.options.ElectionTimeoutMinNs {
			add(actJump, 0)
		}
	}
	if sh.persist.on {
		add(actStored, 0)
	}
	if sh.cut.on {
		add(actCut, 0)
	}
	if sh.synced < sh.n && !sh.cut.on {
		add(actSync, 0)
	}
	if sh.reports[0] != (report{}) {
		add(actReport, 0)
	}
	if s.core.CatchingUp() != 0 && w.Bug != FetchHangs {
		add(actFailed, 0)
	}
	if s.core.Role() == replica.Leader {
		if (w.Proposals > 0 || w.Begin == Behind) && sh.n < w.MaxRecords && !s.core.HandingOver() {
			add(actPropose, 0)
		}
		for n := uint16(1); n <= Nodes && w.HandOvers > 0; n++ {
			if n != uint16(sh.id) {
				add(actHandOver, n)
			}
		}
	}
	if w.Wipes > 0 {
		add(actWipe, 0)
		add(actWipe, 1)
	}
	if w.Crashes > 0 {
		list = s.crashes(list)
	}
	return list
}

// crashes is every way in which a process may die: what was under way has reached the disk, or not.
func (s *site) crashes(list []action) []action {
	sh := &s.sh
	add := func(kind uint8, arg uint16) { list = append(list, act(kind, sh.id-1, arg)) }
	most := sh.n
	if sh.cut.on {
		most = sh.synced
	} else if s.w.Rule == wire.RuleReplicated {
		add(actRestart, 0)
	}
	var died []uint16
	for survive := sh.synced; survive <= most; survive++ {
		died = append(died, uint16(survive))
	}
	if sh.cut.on {
		died = append(died, uint16(min(sh.synced, sh.cut.to))|crashCut)
	}
	for _, what := range died {
		add(actCrash, what)
		if sh.persist.on {
			add(actCrash, what|crashStored)
		}
	}
	return list
}

// do carries out an action on the node at hand; m is the message that it delivers.
func (s *site) do(a action, m *message) {
	sh := &s.sh
	s.sends, s.failure, s.beyond, s.now = s.sends[:0], "", false, 0
	switch a.kind() {
	case actDeliver, actAgain:
		s.deliver(*m)
	case actTick:
		s.tick(s.core.NextDeadline())
	case actJump:
		s.tick(s.options.ElectionTimeoutMinNs)
	case actStored:
		s.stored()
	case actCut:
		s.carryCut()
	case actSync:
		s.sync(sh.n)
	case actReport:
		s.report()
	case actFailed:
		s.fetchFailed()
	case actPropose:
		s.append(newRecord(s.core.Term(), kindMessage))
	case actCrash:
		s.crash(a.arg())
	case actRestart:
		sh.run++
		s.start()
	case actHandOver:
		s.input().Node = wire.NodeID(a.arg())
		s.step(replica.InHandOver)
	case actWipe:
		s.wipe(a.arg() == 0)
	}
	s.finish()
}

// finish brings the node at hand into the form in which it is kept.
func (s *site) finish() {
	sh := &s.sh
	sh.planted.acted(s)
	for s.w.FastVotes && sh.persist.on && s.failure == "" {
		s.stored()
	}
	if s.w.FastSync && sh.synced < sh.n && !sh.cut.on {
		s.sync(sh.n)
	}
	if !s.core.Aligned() {
		clear(sh.log[sh.n:]) // what lay behind holes is forgotten with the alignment
	}
	s.beyond = s.beyond || uint8(s.core.Term()) > s.w.MaxTerm
	s.core.Normalize(uint64(sh.run)<<16|uint64(sh.inc)<<8|uint64(s.core.Term()), s.w.Wipes == 0)
}

func (s *site) tick(nowNs int64) {
	s.now = nowNs
	s.input()
	s.step(replica.InTick)
}

// deliver gives the node a message.
func (s *site) deliver(m message) {
	switch m.kind {
	case fetch:
		s.serve(&m)
		return
	case chunk:
		s.take(&m)
		return
	}
	m.input(&s.in, s.digest)
	s.run(&m)
}

// stored completes what the state file was given.
func (s *site) stored() {
	p := s.sh.persist
	s.sh.persist = pending{}
	s.sh.term, s.sh.vote = p.term, p.vote
	if s.sh.planted.told != p {
		s.persisted(p)
	}
}

func (s *site) persisted(p pending) {
	in := s.input()
	in.Term, in.Node = wire.Term(p.term), wire.NodeID(p.vote)
	s.step(replica.InPersisted)
}

// carryCut has the journal cut, and everything else.
func (s *site) carryCut() {
	sh := &s.sh
	c := sh.cut
	s.sh.planted.cutting(s)
	sh.cut = cutting{}
	sh.n, sh.synced, sh.generation = c.to, min(sh.synced, c.to), c.generation
	clear(sh.log[sh.n:])
	in := s.input()
	in.Position, in.Generation = position(c.to), uint64(c.generation)
	s.step(replica.InCutDone)
}

// sync has the disk hold the first n records, and says so at once, or has it said later.
func (s *site) sync(n uint8) {
	sh := &s.sh
	sh.synced = n
	r := report{n, sh.generation}
	switch {
	case !s.w.SlowReport:
		s.durable(r)
	case sh.reports[0] == report{}:
		sh.reports[0] = r
	default:
		sh.reports[1] = r // one that nobody has heard is overtaken
	}
}

// report lets the core hear of the disk.
func (s *site) report() {
	r := s.sh.reports[0]
	s.sh.reports = [2]report{s.sh.reports[1]}
	s.sh.planted.reporting(s, &r)
	s.durable(r)
}

func (s *site) durable(r report) {
	in := s.input()
	in.Position, in.Generation = position(r.at), uint64(r.generation)
	s.step(replica.InDurable)
}

// crash ends a run at any moment and begins another.
func (s *site) crash(what uint16) {
	sh := &s.sh
	if what&crashStored != 0 {
		sh.term, sh.vote = sh.persist.term, sh.persist.vote
	}
	if what&crashCut != 0 {
		sh.generation = sh.cut.generation
	}
	sh.n = uint8(what & 15)
	clear(sh.log[sh.n:])
	sh.recovering = sh.recovering || s.w.Rule == wire.RuleReplicated
	sh.run++
	s.sh.planted.starting(s)
	s.start()
}

// wipe loses the disk: the node joins again under a new incarnation. reseed says that it may have forgotten; without
// it, it was formatted by mistake.
func (s *site) wipe(reseed bool) {
	sh := &s.sh
	s.sh = shell{id: sh.id, run: 1, inc: sh.inc + 1, recovering: reseed, led: sh.led, committed: sh.committed,
		commits: sh.commits, commitTerm: sh.commitTerm}
	s.start()
}

// serve answers a catch-up: what is known to be committed, and more only as the leader of the term asked for.
func (s *site) serve(m *message) {
	sh := &s.sh
	until := records(s.core.Commit())
	if s.core.Role() == replica.Leader && uint8(s.core.Term()) == m.term {
		until = sh.n
	}
	until = min(until, m.append)
	answer := message{kind: chunk, to: m.from, at: m.at, term: m.term, generation: m.generation, asked: m.run}
	if until > m.at {
		answer.count = uint8(copy(answer.records[:], sh.log[m.at:until]))
	}
	if until < m.append {
		answer.flags = flagFailed
	}
	s.send(answer)
}

// take takes what a catch-up brought.
func (s *site) take(m *message) {
	if m.asked != s.sh.run || s.core.CatchingUp() != uint64(m.generation) {
		return
	}
	if end := m.at + m.count; end > records(s.core.Received()) {
		s.store(m, records(s.core.Received()), end)
		in := s.input()
		in.Position, in.Generation = position(end), uint64(m.generation)
		s.step(replica.InCaughtUp)
		s.verify()
	}
	if m.has(flagFailed) {
		s.fetchFailed()
	}
}

// fetchFailed ends the catch-up under way, if there is one still.
func (s *site) fetchFailed() {
	if generation := s.core.CatchingUp(); generation != 0 {
		s.input().Generation = generation
		s.step(replica.InCatchUpFailed)
	}
}
