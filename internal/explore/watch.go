package explore

import (
	"lockstep/replica"
	"lockstep/wire"
)

// What must always hold of one node, seen as it happens, and what is kept of it to hold against the others.

// watch looks at a node after a Step.
func (s *site) watch(was was) {
	c, sh := s.core, &s.sh
	commit := records(c.Commit())
	synced, generation := c.Synced()
	switch {
	case generation < was.generation || generation == was.generation && synced < was.synced:
		s.fail("durable went back within a generation")
	case records(synced) > sh.synced && s.w.Bug == None:
		s.fail("the core takes for synced what is not")
	case c.Commit() < was.commit:
		s.fail("commit went back")
	case c.Commit() > c.Append() || c.Received() < c.Append():
		s.fail("not commit <= append <= received")
	case c.NextDeadline() <= s.now:
		s.fail("a deadline was left behind")
	case records(c.Append()) > sh.n:
		s.fail("the core's append is past the log")
	}
	s.know(commit)
	s.count(was)
}

// Event is something that exploring should have met.
type Event uint8

// The events.
const (
	Elected     Event = iota // a node began to lead
	SteppedDown              // a leader became something else
	MovedCommit              // a leader moved commit
	Repaired                 // a hole was filled from the leader's ring
	CutTail                  // a log was cut
	CutLate                  // a cut was done when the term that asked for it was over
	CaughtUp                 // records came over HTTP
	Readmitted               // a node that may have forgotten counts again
	HandedOver               // TRANSFER made a node campaign
	RefusedVote              // a vote was refused
	LateReport               // a durable report of an older generation came
	OldRun                   // a message of a process that is over came
	NumEvents
)

var eventNames = [NumEvents]string{"elected", "stepped down", "moved commit", "repaired", "cut", "cut late",
	"caught up", "readmitted", "handed over", "refused a vote", "late report", "old run"}

// String is the event's name.
func (e Event) String() string { return eventNames[e] }

// was is what a node was before a Step.
type was struct {
	role       replica.Role
	term       wire.Term
	commit     wire.Position
	recovering bool
	oldRuns    uint64
	synced     wire.Position
	generation uint64
}

func (s *site) was() was {
	c := s.core
	synced, generation := c.Synced()
	return was{c.Role(), c.Term(), c.Commit(), c.Recovering(), c.Refused(replica.RefusedRun), synced, generation}
}

// count counts the events of a Step.
func (s *site) count(was was) {
	c := s.core
	saw := func(e Event, yes bool) {
		if yes {
			s.seen[e]++
		}
	}
	saw(Elected, was.role != replica.Leader && c.Role() == replica.Leader)
	saw(SteppedDown, was.role == replica.Leader && c.Role() != replica.Leader)
	saw(MovedCommit, was.role == replica.Leader && c.Commit() > was.commit)
	saw(Readmitted, was.recovering && !c.Recovering())
	saw(CutLate, s.in.Kind == replica.InCutDone && c.Leader() == 0)
	saw(CutTail, s.in.Kind == replica.InCutDone)
	saw(CaughtUp, s.in.Kind == replica.InCaughtUp)
	saw(HandedOver, s.in.Kind == replica.InTransfer && c.Term() > was.term)
	saw(LateReport, s.in.Kind == replica.InDurable && s.in.Generation < uint64(s.sh.generation))
	saw(OldRun, c.Refused(replica.RefusedRun) > was.oldRuns)
}

// elected sees a node become leader.
func (s *site) elected(term wire.Term) {
	if s.sh.led>>term&1 != 0 {
		s.fail("a node leads a term again")
	}
	s.sh.led |= 1 << term
}

// seeLeaving sees what leaves: no term and no vote before the state file has it, one vote a term, no position that the
// log does not have.
func (s *site) seeLeaving(m *message) {
	sh := &s.sh
	choice := uint8(0)
	switch kind := replica.InputKind(m.kind); {
	case kind == replica.InCanvass:
		return
	case m.term > sh.term && m.kind < fetch && s.w.Bug == None:
		s.fail("a term leaves before it is stored")
	case kind == replica.InVoteRequest:
		choice = sh.id
	case kind == replica.InVote && m.has(flagGranted):
		choice = m.to
	case kind == replica.InVote:
		s.seen[RefusedVote]++
	case kind == replica.InStatus && m.append > sh.n:
		s.fail("a STATUS is ahead of the log")
	}
	if choice == 0 || m.term > maxTerm {
		return
	}
	if was := sh.votes[m.term]; was != 0 && was != choice {
		s.fail("a second vote in one term")
	}
	sh.votes[m.term] = choice
	if (sh.term != m.term || sh.vote != choice) && s.w.Bug == None {
		s.fail("a vote leaves before it is stored")
	}
}

// know keeps that this node takes the first n records for committed.
func (s *site) know(n uint8) {
	sh := &s.sh
	for i := range n {
		if i < sh.committed {
			if sh.commits[i] != sh.log[i] {
				s.fail("a record that this node knew to be committed is another now")
			}
			continue
		}
		sh.commits[i], sh.commitTerm[i], sh.committed = sh.log[i], uint8(s.core.Term()), i+1
	}
}
