package sim

import (
	"cmp"

	"lockstep/journal"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// entry is a record of the log as a checker sees it.
type entry struct {
	chain wire.Chain // behind it
	at    wire.Position
}

// place names bytes of the log: whoever holds a record of a term at a position holds the same.
type place struct {
	at   wire.Position
	term wire.Term
}

// observed is what a member showed last.
type observed struct {
	log      []entry // of this process, from the beginning
	checked  int     // of them are compared with what the cluster has committed
	role     replica.Role
	term     wire.Term
	commit   wire.Position
	applied  wire.Position
	durable  uint64
	journalG uint64
	cuts     uint64
	leadNs   int64 // when it began to lead
	// recovering: it was, at some time; its directory may say so a little longer than it is.
	recovering bool
	status     report
	storeSeen

	replicated, majority wire.Position // what a leader takes for held and synced by a majority
	caughtUp, fetches    uint64
	counted              [wire.MaxNodes + 1]progress // what a leader counts of the others
	stateAt              wire.Position
	hashAt               wire.Position
}

// report is what a STATUS said.
type report struct {
	term            wire.Term
	generation      uint64
	append, durable wire.Position
}

// reporter is who reports in a term.
type reporter struct {
	term wire.Term
	node wire.NodeID
}

// progress is the most that was reported.
type progress struct{ append, durable wire.Position }

// committed is a record that the cluster has committed.
type committed struct {
	wire.Record
	chain wire.Chain
	by    wire.Term // whose leader committed it
}

// leadership is who led a term.
type leadership struct {
	node        wire.NodeID
	incarnation uint64
	run         uint32
}

// ballot is a vote that was given: one for each term and incarnation.
type ballot struct {
	incarnation uint64
	term        wire.Term
}

// deed is a message that took effect.
type deed struct {
	session     wire.SessionID
	correlation uint64
}

// modelSession is what the log says about a session.
type modelSession struct {
	next   uint64
	token  uint64
	closed bool
}

// checker holds what must be true against what is.
type checker struct {
	w        *World
	leaders  map[wire.Term]leadership
	votes    map[ballot]transport.Addr
	reports  map[reporter]progress
	shown    map[uint64]wire.Term // highest, by incarnation
	places   map[place]uint32     // checksums
	log      []committed
	payloads [][]byte
	bytes    committedLog
	end      wire.Position
	byAt     map[wire.Position]int
	deeds    map[deed]int // index in log
	model    map[wire.SessionID]*modelSession
	over     map[uint64]bool // tokens of sessions that were closed
	byID     map[wire.SessionID]*session
	states   map[wire.Position]uint64
	hashes   map[wire.Position]uint64
	digests  map[wire.Position]uint64
	said     map[wire.Position]uint64               // what any record calls verified, committed or not
	points   map[wire.Position]map[wire.NodeID]bool // whose digests were seen
	verified map[wire.Position]uint64               // as the committed log says
	fires    map[uint64]uint64                      // timers by the record that set them: the record that fired them
	scratch  []byte
	valid    wire.Validator
	settleNs int64
}

func (c *checker) init(w *World) {
	*c = checker{w: w, leaders: map[wire.Term]leadership{}, votes: map[ballot]transport.Addr{},
		reports: map[reporter]progress{}, shown: map[uint64]wire.Term{}, places: map[place]uint32{},
		byAt: map[wire.Position]int{}, deeds: map[deed]int{}, model: map[wire.SessionID]*modelSession{},
		over: map[uint64]bool{}, byID: map[wire.SessionID]*session{}, states: map[wire.Position]uint64{}, hashes: map[wire.Position]uint64{},
		fires: map[uint64]uint64{}, digests: map[wire.Position]uint64{}, said: map[wire.Position]uint64{},
		points:   map[wire.Position]map[wire.NodeID]bool{},
		verified: map[wire.Position]uint64{}}
	c.valid = wire.Validator{Cluster: clusterID, Self: wire.MaxNodes} // a node that there is not
	for i := 1; i <= w.o.Nodes+w.o.Learners; i++ {
		c.valid.Nodes[i] = true
	}
}

// walk takes records into what is known of a member's log.
func (c *checker) walk(m *member, b []byte) {
	s := &m.seen
	var chain wire.Chain
	if n := len(s.log); n > 0 {
		chain = s.log[n-1].chain
	}
	for len(b) > 0 {
		var r wire.Record
		at := chain.Position
		n, verdict := chain.Verify(b, &r)
		if verdict != wire.VerdictOK {
			c.w.fail("node %d: the record at %d of its log: %v", m.id, at, verdict)
			return
		}
		key := place{at, r.Term}
		if sum, known := c.places[key]; known && sum != chain.Checksum {
			c.w.fail("node %d: two records of term %d at position %d", m.id, r.Term, at)
			return
		}
		c.places[key] = chain.Checksum
		c.says(&r, wire.Payload(b, &r))
		s.log = append(s.log, entry{chain, at})
		c.w.count.Records++
		b = b[n:]
	}
}

// observe looks at a member after a turn.
func (m *member) observe() {
	p, s, c := m.process, &m.seen, &m.w.check
	core := p.in.Core
	if n := p.journalG.Load(); n != s.journalG {
		s.journalG, s.durable = n, p.durable.Load()
	}
	if n := p.durable.Load(); n != s.durable {
		if n < s.durable {
			m.w.fail("node %d: durable went from %d to %d within generation %d", m.id, s.durable, n, s.journalG)
		}
		s.durable = n
	}
	if !m.observeLog() {
		return
	}
	if core.Term() < s.term {
		m.w.fail("node %d: term went from %d to %d", m.id, s.term, core.Term())
	}
	if role := core.Role(); role != s.role || core.Term() != s.term {
		c.onRole(m, role, core.Term())
	}
	c.onCommit(m, core.Commit())
	c.onApplied(m)
	if core.Role() == replica.Leader {
		c.progress(m)
		c.counts(m)
	}
	if m.observeAdmission() {
		if m.impaired = m.impaired && (m.stepsLeft > 0 || m.storeSteps > 0 || m.diskBad || m.markedRecovering() || m.isRotten() || m.isSpoilt()); !m.impaired {
			m.lost = nil
		}
	}
	m.marked = min(m.marked, core.Append())
}

// observeAdmission takes note of whether the cluster counts a member; false as long as that is not known.
func (m *member) observeAdmission() bool {
	core := m.process.in.Core
	if core.Recovering() {
		m.seen.recovering = true
		m.impaired = true
		return false
	}
	if core.Commit() == 0 || !core.Admitted() {
		return false
	}
	m.wiped, m.joined = false, true
	return true
}

// observeLog takes what a member has cut and appended since the last look.
func (m *member) observeLog() bool {
	p, s, c := m.process, &m.seen, &m.w.check
	core := p.in.Core
	if n := p.cuts.Load(); n != s.cuts || core.Append() < m.logEnd() {
		m.w.count.Cuts += n - s.cuts
		s.cuts = n
		before := m.logEnd()
		c.afterCut(m)
		if m.logEnd() < before {
			m.w.afterCut(m)
		}
	}
	if end := core.Append(); end > m.logEnd() {
		from := m.logEnd()
		c.scratch = append(c.scratch[:0], make([]byte, end-from)...)
		if !p.in.Ring.Copy(c.scratch, uint64(from)) {
			m.w.fail("node %d: [%d, %d) is not in its ring", m.id, from, end)
			return false
		}
		c.walk(m, c.scratch)
	}
	return true
}

// markedRecovering says whether a member's directory says that it may have forgotten: a little longer than the node is
// recovering, and a start in between is a recovering one.
func (m *member) markedRecovering() bool {
	_, marked, err := journal.IsRecovering(m.disk, nodeDir)
	return marked || err != nil
}

func (m *member) logEnd() wire.Position {
	if n := len(m.seen.log); n > 0 {
		return m.seen.log[n-1].chain.Position
	}
	return 0
}

// afterCut forgets what a member no longer has, or has anew.
func (c *checker) afterCut(m *member) {
	s, in := &m.seen, &m.process.in
	for len(s.log) > 0 {
		last := &s.log[len(s.log)-1]
		if last.chain.Position <= in.Core.Append() {
			head := make([]byte, wire.RecordHeaderSize)
			if uint64(last.at) < in.Ring.Floor() || in.Ring.Copy(head, uint64(last.at)) {
				var r wire.Record
				wire.DecodeRecord(head, &r)
				if uint64(last.at) < in.Ring.Floor() || r.Checksum == last.chain.Checksum {
					break
				}
			}
		}
		s.log = s.log[:len(s.log)-1]
	}
	if s.checked > len(s.log) {
		c.w.fail("node %d: it cut below its commit %d, to %d", m.id, s.commit, m.logEnd())
		s.checked = len(s.log)
	}
}

// onRole looks at a change of role: a leader must have all that was committed before its term.
func (c *checker) onRole(m *member, role replica.Role, term wire.Term) {
	s := &m.seen
	id := m.process.in.Identity
	if s.role == replica.Leader && role != replica.Leader {
		c.w.sometimes(sometimesStepDowns)
	}
	if role == replica.Leader {
		s.leadNs = c.w.nowNs
		c.leads(term, leadership{id.Node, id.Incarnation, id.Run})
		for i := range c.log {
			if x := &c.log[i]; x.by < term && (i >= len(s.log) || s.log[i].chain.Checksum != x.chain.Checksum) {
				c.w.fail("node %d leads term %d without the record at %d, which term %d committed", m.id, term, x.Position, x.by)
				break
			}
		}
	}
	s.role, s.term = role, term
}

// onCommit holds what a member takes as committed against what the cluster has committed.
func (c *checker) onCommit(m *member, commit wire.Position) {
	s := &m.seen
	if commit == s.commit {
		return
	}
	core := m.process.in.Core
	if commit < s.commit || commit > core.Append() {
		c.w.fail("node %d: commit went from %d to %d, append is %d", m.id, s.commit, commit, core.Append())
		return
	}
	s.commit = commit
	for s.checked < len(s.log) && s.log[s.checked].chain.Position <= commit {
		e := &s.log[s.checked]
		if s.checked < len(c.log) {
			if x := &c.log[s.checked]; x.chain != e.chain {
				c.w.fail("node %d commits another record at %d than the cluster: sequence %d term %d, not sequence %d term %d",
					m.id, e.at, e.chain.Sequence, e.chain.Term, x.chain.Sequence, x.chain.Term)
				return
			}
		} else if !c.extend(m, e, core.Term()) {
			return
		}
		s.checked++
	}
	if s.checked == 0 || s.log[s.checked-1].chain.Position != commit {
		c.w.fail("node %d: commit %d is not the end of a record", m.id, commit)
		return
	}
	if last := s.log[s.checked-1].chain; core.Role() == replica.Leader && last.Term != core.Term() {
		c.w.fail("node %d: as leader of term %d it commits up to %d, in term %d", m.id, core.Term(), commit, last.Term)
	}
}

// extend takes a record that is committed for the first time, as the services are to see it.
func (c *checker) extend(m *member, e *entry, by wire.Term) bool {
	b, err := c.bytesOf(m, e)
	if err != nil {
		c.w.fail("node %d: committed record at %d cannot be read: %v", m.id, e.at, err)
		return false
	}
	var r wire.Record
	wire.DecodeRecord(b, &r)
	payload := wire.Payload(b, &r)
	if n := c.holders(len(c.log), e); c.w.o.Rule == "durable" && n <= c.w.o.Nodes/2 {
		c.w.fail("node %d commits the record at %d, which %d of %d nodes have synced", m.id, e.at, n, c.w.o.Nodes)
		return false
	}
	c.byAt[e.at] = len(c.log)
	c.log = append(c.log, committed{r, e.chain, by})
	c.payloads = append(c.payloads, payload)
	c.bytes = append(c.bytes, b...)
	c.end = e.chain.Position
	c.w.count.Committed++
	c.apply(&r, payload)
	return c.w.failure == nil
}

// bytesOf reads a record of a member's log: from its ring or its disk, or, if that is spoilt, from another's.
func (c *checker) bytesOf(m *member, e *entry) ([]byte, error) {
	b := make([]byte, e.chain.Position-e.at)
	if m.process.in.Ring.Copy(b, uint64(e.at)) {
		return b, nil
	}
	b, err := m.readLog(e.at, e.chain.Position)
	for _, other := range c.w.members {
		var r wire.Record
		if _, v := wire.VerifyAlone(b, &r); err == nil && v == wire.VerdictOK && r.Checksum == e.chain.Checksum {
			return b, nil
		}
		if m.isRotten() && other.process != nil {
			b, err = other.readLog(e.at, e.chain.Position)
		}
	}
	return nil, cmp.Or(err, errSpoilt)
}

// onApplied holds the services' states against each other.
func (c *checker) onApplied(m *member) {
	s, p := &m.seen, m.process.in.Progress
	applied := p.Applied()
	if applied < s.applied || applied > s.commit {
		c.w.fail("node %d: applied went from %d to %d, commit is %d", m.id, s.applied, applied, s.commit)
	}
	if applied == s.applied {
		return
	}
	s.applied = applied
	m.furthest = max(m.furthest, applied)
	if !m.wrong {
		c.onPoint(m)
	}
	if h := m.process.in.Driver.Status().Halt; h != nil {
		c.w.fail("node %d: %v", m.id, h)
	}
	if at, hash := p.StateHash(); at != s.stateAt {
		s.stateAt = at
		c.same(m, c.states, at, hash, "state")
	}
	if at, hash := p.HashAt(); at != s.hashAt && !m.wrong {
		s.hashAt = at
		c.same(m, c.hashes, at, hash, "output")
	}
}

func (c *checker) same(m *member, known map[wire.Position]uint64, at wire.Position, hash uint64, what string) {
	if other, ok := known[at]; ok && other != hash {
		c.w.fail("node %d: its %s hash at %d is %x, another's is %x", m.id, what, at, hash, other)
	}
	known[at] = hash
}
