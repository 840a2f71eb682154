package replica

import (
	"lockstep/internal/simbug"
	"lockstep/journal"
	"lockstep/wire"
)

// pollJournal steps in what the journal thread reports.
func (a *Agent) pollJournal() int {
	n := a.o.Journal.Poll(a.reports[:])
	for i := range n {
		a.onReport(&a.reports[i])
	}
	return n
}

func (a *Agent) onReport(r *journal.Report) {
	switch r.Kind {
	case journal.ReportDurable:
		a.tell(event{kind: InDurable, position: r.Position, generation: r.Generation})
	case journal.ReportCut:
		a.onCut(r.Position, r.Generation)
	case journal.ReportFull, journal.ReportSpace:
		a.disk.full = r.Kind == journal.ReportFull
		a.m.diskFull.Set(gauge01(a.disk.full))
		a.o.Leading.DiskBad(a.disk.full || a.disk.hung)
		if a.disk.full {
			a.o.Log("disk full: this node lets another lead; when what is prepared is used up it stops acknowledging")
		} else {
			a.o.Log("disk has space again")
		}
		a.publishAppended()
		a.tell(event{kind: InDiskFull, flag: a.disk.full})
	case journal.ReportFailed:
		a.fail("stopping: %w", r.Err)
	default:
		a.fail("stopping: the journal reported unknown kind %d", r.Kind)
	}
}

// pollVotes steps in what the state file holds by now.
func (a *Agent) pollVotes() int {
	v, ok := a.o.Votes.stored()
	if !ok {
		return 0
	}
	a.tell(event{kind: InPersisted, term: v.term, node: v.node})
	return 1
}

// pollServices steps in how far the service is, which STATUS reports.
func (a *Agent) pollServices() {
	if a.o.Services.Applied(&a.applied) {
		a.tell(event{kind: InApplied, position: a.applied.Position, applied: &a.applied})
	}
}

// pollCatchUp takes bytes that were fetched over HTTP into the ring, as many as fit.
func (a *Agent) pollCatchUp() int {
	work := 0
	for !a.cutting {
		c := a.o.CatchUp.peek()
		if c == nil {
			return work
		}
		if !a.onChunk(c) {
			return work
		}
		a.o.CatchUp.advance()
		work++
	}
	return work
}

// onChunk takes one chunk; false when the ring has no room for it now.
func (a *Agent) onChunk(c *chunk) bool {
	if c.failed {
		a.tell(event{kind: InCatchUpFailed, generation: c.generation})
		return true
	}
	if c.generation != a.core.CatchingUp() && !simbug.On(simbug.TakeLateCatchUp) {
		return true // of a catch-up that the core has given up: dropped
	}
	end := c.from + wire.Position(len(c.bytes))
	if uint64(end) > a.o.Ring.Limit() {
		return false
	}
	a.bytes, a.bytesAt = c.bytes, c.from
	if from := max(c.from, a.core.Received()); from < end {
		a.store(from, end)
		a.fetched = end
	}
	a.tell(event{kind: InCaughtUp, position: end, generation: c.generation})
	a.bytes = nil
	a.m.caughtUp.Add(uint64(len(c.bytes)))
	if end == a.o.CatchUp.until && a.chain.Position < a.fetched {
		a.dropFetched() // it ends where a record does: what is not whole by now has a length that is not its own
	}
	return true
}

// dropFetched forgets what a catch-up brought and is not the log: the disk of the node that served it has spoilt it, and
// another node is asked.
func (a *Agent) dropFetched() {
	a.o.Log("catching up from node %d: what it sent for position %d is not the log: dropped; its disk may be damaged there",
		a.o.CatchUp.server, a.chain.Position)
	a.m.spoilt.Inc()
	a.fetched = 0
	a.tell(event{kind: InCatchUpFailed, generation: a.core.CatchingUp(), flag: true})
}

func gauge01(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
