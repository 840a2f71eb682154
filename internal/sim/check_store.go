package sim

import (
	"sort"

	"lockstep/journal"
	"lockstep/wire"
)

// This file holds what nodes do with snapshots and with the oldest log against what the cluster has committed.

// storeSeen is what a member showed of what it keeps.
type storeSeen struct {
	held      map[wire.Position]bool
	floor     wire.Position
	pointAt   wire.Position
	downloads [wire.MaxNodes + 1]download // by others, of its snapshots
}

// download is a snapshot that another node reads, and until when that is to be believed.
type download struct {
	at      wire.Position
	untilNs int64
	install bool // and it wants the log behind
}

// index finds how many committed records end at or below a position, and whether one ends there.
func (c *checker) index(at wire.Position) (n int, ok bool) {
	n = sort.Search(len(c.log), func(i int) bool { return c.log[i].chain.Position > at })
	return n, at == 0 || n > 0 && c.log[n-1].chain.Position == at
}

// beginsAt gives a process that begins from a snapshot the log up to there: what is committed. False: it is not.
func (c *checker) beginsAt(m *member) bool {
	s, core := &m.seen, m.process.in.Core
	base := m.process.in.Progress.Applied()
	c.trusts(m)
	s.held = map[wire.Position]bool{}
	s.floor = wire.Position(m.counter("lockstep_log_floor_position"))
	if base == 0 {
		return true
	}
	n, ok := c.index(base)
	if !ok || core.Append() < base {
		c.w.fail("node %d begins at %d, and its log ends at %d; of the committed log, up to %d, no record ends there",
			m.id, base, core.Append(), c.end)
		return false
	}
	for i := range c.log[:n] {
		s.log = append(s.log, entry{c.log[i].chain, c.log[i].Position})
	}
	s.checked, s.commit, s.applied = n, core.Commit(), base
	if s.commit < base {
		c.w.fail("node %d begins with what is applied up to %d, and takes %d for committed", m.id, base, s.commit)
	}
	if installed := wire.Position(m.counter("lockstep_installed_position")); installed > 0 {
		c.isVerified(m, installed, "has installed")
	}
	c.w.sometimes(sometimesBegun)
	return true
}

// trusts looks for snapshots that a member takes for damaged: they must have been spoilt.
func (c *checker) trusts(m *member) {
	if n := m.counter("lockstep_snapshots_set_aside_total"); n > 0 && !m.spoilt {
		c.w.fail("node %d has set %d snapshots aside, and nothing happened to them:\n%s", m.id, n, m.log.Bytes()[m.said:])
	}
}

// isVerified holds a snapshot against what the committed log says is verified.
func (c *checker) isVerified(m *member, at wire.Position, does string) {
	man, err := m.process.in.Store.Get(at)
	if err != nil || !c.trusted(at, man.Digest) {
		c.w.fail("node %d %s the snapshot at %d, digest %x: verified is %x; %v", m.id, does, at, man.Digest, c.verified[at], err)
	}
}

// says takes note of what a record in some log calls verified.
func (c *checker) says(r *wire.Record, payload []byte) {
	var x wire.SnapshotRecord
	if r.Kind == wire.RecordSnapshot && x.Decode(payload) && x.Verified > 0 {
		c.said[x.Verified] = x.Digest
	}
}

// trusted says whether a majority came to a state: as a committed record says, or one that is in some log and may yet be cut.
func (c *checker) trusted(at wire.Position, digest uint64) bool {
	return digest != 0 && (c.verified[at] == digest || c.said[at] == digest)
}

// onPoint takes the digest of a member's whole state at a point that the log asks for.
func (c *checker) onPoint(m *member) {
	at, digest := m.process.in.Progress.Snapshot()
	if at == 0 || at == m.seen.pointAt {
		return
	}
	m.seen.pointAt = at
	c.same(m, c.digests, at, digest, "digest of its state")
	if c.points[at] == nil {
		c.points[at] = map[wire.NodeID]bool{}
	}
	c.points[at][m.id] = true
}

// onVerified takes a committed record that calls a state verified: a majority of the voters must have come to it.
func (c *checker) onVerified(r *wire.Record, payload []byte) {
	var x wire.SnapshotRecord
	if !x.Decode(payload) {
		c.w.fail("the snapshot record at %d does not decode", r.Position)
		return
	}
	if x.Verified == 0 {
		return
	}
	n := 0
	for _, m := range c.w.voters() {
		// One that has gone past it within a turn was not seen there.
		if c.points[x.Verified][m.id] || m.furthest >= x.Verified {
			n++
		}
	}
	if n <= c.w.o.Nodes/2 || len(c.points[x.Verified]) > 0 && c.digests[x.Verified] != x.Digest {
		c.w.fail("the record at %d calls %x verified at %d: %d of %d nodes have come there, to %x", r.Position, x.Digest,
			x.Verified, n, c.w.o.Nodes, c.digests[x.Verified])
	}
	c.verified[x.Verified] = x.Digest
	c.w.sometimes(sometimesVerified)
}

// downloads takes note that a node's snapshot is being downloaded.
func (c *checker) downloads(by, m *member, at wire.Position, install bool) {
	m.seen.downloads[by.id] = download{}
	if m.seen.held[at] {
		m.seen.downloads[by.id] = download{at, c.w.nowNs + c.w.o.Store.PinNs/2, install} // clocks drift
	}
}

// kept looks at what a member keeps, after its keeper's turn.
func (c *checker) kept(m *member) {
	s, p := &m.seen, m.process
	c.trusts(m)
	now := map[wire.Position]bool{}
	var verified []wire.Position
	for _, x := range p.in.Store.List() {
		at := x.Position()
		now[at] = true
		if !s.held[at] {
			n, ok := c.index(at)
			if !ok || c.log[n-1].chain != x.Chain {
				c.w.fail("node %d holds a snapshot at %d that is of no record of the committed log", m.id, at)
				return
			}
			if wire.Position(p.durable.Load()) < at && !m.installs() {
				c.w.fail("node %d has published a snapshot at %d, and synced its log up to %d", m.id, at, p.durable.Load())
			}
			c.same(m, c.digests, at, x.Digest, "snapshot's digest")
		}
		if c.trusted(at, x.Digest) {
			verified = append(verified, at)
		}
	}
	floor := wire.Position(m.counter("lockstep_log_floor_position"))
	for by, x := range s.downloads {
		if c.w.nowNs >= x.untilNs {
			continue
		}
		if !now[x.at] && !m.spoilt {
			c.w.fail("node %d has removed the snapshot at %d, which node %d downloads", m.id, x.at, by)
		}
		if x.install && floor > x.at && floor > s.floor {
			c.w.fail("node %d has dropped the log below %d, and node %d downloads its snapshot at %d", m.id, floor, by, x.at)
		}
	}
	s.held = now
	if floor > s.floor && (len(verified) < 2 || verified[len(verified)-2] < floor) {
		c.w.fail("node %d has dropped the log below %d, and holds verified snapshots at %v", m.id, floor, verified)
	}
	s.floor = floor
}

// installs says whether a member's directory holds a snapshot that its log does not reach, and says so.
func (m *member) installs() bool {
	_, asked, err := journal.ReadInstall(m.disk, nodeDir)
	return asked || err != nil
}
