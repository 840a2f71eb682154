package replica

import (
	"bytes"
	"slices"
	"testing"

	"lockstep/wire"
)

// What the Raft paper says, sentence by sentence, as far as no rule test or script says it: in the spirit of
// etcd-io/raft's raft_paper_test.go. docs/testing.md has the list of both.

// voters makes a probe of node 1 among n voters, all admitted by the config record of its log.
func voters(t *testing.T, n int, logs ...wire.Term) *probe {
	o := testOptions(wire.RuleDurable)
	o.Voters = nil
	for id := wire.NodeID(1); id <= wire.NodeID(n); id++ {
		o.Voters = append(o.Voters, id)
	}
	r := Restored{Incarnation: 1000, Run: 1, Config: o.Config(), ConfigPosition: firstConfig, End: firstConfig,
		EarlierAll: true}
	for i := range r.Config.Member[:n] {
		r.Config.Member[i].Incarnation, r.Config.Member[i].Run = uint64(i+1)*1000, 1
	}
	for i, term := range append([]wire.Term{1}, logs...) {
		r.Term, r.LastTerm, r.End = term, term, firstConfig+wire.Position(i*firstTerm)
		if i == 0 || term > r.Terms[len(r.Terms)-1].Term {
			r.Terms = append(r.Terms, wire.TermStart{Term: term, Start: max(r.End, firstTerm) - firstTerm})
		}
	}
	r.Terms[0].Start, r.Durable = 0, r.End
	return &probe{t: t, c: NewCore(o, r, 0)}
}

func (p *probe) canvassed(n wire.NodeID, asked wire.Term) {
	p.step(Input{Kind: InCanvassAnswer, From: other(n), Term: asked - 1,
		Answer: wire.BallotAnswer{Term: asked, Granted: true}})
}

func (p *probe) voted(n wire.NodeID, yes bool) {
	p.step(Input{Kind: InVote, From: other(n), Term: p.c.Term(),
		Answer: wire.BallotAnswer{Term: p.c.Term(), Granted: yes}})
}

// campaign makes the core a candidate of the next term, whose vote requests went out.
func (p *probe) campaign() {
	p.now = p.c.s.timers[timerElection]
	p.step(Input{Kind: InTick})
	asked := p.c.Term() + 1
	for n := wire.NodeID(2); p.c.Role() == Canvassing; n++ {
		p.canvassed(n, asked)
	}
	p.persisted()
}

// elect makes the core a leader whose term record is appended.
func (p *probe) elect() {
	p.campaign()
	for n := wire.NodeID(2); p.c.Role() == Candidate; n++ {
		p.voted(n, true)
	}
	p.want(p.c.Role() == Leader && p.find(OutAppendTerm) != nil, "not leading")
	p.step(Input{Kind: InTermStart, Position: p.c.Append(), LastTerm: p.c.Term()})
	p.append(p.c.Append() + firstTerm)
	for n := wire.NodeID(2); int(n) <= len(p.c.o.Voters); n++ {
		p.step(Input{Kind: InAlign, From: other(n), Term: p.c.Term(),
			Align: wire.Align{Nonce: uint64(n), LastPage: true}})
	}
}

// Section 5.1: if one server's term is smaller than the other's, it takes the larger; a candidate and a leader become
// followers (etcd-io/raft: TestFollowerUpdateTermFromMessage, and of a candidate and a leader).
func TestPaperHigherTermMakesAFollower(t *testing.T) {
	for role := range numRoles {
		p := voters(t, 3)
		switch role {
		case Canvassing:
			p.now = p.c.s.timers[timerElection]
			p.step(Input{Kind: InTick})
		case Candidate:
			p.campaign()
		case Leader:
			p.elect()
		}
		p.want(p.c.Role() == role, "%v, want %v", p.c.Role(), role)
		p.step(heartbeat(p.c.Term()+1, 0, 0))
		p.want(p.c.Role() == Follower && p.c.Leader() == 2, "%v: a %v with leader %d", role, p.c.Role(), p.c.Leader())
		if role != Follower && role != Canvassing {
			continue
		}
		p.want(p.c.Term() == 2, "term %d", p.c.Term())
	}
}

// Section 5.2: servers start as followers, and stay so while they hear a leader (TestStartAsFollower).
func TestPaperStartsAndStaysAFollower(t *testing.T) {
	p := voters(t, 3)
	p.want(p.c.Role() == Follower, "%v", p.c.Role())
	for range 100 {
		p.now += 9e6
		p.step(heartbeat(1, 0, 0))
	}
	p.want(p.c.Role() == Follower && p.c.Term() == 1 && p.c.Leader() == 2, "%v of term %d", p.c.Role(), p.c.Term())
}

// Section 5.2: a leader sends heartbeats to all (TestLeaderBcastBeat): one in every HeartbeatNs, and none while it
// speaks anyway.
func TestPaperLeaderBeats(t *testing.T) {
	p := voters(t, 3)
	p.elect()
	p.step(Input{Kind: InTick})
	beats := func(forNs int64, speak bool) (n int) {
		for end := p.now + forNs; p.now < end; {
			p.now += 1e6
			p.step(Input{Kind: InTick})
			for i := range p.out {
				if out := &p.out[i]; out.Kind == OutSend && out.Message == wire.DatagramLog && out.To == 0 {
					n++
				}
			}
			if speak {
				p.append(p.c.Append() + firstTerm)
			}
		}
		return n
	}
	if n := beats(50e6, false); n != 5 {
		t.Errorf("%d heartbeats in 50 ms, want 5", n)
	}
	if n := beats(30e6, true); n != 0 {
		t.Errorf("%d heartbeats while it streams", n)
	}
}

// Section 5.2: no word of a leader for an election time-out: a new term, its own vote, requests to all; and again when
// that came to nothing (TestFollowerStartElection, TestCandidateStartNewElection, TestVoteRequest).
func TestPaperElectionStartsAndStartsAgain(t *testing.T) {
	p := voters(t, 3, 1, 2)
	for term := wire.Term(3); term < 6; term++ {
		p.campaign()
		p.want(p.c.Role() == Candidate && p.c.Term() == term && p.c.s.vote == 1, "%v of term %d", p.c.Role(), p.c.Term())
		var asked []wire.NodeID
		for i := range p.out {
			out := &p.out[i]
			if out.Kind != OutSend || out.Message != wire.DatagramVoteRequest {
				continue
			}
			asked = append(asked, out.To)
			if b := out.Ballot; out.Term != term || b.LastTerm != 2 || b.Append != p.c.Append() || b.Transfer {
				t.Errorf("term %d: %+v", out.Term, b)
			}
		}
		p.want(slices.Equal(asked, []wire.NodeID{2, 3}), "asked %v", asked)
	}
}

// Section 5.2: a candidate wins with the votes of a majority of the full number of voters, is refused by a majority, or
// waits (TestLeaderElectionInOneRoundRPC).
func TestPaperElectionInOneRound(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		for granted := range n {
			p := voters(t, n)
			p.now = p.c.s.timers[timerElection]
			p.step(Input{Kind: InTick})
			for id := wire.NodeID(2); p.c.Role() == Canvassing; id++ {
				p.canvassed(id, 2)
			}
			p.persisted()
			for id := 2; id <= n; id++ {
				if p.c.Role() == Candidate {
					p.voted(wire.NodeID(id), id-1 <= granted)
				}
			}
			if want := granted+1 > n/2; (p.c.Role() == Leader) != want {
				t.Errorf("%d voters, %d of the others grant: %v", n, granted, p.c.Role())
			}
		}
	}
}

// Section 5.2: one vote a term, first come, first served; the same candidate is answered again (TestFollowerVote).
func TestPaperOneVoteATerm(t *testing.T) {
	for _, x := range []struct {
		before, asks wire.NodeID
		granted      bool
	}{{0, 2, true}, {0, 3, true}, {2, 2, true}, {3, 3, true}, {2, 3, false}, {3, 2, false}} {
		p := voters(t, 3)
		request := func(n wire.NodeID) {
			p.step(Input{Kind: InVoteRequest, From: other(n), Term: 2,
				Ballot: wire.Ballot{Append: firstConfig, LastTerm: 1, ConfigDigest: p.c.digest}})
		}
		if x.before != 0 {
			request(x.before)
			p.persisted()
		}
		request(x.asks)
		if p.sent(wire.DatagramVote) == nil {
			p.persisted()
		}
		vote := p.sent(wire.DatagramVote)
		if vote == nil || vote.To != x.asks || vote.Answer.Granted != x.granted {
			t.Errorf("voted for %d, then node %d asks: %+v", x.before, x.asks, vote)
		}
	}
}

// Section 5.2: a candidate that hears the leader of its own term, or of a newer one, is a follower again
// (TestCandidateFallback).
func TestPaperCandidateFallsBack(t *testing.T) {
	for ahead := range wire.Term(2) {
		p := voters(t, 3)
		p.campaign()
		p.step(heartbeat(2+ahead, 0, 0))
		p.want(p.c.Role() == Follower && p.c.Term() == 2+ahead && p.c.Leader() == 2, "%v of term %d, leader %d",
			p.c.Role(), p.c.Term(), p.c.Leader())
	}
}

// Section 5.2: election time-outs are drawn at random from a range, so that nodes seldom time out together
// (TestFollowerElectionTimeoutRandomized, TestFollowersElectionTimeoutNonconflict, and of candidates).
func TestPaperTimeoutsAreRandom(t *testing.T) {
	const nodes, rounds = 5, 400
	var at [nodes][rounds]int64
	for n := range nodes {
		p := voters(t, nodes)
		o := p.c.o
		o.Seed = uint64(n) * 77
		p.c = NewCore(o, Restored{Incarnation: uint64(n), Run: 1}, 0)
		seen := map[int64]bool{}
		for k := range rounds {
			wait := p.c.s.timers[timerElection] - p.c.s.nowNs
			if wait < o.ElectionTimeoutMinNs || wait >= o.ElectionTimeoutMaxNs {
				t.Fatalf("waits %d ns", wait)
			}
			seen[wait/10e6] = true
			at[n][k] = wait
			p.now = p.c.s.timers[timerElection]
			p.step(Input{Kind: InTick})
		}
		if width := (o.ElectionTimeoutMaxNs - o.ElectionTimeoutMinNs) / 10e6; int64(len(seen)) < width-1 {
			t.Errorf("node %d: %d of %d tenths of a second", n, len(seen), width)
		}
	}
	conflicts := 0
	for k := range rounds {
		var waits []int64
		for n := range nodes {
			waits = append(waits, at[n][k])
		}
		slices.Sort(waits)
		if waits[1]-waits[0] < 1e6 {
			conflicts++
		}
	}
	if conflicts > rounds/10 {
		t.Errorf("the first two time out within a millisecond in %d of %d rounds", conflicts, rounds)
	}
}

// Section 5.3: a leader streams what it appends at once, and commits it when a majority holds it, with all before it,
// of whatever term; it tells with the next LOG (TestLeaderStartReplication, TestLeaderCommitEntry,
// TestLeaderAcknowledgeCommit, TestLeaderCommitPrecedingEntries).
func TestPaperLeaderReplicatesAndCommits(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5} {
		for acks := range n {
			p := voters(t, n, 1, 2, 2, 3)
			p.elect()
			before, end := p.c.Append(), p.c.Append()+104
			p.append(end)
			if out := p.find(OutStream); n > 1 && (out == nil || out.From != before || out.Until != end || out.Log.Commit != 0) {
				t.Fatalf("%d voters: streamed %+v", n, out)
			}
			p.durable(end)
			for id := wire.NodeID(2); int(id) <= acks+1; id++ {
				p.status(id, end, end)
			}
			want := wire.Position(0)
			if acks+1 > n/2 {
				want = end
			}
			if p.c.Commit() != want {
				t.Errorf("%d voters, %d of the others hold it: commit %d, want %d", n, acks, p.c.Commit(), want)
			}
			p.append(end + 104)
			if out := p.find(OutStream); n > 1 && out.Log.Commit != want {
				t.Errorf("%d voters: told %d", n, out.Log.Commit)
			}
		}
	}
}

// Section 5.3, figure 7: whatever a follower's log is when a leader comes to power, it becomes the leader's
// (TestLeaderSyncFollowerLog, TestFollowerCheckMsgAppend, TestFollowerAppendEntries).
func TestPaperFigure7(t *testing.T) {
	const leader = "1.1.1.4.4.5.5.6.6.6"
	for name, follower := range map[string]string{
		"a misses one": "1.1.1.4.4.5.5.6.6", "b misses many": "1.1.1.4", "c has one more": leader + ".6",
		"d has a newer term": leader + ".7.7", "e has more of a term": "1.1.1.4.4.4.4",
		"f has terms of its own": "1.1.1.2.2.2.3.3.3.3.3", "nothing": "",
	} {
		c := newCluster(3, wire.RuleDurable, 5, 1<<16)
		c.restartWith([]string{leader, follower, ""})
		for id := range wire.NodeID(4) {
			if n := c.nodes[id]; n != nil {
				n.disk.term, n.disk.run = 7, 0
				n.start()
			}
		}
		first := c.nodes[1]
		first.skew += first.core.s.timers[timerElection] - first.now()
		first.step(Input{Kind: InTick})
		c.advance(50e6)
		for _, failure := range c.failures {
			t.Errorf("%s: %s", name, failure)
		}
		if first.core.Role() != Leader || first.core.Term() != 8 || first.core.Commit() != first.core.Append() {
			t.Errorf("%s: %v of term %d, commit %d", name, first.core.Role(), first.core.Term(), first.core.Commit())
		}
		for id := wire.NodeID(2); id <= 3; id++ {
			if n := c.nodes[id]; !bytes.Equal(n.disk.log, first.disk.log) {
				t.Errorf("%s: node %d holds\n%sthe leader\n%s", name, id, n.records(), first.records())
			}
		}
	}
}
