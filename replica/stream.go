package replica

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// The follower's side of the stream. Rules 1, 5 and 6 of docs/consensus.md.

// onLogFollower takes a LOG.
func (c *Core) onLogFollower(in *Input) {
	s := &c.s
	f := &s.follow
	if in.Term != s.term || in.From != f.from || s.leader != in.From.Node {
		if !c.hearLeader(in) {
			return
		}
	} else if in.Log.ConfigDigest != c.digest && in.Log.ConfigDigest != 0 {
		c.refuse(RefusedConfig)
		return
	}
	s.heardNs = s.nowNs
	c.after(timerElection, s.timeoutNs)
	if !f.aligned {
		if simbug.On(simbug.CommitUnaligned) {
			f.commit = max(f.commit, in.Log.Commit)
			c.followCommit()
		}
		c.startAlignment()
		c.refuse(RefusedUnaligned)
		return
	}
	log := &in.Log
	until := log.Position + wire.Position(in.LogLength)
	if until < log.Position || until > log.Append || log.Commit > log.Append || log.Floor > log.Append {
		c.refuse(RefusedMalformed)
		return
	}
	f.append = max(f.append, log.Append)
	f.floor = max(f.floor, log.Floor)
	f.syncTo = max(f.syncTo, log.SyncTo)
	if in.LogLength > 0 {
		c.store(log.Position, until)
	}
	if log.Commit > f.commit {
		f.commit = log.Commit
		c.followCommit()
	}
	c.watchGap()
}

// onLogOther takes a LOG while this node canvasses, is a candidate, or leads: it shows that another one leads.
func (c *Core) onLogOther(in *Input) {
	if c.hearLeader(in) {
		c.onLogFollower(in)
	}
}

// hearLeader looks at who sent a LOG: true when it is from the leader of the current term, which may be new.
func (c *Core) hearLeader(in *Input) bool {
	s := &c.s
	if c.sender(&in.From) == nil {
		return false
	}
	if in.Log.ConfigDigest != c.digest && in.Log.ConfigDigest != 0 {
		c.refuse(RefusedConfig)
		return false
	}
	if in.Term < s.term {
		c.refuse(RefusedOldTerm)
		c.answerOldTerm(in.From.Node)
		return false
	}
	if in.Term > s.term {
		c.enter(in.Term)
	}
	switch s.follow.from {
	case Peer{}:
		s.follow.from = in.From
	case in.From:
	default:
		c.stop("LOG from two senders in one term: two leaders, or two processes of one node")
		return false
	}
	if s.role != Follower {
		c.awaitLeader()
	}
	s.leader = in.From.Node
	c.sendStatus() // if aligned: a canvass in between silenced it
	return true
}

// answerOldTerm tells a leader of an older term that it is one: else a node whose term rose would be stuck for ever.
func (c *Core) answerOldTerm(to wire.NodeID) {
	s := &c.s
	if s.nowNs < s.oldTermNs || !c.termStored() {
		return
	}
	s.oldTermNs = s.nowNs + c.o.StatusNs
	out := c.send(wire.DatagramStatus, to, s.term)
	c.fillStatus(&out.Status)
}

// fillStatus fills all but Window and Wall.
func (c *Core) fillStatus(st *wire.Status) {
	s := &c.s
	st.Aligned = 0
	if s.follow.aligned || simbug.On(simbug.CountBeforeCut) {
		st.Aligned = s.follow.nonce
	}
	st.Append, st.Durable, st.Generation = s.append, s.durable, s.generation
	if simbug.On(simbug.AckBeforeSync) {
		st.Durable = s.append
	}
	if simbug.On(simbug.KeepDurableOverCut) {
		st.Durable = min(s.durable, s.append)
	}
	st.Applied, st.Hash, st.HashPosition = s.applied, s.points[guardOutputs][0].hash, s.points[guardOutputs][0].at
	st.SnapshotPosition, st.SnapshotDigest = s.points[guardState][0].at, s.points[guardState][0].hash
	st.Recovering, st.Unfit, st.Version = c.Recovering(), c.unfit(), c.o.Version
}

// sendStatus reports to the leader, while aligned: on progress, and when it has been silent for StatusNs.
func (c *Core) sendStatus() {
	s := &c.s
	if !s.follow.aligned && !(simbug.On(simbug.CountBeforeCut) && s.follow.cutting) || s.role != Follower || s.leader == 0 {
		return
	}
	out := c.send(wire.DatagramStatus, s.leader, s.term)
	c.fillStatus(&out.Status)
	c.after(timerStatus, c.o.StatusNs)
}

// store takes the bytes [from, until) of a LOG: what is new is stored, what is held must be the same.
func (c *Core) store(from, until wire.Position) {
	s := &c.s
	limit := c.storeLimit()
	if from >= limit {
		c.refuse(RefusedWindow)
		return
	}
	until = min(until, limit)
	if from < s.received {
		c.piece(OutCompare, from, min(until, s.received))
		from = s.received
		if until <= from {
			return
		}
	}
	if from > s.received && !s.window.room(from, until) {
		c.refuse(RefusedWindow)
		return
	}
	at := from
	for i := 0; i < s.window.n && at < until; i++ {
		held := &s.window.at[i]
		if held.until <= at {
			continue
		}
		if held.from >= until {
			break
		}
		if at < held.from {
			c.piece(OutStore, at, held.from)
			at = held.from
		}
		c.piece(OutCompare, at, min(until, held.until))
		at = min(until, held.until)
	}
	if at < until {
		c.piece(OutStore, at, until)
	}
	if from == s.received {
		s.received = s.window.advance(until)
	} else {
		s.window.insert(from, until)
	}
}

func (c *Core) piece(kind OutputKind, from, until wire.Position) {
	out := c.emit(kind)
	out.From, out.Until = from, until
}

// storeLimit is the end of what may be stored now: the ring keeps what is not durable, and the reorder window is
// bounded.
func (c *Core) storeLimit() wire.Position {
	s := &c.s
	return min(s.durable+wire.Position(c.o.RingBytes), s.received+wire.Position(c.o.WindowBytes))
}

// watchGap sees to it that what is missing is asked for: from the leader's ring, or over HTTP if it is too old.
func (c *Core) watchGap() {
	s := &c.s
	f := &s.follow
	if f.catchUp.active {
		return
	}
	if s.received >= f.append {
		c.off(timerNak)
		return
	}
	if s.received < f.floor {
		c.off(timerNak)
		c.startCatchUp()
		return
	}
	if s.timers[timerNak] == never || f.gapAt != s.received {
		f.gapAt = s.received
		c.after(timerNak, c.between(c.o.NakDelayMinNs, c.o.NakDelayMaxNs))
	}
}

// onNakTimer asks for the first hole.
func (c *Core) onNakTimer() {
	s := &c.s
	f := &s.follow
	if s.role != Follower || !f.aligned || f.catchUp.active || s.received >= f.append {
		return
	}
	until := min(f.append, s.received+wire.Position(c.o.NakBytes), c.storeLimit())
	if s.window.n > 0 {
		until = min(until, s.window.at[0].from)
	}
	if until > s.received {
		out := c.send(wire.DatagramNak, f.from.Node, s.term)
		out.Nak = wire.Nak{From: s.received, To: until}
	}
	c.after(timerNak, c.o.NakRetryNs)
}

// startCatchUp has what the leader's ring no longer holds fetched over HTTP: from the leader, and if that fails from
// the others in turn, which serve only what they know to be committed.
func (c *Core) startCatchUp() {
	s := &c.s
	f := &s.follow
	if s.nowNs < f.catchUp.notBefore {
		return
	}
	from, until := f.from.Node, f.append
	if f.catchUp.failed > 0 && f.commit > s.received {
		if n := c.otherServer(f.catchUp.failed); n != 0 {
			from, until = n, f.commit
		}
	}
	f.catchUp.active, f.catchUp.until = true, until
	f.catchUp.generation++
	out := c.emit(OutCatchUp)
	out.To, out.From, out.Until = from, s.received, until
	out.Term, out.Generation = s.term, f.catchUp.generation
}

// otherServer goes round the nodes: 0 stands for the leader's turn.
func (c *Core) otherServer(turn uint32) wire.NodeID {
	s := &c.s
	n := c.nodes[int(turn)%len(c.nodes)]
	if n == s.self.Node || n == s.follow.from.Node {
		return 0
	}
	return n
}

// onCaughtUp takes what a catch-up has brought.
func (c *Core) onCaughtUp(in *Input) {
	s := &c.s
	f := &s.follow
	late := !f.catchUp.active || in.Generation != f.catchUp.generation
	if late && !simbug.On(simbug.TakeLateCatchUp) {
		c.refuse(RefusedGeneration)
		return
	}
	if in.Position > f.catchUp.until && !late {
		c.refuse(RefusedMalformed)
		return
	}
	if in.Position > s.received {
		s.received = s.window.advance(in.Position)
	}
	if s.received >= f.catchUp.until {
		f.catchUp.active = false
		c.watchGap()
	}
}

// onCatchUpFailed tries again a little later, with another node. What was brought and proved not to be the log is
// forgotten, even if the catch-up had come to its end.
func (c *Core) onCatchUpFailed(in *Input) {
	s := &c.s
	f := &s.follow
	if !in.Flag && (!f.catchUp.active || in.Generation != f.catchUp.generation) {
		c.refuse(RefusedGeneration)
		return
	}
	if in.Flag {
		s.received, s.window = s.append, window{}
	}
	f.catchUp.active = false
	f.catchUp.failed++
	f.catchUp.notBefore = c.s.nowNs + c.o.RetryNs
}

// onAppended (not leading) takes the new end of the verified log.
func (c *Core) onAppended(in *Input) {
	s := &c.s
	if !c.appended(in) {
		return
	}
	if s.received < s.append {
		s.received = s.window.advance(s.append)
	}
	c.followCommit()
	c.maybeRecovered()
	c.sendStatus()
}

// appended takes the new end of the log.
func (c *Core) appended(in *Input) bool {
	s := &c.s
	switch {
	case s.follow.cutting:
		c.refuse(RefusedCutting)
		return false
	case in.Position <= s.append:
		c.refuse(RefusedReport)
		return false
	case in.LastTerm > s.term:
		c.stop("a record of a term above the current one was appended")
		return false
	}
	s.append, s.lastTerm, s.checksum = in.Position, in.LastTerm, in.Checksum
	s.follow.catchUp.failed = 0
	return true
}

// onTermStart notes where a term begins.
func (c *Core) onTermStart(in *Input) {
	if in.LastTerm <= c.terms.last() || in.Position < c.s.append {
		c.refuse(RefusedReport)
		return
	}
	c.terms.add(in.LastTerm, in.Position)
}

// onDurable (not leading) takes how far this node has synced.
func (c *Core) onDurable(in *Input) {
	if c.synced(in) {
		c.maybeRecovered()
		c.sendStatus()
	}
}

// synced takes a durable report; late ones, and those of before a cut, change nothing.
func (c *Core) synced(in *Input) bool {
	s := &c.s
	switch {
	case in.Generation != s.generation:
		c.refuse(RefusedGeneration)
	case in.Position > s.append:
		c.refuse(RefusedMalformed)
	case in.Position <= s.durable:
		c.refuse(RefusedReport)
	default:
		s.durable = in.Position
		return true
	}
	return false
}

// followCommit moves commit as far as the leader says and this node holds.
func (c *Core) followCommit() {
	s := &c.s
	if !s.follow.aligned && !simbug.On(simbug.CommitUnaligned) {
		return
	}
	if p := min(s.follow.commit, s.append); p > s.commit {
		s.commit = p
		c.emit(OutCommit).Position = p
		c.maybeRecovered()
	}
}
