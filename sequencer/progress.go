package sequencer

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// ack is one message whose acknowledgements are not all given, in log order.
type ack struct {
	end         wire.Position // of its record
	session     wire.SessionID
	correlation uint64
	slot        int32
	levels      wire.Levels
}

// acks is the FIFO of acknowledgements outstanding, of all sessions: one cursor for each thing that is waited for.
type acks struct {
	slots []ack
	mask  uint64

	tail       uint64 // where the next one goes
	replicated uint64 // acknowledged as replicated before this one
	durable    uint64
	committed  uint64
}

func newAcks(n int) acks { return acks{slots: make([]ack, n), mask: uint64(n - 1)} }

func (q *acks) reset() { q.tail, q.replicated, q.durable, q.committed = 0, 0, 0, 0 }

func (q *acks) full() bool {
	return q.tail-min(q.replicated, q.durable, q.committed) > q.mask
}

func (q *acks) push(a ack) {
	q.slots[q.tail&q.mask] = a
	q.tail++
}

// OnProgress tells how far a majority holds and has synced the log, beyond this term's first record, and how far it is
// committed. Acknowledgements that have become true are packed; they leave with the next DoWork.
func (s *Sequencer) OnProgress(nowNs int64, replicated, durable, commit wire.Position) {
	s.nowNs = nowNs
	s.replicated = max(s.replicated, replicated)
	s.durable = max(s.durable, durable)
	s.log.commit = max(s.log.commit, commit)
	s.noteProgress()
	q := &s.acks
	for ; q.replicated < q.tail; q.replicated++ {
		a := &q.slots[q.replicated&q.mask]
		if a.end > s.replicated && a.levels.Has(wire.LevelReplicated) && !simbug.On(simbug.AckUnreplicated) {
			break
		}
		s.reach(a, wire.LevelReplicated)
	}
	for ; q.durable < q.tail; q.durable++ {
		a := &q.slots[q.durable&q.mask]
		if a.end > s.durable && a.levels.Has(wire.LevelDurable) {
			break
		}
		s.reach(a, wire.LevelDurable)
	}
	for ; q.committed < q.tail; q.committed++ {
		a := &q.slots[q.committed&q.mask]
		if a.end > s.log.commit {
			break
		}
		if x := s.session(a); x != nil && a.correlation > x.committed {
			x.committed = a.correlation
			s.owe(x)
		}
	}
}

// reach acknowledges a message at a level that it has reached, if that was asked for.
func (s *Sequencer) reach(a *ack, level wire.Level) {
	if !a.levels.Has(level) {
		return
	}
	x := s.session(a)
	if x == nil {
		return
	}
	if e := x.entry(a.correlation); e != nil {
		s.acknowledge(x, a.correlation, e, level)
	}
}

// session returns the session of a, if it is still the one in its slot and not over.
func (s *Sequencer) session(a *ack) *session {
	x := &s.table.slots[a.slot]
	if x.id != a.session || x.state == sessionClosed {
		return nil
	}
	return x
}
