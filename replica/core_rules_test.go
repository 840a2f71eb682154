package replica

import (
	"errors"
	"strings"
	"testing"

	"lockstep/wire"
)

// probe steps one core of three nodes by hand.
type probe struct {
	t   *testing.T
	c   *Core
	now int64
	out []Output
}

func testOptions(rule wire.CommitRule) Options {
	return Options{Self: 1, Voters: []wire.NodeID{1, 2, 3}, Rule: rule, RingBytes: 1 << 16, MaxMessage: 1024,
		ElectionTimeoutMinNs: 100e6, HeartbeatNs: 10e6, NakDelayMinNs: 50e3, NakDelayMaxNs: 100e3, NakRetryNs: 1e6}
}

func newProbe(t *testing.T, rule wire.CommitRule, r Restored) *probe {
	if r.Incarnation == 0 {
		r.Incarnation, r.Run = 1000, 1
	}
	return &probe{t: t, c: NewCore(testOptions(rule), r, 0)}
}

func other(n wire.NodeID) Peer { return Peer{Node: n, Incarnation: uint64(n) * 1000, Run: 1} }

func (p *probe) step(in Input) []Output {
	p.out = p.c.Step(p.now, &in)
	return p.out
}

// find returns the first output of a kind, nil if the last Step left none.
func (p *probe) find(kind OutputKind) *Output {
	for i := range p.out {
		if p.out[i].Kind == kind {
			return &p.out[i]
		}
	}
	return nil
}

// sent returns the first datagram of a kind that the last Step left.
func (p *probe) sent(kind wire.DatagramKind) *Output {
	for i := range p.out {
		if p.out[i].Kind == OutSend && p.out[i].Message == kind {
			return &p.out[i]
		}
	}
	return nil
}

func (p *probe) want(ok bool, what string, args ...any) {
	p.t.Helper()
	if !ok {
		p.t.Fatalf(what, args...)
	}
}

// refused steps in and wants it refused for one reason, with no output.
func (p *probe) refused(in Input, r Refusal) {
	p.t.Helper()
	before := p.c.Refused(r)
	p.step(in)
	p.want(p.c.Refused(r) == before+1, "refused as %v: %d times, want once more than %d", r, p.c.Refused(r), before)
}

func (p *probe) persisted() {
	s := &p.c.s
	p.step(Input{Kind: InPersisted, Term: s.term, Node: s.vote})
}

const (
	firstTerm   = 88  // end of the first term record
	firstConfig = 232 // end of the config record behind it
)

func (p *probe) config(admitted ...Peer) Input {
	o := testOptions(p.c.o.Rule)
	in := Input{Kind: InConfig, Position: firstConfig, Config: o.Config()}
	for _, a := range admitted {
		m := member(&in.Config, a.Node)
		m.Incarnation, m.Run = a.Incarnation, a.Run
	}
	return in
}

// lead makes the core the leader of term 1, with everybody admitted and aligned, and [0, firstConfig) appended.
func (p *probe) lead() {
	p.now = 300e6
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Canvassing, "no canvass")
	grant := wire.BallotAnswer{Term: 1, Granted: true, Recovering: true}
	p.step(Input{Kind: InCanvassAnswer, From: other(2), Answer: grant})
	p.persisted()
	p.step(Input{Kind: InVote, From: other(2), Term: 1, Answer: grant})
	p.want(p.c.Role() == Leader && p.find(OutAppendTerm) != nil, "not leading")
	p.step(Input{Kind: InTermStart, Position: 0, LastTerm: 1})
	p.step(Input{Kind: InAppended, Position: firstTerm, LastTerm: 1})
	p.want(p.find(OutAppendConfig) != nil, "no config record asked for")
	p.step(p.config(Peer{1, 1000, 1}, other(2), other(3)))
	p.append(firstConfig)
	for n := wire.NodeID(2); n <= 3; n++ {
		p.step(Input{Kind: InAlign, From: other(n), Term: 1, Align: wire.Align{Nonce: uint64(n), LastPage: true}})
		p.status(n, 0, 0)
	}
}

func (p *probe) append(at wire.Position) {
	p.step(Input{Kind: InAppended, Position: at, LastTerm: p.c.Term()})
}

func (p *probe) durable(at wire.Position) { p.step(Input{Kind: InDurable, Position: at}) }

func (p *probe) status(n wire.NodeID, append, durable wire.Position) {
	p.step(statusOf(n, p.c.Term(), append, durable))
}

func statusOf(n wire.NodeID, term wire.Term, append, durable wire.Position) Input {
	return Input{Kind: InStatus, From: other(n), Term: term,
		Status: wire.Status{Aligned: uint64(n), Append: append, Durable: durable}}
}

// follow makes the core an aligned follower of node 2 in term 1.
func (p *probe) follow() {
	p.step(heartbeat(1, 0, 0))
	align := p.sent(wire.DatagramAlign)
	if align == nil {
		p.persisted()
		align = p.sent(wire.DatagramAlign)
	}
	p.want(align != nil, "no ALIGN")
	p.step(Input{Kind: InAlignAnswer, From: other(2), Term: 1,
		AlignAnswer: wire.AlignAnswer{Nonce: align.Align.Nonce, Cut: p.c.Append(), Found: true}})
	p.want(p.c.Aligned(), "not aligned")
}

func heartbeat(term wire.Term, append, commit wire.Position) Input {
	return logOf(term, append, append, append, commit)
}

func logOf(term wire.Term, from, until, append, commit wire.Position) Input {
	return Input{Kind: InLog, From: other(2), Term: term, LogLength: int(until - from),
		Log: wire.Log{Position: from, Append: append, Commit: commit}}
}

func TestRule1TermIsStoredBeforeItLeaves(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.step(heartbeat(7, 0, 0))
	p.want(p.find(OutSend) == nil, "a datagram left before term 7 was stored")
	persist := p.find(OutPersist)
	p.want(persist != nil && persist.Term == 7 && persist.Node == 0, "term 7 is not stored")
	p.now += 50e6
	p.step(heartbeat(7, 0, 0))
	p.want(p.find(OutSend) == nil && p.find(OutPersist) == nil, "stored twice, or left too early")
	p.persisted()
	p.want(p.sent(wire.DatagramAlign) != nil && p.sent(wire.DatagramAlign).Term == 7, "no ALIGN in term 7")
}

func TestRule1TermOfTheLastRecordCounts(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Term: 3, VotedFor: 2, End: 88, LastTerm: 5,
		Terms: []wire.TermStart{{Start: 0, Term: 5}}})
	p.want(p.c.Term() == 5, "term %d, want 5", p.c.Term())
	p.step(Input{Kind: InTick})
	persist := p.find(OutPersist)
	p.want(persist != nil && persist.Term == 5 && persist.Node == 0, "term 5 is not stored")
}

func TestRule1LeaderThatSteppedDownNeverLeadsThatTermAgain(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.now += 300e6
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Follower, "still %v without a majority", p.c.Role())
	p.refused(Input{Kind: InVote, From: other(3), Term: 1, Answer: wire.BallotAnswer{Term: 1, Granted: true}},
		RefusedNotCandidate)
	p.now += 300e6
	p.step(Input{Kind: InTick})
	p.want(p.sent(wire.DatagramCanvass).Term == 2, "canvasses for another term than 2")
}

func TestRule1TwoSendersOfOneTermStop(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	in := heartbeat(1, 0, 0)
	in.From = other(3)
	p.step(in)
	p.want(p.find(OutStop) != nil, "two leaders in one term go on")
	p.want(len(p.step(heartbeat(1, 0, 0))) == 0, "a core that stopped goes on")

	p = newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.step(heartbeat(1, 0, 0))
	p.want(p.find(OutStop) != nil, "a leader takes another leader of its term")
}

func TestRule2VoteIsStoredBeforeItLeaves(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	request := Input{Kind: InVoteRequest, From: other(2), Term: 1, Ballot: wire.Ballot{ConfigDigest: p.c.digest}}
	p.step(request)
	p.want(p.find(OutSend) == nil, "VOTE left before it was stored")
	persist := p.find(OutPersist)
	p.want(persist != nil && persist.Term == 1 && persist.Node == 2, "the pair is not stored at once")
	p.persisted()
	vote := p.sent(wire.DatagramVote)
	p.want(vote != nil && vote.Answer.Granted && vote.Term == 1 && vote.To == 2, "no vote")
	p.step(request)
	p.want(p.sent(wire.DatagramVote).Answer.Granted, "a repeated request is not answered again")
	request.From = other(3)
	p.step(request)
	vote = p.sent(wire.DatagramVote)
	p.want(!vote.Answer.Granted && VoteRefusal(vote.Answer.Reason) == VoteTaken, "two votes in one term")
}

func TestRule2LogAtLeastAsNew(t *testing.T) {
	for _, c := range []struct {
		last   wire.Term
		append wire.Position
		want   VoteRefusal
	}{
		{2, 1000, VoteLogOlder}, {3, 263, VoteLogOlder},
		{3, 264, VoteGranted}, {3, 272, VoteGranted}, {4, 88, VoteGranted},
	} {
		p := newProbe(t, wire.RuleReplicated, Restored{Term: 3, End: 264, LastTerm: 3, Durable: 88,
			Terms: []wire.TermStart{{Start: 0, Term: 3}}})
		ballot := wire.Ballot{Append: c.append, LastTerm: c.last, ConfigDigest: p.c.digest}
		p.step(Input{Kind: InCanvass, From: other(2), Term: 5, Ballot: ballot})
		canvass := p.sent(wire.DatagramCanvassAnswer).Answer
		p.want(VoteRefusal(canvass.Reason) == c.want, "canvass with %+v: %v", c, VoteRefusal(canvass.Reason))
		p.want(p.c.Term() == 3, "a canvass raised the term")
		p.step(Input{Kind: InVoteRequest, From: other(2), Term: 5, Ballot: ballot})
		p.want(p.c.Term() == 5, "a vote request did not raise the term")
		if c.want == VoteGranted {
			p.persisted()
		}
		p.want(VoteRefusal(p.sent(wire.DatagramVote).Answer.Reason) == c.want, "vote with %+v", c)
	}
}

func TestRule3NoDisruptionWhileALeaderLives(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	ballot := wire.Ballot{ConfigDigest: p.c.digest}
	p.now += 99e6
	p.step(Input{Kind: InCanvass, From: other(3), Term: 2, Ballot: ballot})
	p.want(VoteRefusal(p.sent(wire.DatagramCanvassAnswer).Answer.Reason) == VoteLeaderAlive, "canvass granted")
	p.refused(Input{Kind: InVoteRequest, From: other(3), Term: 9, Ballot: ballot}, RefusedLeaderAlive)
	p.want(p.c.Term() == 1 && len(p.out) == 0, "a vote request is not ignored")
	ballot.Transfer = true
	p.step(Input{Kind: InVoteRequest, From: other(3), Term: 2, Ballot: ballot})
	p.want(p.c.Term() == 2, "the leader's consent does not count")

	p = newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.step(Input{Kind: InCanvass, From: other(3), Term: 2, Ballot: wire.Ballot{ConfigDigest: p.c.digest}})
	p.want(VoteRefusal(p.sent(wire.DatagramCanvassAnswer).Answer.Reason) == VoteLeaderAlive, "a leader grants a canvass")
}

// A leader that was paused looks at its deadlines before it counts what waited for it. Fault E10.
func TestRule3PausedLeaderStepsDownBeforeItCounts(t *testing.T) {
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.lead()
	p.now += 1e9
	p.status(2, firstConfig, 0)
	p.want(p.c.Role() == Follower && p.c.Commit() == 0, "%v, commit %d", p.c.Role(), p.c.Commit())
}

func TestRule3LeaderCampaignsAboveAHigherTerm(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.step(statusOf(3, 6, 0, 0))
	p.want(p.c.Role() == Candidate && p.c.Term() == 7, "%v of term %d", p.c.Role(), p.c.Term())
	p.persisted()
	p.want(p.sent(wire.DatagramVoteRequest).Ballot.Transfer, "without its own consent")
}

// A follower that canvassed in vain and hears the same leader again goes on where it was, and reports again.
func TestRule3FollowerGoesOnAfterAVainCanvass(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	p.now += 300e6
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Canvassing && p.c.Leader() == 0, "%v", p.c.Role())
	p.step(heartbeat(1, 0, 0))
	p.want(p.c.Role() == Follower && p.c.Aligned() && p.sent(wire.DatagramStatus) != nil, "%v, silent", p.c.Role())
	p.now += 10e6
	p.step(Input{Kind: InTick})
	p.want(p.sent(wire.DatagramStatus) != nil, "the leader does not hear of it any more")
}

func TestRule3LowerTermIsAnsweredWithOnesOwn(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Term: 4})
	p.step(heartbeat(3, 0, 0))
	st := p.sent(wire.DatagramStatus)
	p.want(st != nil && st.Term == 4 && st.To == 2 && st.Status.Aligned == 0, "no STATUS in term 4")
	p.step(heartbeat(3, 0, 0))
	p.want(p.sent(wire.DatagramStatus) == nil, "every LOG of an old term is answered")
}

func TestRule4CommitOnlyPastTheOwnTermRecord(t *testing.T) {
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.lead()
	p.status(2, firstTerm, 0)
	p.want(p.c.Commit() == 0 && p.c.Replicated() == 0, "committed before the first config record")
	p.status(2, firstConfig, 0)
	p.want(p.c.Commit() == firstConfig && p.find(OutCommit).Position == firstConfig, "commit %d", p.c.Commit())
}

func TestRule5AlignmentIsTakenOnce(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	nonce := p.c.s.follow.nonce
	answer := Input{Kind: InAlignAnswer, From: other(2), Term: 1,
		AlignAnswer: wire.AlignAnswer{Nonce: nonce, Found: true}}
	p.refused(answer, RefusedAligned)
	p.step(heartbeat(2, 0, 0))
	p.persisted()
	p.want(!p.c.Aligned(), "aligned across terms")
	answer.Term = 2
	p.refused(answer, RefusedNonce)
	answer.Term = 1
	p.refused(answer, RefusedNotFromLeader)
}

func TestRule5UnalignedTakesNeitherBytesNorCommit(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{End: 232, LastTerm: 1, Term: 1,
		Terms: []wire.TermStart{{Start: 0, Term: 1}}})
	p.refused(logOf(2, 232, 304, 304, 232), RefusedUnaligned)
	p.want(p.find(OutStore) == nil && p.c.Commit() == 0, "an unaligned follower took LOG")
}

func TestRule5ImpossibleCutsStop(t *testing.T) {
	for name, r := range map[string]Restored{
		"below commit":             {Term: 1, End: 232, LastTerm: 1, Terms: []wire.TermStart{{Start: 0, Term: 1}}},
		"byte of the current term": {Term: 1, End: 232, LastTerm: 1, Terms: []wire.TermStart{{Start: 0, Term: 1}}},
	} {
		p := newProbe(t, wire.RuleDurable, r)
		term := wire.Term(1)
		if name == "below commit" {
			p.follow()
			p.step(heartbeat(1, 232, 232))
			p.want(p.c.Commit() == 232, "commit %d", p.c.Commit())
			term = 2
		}
		p.step(heartbeat(term, 232, 0))
		p.persisted()
		p.step(Input{Kind: InAlignAnswer, From: other(2), Term: term,
			AlignAnswer: wire.AlignAnswer{Nonce: p.c.s.follow.nonce, Cut: 88, Found: true}})
		p.want(p.find(OutStop) != nil && p.find(OutCut) == nil, "%s: cut", name)
	}
}

func TestRule5AlignedOnlyWhenTheCutIsDone(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Term: 1, End: 232, Durable: 232, LastTerm: 1, Generation: 4,
		Terms: []wire.TermStart{{Start: 0, Term: 1}}})
	p.step(heartbeat(2, 300, 0))
	p.persisted()
	p.step(Input{Kind: InAlignAnswer, From: other(2), Term: 2,
		AlignAnswer: wire.AlignAnswer{Nonce: p.c.s.follow.nonce, Cut: 88, Found: true}})
	cut := p.find(OutCut)
	p.want(cut != nil && cut.Position == 88 && cut.Generation == 5, "no cut")
	p.refused(logOf(2, 88, 176, 300, 0), RefusedUnaligned)
	p.refused(Input{Kind: InCutDone, Position: 88, Generation: 4}, RefusedGeneration)
	p.step(Input{Kind: InCutDone, Position: 88, Generation: 5})
	st := p.sent(wire.DatagramStatus)
	p.want(st != nil && st.Status.Append == 88 && st.Status.Durable == 88 && st.Status.Generation == 5, "no STATUS")
	// A report of before the cut is late. Fault L7.
	p.refused(Input{Kind: InDurable, Position: 232, Generation: 4}, RefusedGeneration)
}

func TestRule5StatusOfAnotherAlignmentIsNotCounted(t *testing.T) {
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.lead()
	in := statusOf(2, 1, firstConfig, 0)
	in.Status.Aligned = 99
	p.refused(in, RefusedNonce)
	p.refused(statusOf(2, 0, firstConfig, 0), RefusedOldTerm)
	p.want(p.c.Commit() == 0, "commit %d", p.c.Commit())
}

func TestRule6HoleWaitsAndIsAskedFor(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	p.step(logOf(1, 400, 800, 1200, 0))
	store := p.find(OutStore)
	p.want(store.From == 400 && store.Until == 800 && p.c.Received() == 0, "received %d", p.c.Received())
	p.now += 100e3
	p.step(Input{Kind: InTick})
	nak := p.sent(wire.DatagramNak)
	p.want(nak != nil && nak.Nak == wire.Nak{From: 0, To: 400}, "NAK %+v", nak)
	p.step(logOf(1, 0, 400, 1200, 0))
	p.want(p.c.Received() == 800, "received %d", p.c.Received())
	p.step(logOf(1, 300, 900, 1200, 0))
	compare := p.find(OutCompare)
	p.want(compare.From == 300 && compare.Until == 800 && p.find(OutStore).From == 800, "overlap is not compared")
	p.now += 100e3
	p.step(Input{Kind: InTick})
	p.want(p.sent(wire.DatagramNak).Nak == wire.Nak{From: 900, To: 1200}, "the missing end is not asked for")
}

func TestRule6RetransmitToOneThenToAll(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	nak := Input{Kind: InNak, From: other(2), Term: 1, Nak: wire.Nak{From: 0, To: 500}}
	p.step(nak)
	out := p.find(OutRetransmit)
	p.want(out.To == 2 && out.Until == firstConfig, "%+v", out)
	p.refused(nak, RefusedRepeated)
	nak.From = other(3)
	p.step(nak)
	p.want(p.find(OutRetransmit).To == 0, "not to the group when another asks")
	nak.From = other(2)
	p.refused(nak, RefusedRepeated)
	p.now += 1e6
	p.step(nak)
	p.want(p.find(OutRetransmit).To == 2, "not sent again later")
}

func TestRule6CatchUpBelongsToItsAlignment(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	in := heartbeat(1, 1<<20, 1<<20)
	in.Log.Floor = 1 << 19
	p.step(in)
	out := p.find(OutCatchUp)
	p.want(out != nil && out.To == 2 && out.From == 0 && out.Until == 1<<20 && out.Term == 1, "%+v", out)
	generation := out.Generation
	p.step(Input{Kind: InCatchUpFailed, Generation: generation})
	p.now += 20e6
	p.step(in)
	out = p.find(OutCatchUp)
	p.want(out.To == 2 || out.Until <= 1<<20, "%+v", out)
	p.refused(Input{Kind: InCaughtUp, Position: 4096, Generation: generation}, RefusedGeneration)
	p.step(Input{Kind: InCaughtUp, Position: 4096, Generation: out.Generation})
	p.want(p.c.Received() == 4096, "received %d", p.c.Received())
	p.step(heartbeat(2, 0, 0))
	p.want(p.c.CatchingUp() == 0 && p.c.Received() == 0, "a catch-up outlives its term")
}

func TestRule6BytesOfACatchUpThatAreNotTheLogAreForgotten(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	in := heartbeat(1, 1<<20, 1<<19)
	in.Log.Floor = 1 << 18
	p.step(in)
	generation := p.find(OutCatchUp).Generation
	p.step(Input{Kind: InCaughtUp, Position: 4096, Generation: generation})
	p.step(Input{Kind: InCatchUpFailed, Generation: generation, Flag: true})
	p.want(p.c.Received() == p.c.Append() && p.c.CatchingUp() == 0, "received %d, append %d", p.c.Received(), p.c.Append())
	asked := map[wire.NodeID]bool{}
	for range 4 { // what was brought before it failed is no progress: the next one is asked each time
		p.now += 20e6
		p.step(in)
		out := p.find(OutCatchUp)
		asked[out.To] = true
		p.step(Input{Kind: InCaughtUp, Position: 4096, Generation: out.Generation})
		p.step(Input{Kind: InCatchUpFailed, Generation: out.Generation, Flag: true})
	}
	p.want(asked[2] && asked[3], "asked %v", asked)
}

func TestRule7CommitByBothRules(t *testing.T) {
	for _, rule := range []wire.CommitRule{wire.RuleDurable, wire.RuleReplicated} {
		p := newProbe(t, rule, Restored{})
		p.lead()
		p.status(3, firstConfig, 0)
		p.want(p.c.Replicated() == firstConfig && p.c.Durable() == 0, "a majority holds %d, has synced %d",
			p.c.Replicated(), p.c.Durable())
		p.want((p.c.Commit() == firstConfig) == (rule == wire.RuleReplicated), "%v: commit %d", rule, p.c.Commit())
		p.durable(firstConfig)
		p.status(3, firstConfig, firstConfig)
		p.want(p.c.Commit() == firstConfig && p.c.Durable() == firstConfig, "%v: commit %d", rule, p.c.Commit())
		// Reports that go back change nothing. Fault L10.
		p.refused(statusOf(3, 1, firstTerm, 0), RefusedReport)
		p.refused(Input{Kind: InDurable, Position: firstTerm}, RefusedReport)
		p.want(p.c.Commit() == firstConfig, "commit went back to %d", p.c.Commit())
	}
}

func TestRule7LeaderCountsItselfLikeAnybody(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.status(2, firstConfig, firstConfig)
	p.want(p.c.Commit() == 0, "the leader counted what it has not synced")
	p.status(3, firstConfig, firstConfig)
	p.want(p.c.Commit() == firstConfig, "a majority without the leader does not count")
}

func TestRule7ConfigThatDiffersIsRefused(t *testing.T) {
	o := testOptions(wire.RuleDurable)
	config := o.Config()
	config.Rule = wire.RuleReplicated
	if err := o.CheckConfig(&Restored{Config: config}); !errors.Is(err, ErrConfig) {
		t.Fatalf("a start with another rule than the log's: %v", err)
	} else if text := err.Error(); !strings.Contains(text, "rule replicated") || !strings.Contains(text, "rule durable") {
		t.Fatalf("it does not name both rules: %s", text)
	}
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	p.step(Input{Kind: InConfig, Position: firstConfig, Config: config})
	p.want(p.find(OutStop) != nil, "a config record with another rule is taken")
	// Rule 14: the digest travels.
	p = newProbe(t, wire.RuleDurable, Restored{})
	in := heartbeat(1, 0, 0)
	in.Log.ConfigDigest = config.Digest()
	p.refused(in, RefusedConfig)
	p.step(Input{Kind: InCanvass, From: other(2), Term: 1, Ballot: wire.Ballot{ConfigDigest: config.Digest()}})
	p.want(VoteRefusal(p.sent(wire.DatagramCanvassAnswer).Answer.Reason) == VoteConfig, "ballot of another config")
}

func TestRule8RunAndDurableThatGoBackAreRefused(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.status(2, firstConfig, firstConfig)
	again := other(2)
	again.Run = 2
	align := Input{Kind: InAlign, From: again, Term: 1,
		Align: wire.Align{Nonce: 5, Append: firstTerm, LastPage: true}, Terms: []wire.TermStart{{Start: 0, Term: 1}}}
	p.step(align)
	p.want(p.sent(wire.DatagramAlignAnswer).AlignAnswer.Cut == firstTerm, "not aligned")
	in := statusOf(2, 1, firstTerm, firstTerm)
	in.From, in.Status.Aligned = again, 5
	p.refused(in, RefusedDurableRegress)
	p.refused(statusOf(2, 1, firstConfig, firstConfig), RefusedRun)
	in.Status.Append, in.Status.Durable = firstConfig, firstConfig
	p.step(in)
	p.want(p.c.s.peers[2].counted, "a node that has synced again what it had is not counted")
}

// Datagrams of a process that is over change nothing: of a lower run never, of another incarnation not while the one
// known is heard; and none of a node that is no voter. Fault N3.
func TestN3DatagramsOfOtherProcessesAreDropped(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.status(2, firstConfig, firstConfig)
	hash := p.c.Hash()
	for _, x := range []struct {
		from Peer
		why  Refusal
	}{
		{Peer{Node: 2, Incarnation: 2000, Run: 0}, RefusedRun},
		{Peer{Node: 2, Incarnation: 2001, Run: 1}, RefusedIncarnation},
		{Peer{Node: 2, Incarnation: 1999, Run: 9}, RefusedIncarnation},
		{Peer{Node: 4, Incarnation: 4000, Run: 1}, RefusedSender},
		{Peer{Node: 1, Incarnation: 1000, Run: 1}, RefusedSender},
	} {
		in := statusOf(2, 1, firstConfig+104, firstConfig+104)
		in.From = x.from
		p.refused(in, x.why)
		p.want(p.c.Hash() == hash, "%v changed something", x.from)
	}
}

func TestRule8RecoveringNeitherVotesNorLeads(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Incarnation: 1000, Run: 2, Recovering: true})
	p.now = 1e9
	p.step(Input{Kind: InTick})
	p.want(p.c.Role() == Follower && p.find(OutSend) == nil, "a recovering node canvasses")
	p.step(Input{Kind: InVoteRequest, From: other(2), Term: 3,
		Ballot: wire.Ballot{ConfigDigest: p.c.digest, Append: 9e9}})
	p.want(VoteRefusal(p.sent(wire.DatagramVote).Answer.Reason) == VoteRecovering && p.c.Term() == 0, "it votes")
}

// A node that was wiped and formatted again under the cluster's id does not know that it voted. The leader's admission
// of it is not committed: its vote must not make a second leader of a term that it voted in before. Fault P11.
func TestRule8VoteOfAWipedNodeDoesNotCount(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Incarnation: 1000, Run: 2, Term: 1, End: 344, LastTerm: 1, Durable: 344,
		Terms: []wire.TermStart{{Start: 0, Term: 1}}})
	wiped := Peer{Node: 3, Incarnation: 3001, Run: 1}
	p.c = NewCore(testOptions(wire.RuleDurable), Restored{Incarnation: 1000, Run: 2, Term: 1, End: 344, LastTerm: 1,
		Durable: 344, Terms: []wire.TermStart{{Start: 0, Term: 1}},
		Earlier: []wire.ConfigAt{{End: firstConfig, Config: p.config(Peer{1, 1000, 1}, other(2), other(3)).Config}},
		Config:  p.config(Peer{1, 1000, 1}, other(2), wiped).Config, ConfigPosition: 344, EarlierAll: true}, 0)
	p.now = 300e6
	p.step(Input{Kind: InTick})
	grant := wire.BallotAnswer{Term: 2, Granted: true, Recovering: true}
	p.refused(Input{Kind: InCanvassAnswer, From: wiped, Answer: grant}, RefusedNotAdmitted)
	p.want(p.c.Role() == Canvassing, "elected by a wiped node")
	p.step(Input{Kind: InCanvassAnswer, From: other(2), Answer: grant})
	p.want(p.c.Role() == Candidate, "a voter that the first config lists does not count")
}

func TestRule8AdmissionIsARecord(t *testing.T) {
	p := newProbe(t, wire.RuleReplicated, Restored{})
	p.lead()
	p.status(2, firstConfig, 0)
	again := other(3)
	again.Run = 2
	p.step(Input{Kind: InAlign, From: again, Term: 1, Align: wire.Align{Nonce: 8, LastPage: true, Recovering: true}})
	in := statusOf(3, 1, 0, 0)
	in.From, in.Status.Aligned, in.Status.Recovering = again, 8, true
	p.step(in)
	out := p.find(OutAppendConfig)
	p.want(out != nil && *member(&out.Config, 3) == wire.ConfigMember{Node: 3, Incarnation: 3000, Run: 2}, "%+v", out)
	p.step(in)
	p.want(p.find(OutAppendConfig) == nil, "admitted twice")
	record := Input{Kind: InConfig, Position: 344, Config: out.Config}
	p.step(record)
	p.append(344)
	in.Status.Append = 344
	p.step(in)
	p.want(p.c.Commit() == firstConfig, "the newcomer counted for its own admission: commit %d", p.c.Commit())
	p.status(2, 344, 0)
	p.want(p.c.Commit() == 344, "commit %d", p.c.Commit())
	in.Status.Recovering = false
	p.append(432)
	in.Status.Append = 432
	p.step(in)
	p.want(p.c.Commit() == 432, "an admitted node does not count: commit %d", p.c.Commit())
}

func TestRule8AdmittedWhenCommittedAndSynced(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{Incarnation: 1000, Run: 2, Recovering: true})
	p.follow()
	p.step(logOf(1, 0, 232, 232, 0))
	p.step(Input{Kind: InTermStart, Position: 0, LastTerm: 1})
	p.step(p.config(Peer{1, 1000, 2}, other(2), other(3)))
	p.append(232)
	p.want(p.c.Recovering(), "recovered before the admission is committed")
	p.step(heartbeat(1, 232, 232))
	p.want(p.c.Commit() == 232 && p.c.Recovering(), "recovered before it has synced its admission")
	p.durable(232)
	p.want(!p.c.Recovering() && !p.sent(wire.DatagramStatus).Status.Recovering, "still recovering")
}

func TestRule9StatusReportsTheService(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	p.step(Input{Kind: InApplied, Position: 0, HashPosition: 7, Hash: 9})
	p.now += 10e6
	p.step(Input{Kind: InTick})
	st := p.sent(wire.DatagramStatus)
	p.want(st != nil && st.Status.Hash == 9 && st.Status.HashPosition == 7, "%+v", st)
}

func TestRule10TimeNeverGoesBack(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	deadline := p.c.s.timers[timerElection]
	p.now -= 1e12
	p.step(heartbeat(1, 0, 0))
	p.want(p.c.s.timers[timerElection] >= deadline && p.c.Role() == Follower, "a clock that went back moved a deadline")
}

func TestRule17TransferCampaignsAtOnce(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.follow()
	p.refused(Input{Kind: InTransfer, From: other(2), Term: 1, Position: 88}, RefusedBehind)
	p.refused(Input{Kind: InTransfer, From: other(3), Term: 1}, RefusedNotFromLeader)
	p.step(Input{Kind: InTransfer, From: other(2), Term: 1})
	p.want(p.c.Role() == Candidate && p.c.Term() == 2, "%v of term %d", p.c.Role(), p.c.Term())
}
