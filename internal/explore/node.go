package explore

import (
	"lockstep/replica"
	"lockstep/wire"
)

// A node is a production core and everything around it that the core tells from nothing: its ring, disk, state file,
// and what those have under way. It changes only by actions of its own, so what an action does to a node is found out
// once and looked up from then on.

// shell is a node but for its core: a value.
type shell struct {
	id, run, inc uint8

	// The directory.
	recovering bool
	term, vote uint8 // the state file
	synced     uint8 // records of log that are on disk
	generation uint8

	// The ring: records that were verified, and beyond them those behind a hole. 0: nothing there.
	n   uint8
	log [maxRecords]record

	persist pending
	cut     cutting
	reports [2]report // durable reports that the core has not heard yet, oldest first; at 0: none

	// What was seen of this node, over all its runs: not known to it, but held against the others.
	votes      [maxTerm + 1]uint8 // whom it voted for, in each term
	led        uint16             // terms, by bit
	committed  uint8              // records that it knew to be committed
	commits    [maxRecords]record
	commitTerm [maxRecords]uint8 // the term in which it learned so

	planted planted
}

type pending struct {
	on         bool
	term, vote uint8
}

type cutting struct {
	on             bool
	to, generation uint8
}

type report struct{ at, generation uint8 }

// hash is the shell's hash with the nodes renamed.
func (s *shell) hash(to *names) uint64 {
	h := hash(0x7368656c)
	h.bytes(uint8(to[s.id]), s.run, s.inc, bit(s.recovering), s.term, uint8(to[s.vote]), s.synced, s.generation)
	h.bytes(s.n, bit(s.persist.on), s.persist.term, uint8(to[s.persist.vote]), bit(s.cut.on), s.cut.to, s.cut.generation)
	h.bytes(s.reports[0].at, s.reports[0].generation, s.reports[1].at, s.reports[1].generation)
	h.records(&s.log, to)
	votes := uint64(s.led)
	for _, v := range s.votes {
		votes = votes<<4 | uint64(to[v])
	}
	h.word(votes)
	h.bytes(s.committed)
	h.records(&s.commits, to)
	h.bytes(s.commitTerm[:]...)
	s.planted.hash(&h, to)
	return uint64(h)
}

// site carries out actions on one node at a time: the core and shell at hand, and what they leave.
type site struct {
	w       *World
	options replica.Options
	base    wire.Config
	digest  uint32

	core    *replica.Core
	sh      shell
	now     int64 // of the node's clock; 0 but for a tick
	in      replica.Input
	sends   []message
	failure string // what must never be
	beyond  bool   // the action leaves the bounds of the world
	seen    [NumEvents]int
}

func newSite(w *World) *site {
	s := &site{w: w}
	s.options = replica.Options{Voters: []wire.NodeID{1, 2, 3}, Rule: w.Rule, RingBytes: ringBytes,
		MaxMessage: maxMessage, ElectionTimeoutMinNs: 2, ElectionTimeoutMaxNs: 3, HeartbeatNs: 1, StatusNs: 1, RetryNs: 1,
		NakDelayMinNs: 1, NakDelayMaxNs: 2, NakRetryNs: 1, CommitEchoNs: 1, WindowBytes: ringBytes}
	s.base = s.options.Config()
	s.digest = s.base.Digest()
	return s
}

// fail keeps the first thing that was wrong.
func (s *site) fail(what string) {
	if s.failure == "" {
		s.failure = what
	}
}

// start begins a run of the node from what its directory holds.
func (s *site) start() {
	sh := &s.sh
	r := replica.Restored{Incarnation: uint64(sh.inc), Run: uint32(sh.run), Term: wire.Term(sh.term),
		VotedFor: wire.NodeID(sh.vote), End: position(sh.n), Durable: position(sh.n), Generation: uint64(sh.generation),
		Recovering: sh.recovering, EarlierAll: true}
	for i, rec := range sh.log[:sh.n] {
		if rec.term() < r.LastTerm {
			s.fail("the terms of a log go down")
		}
		if rec.term() != r.LastTerm {
			r.Terms = append(r.Terms, wire.TermStart{Start: position(uint8(i)), Term: rec.term()})
		}
		r.LastTerm = rec.term()
		if rec.kind() == kindConfig {
			if r.Config.Members > 0 {
				r.Earlier = append(r.Earlier, wire.ConfigAt{End: r.ConfigPosition, Config: r.Config})
			}
			r.Config, r.ConfigPosition = rec.config(s.base), position(uint8(i+1))
		}
	}
	sh.synced = sh.n
	sh.persist, sh.cut, sh.reports = pending{}, cutting{}, [2]report{}
	o := s.options
	o.Self = wire.NodeID(sh.id)
	s.core = replica.NewCore(o, r, 0)
	s.step(replica.InTick)
}

// step gives the core s.in, as an input of a kind that has no fields but those set.
func (s *site) step(kind replica.InputKind) {
	s.in.Kind = kind
	s.run(nil)
}

func (s *site) input() *replica.Input {
	s.in = replica.Input{}
	return &s.in
}

// run steps the core with s.in, carries out what it says, and steps in what that found. m is the message
// that s.in is of.
func (s *site) run(m *message) {
	var own, ownConfig, verify bool
	var config wire.Config
	was := s.was()
	outs := s.core.Step(s.now, &s.in)
	for i := range outs {
		out := &outs[i]
		switch out.Kind {
		case replica.OutAppendTerm:
			own = true
		case replica.OutAppendConfig:
			ownConfig, config = true, out.Config
		case replica.OutStore:
			verify = true
			s.store(m, records(out.From), records(out.Until))
		default:
			s.carry(out, m)
		}
	}
	s.sh.recovering = s.core.Recovering() // the mark in the directory
	s.watch(was)
	leading := s.core.Role() == replica.Leader
	if own && leading {
		s.append(newRecord(s.core.Term(), kindTerm))
	}
	if ownConfig && leading {
		s.append(newConfig(s.core.Term(), &config))
	}
	if verify {
		s.verify()
	}
}

// carry carries out an output that needs no further step.
func (s *site) carry(out *replica.Output, m *message) {
	sh := &s.sh
	switch out.Kind {
	case replica.OutSend:
		s.send(messageOf(out))
	case replica.OutPersist:
		sh.persist = pending{true, uint8(out.Term), uint8(out.Node)}
	case replica.OutCompare:
		for i := records(out.From); i < records(out.Until); i++ {
			if sh.log[i] != m.records[i-m.at] {
				s.fail("other bytes than before in one term")
			}
		}
	case replica.OutCut:
		sh.cut = cutting{true, records(out.Position), uint8(out.Generation)}
	case replica.OutRole:
		if out.Role == replica.Leader {
			s.elected(out.Term)
		}
	case replica.OutStream, replica.OutRetransmit:
		s.stream(out)
	case replica.OutCatchUp:
		s.send(message{kind: fetch, to: uint8(out.To), at: records(out.From), append: records(out.Until),
			term: uint8(out.Term), generation: uint8(out.Generation)})
	case replica.OutStop:
		s.fail("stopped: " + out.Reason)
	}
}

// send puts a message on the network; to node 0: to both others.
func (s *site) send(m message) {
	m.from, m.inc, m.run = s.sh.id, s.sh.inc, s.sh.run
	if m.kind == uint8(replica.InLog) {
		m.floor = s.floor()
	}
	s.seeLeaving(&m)
	if m.term > s.w.MaxTerm {
		return
	}
	if m.to != 0 {
		s.sends = append(s.sends, m)
		return
	}
	for n := uint8(1); n <= Nodes; n++ {
		if n != m.from {
			m.to = n
			s.sends = append(s.sends, m)
		}
	}
}

// floor is where the node's ring begins.
func (s *site) floor() uint8 {
	if s.w.Ring == 0 {
		return 0
	}
	return s.sh.n - min(s.sh.n, s.w.Ring)
}

// stream sends a range of the log, a datagram a record, as far as the ring holds it.
func (s *site) stream(out *replica.Output) {
	for i := max(records(out.From), s.floor()); i < records(out.Until); i++ {
		if out.Kind == replica.OutRetransmit {
			s.seen[Repaired]++
		}
		m := message{to: uint8(out.To), term: uint8(out.Term)}
		if out.Kind == replica.OutStream {
			m.to = 0
		}
		m.log(&out.Log)
		m.at, m.count, m.records[0] = i, 1, s.sh.log[i]
		s.send(m)
	}
}

// store takes the records [from, until) of a message into the ring.
func (s *site) store(m *message, from, until uint8) {
	for i := from; i < until; i++ {
		s.sh.log[i] = m.records[i-m.at]
	}
}

// append appends a record of one's own.
func (s *site) append(r record) {
	sh := &s.sh
	if sh.n >= s.w.MaxRecords {
		s.beyond = true
		return
	}
	clear(sh.log[sh.n:])
	sh.log[sh.n] = r
	s.record(sh.n)
	sh.n++
	s.appended()
}

// record tells the core what it must know of a record before it hears of its end.
func (s *site) record(i uint8) {
	r := s.sh.log[i]
	if i == 0 || s.sh.log[i-1].term() != r.term() {
		in := s.input()
		in.Position, in.LastTerm = position(i), r.term()
		s.step(replica.InTermStart)
	}
	if r.kind() == kindConfig {
		in := s.input()
		in.Position, in.Config = position(i+1), r.config(s.base)
		s.step(replica.InConfig)
	}
}

func (s *site) appended() {
	in := s.input()
	in.Position, in.LastTerm = position(s.sh.n), s.sh.log[s.sh.n-1].term()
	s.step(replica.InAppended)
}

// verify takes what has become contiguous.
func (s *site) verify() {
	before := s.sh.n
	for s.sh.n < records(s.core.Received()) {
		if s.sh.log[s.sh.n] == 0 {
			s.fail("the core counts bytes that were never stored")
			return
		}
		s.record(s.sh.n)
		s.sh.n++
	}
	if s.sh.n > before {
		s.appended()
	}
}
