package replica

import (
	"strings"
	"testing"

	"lockstep/wire"
)

// reports steps in a STATUS with a hash.
func (p *probe) reports(n wire.NodeID, at wire.Position, hash uint64) {
	in := statusOf(n, 1, firstConfig, firstConfig)
	in.Status.HashPosition, in.Status.Hash = at, hash
	p.step(in)
}

func (p *probe) ownHash(at wire.Position, hash uint64) {
	p.step(Input{Kind: InApplied, Position: at, HashPosition: at, Hash: hash})
}

func TestRule12WhoDiffersFromAMajorityIsTold(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.ownHash(100, 7)
	p.reports(2, 100, 7)
	p.want(p.sent(wire.DatagramDiverged) == nil && p.c.Disputed() == 0, "told although all agree")
	p.reports(3, 100, 9)
	told := p.sent(wire.DatagramDiverged)
	p.want(told != nil && told.To == 3 && told.Diverged == wire.Diverged{Position: 100, Hash: 9, Majority: 7}, "%+v", told)
	p.reports(3, 100, 9)
	p.want(p.sent(wire.DatagramDiverged) != nil, "told only once: the datagram may be lost")
}

func TestRule12NodesAreComparedAtWhatTheyHaveInCommon(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	for at := wire.Position(100); at <= 300; at += 100 {
		p.reports(2, at, uint64(at)+7) // it is ahead of the leader's own service
	}
	p.ownHash(200, 207)
	p.reports(3, 200, 1)
	told := p.sent(wire.DatagramDiverged)
	p.want(told != nil && told.To == 3 && told.Diverged.Position == 200, "%+v", told)
	p.reports(2, 100, 1) // late: of before
	p.want(p.c.Disputed() == 0 && p.sent(wire.DatagramDiverged) == nil, "a late report counts")
}

func TestRule12TheLeaderItselfMayBeWrong(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.ownHash(100, 7)
	p.reports(2, 100, 9)
	p.want(p.c.Disputed() == 100, "two differ and nobody else has reported: disputed at %d", p.c.Disputed())
	p.reports(3, 100, 9)
	stop := p.find(OutStop)
	p.want(stop != nil && strings.Contains(stop.Reason, "0000000000000007") &&
		strings.Contains(stop.Reason, "0000000000000009") && strings.Contains(stop.Reason, "position 100"), "%+v", stop)
}

func TestRule12DisputeEndsWhenAMajorityAgreesFurtherOn(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.ownHash(100, 7)
	p.reports(2, 100, 9)
	// The node that was wrong starts again: it aligns anew, and has reported nothing.
	again := other(2)
	again.Run = 2
	p.step(Input{Kind: InAlign, From: again, Term: 1, Align: wire.Align{Nonce: 12, LastPage: true}})
	p.reports(3, 100, 7)
	p.want(p.c.Disputed() == 0 && p.sent(wire.DatagramDiverged) == nil, "disputed at %d", p.c.Disputed())
}

func TestRule12OnlyWhatThisRunReportedStopsIt(t *testing.T) {
	in := Input{Kind: InDiverged, From: other(2), Term: 1, Diverged: wire.Diverged{Position: 100, Hash: 9, Majority: 7}}
	follower := func() *probe {
		p := newProbe(t, wire.RuleDurable, Restored{})
		p.follow()
		return p
	}
	p := follower()
	p.refused(in, RefusedReport) // it has not come there
	p.ownHash(100, 7)
	p.refused(in, RefusedReport) // it agrees by now: the datagram is about an earlier run
	p = follower()
	p.ownHash(100, 9)
	late, stranger := in, in
	late.Term, stranger.From = 0, other(3)
	p.refused(late, RefusedOldTerm)
	p.refused(stranger, RefusedNotFromLeader)
	p.step(in)
	p.want(p.find(OutStop) != nil, "it goes on")
	p.want(len(p.step(Input{Kind: InTick})) == 0, "a stopped core does something")
}

// Nodes that do not count (recovering, not admitted) are not believed either.
func TestRule12OnlyNodesThatCountAreCompared(t *testing.T) {
	p := newProbe(t, wire.RuleDurable, Restored{})
	p.lead()
	p.ownHash(100, 7)
	in := statusOf(2, 1, firstConfig, firstConfig)
	in.Status.HashPosition, in.Status.Hash, in.Status.Recovering = 100, 9, true
	p.step(in)
	p.want(p.c.Disputed() == 0, "a recovering node's hash counts")
}
