package replica

import (
	"strings"
	"testing"

	"lockstep/wire"
)

// Rule 13: which snapshots are verified, and when the next is asked for.

// state has this node's services come to a digest at the end of a snapshot record.
func (p *probe) state(at wire.Position, digest uint64) {
	p.step(Input{Kind: InApplied, Position: at, SnapshotPosition: at, SnapshotDigest: digest})
}

// statesOf is a STATUS with a digest.
func statesOf(n wire.NodeID, at wire.Position, digest uint64) Input {
	in := statusOf(n, 1, at, at)
	in.Status.SnapshotPosition, in.Status.SnapshotDigest = at, digest
	return in
}

func (p *probe) reportsState(n wire.NodeID, at wire.Position, digest uint64) {
	p.step(statesOf(n, at, digest))
}

// verifies wants the last Step to have a record appended that says so, and asks for nothing.
func (p *probe) verifies(at wire.Position, digest uint64) {
	p.t.Helper()
	out := p.find(OutAppendSnapshot)
	p.want(out != nil && out.Snapshot == wire.SnapshotRecord{Verified: at, Digest: digest}, "%+v", p.out)
}

// silent wants the last Step to have no snapshot record appended.
func (p *probe) silent(why string) {
	p.t.Helper()
	p.want(p.find(OutAppendSnapshot) == nil, "a snapshot record is appended %s: %+v", why, p.find(OutAppendSnapshot))
}

// leadApplied is a leader that has applied its own first records, with a log up to 2000.
func leadApplied(t *testing.T, snapshotBytes uint64) *probe {
	o := testOptions(wire.RuleDurable)
	o.SnapshotBytes = snapshotBytes
	p := &probe{t: t, c: NewCore(o, Restored{Incarnation: 1000, Run: 1}, 0)}
	p.lead()
	p.step(Input{Kind: InApplied, Position: firstConfig})
	p.append(2000)
	p.durable(2000)
	return p
}

func TestRule13AMajorityVerifies(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.silent("for one node alone")
	p.reportsState(2, 1000, 7)
	p.verifies(1000, 7)
	p.reportsState(3, 1000, 7)
	p.silent("a second time")
	p.state(1500, 8)
	p.reportsState(3, 1500, 8)
	p.verifies(1500, 8)
}

func TestRule13TheLeadersOwnStateIsNotNeeded(t *testing.T) {
	p := leadApplied(t, 0)
	p.reportsState(2, 1000, 7)
	p.silent("for one node alone")
	p.reportsState(3, 1000, 7)
	p.verifies(1000, 7)
}

func TestRule13NodesAreComparedAtWhatTheyHaveInCommon(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.state(1500, 8)
	p.reportsState(2, 1000, 7) // it is behind
	p.verifies(1000, 7)
	p.reportsState(2, 1500, 8)
	p.verifies(1500, 8)
	p.reportsState(3, 1000, 7)
	p.silent("behind what was said")
}

func TestRule13NothingIsSaidBehindWhatTheLogSays(t *testing.T) {
	p := leadApplied(t, 0)
	p.step(Input{Kind: InApplied, Position: 1800, SnapshotPosition: 1000, SnapshotDigest: 7, Verified: 1000, VerifiedDigest: 7})
	p.reportsState(2, 1000, 7)
	p.silent("although the log says it")
	p.want(p.c.Verified() == 1000, "verified: %d", p.c.Verified())
}

func TestRule13WhoDiffersIsTold(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.reportsState(2, 1000, 7)
	p.reportsState(3, 1000, 9)
	want := wire.Diverged{Position: 1000, Hash: 9, Majority: 7, State: true}
	told := p.sent(wire.DatagramDiverged)
	p.want(told != nil && told.To == 3 && told.Diverged == want, "%+v", told)
	p.reportsState(3, 1000, 9)
	p.want(p.sent(wire.DatagramDiverged) != nil, "told only once: the datagram may be lost")
	p.silent("again")
}

func TestRule13TheLeaderItselfMayBeWrong(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.reportsState(2, 1000, 9)
	p.want(p.c.SnapshotDisputed() == 1000 && p.c.Disputed() == 0, "two differ and nobody else has reported: %d, %d",
		p.c.SnapshotDisputed(), p.c.Disputed())
	p.silent("while nobody can be believed")
	p.reportsState(3, 1000, 9)
	stop := p.find(OutStop)
	p.want(stop != nil && strings.Contains(stop.Reason, "digest of their state") &&
		strings.Contains(stop.Reason, "position 1000"), "%+v", stop)
	p.silent("by a leader that stops")
}

func TestRule13DisputeEndsWhenAMajorityAgreesFurtherOn(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.reportsState(2, 1000, 9)
	p.state(1500, 8)
	p.reportsState(3, 1500, 8)
	p.verifies(1500, 8)
	p.want(p.c.SnapshotDisputed() == 0, "disputed at %d", p.c.SnapshotDisputed())
}

// A digest of the state and a hash of outputs at the same position are two things.
func TestRule13StatesAreNotHeldAgainstOutputs(t *testing.T) {
	p := leadApplied(t, 0)
	p.ownHash(1000, 7)
	in := statusOf(2, 1, 1000, 1000)
	in.Status.SnapshotPosition, in.Status.SnapshotDigest = 1000, 7
	p.step(in)
	p.silent("for a hash of outputs")
	told := Input{Kind: InDiverged, From: other(2), Term: 1,
		Diverged: wire.Diverged{Position: 100, Hash: 7, Majority: 9, State: true}}
	f := newProbe(t, wire.RuleDurable, Restored{})
	f.follow()
	f.ownHash(100, 7)
	f.refused(told, RefusedReport)
	f = newProbe(t, wire.RuleDurable, Restored{})
	f.follow()
	f.state(100, 7)
	f.step(told)
	f.want(f.find(OutStop) != nil, "a node whose state differs goes on")
}

func TestRule13OnlyNodesThatCountVerify(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	recovering := statesOf(2, 1000, 7)
	recovering.Status.Recovering = true
	p.step(recovering)
	p.silent("for a node that may have forgotten")

	// What was reported before a config record stopped listing the process counts no more.
	p = leadApplied(t, 0)
	p.reportsState(2, 1000, 7)
	in := p.config(Peer{1, 1000, 1}, other(3))
	in.Position = 2144
	p.step(in)
	p.append(2144)
	p.state(1000, 7)
	p.silent("for a node that is not admitted")
	p.reportsState(2, 1000, 7)
	p.silent("for a node that is not admitted")
}

func TestRule13OnlyThisRunsStatusCounts(t *testing.T) {
	p := leadApplied(t, 0)
	p.reportsState(2, 1000, 7)
	// The node starts again, and has come to nothing yet.
	again := other(2)
	again.Run = 2
	p.step(Input{Kind: InAlign, From: again, Term: 1, Align: wire.Align{Nonce: 12, LastPage: true}})
	p.state(1000, 7)
	p.silent("for what an earlier run reported")
	p.refused(statesOf(2, 1000, 7), RefusedRun) // late
	p.silent("for a late report of that run")
	stranger := statesOf(2, 1000, 7)
	stranger.From.Incarnation++
	p.refused(stranger, RefusedIncarnation)
	p.silent("for another incarnation")
	unaligned := statesOf(2, 1000, 7)
	unaligned.From = again
	p.refused(unaligned, RefusedNonce) // of the alignment before
	p.silent("for an alignment that is over")
	old := statesOf(3, 1000, 7)
	old.Term = 0
	p.refused(old, RefusedOldTerm)
	p.silent("for an older term")
	beyond := statesOf(3, 1000, 7)
	beyond.Status.Append, beyond.Status.Durable = 900, 900
	p.refused(beyond, RefusedMalformed)
}

func TestRule13LearnersDoNotVerify(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	o.Learners = []wire.NodeID{4}
	p := &probe{t: t, c: NewCore(o, Restored{Incarnation: 1000, Run: 1}, 0)}
	p.lead()
	p.state(1000, 7)
	p.append(2000)
	p.step(Input{Kind: InAlign, From: other(4), Term: 1, Align: wire.Align{Nonce: 4, LastPage: true}})
	p.reportsState(4, 1000, 7)
	p.silent("for a learner")
	p.reportsState(2, 1000, 7)
	p.verifies(1000, 7)
	p.reportsState(4, 1500, 9)
	p.reportsState(2, 1500, 8)
	p.reportsState(3, 1500, 8)
	told := p.sent(wire.DatagramDiverged)
	p.want(told != nil && told.To == 4 && told.Diverged.State, "a learner that differs is not told: %+v", told)
}

func TestRule13ANodeThatDiffersFromTheLogStops(t *testing.T) {
	for name, make := range map[string]func(p *probe){"follower": (*probe).follow, "leader": (*probe).lead} {
		p := newProbe(t, wire.RuleDurable, Restored{})
		make(p)
		p.state(100, 7)
		p.step(Input{Kind: InApplied, Position: 200, SnapshotPosition: 100, SnapshotDigest: 7, Verified: 50, VerifiedDigest: 1})
		p.want(p.find(OutStop) == nil, "%s: it stops for a position that it knows nothing of", name)
		p.step(Input{Kind: InApplied, Position: 210, SnapshotPosition: 100, SnapshotDigest: 7, Verified: 100, VerifiedDigest: 9})
		p.want(p.find(OutStop) != nil, "%s: it goes on", name)
	}
}

// A leader says nothing of snapshots before it has applied what it inherited: the log may say and ask it already.
func TestRule13ANewLeaderAppliesFirst(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	o.SnapshotBytes = 100
	p := &probe{t: t, c: NewCore(o, Restored{Incarnation: 1000, Run: 1}, 0)}
	p.lead()
	p.append(2000)
	p.silent("before anything is applied")
	p.reportsState(2, 200, 7)
	p.reportsState(3, 200, 7)
	p.silent("before anything is applied")
	p.step(Input{Kind: InSnapshot})
	p.silent("before anything is applied")
	p.step(Input{Kind: InApplied, Position: firstTerm})
	p.silent("before the first config record is applied")
	p.step(Input{Kind: InApplied, Position: firstConfig})
	out := p.find(OutAppendSnapshot)
	p.want(out != nil && out.Snapshot == wire.SnapshotRecord{Verified: 200, Digest: 7, Take: true}, "%+v", out)
}

// A leader that leads again begins anew: what it said in its last term may have been cut.
func TestRule13ALeadershipSaysItAgain(t *testing.T) {
	p := leadApplied(t, 0)
	p.state(1000, 7)
	p.reportsState(2, 1000, 7)
	p.verifies(1000, 7)
	s := &p.c.s
	p.now += 1e9 // nobody was heard: it steps down, and is elected again
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() != Leader, "it leads on")
	p.c.enter(2)
	p.c.lead()
	p.step(Input{Kind: InTermStart, Position: 2000, LastTerm: 2})
	p.append(2088)
	p.step(Input{Kind: InApplied, Position: 2088, SnapshotPosition: 1000, SnapshotDigest: 7})
	p.want(s.lead.countFrom == 2088, "count from %d", s.lead.countFrom)
	p.silent("by what was reported in another term")
	p.step(Input{Kind: InAlign, From: other(2), Term: 2, Align: wire.Align{Nonce: 22, LastPage: true}})
	in := statesOf(2, 1000, 7)
	in.Term, in.Status.Aligned = 2, 22
	p.step(in)
	p.verifies(1000, 7)
}

func TestRule13TheNextIsAskedForWhenTheLogHasGrown(t *testing.T) {
	p := leadApplied(t, 4000)
	p.append(3992)
	p.silent("too early")
	p.append(4000)
	out := p.find(OutAppendSnapshot)
	p.want(out != nil && out.Snapshot == wire.SnapshotRecord{Take: true}, "%+v", out)
	p.append(4088)
	p.append(7992)
	p.silent("although one was asked for at 4000")
	p.state(4088, 7)
	p.append(8080)
	p.silent("although this node has one of 4088")
	p.append(8088)
	p.want(p.find(OutAppendSnapshot) != nil, "none is asked for")
}

func TestRule13NothingIsAskedForAtABadMoment(t *testing.T) {
	bad := map[string][2]Input{
		"disk full":    {{Kind: InDiskFull, Flag: true}, {Kind: InDiskFull}},
		"disk hung":    {{Kind: InDiskHung, Flag: true}, {Kind: InDiskHung}},
		"handing over": {{Kind: InHandOver, Node: 2}, {}},
	}
	for name, in := range bad {
		p := leadApplied(t, 4000)
		p.status(2, 1500, 1500)
		p.step(in[0])
		p.c.o.SnapshotBytes = 1000
		p.append(4000)
		p.silent("with " + name)
		p.refused(Input{Kind: InSnapshot}, RefusedUnfit)
		p.silent("with " + name)
		if obstacle, _ := p.c.snapshotObstacle(); obstacle == "" {
			t.Errorf("%s: no reason is given", name)
		}
		if name != "handing over" {
			p.step(in[1])
		}
		p.want(p.waitFor(OutAppendSnapshot), "%s: nothing is asked for afterwards", name)
	}
}

// To say that a snapshot is verified lets log go, which is what a full disk needs.
func TestRule13AFullDiskStillVerifies(t *testing.T) {
	p := leadApplied(t, 0)
	p.step(Input{Kind: InDiskFull, Flag: true})
	p.state(1000, 7)
	p.reportsState(2, 1000, 7)
	p.want(p.c.HandingOver(), "it does not let another lead")
	p.silent("while it hands over")
	p.want(p.waitFor(OutAppendSnapshot), "nothing is said when the hand-over is given up")
	p.verifies(1000, 7)
}

// waitFor lets time pass, with a majority that is heard, until a Step leaves an output: a hand-over is given up meanwhile.
func (p *probe) waitFor(kind OutputKind) bool {
	for range 20 {
		p.now += 40e6
		if p.step(Input{Kind: InTick}); p.find(kind) != nil {
			return true
		}
		if p.step(statusOf(2, 1, 1500, 1500)); p.find(kind) != nil {
			return true
		}
	}
	return false
}

func TestRule13OperatorsAsk(t *testing.T) {
	p := leadApplied(t, 0)
	for _, leader := range []bool{false, true} {
		p.step(Input{Kind: InSnapshot, Flag: leader})
		out := p.find(OutAppendSnapshot)
		p.want(out != nil && out.Snapshot == wire.SnapshotRecord{Take: true, Leader: leader}, "%+v", out)
	}
}

func TestRule13ALoneVoterTakesItsOwn(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	o.Voters, o.SnapshotBytes = []wire.NodeID{1}, 1000
	p := &probe{t: t, c: NewCore(o, Restored{Incarnation: 1000, Run: 1}, 0)}
	p.now = 300e6
	p.step(Input{Kind: InTick})
	p.persisted()
	p.step(Input{Kind: InTermStart, Position: 0, LastTerm: 1})
	p.append(firstTerm)
	in := Input{Kind: InConfig, Position: 200, Config: o.Config()}
	in.Config.Member[0].Incarnation, in.Config.Member[0].Run = 1000, 1
	p.step(in)
	p.append(200)
	p.durable(200)
	p.step(Input{Kind: InApplied, Position: 200})
	p.silent("too early")
	p.append(1000)
	out := p.find(OutAppendSnapshot)
	p.want(out != nil && out.Snapshot == wire.SnapshotRecord{Take: true, Leader: true}, "%+v", out)
	p.append(1088)
	p.durable(1088)
	p.state(1088, 7)
	p.verifies(1088, 7)
}

// What is known to be committed is never cut, also after a new start: a snapshot is of what was applied.
func TestRule13ALogIsNotCutBelowItsSnapshot(t *testing.T) {
	r := Restored{Incarnation: 1000, Run: 1, Term: 1, End: 1000, LastTerm: 1, Durable: 1000, Floor: 400, Committed: 800,
		Terms: []wire.TermStart{{Start: 0, Term: 1}}}
	for at, stops := range map[wire.Position]bool{792: true, 800: false} {
		p := newProbe(t, wire.RuleDurable, r)
		p.want(p.c.Commit() == 800, "commit %d", p.c.Commit())
		in := heartbeat(2, 0, 0)
		p.step(in)
		p.persisted()
		align := p.sent(wire.DatagramAlign)
		p.step(Input{Kind: InAlignAnswer, From: other(2), Term: 2,
			AlignAnswer: wire.AlignAnswer{Nonce: align.Align.Nonce, Cut: at, Found: true}})
		p.want((p.find(OutStop) != nil) == stops && (p.find(OutCut) != nil) != stops, "cut at %d: %+v", at, p.out)
	}
}
