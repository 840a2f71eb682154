package service

import (
	"cmp"
	"math/bits"
	"slices"

	"lockstep/wire"
)

// session is what the log says about one client. It is the judge of duplicates.
type session struct {
	id          wire.SessionID
	token       uint64
	window      uint32
	correlation uint64 // of the last message applied
	name        []byte
	kept        kept
	refused     refused
	closing     bool   // its kept responses overflowed: it closes with the record being applied
	largest     uint32 // bytes of responses that one message has caused to it of late, and
	most        uint32 // how many of them; 0: it has sent none
}

// learn notes what one message has caused: a maximum that fades by a sixteenth with each message.
func (s *session) learn(responses, bytes uint32) {
	s.largest = max(bytes, s.largest-(s.largest+15)/16)
	s.most = max(responses, 1, s.most-(s.most+15)/16)
}

// tell fills in what an ingress is to know of what is kept for the session.
func (s *session) tell(e *Egress) {
	e.Acked, e.Kept, e.Largest, e.Most = s.kept.acked, s.kept.used(), s.largest, s.most
}

// refused remembers the newest messages of a session that took no effect, and why: whoever leads next answers their
// repeats with it. A ring that doubles up to the limit of responses kept.
type refused struct {
	list  []refusal
	count uint64 // of all there ever were
	most  *Limits
}

type refusal struct {
	correlation uint64
	code        wire.Refusal
}

func (r *refused) add(correlation uint64, code wire.Refusal) {
	if n := len(r.list); r.count == uint64(n) && n < r.most.KeptResponses {
		r.grow(uint64(n + 1))
	}
	r.count++
	*r.at(r.count - 1) = refusal{correlation, code}
}

// grow makes room for n, or for as many as are remembered. Until then none was overwritten: each keeps its slot.
func (r *refused) grow(n uint64) {
	n = min(max(uint64(1)<<bits.Len64(n-1), firstResponses), uint64(r.most.KeptResponses))
	list := make([]refusal, n)
	copy(list, r.list)
	r.list = list
}

// again is the same for another session, with as much of the memory as may be kept.
func (r *refused) again() refused {
	if len(r.list) > firstResponses {
		return refused{most: r.most}
	}
	return refused{list: r.list, most: r.most}
}

// first is the number, counted from 0, of the oldest that is remembered.
func (r *refused) first() uint64 { return r.count - min(r.count, uint64(len(r.list))) }

func (r *refused) at(n uint64) *refusal { return &r.list[n&uint64(len(r.list)-1)] }

// table holds the open sessions. It allocates when one opens and the memory of a closed one cannot be reused, and when
// more is kept for one than ever before.
type table struct {
	limits Limits
	byID   map[wire.SessionID]*session
	last   *session // found last, and open; nil: none. What a record causes is mostly about the session that sent it
	free   []*session
	sorted []*session // room for the dump
}

func newTable(l Limits) *table {
	return &table{
		limits: l,
		byID:   make(map[wire.SessionID]*session, l.Sessions),
		free:   make([]*session, 0, l.Sessions),
		sorted: make([]*session, 0, l.Sessions),
	}
}

// find returns an open session, or nil.
func (t *table) find(id wire.SessionID) *session {
	if t.last != nil && t.last.id == id {
		return t.last
	}
	s := t.byID[id]
	if s != nil {
		t.last = s
	}
	return s
}

func (t *table) count() int { return len(t.byID) }

func (t *table) full() bool { return len(t.byID) >= t.limits.Sessions }

// open adds a session; the caller has checked that there is room and that the id is new.
func (t *table) open(id wire.SessionID, token uint64, window uint32, name []byte) *session {
	var s *session
	if n := len(t.free); n > 0 {
		s = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		s = &session{kept: newKept(&t.limits), refused: refused{most: &t.limits}}
	}
	s.id, s.token, s.window, s.name = id, token, window, append(s.name[:0], name...)
	t.byID[id] = s
	return s
}

// close removes a session. The pointer must not be used afterwards.
func (t *table) close(s *session) {
	delete(t.byID, s.id)
	t.last = nil
	*s = session{name: s.name[:0], kept: s.kept.again(), refused: s.refused.again()}
	t.free = append(t.free, s)
}

// reset closes all sessions.
func (t *table) reset() {
	for _, s := range t.ascending() {
		t.close(s)
	}
}

// ascending returns the open sessions by id. The slice is good until the next call.
func (t *table) ascending() []*session {
	t.sorted = t.sorted[:0]
	for _, s := range t.byID {
		t.sorted = append(t.sorted, s)
	}
	slices.SortFunc(t.sorted, func(a, b *session) int { return cmp.Compare(a.id, b.id) })
	return t.sorted
}
