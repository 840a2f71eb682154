package sim

import (
	"context"
	"errors"

	"lockstep/node"
	"lockstep/wire"
)

// errServer says that nobody answers.
var errServer = errors.New("sim: no answer")

// errSpoilt says that what was read is not what was written.
var errSpoilt = errors.New("sim: other bytes than were written")

// fetch is replica.Fetch: log bytes of another node's disk, as its control plane serves them.
func (m *member) fetch(_ context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
	sink func([]byte) error) error {
	m.w.count.Fetches++
	if term > 0 { // else it mends
		m.fetches++
		m.fetchTerm = term
	}
	s := m.w.members[server-1]
	for from < until {
		if !m.reaches(s) {
			return errServer
		}
		if d := &s.seen.downloads[m.id]; from >= d.at {
			d.install = false // it is installed
		}
		body, err := s.process.node.LogFor(m.id, term, from, until)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return errServer
		}
		c := s.process.in.Core
		if end := from + wire.Position(len(body)); end > c.Commit() && (!s.leads() || c.Term() != term) {
			m.w.fail("node %d serves up to %d, and knows that %d is committed", s.id, end, c.Commit())
		}
		for len(body) > 0 {
			n := min(len(body), 8<<10) // the rings of small worlds are small
			if err := sink(body[:n]); err != nil {
				return err
			}
			from += wire.Position(n)
			body = body[n:]
		}
	}
	return nil
}

// reaches says whether a request to another node's control plane is answered.
func (m *member) reaches(s *member) bool {
	cut := m.w.net.links[m.end.number][s.end.number].cut || m.w.net.links[s.end.number][m.end.number].cut
	return s.process != nil && !cut && s.process.pausedNs[agentNode] <= m.w.nowNs && !m.w.net.hit(m.w.net.o.Loss)
}

// offers is node.Machine.Snapshots: what another node says of its log and snapshots.
func (m *member) offers(_ context.Context, server wire.NodeID) (node.Listing, error) {
	if s := m.w.members[server-1]; m.reaches(s) {
		return s.process.node.Listing(), nil
	}
	return node.Listing{}, errServer
}

// snapshotData is node.Machine.SnapshotData: bytes of a snapshot of another node.
func (m *member) snapshotData(_ context.Context, server wire.NodeID, r node.SnapshotRange, b []byte) (int, error) {
	s := m.w.members[server-1]
	if !m.reaches(s) {
		return 0, errServer
	}
	m.w.check.downloads(m, s, r.At, r.Install)
	return s.process.node.SnapshotBytes(m.id, r, b)
}

// readLog reads a part of the log from the disk.
func (m *member) readLog(from, end wire.Position) ([]byte, error) {
	r, err := m.process.node.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.SetLimit(end)
	b := make([]byte, end-from)
	for at := 0; at < len(b); {
		n, err := r.ReadRange(from+wire.Position(at), b[at:])
		if err != nil {
			return nil, err
		}
		at += n
	}
	return b, nil
}
