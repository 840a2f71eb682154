package replica

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// Alignment: before a follower takes LOG of a term, it learns up to where its log is the leader's, and cuts there.
// Rule 5 of docs/consensus.md.

// forgetAlignment ends the alignment, with all that came by it and is not verified. A cut under way goes on.
func (c *Core) forgetAlignment() {
	s := &c.s
	f := &s.follow
	*f = follow{from: f.from, cutting: f.cutting, cutTo: f.cutTo, catchUp: catchUp{generation: f.catchUp.generation}}
	s.received = s.append
	s.window = window{}
	c.off(timerNak)
	c.off(timerStatus)
}

// startAlignment asks the leader where to cut, unless that is under way, or the term is not stored yet, or a cut has
// not been carried out: then what completes those comes back here. One nonce serves a term: an alignment that a
// canvass interrupted goes on.
func (c *Core) startAlignment() {
	s := &c.s
	f := &s.follow
	if f.aligned || f.cutting || !c.termStored() || s.timers[timerRetry] != never {
		return
	}
	for f.nonce == 0 {
		f.nonce = c.draw()
	}
	c.sendAlign()
	c.after(timerRetry, c.o.RetryNs)
}

// sendAlign sends the page of the term index that the leader wants to see.
func (c *Core) sendAlign() {
	s := &c.s
	n, last := c.terms.page(s.follow.page, &c.page)
	out := c.send(wire.DatagramAlign, s.follow.from.Node, s.term)
	out.Align = wire.Align{Nonce: s.follow.nonce, Append: s.append, Floor: s.floor, Page: s.follow.page,
		Count: uint16(n), LastPage: last, Recovering: c.Recovering()}
	out.Terms = c.page[:n]
}

// onAlign (leader) answers where the follower's log and this one part.
func (c *Core) onAlign(in *Input) {
	p := c.follower(&in.From)
	if p == nil || !c.sameTerm(in.Term) {
		return
	}
	s := &c.s
	a := &in.Align
	cut, found, ok := c.terms.sharedEnd(s.append, a.Append, a.Floor, a.Page, in.Terms, a.LastPage)
	if !ok || a.Nonce == 0 || cut > a.Append {
		c.refuse(RefusedMalformed)
		return
	}
	if found && p.nonce != a.Nonce {
		c.openProgress(in.From.Node, a.Nonce)
	}
	out := c.send(wire.DatagramAlignAnswer, in.From.Node, s.term)
	out.AlignAnswer = wire.AlignAnswer{Nonce: a.Nonce, Cut: cut, Found: found}
	if !found {
		out.AlignAnswer.Cut, out.AlignAnswer.NextPage = 0, a.Page+1
	}
}

// sameTerm says whether a message is of the current term.
func (c *Core) sameTerm(term wire.Term) bool {
	switch {
	case term < c.s.term:
		c.refuse(RefusedOldTerm)
	case term > c.s.term:
		c.refuse(RefusedTermAhead)
	}
	return term == c.s.term
}

// onAlignAnswer takes the leader's answer, once.
func (c *Core) onAlignAnswer(in *Input) {
	s := &c.s
	f := &s.follow
	a := &in.AlignAnswer
	switch {
	case (in.Term != s.term || in.From != f.from) && !simbug.On(simbug.TakeReplayedAlign):
		c.refuse(RefusedNotFromLeader)
	case f.aligned:
		c.refuse(RefusedAligned)
	case f.cutting:
		c.refuse(RefusedCutting)
	case (f.nonce == 0 || a.Nonce != f.nonce) && !simbug.On(simbug.TakeReplayedAlign):
		c.refuse(RefusedNonce)
	case !a.Found && a.NextPage != f.page+1:
		c.refuse(RefusedReport)
	case !a.Found:
		f.page = a.NextPage
		c.sendAlign()
		c.after(timerRetry, c.o.RetryNs)
	case a.Cut > s.append:
		c.refuse(RefusedMalformed)
	case a.Cut == s.append:
		c.align()
	default:
		c.cut(a.Cut)
	}
}

// cut has everything from p on forgotten.
func (c *Core) cut(p wire.Position) {
	s := &c.s
	switch {
	case p < s.commit:
		c.stop("the leader's log parts from this one below what is committed here: one of the two has lost data")
		return
	case s.lastTerm == s.term:
		c.stop("the leader's log parts from this one within its own term: two leaders in one term")
		return
	}
	s.follow.cutting, s.follow.cutTo = true, p
	out := c.emit(OutCut)
	out.Position, out.Generation = p, s.generation+1
	if simbug.On(simbug.CountBeforeCut) {
		c.sendStatus()
	}
}

// onCutDone goes on when the cut is durable. The alignment that asked for it may be over.
func (c *Core) onCutDone(in *Input) {
	s := &c.s
	f := &s.follow
	if !f.cutting || in.Position != f.cutTo || in.Generation != s.generation+1 {
		c.refuse(RefusedGeneration)
		return
	}
	f.cutting, f.cutTo = false, 0
	s.append, s.received = in.Position, in.Position
	if !simbug.On(simbug.KeepDurableOverCut) {
		s.durable = min(s.durable, in.Position)
	}
	s.generation = in.Generation
	c.terms.cut(in.Position)
	s.lastTerm, s.checksum = c.terms.last(), in.Checksum
	if !s.configs.cut(in.Position) {
		c.stop("the config record was cut, and the one before it is not in memory: start again to read it")
		return
	}
	c.applyConfig()
	switch {
	case s.role != Follower || f.from.Node == 0:
	case f.nonce != 0:
		c.align()
	default:
		c.startAlignment()
	}
}

// align puts the alignment in force: this log is a prefix of the leader's.
func (c *Core) align() {
	s := &c.s
	s.follow.aligned = true
	s.received = s.append
	s.window = window{}
	c.off(timerRetry)
	c.sendStatus()
}
