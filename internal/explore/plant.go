package explore

import (
	"lockstep/replica"
	"lockstep/wire"
)

// Bug is a mistake planted between the core and the world, so that exploring can be seen to find it. The core itself
// is the one that ships.
type Bug uint8

// The planted bugs.
const (
	None          Bug = iota
	ForgetVote        // a new run does not know whom it voted for
	ForgetTerm        // a new run knows no term but its last record's
	VoteUnstored      // the state file says that it is done before it is
	AckUnsynced       // the disk says that it is done before it is
	StaleStatus       // a STATUS of an older term is taken for one of this
	OldTermCommit     // a leader commits what a majority holds, whatever its term
	StaleAlign        // an ALIGN answer is taken whatever it answers
	GhostTail         // what was cut comes back with the next run
	LateDurable       // a durable report of before a cut is taken for one of after it
	MarkLost          // a new run does not know that it may have forgotten
	numBugs
)

var bugNames = [numBugs]string{"none", "forget-vote", "forget-term", "vote-unstored", "ack-unsynced", "stale-status",
	"old-term-commit", "stale-align", "ghost-tail", "late-durable", "mark-lost"}

// String is the bug's name.
func (b Bug) String() string { return bugNames[b] }

// planted is what planted bugs remember: all zero without them.
type planted struct {
	nonce   uint64            // of this node's newest ALIGN
	run     uint8             // of the leader whose LOG it heard last
	nonces  [Nodes + 1]uint64 // of the alignments that this leader answered
	durable [Nodes + 1]uint8  // what the others reported to this leader
	commit  uint8             // what it takes for committed
	told    pending           // what the state file was said to have
	tail    uint8             // records that were on disk before a cut
	old     [maxRecords]record
}

func (p *planted) hash(h *hash, to *names) {
	if *p == (planted{}) {
		return
	}
	h.word(p.nonce)
	for n := 1; n <= Nodes; n++ {
		var was int // that has the id n now
		for i := 1; i <= Nodes; i++ {
			if to[i] == wire.NodeID(n) {
				was = i
			}
		}
		h.word(p.nonces[was])
		h.bytes(p.durable[was])
	}
	h.bytes(p.run, p.commit, p.tail, bit(p.told.on), p.told.term, uint8(to[p.told.vote]))
	h.records(&p.old, to)
}

// sending sees, and may change, what leaves.
func (p *planted) sending(s *site, m *message) {
	switch kind := replica.InputKind(m.kind); {
	case s.w.Bug == StaleAlign && kind == replica.InAlign:
		p.nonce = m.nonce
	case s.w.Bug == StaleStatus && kind == replica.InAlignAnswer && m.has(flagFound):
		p.nonces[m.to] = m.nonce
	case s.w.Bug == OldTermCommit && kind == replica.InLog:
		m.commit = max(m.commit, p.commit)
	}
}

// receiving may change what arrives.
func (p *planted) receiving(s *site, m *message) {
	kind := replica.InputKind(m.kind)
	term := uint8(s.core.Term())
	switch {
	case s.w.Bug == StaleStatus && kind == replica.InStatus && m.term < term:
		m.term, m.nonce = term, p.nonces[m.from]
	case s.w.Bug == StaleAlign && kind == replica.InLog && m.term >= term:
		p.run = m.run
	case s.w.Bug == StaleAlign && kind == replica.InAlignAnswer && s.core.Leader() != 0:
		m.from, m.run, m.term, m.nonce = uint8(s.core.Leader()), p.run, term, p.nonce
	}
}

// received sees what has arrived.
func (p *planted) received(s *site, m *message) {
	if s.w.Bug != OldTermCommit {
		return
	}
	if s.core.Role() != replica.Leader {
		p.durable, p.commit = [Nodes + 1]uint8{}, 0
		return
	}
	if replica.InputKind(m.kind) != replica.InStatus || m.nonce == 0 || m.term != uint8(s.core.Term()) {
		return
	}
	p.durable[m.from] = max(p.durable[m.from], m.durable)
	most := uint8(0)
	for _, d := range p.durable {
		most = max(most, d)
	}
	if at := min(most, s.sh.synced); at > max(p.commit, records(s.core.Commit())) {
		p.commit = at
		s.in = replica.Input{}
		s.know(at)
		s.send(message{kind: uint8(replica.InLog), term: m.term, at: s.sh.n, append: s.sh.n, commit: at, flags: flagDigest})
	}
}

// appended may tell of a sync that has not been.
func (p *planted) appended(s *site) {
	if s.w.Bug == AckUnsynced {
		s.durable(report{s.sh.n, s.sh.generation})
	}
}

// cutting sees a cut before it is carried out.
func (p *planted) cutting(s *site) {
	if s.w.Bug == GhostTail {
		p.old, p.tail = s.sh.log, s.sh.synced
		clear(p.old[p.tail:])
	}
}

// reporting may change a durable report.
func (p *planted) reporting(s *site, r *report) {
	if s.w.Bug == LateDurable {
		r.generation, r.at = s.sh.generation, min(r.at, s.sh.n)
	}
}

// acted may tell of a write that has not been.
func (p *planted) acted(s *site) {
	for s.w.Bug == VoteUnstored && s.sh.persist.on && p.told != s.sh.persist {
		p.told = s.sh.persist
		s.persisted(p.told)
	}
}

// starting may change what a new run finds.
func (p *planted) starting(s *site) {
	sh := &s.sh
	switch s.w.Bug {
	case ForgetVote:
		sh.vote = 0
	case ForgetTerm:
		sh.term, sh.vote = 0, 0
	case MarkLost:
		sh.recovering = false
	case GhostTail:
		for ; sh.n < p.tail; sh.n++ {
			sh.log[sh.n] = p.old[sh.n]
		}
	}
	*p = planted{}
}
