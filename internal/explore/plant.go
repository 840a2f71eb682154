package explore

// Bug is a mistake planted between the core and the world, so that exploring can be seen to find it. The core itself
// is the one that ships. Mistakes within the core are planted by internal/simbug, under its build tag.
type Bug uint8

// The planted bugs.
const (
	None         Bug = iota
	ForgetVote       // a new run does not know whom it voted for
	ForgetTerm       // a new run knows no term but its last record's
	VoteUnstored     // the state file says that it is done before it is
	GhostTail        // what was cut comes back with the next run
	LateDurable      // a durable report of before a cut is taken for one of after it
	MarkLost         // a new run does not know that it may have forgotten
	FetchHangs       // a catch-up of which nothing comes is not said to have failed
	numBugs
)

var bugNames = [numBugs]string{"none", "forget-vote", "forget-term", "vote-unstored", "ghost-tail",
	"late-durable", "mark-lost", "fetch-hangs"}

// String is the bug's name.
func (b Bug) String() string { return bugNames[b] }

// planted is what planted bugs remember: all zero without them.
type planted struct {
	told pending // what the state file was said to have
	tail uint8   // records that were on disk before a cut
	old  [maxRecords]record
}

func (p *planted) hash(h *hash, to *names) {
	if *p == (planted{}) {
		return
	}
	h.bytes(p.tail, bit(p.told.on), p.told.term, uint8(to[p.told.vote]))
	h.records(&p.old, to)
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
