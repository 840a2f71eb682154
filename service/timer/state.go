package timer

import (
	"bytes"
	"slices"

	"lockstep/internal/watch"
	"lockstep/service"
	"lockstep/service/slab"
	"lockstep/wire"
)

// entry is one timer that is pending.
type entry struct {
	id            uint64 // sequence of the record that started it
	due           uint64
	intervalNs    uint64         // 0: it fires once
	number        uint64         // of the period that ends when it is due, from 1
	count         uint64         // periods; 0: no end
	session       wire.SessionID // owner; 0: kept
	owner         uint32         // place of its owner
	sum           uint64         // hash of the name
	payloadSum    uint64
	length        uint8
	payloadLength uint16
	name          [MaxName]byte
	payload       [MaxPayload]byte
}

func (e *entry) text() []byte { return e.name[:e.length] }

// firings is how often it fires in a second, rounded up; 0: once.
func (e *entry) firings() uint64 { return firings(e.intervalNs / nsPerMs) }

// firings is how often a timer of an interval fires in a second, rounded up; 0: once.
func firings(intervalMs uint64) uint64 {
	if intervalMs == 0 {
		return 0
	}
	return (999 + intervalMs) / intervalMs
}

// owner is a session that has timers.
type owner struct {
	session wire.SessionID
	timers  slab.List
}

// state is all that the service holds. Places of arrays are numbered from 1.
type state struct {
	entries []entry
	pool    slab.Pool // its lists are those of owners
	byID    slab.Table
	byName  slab.Table
	ordered []uint32 // timers by name

	owners    []owner
	ownerPool slab.Pool
	byOwner   slab.Table

	watches *watch.List // who has subscribed to which names

	firings uint64 // a second, of all timers
	sum     uint64 // of the hashes of timers
}

func newState(o *Options) state {
	return state{
		entries: make([]entry, o.Timers+1), pool: slab.NewPool(o.Timers), byID: slab.NewTable(o.Timers),
		byName: slab.NewTable(o.Timers), ordered: make([]uint32, 0, o.Timers),
		owners: make([]owner, o.Timers+1), ownerPool: slab.NewPool(o.Timers), byOwner: slab.NewTable(o.Timers),
		watches: watch.New(o.Subscriptions),
	}
}

func (s *state) reset() {
	s.pool.Reset()
	s.byID.Reset()
	s.byName.Reset()
	s.ordered = s.ordered[:0]
	s.ownerPool.Reset()
	s.byOwner.Reset()
	s.watches.Reset()
	s.firings, s.sum = 0, 0
}

// hashNumber is a bijection: whoever finds a number's hash in a table has found the number.
func hashNumber(n uint64) uint64 { return service.Mix(0, n) }

func (s *state) hash() uint64 {
	return service.Mix(service.Mix(hashNumber(uint64(s.pool.Used())), s.watches.Hash()), s.sum)
}

func (e *entry) hash() uint64 {
	h := service.Mix(service.Mix(service.Mix(e.sum, e.id), e.due), e.intervalNs)
	h = service.Mix(service.Mix(service.Mix(h, e.number), e.count), uint64(e.session))
	return service.Mix(service.Mix(h, uint64(e.payloadLength)), e.payloadSum)
}

// find is the timer of a name, 0 if there is none.
func (s *state) find(name []byte) uint32 {
	hash := service.MixBytes(0, name)
	at := s.byName.Begin(hash)
	for {
		i := s.byName.Next(hash, &at)
		if i == 0 || bytes.Equal(s.entries[i].text(), name) {
			return i
		}
	}
}

// rank is where a name is, or would be, among all names.
func (s *state) rank(name []byte) (rank int, there bool) {
	low, high := 0, len(s.ordered)
	for low < high {
		mid := (low + high) / 2
		if bytes.Compare(s.entries[s.ordered[mid]].text(), name) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(s.ordered) && bytes.Equal(s.entries[s.ordered[low]].text(), name)
}

// add takes a timer in, for which there is room, with everything but name and payload.
func (s *state) add(e *entry, name, payload []byte) uint32 {
	i := s.pool.Take()
	x := &s.entries[i]
	x.id, x.due, x.intervalNs, x.number, x.count, x.session = e.id, e.due, e.intervalNs, e.number, e.count, e.session
	x.sum, x.payloadSum = service.MixBytes(0, name), service.MixBytes(0, payload)
	x.length, x.payloadLength = uint8(copy(x.name[:], name)), uint16(copy(x.payload[:], payload))
	x.owner = 0
	if x.session != 0 {
		x.owner = s.ownerOf(x.session)
		s.owners[x.owner].timers.Push(&s.pool, i)
	}
	s.byID.Add(hashNumber(x.id), i)
	s.byName.Add(x.sum, i)
	rank, _ := s.rank(name)
	s.ordered = slices.Insert(s.ordered, rank, i) // within its capacity
	s.firings += x.firings()
	s.sum += x.hash()
	return i
}

// ownerOf is the place of a session that has, or is to have, a timer.
func (s *state) ownerOf(session wire.SessionID) uint32 {
	hash := hashNumber(uint64(session))
	i := s.byOwner.Find(hash)
	if i == 0 {
		i = s.ownerPool.Take()
		s.owners[i] = owner{session: session}
		s.byOwner.Add(hash, i)
	}
	return i
}

// remove forgets a timer, but for its place in ordered.
func (s *state) remove(i uint32) {
	e := &s.entries[i]
	s.firings -= e.firings()
	s.sum -= e.hash()
	s.byID.Remove(hashNumber(e.id), i)
	s.byName.Remove(e.sum, i)
	if e.owner != 0 {
		o := &s.owners[e.owner]
		o.timers.Remove(&s.pool, i)
		if o.timers.Len == 0 {
			s.byOwner.Remove(hashNumber(uint64(o.session)), e.owner)
			s.ownerPool.Give(e.owner)
		}
	}
	e.id = 0
	s.pool.Give(i)
}

// takeOut forgets a timer.
func (s *state) takeOut(i uint32) {
	rank, _ := s.rank(s.entries[i].text())
	s.ordered = slices.Delete(s.ordered, rank, rank+1)
	s.remove(i)
}
