package sim

import (
	"sort"

	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// kindOffset is where a datagram says what it is.
const kindOffset = 13

// onDatagram looks at what a node sends: one sender of LOG a term, one vote a term.
func (c *checker) onDatagram(from *endpoint, to transport.Addr, b []byte) {
	if from.number >= len(c.w.members) {
		return
	}
	var h wire.Header
	body, drop := c.valid.Validate(b, &h)
	if drop != wire.DropNone {
		if len(b) >= wire.DatagramHeaderSize && wire.DatagramKind(b[kindOffset]) == wire.DatagramRedirect {
			c.w.sometimes(sometimesRedirects)
		}
		return // for clients
	}
	if h.Kind != wire.DatagramCanvass { // which asks about a term that is nobody's yet
		c.shown[h.Incarnation] = max(c.shown[h.Incarnation], h.Term)
	}
	m := c.w.members[from.number]
	switch h.Kind {
	case wire.DatagramStatus:
		var st wire.Status
		if st.Decode(body) {
			c.onStatus(m, h.Term, &st)
		}
	case wire.DatagramLog:
		c.leads(h.Term, leadership{wire.NodeID(h.Sender), h.Incarnation, h.Run})
	case wire.DatagramVote:
		var a wire.BallotAnswer
		if !a.Decode(body) || !a.Granted {
			return
		}
		key := ballot{h.Incarnation, a.Term}
		if other, voted := c.votes[key]; voted && other != to {
			c.w.fail("node %d votes twice in term %d: for %v, then for %v", h.Sender, a.Term, other, to)
		}
		c.votes[key] = to
		if m.wiped {
			c.w.fail("node %d votes in term %d, and its directory is new and not admitted", m.id, a.Term)
		}
		c.shown[h.Incarnation] = max(c.shown[h.Incarnation], a.Term)
	}
}

// onStatus looks at a report: it must be true, and in one term and generation nothing goes back.
func (c *checker) onStatus(m *member, term wire.Term, st *wire.Status) {
	if m.process == nil || st.Aligned == 0 { // one that is not aligned counts for nothing, and may be within a cut
		return
	}
	if m.process.cuts.Load() != m.process.cutsDone.Load() {
		c.w.fail("node %d reports to the leader of term %d while its cut is under way", m.id, term)
	}
	said := c.reports[reporter{term, m.id}]
	c.reports[reporter{term, m.id}] = progress{max(said.append, st.Append), max(said.durable, st.Durable)}
	if uint64(st.Durable) > m.process.durable.Load() {
		c.w.fail("node %d reports %d as durable, and has synced %d", m.id, st.Durable, m.process.durable.Load())
	}
	last := &m.seen.status
	if last.term == term && last.generation == st.Generation && (st.Append < last.append || st.Durable < last.durable) {
		c.w.fail("node %d reports %d, %d synced, after %d, %d synced, in term %d, generation %d", m.id,
			st.Append, st.Durable, last.append, last.durable, term, st.Generation)
	}
	*last = report{term, st.Generation, st.Append, st.Durable}
}

// leads takes note of who leads a term: one process, once.
func (c *checker) leads(term wire.Term, who leadership) {
	before, known := c.leaders[term]
	if known && before != who {
		c.w.fail("two leaders in term %d: node %d run %d and node %d run %d",
			term, before.node, before.run, who.node, who.run)
	}
	if !known {
		c.leaders[term] = who
		c.w.count.Leaders++
	}
}

// holders counts who has synced a record, for the commit rule: those that are down by what they had. One that has lost
// something since may have reported it before: the budget has room for it. One that is to be admitted is not counted.
func (c *checker) holders(i int, e *entry) int {
	n := 0
	for _, m := range c.w.voters() {
		if m.held(i, e) {
			n++
		}
	}
	return n
}

func (m *member) held(i int, e *entry) bool {
	has := func(log []entry) bool { return i < len(log) && log[i].chain == e.chain }
	for _, log := range m.lost {
		if has(log) {
			return true
		}
	}
	switch p := m.process; {
	case p == nil:
		return has(m.seen.log) && !m.wiped
	case p.in.Core.Recovering():
		return false
	default:
		return has(m.seen.log) && p.durable.Load() >= uint64(e.chain.Position)
	}
}

// counts holds what a leader counts of the others against what they have reported in its term.
func (c *checker) counts(m *member) {
	core := m.process.in.Core
	for _, other := range c.w.members {
		append, durable := core.Counted(other.id)
		counted := &m.seen.counted[other.id]
		if other == m || *counted == (progress{append, durable}) {
			continue
		}
		*counted = progress{append, durable}
		said := c.reports[reporter{core.Term(), other.id}]
		if append > said.append || durable > said.durable {
			c.w.fail("node %d, leader of term %d, counts node %d for %d, %d synced, of which it has reported %d, %d synced",
				m.id, core.Term(), other.id, append, durable, said.append, said.durable)
		}
	}
}

// progress looks at what a leader takes for held, and for synced, by a majority.
func (c *checker) progress(m *member) {
	s, core := &m.seen, m.process.in.Core
	for _, x := range []struct {
		what string
		at   wire.Position
		seen *wire.Position
		held func(*member, int, *entry) bool
	}{
		{"held", core.Replicated(), &s.replicated, (*member).had},
		{"synced", core.Durable(), &s.majority, (*member).held},
	} {
		before := *x.seen
		*x.seen = x.at
		if x.at <= before { // 0 with every leadership anew
			continue
		}
		i := sort.Search(len(s.log), func(i int) bool { return s.log[i].chain.Position >= x.at })
		if i == len(s.log) {
			c.w.fail("node %d takes %d as %s by a majority, and its log ends at %d", m.id, x.at, x.what, m.logEnd())
			return
		}
		n := 0
		for _, other := range c.w.voters() {
			if x.held(other, i, &s.log[i]) {
				n++
			}
		}
		if n <= c.w.o.Nodes/2 {
			c.w.fail("node %d, leader of term %d, takes the record at %d as %s by a majority: by %d of %d it is",
				m.id, core.Term(), s.log[i].at, x.what, n, c.w.o.Nodes)
		}
	}
}

// had says whether a node has, or had in an earlier process, a record in memory.
func (m *member) had(i int, e *entry) bool {
	for _, log := range m.past {
		if i < len(log) && log[i].chain == e.chain {
			return true
		}
	}
	return i < len(m.seen.log) && m.seen.log[i].chain == e.chain
}

// caughtUp looks for bytes of a catch-up that were taken in another term than they were fetched for.
func (c *checker) caughtUp(m *member, began wire.Term) {
	taken := m.process.caughtUp.Load()
	if taken > m.seen.caughtUp && m.fetches == m.seen.fetches && began != m.fetchTerm {
		c.w.fail("node %d takes bytes in term %d that it fetched in term %d", m.id, began, m.fetchTerm)
	}
	m.seen.caughtUp, m.seen.fetches = taken, m.fetches
}

// heard looks at a leader that nobody speaks to: it must have stepped down.
func (c *checker) heard(m *member) {
	w := c.w
	patience := 2*w.o.TimeoutMaxMs*1e6 + 10*w.o.IdleTickNs
	if m.process.in.Core.Role() != replica.Leader || w.nowNs-m.seen.leadNs < patience {
		return
	}
	near := 1
	for _, other := range w.voters() {
		if other != m && w.nowNs-w.net.heardNs[m.end.number][other.end.number] < patience {
			near++
		}
	}
	if near <= w.o.Nodes/2 {
		w.fail("node %d leads term %d and has heard %d of %d nodes for %d ms",
			m.id, m.process.in.Core.Term(), near, w.o.Nodes, patience/1e6)
	}
}
