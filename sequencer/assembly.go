package sequencer

import (
	"lockstep/internal/simbug"
	"lockstep/wire"
)

// assembly is a message being put together from its fragments: always the one that its session is to have sequenced
// next.
type assembly struct {
	owner   int32 // slot of the session; -1: nobody's
	service uint16
	movedNs int64 // when it last got further
	wire.Assembly
}

// assemblies are all there are, of all sessions. A session holds one at most (session.assembly).
type assemblies struct {
	all  []assembly
	free []int32
	max  int // bytes of the longest message
}

func newAssemblies(n, maxMessage int) assemblies {
	q := assemblies{all: make([]assembly, n), free: make([]int32, 0, n), max: maxMessage}
	q.reset()
	return q
}

// reset takes all of them away. The sessions are forgotten with it.
func (q *assemblies) reset() {
	q.free = q.free[:0]
	for i := len(q.all) - 1; i >= 0; i-- {
		q.all[i].owner = -1
		q.free = append(q.free, int32(i))
	}
}

// of returns what a session has put together so far, or nil.
func (q *assemblies) of(x *session) *assembly {
	if x.assembly == 0 || q.all[x.assembly-1].owner != x.slot {
		return nil
	}
	return &q.all[x.assembly-1]
}

// take gives a session an assembly, if need be the one that has not got further for longest, if that is long enough;
// nil when there is none to be had.
func (q *assemblies) take(t *table, x *session, nowNs, idleNs int64) *assembly {
	if len(q.free) == 0 {
		oldest := &q.all[0]
		for i := range q.all {
			if q.all[i].movedNs < oldest.movedNs {
				oldest = &q.all[i]
			}
		}
		if nowNs-oldest.movedNs < idleNs {
			return nil
		}
		q.drop(&t.slots[oldest.owner])
	}
	i := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	x.assembly = i + 1
	a := &q.all[i]
	a.owner, a.movedNs = x.slot, nowNs
	return a
}

// drop takes away what a session has, if it has one.
func (q *assemblies) drop(x *session) {
	if a := q.of(x); a != nil {
		a.owner = -1
		q.free = append(q.free, x.assembly-1)
	}
	x.assembly = 0
}

// fragment takes a part of the session's next message, and sequences the message when it is whole. It returns why that
// is busy, then nothing was taken, and gap when something before this part is missing.
func (s *Sequencer) fragment(x *session, m *wire.Message, part []byte) (busy wire.Refusal, gap bool) {
	a := s.assemblies.of(x)
	switch {
	case s.judge(m, int(m.Fragment.Total)) != wire.RefusalNone:
		return s.sequence(x, m, nil), false
	case a != nil && (a.Total() != m.Fragment.Total || a.service != m.Service):
		return s.refuseNext(x, m, wire.RefusalMalformed), false
	case a == nil && s.obstacle != wire.RefusalNone:
		return s.obstacle, false
	case a == nil:
		if a = s.assemblies.take(&s.table, x, s.nowNs, assemblyIdleNs); a == nil {
			return wire.RefusalBusyAssemblies, false
		}
		a.Begin(m.Fragment.Total, s.assemblies.max)
		a.service = m.Service
	}
	s.meters.fragments.Inc()
	if a.Add(m.Fragment.Offset, part) {
		a.movedNs = s.nowNs
	}
	if simbug.On(simbug.FragmentSkipped) {
		a.Skip(m.Fragment.Offset, part)
	}
	if !a.Whole() {
		return wire.RefusalNone, m.Fragment.Offset > a.Have()
	}
	if busy = s.sequence(x, m, a.Payload()); busy == wire.RefusalNone {
		s.meters.assembled.Inc()
	}
	return busy, false
}
