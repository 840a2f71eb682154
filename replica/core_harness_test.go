package replica

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"lockstep/wire"
)

// cluster runs cores on an in-memory network, disks and clocks, in one goroutine: the shell of the scripts and of the
// randomized test. Logs are real records. What a cluster finds wrong it keeps in failures.
type cluster struct {
	rule     wire.CommitRule
	voters   []wire.NodeID
	learners []wire.NodeID
	all      []wire.NodeID // voters, then learners
	ring     uint64
	mtu      int
	seed     uint64
	rng      *rand.Rand
	nowNs    int64
	nodes    [wire.MaxNodes + 1]*testNode
	net      []datagram
	blocked  [wire.MaxNodes + 1][wire.MaxNodes + 1]bool
	payload  uint64
	snapshot uint64 // Options.SnapshotBytes
	trace    func(format string, args ...any)
	failures []string

	// What must always hold.
	leaders   map[wire.Term]Peer
	committed []byte
	digests   [wire.MaxNodes + 1]map[wire.Position]uint64 // that a node's services have come to, in any run
}

// datagram is a message under way.
type datagram struct {
	from, to wire.NodeID
	in       Input
	bytes    []byte
}

// testDisk is what survives a crash.
type testDisk struct {
	incarnation uint64
	run         uint32
	term        wire.Term
	vote        wire.NodeID
	log         []byte // synced
	generation  uint64
	recovering  bool
	clean       bool
}

// testNode is one node: its core, its ring, its disk, and what its other threads have under way.
type testNode struct {
	c     *cluster
	id    wire.NodeID
	up    bool
	core  *Core
	skew  int64  // added to the cluster's clock
	mem   []byte // the log, and what lies beyond holes
	chain wire.Chain
	disk  testDisk

	commit  wire.Position
	applied Applied
	wrong   bool   // its services come to other states than they should
	claimed []byte // what it last said that it holds
	stopped string

	persist []stored
	cutTo   wire.Position
	cutGen  uint64
	cutting bool
	fetches []Output
	hold    map[string]bool // persist, sync, cut, fetch: not carried out on their own
}

func newCluster(n int, rule wire.CommitRule, seed, ring uint64) *cluster {
	return newClusterOf(n, 0, rule, seed, ring)
}

func newClusterOf(n, learners int, rule wire.CommitRule, seed, ring uint64) *cluster {
	c := &cluster{rule: rule, ring: ring, mtu: 400, seed: seed, leaders: map[wire.Term]Peer{},
		rng: rand.New(rand.NewPCG(seed, 1)), trace: silent}
	for id := wire.NodeID(1); id <= wire.NodeID(n); id++ {
		c.voters = append(c.voters, id)
	}
	for id := wire.NodeID(n + 1); id <= wire.NodeID(n+learners); id++ {
		c.learners = append(c.learners, id)
	}
	c.all = slices.Concat(c.voters, c.learners)
	for _, id := range c.all {
		c.nodes[id] = &testNode{c: c, id: id, hold: map[string]bool{}}
		c.nodes[id].disk.incarnation = uint64(id) * 1000
		c.nodes[id].start()
	}
	return c
}

func (c *cluster) options(id wire.NodeID) Options {
	return Options{Self: id, Voters: c.voters, Learners: c.learners, Rule: c.rule, RingBytes: c.ring, MaxMessage: 1024,
		ElectionTimeoutMinNs: 100e6, HeartbeatNs: 10e6, NakDelayMinNs: 50e3, NakDelayMaxNs: 100e3, NakRetryNs: 1e6,
		WindowBytes: c.ring / 4, SnapshotBytes: c.snapshot, Seed: c.seed}
}

func (c *cluster) fail(format string, args ...any) {
	c.failures = append(c.failures, fmt.Sprintf(format, args...))
}

// start begins a run from what the disk holds.
func (n *testNode) start() {
	d := &n.disk
	d.run++
	n.up, n.stopped = true, ""
	n.persist, n.fetches, n.cutting, n.commit, n.applied = nil, nil, false, 0, Applied{}
	n.mem, n.chain = slices.Clone(d.log), wire.Chain{}
	r := Restored{Incarnation: d.incarnation, Run: d.run, Term: d.term, VotedFor: d.vote, Generation: d.generation,
		Recovering: d.recovering, EarlierAll: true}
	for n.chain.Position < wire.Position(len(n.mem)) {
		var rec wire.Record
		at := n.chain
		if _, v := n.chain.Verify(n.mem[at.Position:], &rec); v != wire.VerdictOK {
			n.c.fail("node %d: its disk holds a bad record at %d: %v", n.id, at.Position, v)
			break
		}
		if rec.Term != at.Term {
			r.Terms = append(r.Terms, wire.TermStart{Start: at.Position, Term: rec.Term})
		}
		if rec.Kind == wire.RecordConfig {
			if r.Config.Members > 0 {
				r.Earlier = append(r.Earlier, wire.ConfigAt{End: r.ConfigPosition, Config: r.Config})
			}
			r.Config.Decode(wire.Payload(n.mem[at.Position:], &rec))
			r.ConfigPosition = n.chain.Position
		}
	}
	r.End, r.LastTerm, r.Checksum = n.chain.Position, n.chain.Term, n.chain.Checksum
	r.Durable = r.End
	d.clean = false
	n.core = NewCore(n.c.options(n.id), r, n.now())
	n.step(Input{Kind: InTick})
}

// restartWith starts every node anew with a log of its own, from descriptions like 1.1.2: all begin with the same term
// and config record of term 1, which admits everybody; for each number a client record of that term follows, or the
// term record where the term rises. Logs with the same beginning of a description have the same bytes there.
func (c *cluster) restartWith(logs []string) {
	for i, log := range logs {
		n := c.nodes[i+1]
		n.disk.run, n.disk.term = 0, 1
		n.mem, n.chain = nil, wire.Chain{}
		n.writeTerm(1)
		o := c.options(n.id)
		config := o.Config()
		for _, m := range c.voters {
			of := member(&config, m)
			of.Incarnation, of.Run = c.nodes[m].disk.incarnation, 1
		}
		var b [wire.MaxConfigSize]byte
		n.writeIn(1, wire.RecordConfig, b[:config.Put(b[:])])
		for k, text := range strings.Split(log, ".") {
			term, err := strconv.Atoi(text)
			if err != nil {
				continue // an empty description
			}
			n.disk.term = wire.Term(term)
			if n.disk.term > n.chain.Term {
				n.writeTerm(n.disk.term)
				continue
			}
			payload := make([]byte, 40)
			copy(payload, fmt.Sprintf("%d of t%d", k+1, term))
			n.writeIn(n.disk.term, wire.RecordMessage, payload)
		}
		n.disk.log = slices.Clone(n.mem)
	}
	for i := range logs {
		c.nodes[i+1].start()
	}
}

// writeTerm writes the term record of a term that this harness has a leader for by itself.
func (n *testNode) writeTerm(term wire.Term) {
	var b [wire.MaxConfigSize]byte
	t := wire.TermRecord{Leader: 1, Version: 1, Incarnation: 1000, Run: 1}
	n.writeIn(term, wire.RecordTerm, b[:t.Put(b[:])])
}

// stop ends the run in order: everything is synced.
func (n *testNode) stop() {
	n.sync()
	n.up, n.disk.clean = false, true
}

// crash ends the run: of what was not synced, a part may have reached the disk, in whole records.
func (n *testNode) crash(survives wire.Position) {
	n.up = false
	d := &n.disk
	var at wire.Chain
	for at.Position < survives && !n.cutting {
		var rec wire.Record
		if _, v := at.Verify(n.mem[at.Position:n.chain.Position], &rec); v != wire.VerdictOK {
			break
		}
	}
	if int(at.Position) > len(d.log) {
		d.log = slices.Clone(n.mem[:at.Position])
	}
	if n.c.rule == wire.RuleReplicated {
		d.recovering = true
	}
}

// wipe loses the disk. reseed says so; without it the node was formatted by mistake, with the cluster's id.
func (n *testNode) wipe(reseed bool) {
	n.disk = testDisk{incarnation: n.disk.incarnation + 1, recovering: reseed}
}

func (n *testNode) now() int64 { return n.c.nowNs + n.skew }

func (n *testNode) peer() Peer { return Peer{n.id, n.disk.incarnation, n.disk.run} }

// step gives the core one input, carries out what it says, and steps in what that found.
func (n *testNode) step(in Input) {
	n.stepLog(in, nil)
}

func (n *testNode) stepLog(in Input, log []byte) {
	if !n.up || n.stopped != "" {
		return
	}
	outs := slices.Clone(n.core.Step(n.now(), &in))
	var own []Output
	verify := false
	for i := range outs {
		out := &outs[i]
		out.Terms = slices.Clone(out.Terms)
		if out.Kind == OutAppendTerm || out.Kind == OutAppendConfig || out.Kind == OutAppendSnapshot {
			own = append(own, *out)
		}
		verify = n.carry(out, &in, log) || verify
	}
	if n.stopped == "" {
		n.disk.recovering = n.core.Recovering() // the mark in the directory
	}
	n.check()
	for i := range own {
		n.appendOwn(&own[i])
	}
	if verify {
		n.verifyStored()
	}
}

// carry carries out one output; true when bytes were stored.
func (n *testNode) carry(out *Output, in *Input, log []byte) bool {
	c := n.c
	switch out.Kind {
	case OutSend:
		n.send(out)
	case OutPersist:
		n.persist = append(n.persist, stored{out.Term, out.Node})
	case OutStore:
		n.put(out.From, log[out.From-in.Log.Position:out.Until-in.Log.Position])
		return true
	case OutCompare:
		if !bytes.Equal(n.mem[out.From:out.Until], log[out.From-in.Log.Position:out.Until-in.Log.Position]) {
			c.fail("node %d: other bytes for [%d, %d) in term %d", n.id, out.From, out.Until, n.core.Term())
		}
	case OutCut:
		n.cutting, n.cutTo, n.cutGen = true, out.Position, out.Generation
		c.trace("%d: cut at %d", n.id, out.Position)
	case OutRole:
		c.trace("%d: %v of term %d, leader %d", n.id, out.Role, out.Term, out.Leader)
		if out.Role == Leader {
			n.checkElected()
		}
	case OutStream:
		n.stream(out, 0)
	case OutRetransmit:
		c.trace("%d: sends [%d, %d) again to %s", n.id, out.From, out.Until, group(out.To))
		n.stream(out, out.To)
	case OutCommit:
		c.trace("%d: commit %d", n.id, out.Position)
	case OutCatchUp:
		c.trace("%d: catches up [%d, %d) from %d", n.id, out.From, out.Until, out.To)
		n.fetches = append(n.fetches, *out)
	case OutStop:
		c.trace("%d: STOP: %s", n.id, out.Reason)
		n.stopped = out.Reason
		n.crash(0)
	}
	return false
}

func group(to wire.NodeID) string {
	if to == 0 {
		return "all"
	}
	return fmt.Sprint(to)
}

// put writes bytes into the ring.
func (n *testNode) put(from wire.Position, b []byte) {
	end := int(from) + len(b)
	if end > len(n.mem) {
		n.mem = append(n.mem, make([]byte, end-len(n.mem))...)
	}
	copy(n.mem[from:], b)
}

// appendOwn appends a record that the core asked for.
func (n *testNode) appendOwn(out *Output) {
	if n.core.Role() != Leader {
		return
	}
	start := n.chain.Position
	var b [wire.MaxConfigSize]byte
	switch out.Kind {
	case OutAppendSnapshot:
		n.c.trace("%d: snapshot record:%s", n.id, describeSnapshot(&out.Snapshot))
		n.c.checkVerified(&out.Snapshot)
		n.write(wire.RecordSnapshot, b[:out.Snapshot.Put(b[:])])
	case OutAppendTerm:
		t := wire.TermRecord{Leader: n.id, Version: 1, Incarnation: n.disk.incarnation, Run: n.disk.run}
		n.write(wire.RecordTerm, b[:t.Put(b[:])])
		n.step(Input{Kind: InTermStart, Position: start, LastTerm: n.chain.Term})
	default:
		n.write(wire.RecordConfig, b[:out.Config.Put(b[:])])
		n.step(Input{Kind: InConfig, Position: n.chain.Position, Config: out.Config})
	}
	n.stepAppended()
}

// write appends a record to the leader's ring.
func (n *testNode) write(kind wire.RecordKind, payload []byte) {
	n.writeIn(n.core.Term(), kind, payload)
}

func (n *testNode) writeIn(term wire.Term, kind wire.RecordKind, payload []byte) {
	n.mem = n.mem[:n.chain.Position]
	r := wire.Record{Kind: kind, Term: term, Timestamp: n.chain.Timestamp + 1}
	dst := make([]byte, wire.RecordHeaderSize+int(wire.Padded(uint32(len(payload)))))
	n.chain.Append(dst, &r, payload)
	n.mem = append(n.mem, dst...)
}

func (n *testNode) stepAppended() {
	n.step(Input{Kind: InAppended, Position: n.chain.Position, LastTerm: n.chain.Term, Checksum: n.chain.Checksum})
}

// propose appends client records, in one batch; false when this node takes none.
func (n *testNode) propose(count, size int) bool {
	if !n.up || n.core.Role() != Leader || n.core.HandingOver() ||
		uint64(n.chain.Position-n.core.Commit()) > n.c.ring/4 {
		return false
	}
	for range count {
		payload := make([]byte, size)
		n.c.payload++
		copy(payload, fmt.Sprintf("%d by %d", n.c.payload, n.id))
		n.write(wire.RecordMessage, payload)
	}
	n.stepAppended()
	return true
}

// verifyStored verifies what has become contiguous and reports it.
func (n *testNode) verifyStored() {
	before := n.chain
	for n.chain.Position < n.core.Received() {
		var r wire.Record
		prior := n.chain
		_, v := n.chain.Verify(n.mem[prior.Position:n.core.Received()], &r)
		if v == wire.VerdictShort {
			break
		}
		if v != wire.VerdictOK {
			n.c.fail("node %d: record at %d: %v", n.id, prior.Position, v)
			return
		}
		if r.Term != prior.Term {
			n.step(Input{Kind: InTermStart, Position: prior.Position, LastTerm: r.Term})
		}
		if r.Kind == wire.RecordConfig {
			in := Input{Kind: InConfig, Position: n.chain.Position}
			in.Config.Decode(wire.Payload(n.mem[prior.Position:], &r))
			n.step(in)
		}
	}
	if n.chain != before {
		n.stepAppended()
	}
}

func (n *testNode) floor() wire.Position {
	return n.chain.Position - min(n.chain.Position, wire.Position(n.c.ring))
}

// stream sends [From, Until), cut by the MTU.
func (n *testNode) stream(out *Output, to wire.NodeID) {
	for from := max(out.From, n.floor()); from < out.Until; {
		until := min(out.Until, from+wire.Position(n.c.mtu))
		part := *out
		part.Log.Position = from
		n.sendLog(&part, slices.Clone(n.mem[from:until]), to)
		from = until
	}
}

func (n *testNode) sendLog(out *Output, b []byte, to wire.NodeID) {
	in := Input{Kind: InLog, From: n.peer(), Term: out.Term, Log: out.Log, LogLength: len(b)}
	in.Log.Floor, in.Log.SyncTo = n.floor(), 0
	for _, v := range n.c.all {
		if v != n.id && (to == 0 || to == v) {
			n.c.post(datagram{n.id, v, in, b})
		}
	}
}

// send puts one datagram on the network.
func (n *testNode) send(out *Output) {
	if n.core.s.stored.term < out.Term && out.Message != wire.DatagramCanvass {
		n.c.fail("node %d: %v leaves with term %d before it is stored", n.id, out.Message, out.Term)
	}
	if out.Message == wire.DatagramLog {
		n.sendLog(out, nil, out.To)
		return
	}
	in := Input{From: n.peer(), Term: out.Term, Status: out.Status, Nak: out.Nak, Align: out.Align, Terms: out.Terms,
		AlignAnswer: out.AlignAnswer, Ballot: out.Ballot, Answer: out.Answer, Position: out.Position}
	in.Kind = map[wire.DatagramKind]InputKind{wire.DatagramStatus: InStatus, wire.DatagramNak: InNak,
		wire.DatagramAlign: InAlign, wire.DatagramAlignAnswer: InAlignAnswer, wire.DatagramCanvass: InCanvass,
		wire.DatagramCanvassAnswer: InCanvassAnswer, wire.DatagramVoteRequest: InVoteRequest,
		wire.DatagramVote: InVote, wire.DatagramTransfer: InTransfer,
		wire.DatagramDiverged: InDiverged}[out.Message]
	in.Diverged = out.Diverged
	in.Terms = slices.Clone(out.Terms)
	if out.Message == wire.DatagramStatus && !out.Status.Recovering {
		n.claimed = slices.Clone(n.mem[:out.Status.Append])
	}
	n.c.post(datagram{n.id, out.To, in, nil})
}

func (c *cluster) post(d datagram) {
	if !c.blocked[d.from][d.to] {
		c.net = append(c.net, d)
	}
}

// deliver hands a datagram over.
func (c *cluster) deliver(d datagram) {
	n := c.nodes[d.to]
	if c.blocked[d.from][d.to] || !n.up {
		return
	}
	c.trace("%s", describe(&d))
	n.stepLog(d.in, d.bytes)
}

// sync has the journal sync everything, and report it.
func (n *testNode) sync() {
	if n.up && !n.cutting && n.core.Append() == n.chain.Position {
		n.disk.log = slices.Clone(n.mem[:n.chain.Position])
		n.step(Input{Kind: InDurable, Position: n.chain.Position, Generation: n.disk.generation})
	}
}

// work carries out one thing that a node's other threads have to do; false when there is nothing.
func (n *testNode) work(what string) bool {
	if !n.up {
		return false
	}
	switch what {
	case "persist":
		if len(n.persist) == 0 {
			return false
		}
		p := n.persist[0]
		n.persist = n.persist[1:]
		n.disk.term, n.disk.vote = p.term, p.vote
		n.step(Input{Kind: InPersisted, Term: p.term, Node: p.vote})
	case "sync":
		if len(n.disk.log) >= int(n.chain.Position) || n.cutting || n.core.s.diskFull {
			return false
		}
		n.sync()
	case "cut":
		if !n.cutting {
			return false
		}
		n.carryCut()
	case "apply":
		return n.apply()
	case "fetch":
		if len(n.fetches) == 0 {
			return false
		}
		f := n.fetches[0]
		n.fetches = n.fetches[1:]
		n.fetch(&f)
	}
	return true
}

// apply has the services apply what is committed: the state is the log. False when there is nothing new.
func (n *testNode) apply() bool {
	x := &n.applied
	if x.Position >= n.core.Commit() || n.stopped != "" {
		return false
	}
	for x.Position < n.core.Commit() {
		var r wire.Record
		wire.DecodeRecord(n.mem[x.Position:], &r)
		payload := wire.Payload(n.mem[x.Position:], &r)
		x.Position = r.End()
		var snapshot wire.SnapshotRecord
		if r.Kind != wire.RecordSnapshot || !snapshot.Decode(payload) {
			continue
		}
		if snapshot.Verified > 0 {
			x.Verified, x.VerifiedDigest = snapshot.Verified, snapshot.Digest
		}
		if snapshot.Take {
			x.SnapshotPosition, x.SnapshotDigest = x.Position, n.digestAt(x.Position)
			if n.c.digests[n.id] == nil {
				n.c.digests[n.id] = map[wire.Position]uint64{}
			}
			n.c.digests[n.id][x.Position] = x.SnapshotDigest
		}
	}
	n.step(Input{Kind: InApplied, Position: x.Position, SnapshotPosition: x.SnapshotPosition, SnapshotDigest: x.SnapshotDigest,
		Verified: x.Verified, VerifiedDigest: x.VerifiedDigest})
	return true
}

func (n *testNode) digestAt(at wire.Position) uint64 {
	d := uint64(crc32.ChecksumIEEE(n.mem[:at]))
	if n.wrong {
		d ^= 1 << n.id
	}
	return d
}

func (n *testNode) carryCut() {
	n.cutting = false
	n.chain = wire.Chain{}
	for n.chain.Position < n.cutTo {
		var r wire.Record
		if _, v := n.chain.Verify(n.mem[n.chain.Position:], &r); v != wire.VerdictOK {
			n.c.fail("node %d: cut at %d: %v", n.id, n.cutTo, v)
			return
		}
	}
	if n.chain.Position != n.cutTo {
		n.c.fail("node %d: cut at %d within a record", n.id, n.cutTo)
	}
	n.mem = n.mem[:n.cutTo]
	n.disk.log = n.disk.log[:min(len(n.disk.log), int(n.cutTo))]
	n.disk.generation = n.cutGen
	n.step(Input{Kind: InCutDone, Position: n.cutTo, Generation: n.cutGen, Checksum: n.chain.Checksum})
}

// fetch serves a catch-up in one piece: below the server's commit, or all it has while it leads the term asked for.
func (n *testNode) fetch(f *Output) {
	server := n.c.nodes[f.To]
	if n.core.CatchingUp() != f.Generation {
		return
	}
	failed := Input{Kind: InCatchUpFailed, Generation: f.Generation}
	if !server.up || n.c.blocked[f.To][n.id] || n.c.blocked[n.id][f.To] {
		n.step(failed)
		return
	}
	until := min(f.Until, server.core.Commit())
	if server.core.Role() == Leader && server.core.Term() == f.Term {
		until = min(f.Until, server.chain.Position)
	}
	from := max(f.From, n.core.Received())
	until = min(until, from+wire.Position(n.c.ring/4), n.core.s.durable+wire.Position(n.c.ring))
	if until > from {
		n.put(from, server.mem[from:until])
		n.step(Input{Kind: InCaughtUp, Position: until, Generation: f.Generation})
		n.verifyStored()
	}
	if until < f.Until {
		n.step(failed)
	}
}

// settle carries out everything that is under way until nothing is, without letting time pass.
func (c *cluster) settle() {
	for round := 0; c.settleOnce(); round++ {
		if round > 10000 {
			c.fail("the cluster does not settle")
			return
		}
	}
}

func (c *cluster) settleOnce() bool {
	busy := c.work()
	net := c.net
	c.net = nil
	for _, d := range net {
		c.deliver(d)
		busy = true
	}
	return busy
}

// work carries out what is under way in the nodes, once; false when nothing is.
func (c *cluster) work() (busy bool) {
	for _, id := range c.all {
		n := c.nodes[id]
		for _, what := range [...]string{"persist", "cut", "sync", "fetch", "apply"} {
			busy = !n.hold[what] && n.work(what) || busy
		}
	}
	return busy
}

// advance lets time pass; every deadline is met on its instant, and everything settles in between.
func (c *cluster) advance(ns int64) {
	end := c.nowNs + ns
	for {
		c.settle()
		next := int64(never)
		for _, id := range c.all {
			if n := c.nodes[id]; n.up && n.stopped == "" {
				if at := n.core.NextDeadline(); at != never {
					next = min(next, at-n.skew)
				}
			}
		}
		if next > end || len(c.failures) > 0 {
			break
		}
		c.nowNs = max(c.nowNs, next)
		c.tick()
	}
	c.nowNs = end
	c.tick()
	c.settle()
}

// tick steps every node that is due.
func (c *cluster) tick() {
	for _, id := range c.all {
		if n := c.nodes[id]; n.up && n.core.NextDeadline() <= n.now() {
			n.step(Input{Kind: InTick})
		}
	}
}

// leader is the node that leads the highest term, nil if none does.
func (c *cluster) leader() *testNode {
	var best *testNode
	for _, id := range c.all {
		n := c.nodes[id]
		if n.up && n.core.Role() == Leader && (best == nil || n.core.Term() > best.core.Term()) {
			best = n
		}
	}
	return best
}
