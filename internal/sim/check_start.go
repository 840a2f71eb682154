package sim

import "bytes"

// onStart reads the log that a process begins with.
func (c *checker) onStart(m *member) {
	end := m.process.in.Core.Append()
	prior := m.seen.log
	m.past = append(m.past, prior)
	if m.impaired {
		m.lost = append(m.lost, prior)
	}
	if m.process.in.Core.Recovering() && !m.impaired && !m.diskBad && !m.seen.recovering {
		c.w.fail("node %d starts as if it had forgotten something, and nothing happened to it:\n%s", m.id, m.log.Bytes()[m.said:])
	}
	m.seen = observed{}
	for what, outcome := range map[int]string{sometimesTorn: ": torn at ", sometimesDamaged: ": damaged at "} {
		if bytes.Contains(m.log.Bytes()[m.said:], []byte(outcome)) {
			c.w.sometimes(what)
		}
	}
	if !c.beginsAt(m) {
		return
	}
	b, err := m.readLog(m.logEnd(), end)
	if err != nil {
		c.w.fail("node %d: the log that it starts with cannot be read: %v", m.id, err)
		return
	}
	c.walk(m, b)
	c.remembers(m)
	c.resurrects(m, prior)
	m.seen.durable = m.process.durable.Load()
	if m.process.in.Core.Recovering() {
		c.w.count.Recovered++
	}
}

// remembers holds what a process starts with against what earlier ones of its directory have shown and reported.
func (c *checker) remembers(m *member) {
	core, id := m.process.in.Core, m.process.in.Identity
	if shown := c.shown[id.Incarnation]; core.Term() < shown {
		c.w.fail("node %d starts in term %d, and has been in term %d", m.id, core.Term(), shown)
	}
	mustRecover := m.wiped || m.crashed && c.w.crashForgets()
	if mustRecover && !core.Recovering() && c.w.o.Nodes > 1 && !m.learner {
		c.w.fail("node %d starts as if it had forgotten nothing", m.id)
	}
	if core.Append() < m.reported && !core.Recovering() && !m.learner {
		c.w.fail("node %d starts with a log that ends at %d, and had reported %d as durable", m.id, core.Append(), m.reported)
	}
	m.crashed, m.reported = false, 0
}

// resurrects looks for records that the process before did not have when it ended: they had been cut.
func (c *checker) resurrects(m *member, prior []entry) {
	if !m.complete {
		return
	}
	m.complete = false
	for i, e := range m.seen.log {
		if i < m.seen.checked {
			continue // what is in its snapshot is committed
		}
		if i >= len(prior) || prior[i].chain != e.chain {
			c.w.fail("node %d starts with a record at %d that it did not have when it ended", m.id, e.at)
			return
		}
	}
}
