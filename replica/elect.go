package replica

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// Elections: canvass (pre-vote), vote, step-down, transfer. Rules 1, 2, 3, 8 and 17 of docs/consensus.md.

// fit says whether this node may begin to lead: a learner never does.
func (c *Core) fit() bool { return !c.learns() && !c.Recovering() && !c.unfit() && !c.s.follow.cutting }

// unfit says whether this node, if it leads, had better let another lead: its disk is full or hangs, its clock is off.
func (c *Core) unfit() bool { return c.s.diskFull || c.s.diskHung || c.s.skewed }

// awaitLeader makes this node a follower that waits an election time-out for a leader.
func (c *Core) awaitLeader() {
	s := &c.s
	s.role = Follower
	s.order = wire.Config{}
	c.off(timerRetry)
	c.waitElection()
}

// waitElection draws a new election time-out and waits for it.
func (c *Core) waitElection() {
	s := &c.s
	s.timeoutNs = c.between(c.o.ElectionTimeoutMinNs, c.o.ElectionTimeoutMaxNs)
	c.after(timerElection, s.timeoutNs)
}

// enter goes to a higher term, as a follower that has no vote given and knows no leader yet.
func (c *Core) enter(term wire.Term) {
	s := &c.s
	if s.role == Leader {
		c.resign()
	}
	s.term, s.vote = term, 0
	s.voteOwed = false
	s.leader = 0
	s.follow.from = Peer{}
	c.forgetAlignment()
	c.awaitLeader()
}

// resign ends leadership without a new term. The term is never led again: its vote is given, to this node.
func (c *Core) resign() {
	s := &c.s
	s.leader = 0
	s.lead = lead{}
	for _, t := range [...]int{timerQuorum, timerHandOver, timerHeartbeat, timerEcho, timerLag} {
		c.off(t)
	}
	c.awaitLeader()
}

// onElectionTimer gives up waiting: for a leader, for answers to a canvass, for votes.
func (c *Core) onElectionTimer() {
	s := &c.s
	if s.role == Leader {
		return
	}
	if s.order.Members > 0 {
		c.waitElection() // an order waits for the state file: nobody can be elected meanwhile
		return
	}
	s.leader = 0
	if !c.fit() {
		c.awaitLeader()
		return
	}
	c.canvass()
}

// canvass asks whether this node would be elected, without a new term: a node that cannot win disturbs nobody.
func (c *Core) canvass() {
	s := &c.s
	s.role = Canvassing
	c.waitElection()
	c.openBallot()
	if c.elected() {
		c.campaign(false)
		return
	}
	c.onRetryTimer()
}

// campaign asks for votes in a new term.
func (c *Core) campaign(transfer bool) {
	s := &c.s
	if !simbug.On(simbug.ReuseTerm) || s.vote != s.self.Node {
		c.enter(s.term + 1)
	}
	s.role, s.vote = Candidate, s.self.Node
	s.transfer, s.asked = transfer, false
	c.openBallot()
	if simbug.On(simbug.ReuseTerm) && s.stored == (stored{s.term, s.vote}) {
		c.onVoteStored()
	}
}

// openBallot forgets the answers of the ballot before.
func (c *Core) openBallot() {
	for n := range c.s.peers {
		c.s.peers[n].answered, c.s.peers[n].granted = false, false
	}
}

// elected says whether a majority of all voters has granted: this node has.
func (c *Core) elected() bool {
	granted := 1
	for n := range c.s.peers {
		if c.s.peers[n].granted {
			granted++
		}
	}
	return granted >= c.majority
}

// onVoteStored goes on once (term, vote) is in the state file.
func (c *Core) onVoteStored() {
	s := &c.s
	if s.voteOwed {
		s.voteOwed = false
		c.answerBallot(wire.DatagramVote, s.vote, s.term, VoteGranted)
	}
	if s.role != Candidate || s.asked || s.vote != s.self.Node {
		return
	}
	s.asked = true
	switch {
	case s.order.Members > 0:
		c.lead()
		return
	case c.elected():
		c.becomeLeader()
		return
	}
	c.onRetryTimer()
}

// onRetryTimer repeats what found no answer.
func (c *Core) onRetryTimer() {
	s := &c.s
	switch {
	case s.role == Canvassing:
		c.sendBallots(wire.DatagramCanvass, s.term+1, false)
	case s.role == Candidate && s.asked:
		c.sendBallots(wire.DatagramVoteRequest, s.term, s.transfer)
	case s.role == Follower && s.follow.nonce != 0 && !s.follow.aligned && !s.follow.cutting:
		c.sendAlign()
	default:
		return
	}
	c.after(timerRetry, c.o.RetryNs)
}

// sendBallots asks every voter that has not answered.
func (c *Core) sendBallots(kind wire.DatagramKind, term wire.Term, transfer bool) {
	s := &c.s
	for _, n := range c.o.Voters {
		if n != s.self.Node && !s.peers[n].answered {
			out := c.send(kind, n, term)
			out.Ballot = wire.Ballot{Append: s.append, LastTerm: s.lastTerm, ConfigDigest: c.digest, Transfer: transfer}
		}
	}
}

// answerBallot answers a ballot. It carries the term that is stored: a term is stored before it leaves. A voter whose
// log holds no config record cannot know that it is admitted, and says that it may have forgotten: mayCount.
func (c *Core) answerBallot(kind wire.DatagramKind, to wire.NodeID, asked wire.Term, why VoteRefusal) {
	out := c.send(kind, to, c.s.stored.term)
	out.Answer = wire.BallotAnswer{Term: asked, Granted: why == VoteGranted, Reason: uint8(why),
		Recovering: c.Recovering() || c.s.configs.n == 0}
}

// leaderAlive says whether this node leads, or heard a leader within the minimum election time-out.
func (c *Core) leaderAlive() bool {
	return c.s.role == Leader || c.s.nowNs-c.s.heardNs < c.o.ElectionTimeoutMinNs
}

// logOlder says whether the log of a ballot is older than this node's.
func (c *Core) logOlder(b *wire.Ballot) bool {
	s := &c.s
	if simbug.On(simbug.VoteForOlderLog) {
		return false
	}
	return b.LastTerm < s.lastTerm || b.LastTerm == s.lastTerm && b.Append < s.append
}

// asksForVote says whether a ballot is one that this node answers.
func (c *Core) asksForVote(in *Input) bool {
	if c.sender(&in.From) == nil {
		return false
	}
	if c.learns() {
		c.refuse(RefusedLearner)
		return false
	}
	return true
}

// onCanvass says whether this node would vote so. It changes nothing.
func (c *Core) onCanvass(in *Input) {
	if !c.asksForVote(in) {
		return
	}
	why := VoteGranted
	switch {
	case in.Ballot.ConfigDigest != c.digest:
		why = VoteConfig
	case in.Term <= c.s.term:
		why = VoteTermOld
	case c.leaderAlive():
		why = VoteLeaderAlive
	case c.Recovering():
		why = VoteRecovering
	case c.logOlder(&in.Ballot):
		why = VoteLogOlder
	}
	c.answerBallot(wire.DatagramCanvassAnswer, in.From.Node, in.Term, why)
}

// onVoteRequest votes, or says why not.
func (c *Core) onVoteRequest(in *Input) {
	if !c.asksForVote(in) {
		return
	}
	if c.leaderAlive() && !in.Ballot.Transfer {
		c.refuse(RefusedLeaderAlive)
		return
	}
	s := &c.s
	why := VoteGranted
	switch {
	case in.Ballot.ConfigDigest != c.digest:
		why = VoteConfig
	case in.Term < s.term:
		why = VoteTermOld
	case c.Recovering() && !simbug.On(simbug.CountForeignIncarnation):
		why = VoteRecovering
	}
	if why == VoteGranted {
		if in.Term > s.term {
			c.enter(in.Term)
		}
		why = c.vote(in)
	}
	if why != VoteGranted {
		c.answerBallot(wire.DatagramVote, in.From.Node, in.Term, why)
	}
}

// vote gives this term's vote, if it may. The answer leaves when the vote is stored.
func (c *Core) vote(in *Input) VoteRefusal {
	s := &c.s
	if s.vote != 0 && s.vote != in.From.Node && !simbug.On(simbug.VoteTwice) || s.follow.from.Node != 0 {
		return VoteTaken
	}
	if c.logOlder(&in.Ballot) {
		return VoteLogOlder
	}
	s.vote, s.voteOwed = in.From.Node, true
	if simbug.On(simbug.SendUnstored) {
		c.onVoteStored()
		return VoteGranted
	}
	c.waitElection()
	if s.stored == (stored{s.term, s.vote}) {
		c.onVoteStored()
	}
	return VoteGranted
}

// onCanvassAnswer counts who would vote so.
func (c *Core) onCanvassAnswer(in *Input) {
	if c.onAnswer(in, c.s.term+1) && c.elected() {
		c.campaign(false)
	}
}

// onVote counts votes.
func (c *Core) onVote(in *Input) {
	if c.onAnswer(in, c.s.term) && c.elected() {
		c.becomeLeader()
	}
}

// onAnswer takes an answer to the ballot for asked; true when it is a grant that counts.
func (c *Core) onAnswer(in *Input, asked wire.Term) bool {
	p := c.sender(&in.From)
	if p == nil {
		return false
	}
	s := &c.s
	if in.Term > s.term {
		// The voter's term is higher: only above it can this node be elected.
		canvassing := s.role == Canvassing
		c.enter(in.Term)
		if canvassing && c.fit() {
			c.canvass()
		}
		c.refuse(RefusedOldTerm)
		return false
	}
	if in.Answer.Term != asked {
		c.refuse(RefusedOldTerm)
		return false
	}
	if in.Answer.Granted && !c.mayCount(in.From.Node, p, in.Answer.Recovering) {
		c.refuse(RefusedNotAdmitted)
		return false
	}
	p.answered, p.granted = true, p.granted || in.Answer.Granted
	return in.Answer.Granted
}

// onTransfer campaigns at once: the leader wants this node to lead.
func (c *Core) onTransfer(in *Input) {
	s := &c.s
	switch {
	case in.Term != s.term || in.From != s.follow.from:
		c.refuse(RefusedNotFromLeader)
	case !s.follow.aligned:
		c.refuse(RefusedUnaligned)
	case !c.fit():
		c.refuse(RefusedUnfit)
	case s.append < in.Position:
		c.refuse(RefusedBehind)
	default:
		c.campaign(true)
	}
}

// onDiskFull takes that there is no space for the log, or is again.
func (c *Core) onDiskFull(in *Input) {
	c.s.diskFull = in.Flag
	c.onFitness()
}

// onDiskHung takes that the disk does not answer, or does again.
func (c *Core) onDiskHung(in *Input) {
	c.s.diskHung = in.Flag
	c.onFitness()
}

// onClockSkew takes that this node's wall clock is too far off, or no longer.
func (c *Core) onClockSkew(in *Input) {
	c.s.skewed = in.Flag
	c.onFitness()
}

// onFitness acts on a change of what makes a node unfit to lead: a leader hands over, a follower says so, nobody
// canvasses.
func (c *Core) onFitness() {
	switch c.s.role {
	case Leader:
		c.leaveIfUnfit()
	case Canvassing, Candidate:
		if c.unfit() {
			c.awaitLeader()
		}
	default:
		c.sendStatus()
	}
}
