package orderbook

import (
	"math/bits"

	"lockstep/service"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// MaxSubscribers is how many sessions may be subscribed to market events at once.
const MaxSubscribers = 8

// subscriber is a session that is told market events: of all instruments, or of those whose bits are set.
type subscriber struct {
	session wire.SessionID // 0: free
	all     bool
	wanted  []uint64
	some    int // bits that are set
}

// wants tells whether events of an instrument are for it.
func (s *subscriber) wants(id match.Instrument) bool {
	return s.all || s.wanted[id/64]>>(id%64)&1 != 0
}

// subscribers are those there are. Their places do not move: responses go out in the order of places.
type subscribers struct {
	list [MaxSubscribers]subscriber
	some int
	sum  uint64
}

func newSubscribers(instruments uint32) (t subscribers) {
	for i := range t.list {
		t.list[i].wanted = make([]uint64, instruments/64+1)
	}
	return t
}

// find is the place of a session; nil: it is not subscribed.
func (t *subscribers) find(session wire.SessionID) *subscriber {
	for i := range t.list {
		if t.list[i].session == session {
			return &t.list[i]
		}
	}
	return nil
}

// on subscribes a session to an instrument, or to all (0). It reports false, and changes nothing, when there is no
// room.
func (t *subscribers) on(session wire.SessionID, id match.Instrument) bool {
	s := t.find(session)
	if s == nil {
		if s = t.find(0); s == nil {
			return false
		}
		s.session = session
		t.some++
	}
	switch {
	case id == 0:
		if !s.all {
			s.all = true
			t.sum += t.mark(s, 0)
		}
	case s.wanted[id/64]>>(id%64)&1 == 0:
		s.wanted[id/64] |= 1 << (id % 64)
		s.some++
		t.sum += t.mark(s, id)
	}
	return true
}

// off ends what on began: all (0) ends all that the session is subscribed to.
func (t *subscribers) off(session wire.SessionID, id match.Instrument) {
	s := t.find(session)
	if s == nil {
		return
	}
	if id != 0 && s.wanted[id/64]>>(id%64)&1 != 0 {
		t.sum -= t.mark(s, id)
		s.wanted[id/64] &^= 1 << (id % 64)
		s.some--
	}
	for i := range s.wanted {
		for id == 0 && s.wanted[i] != 0 {
			t.off(session, match.Instrument(i*64+bits.TrailingZeros64(s.wanted[i])))
			if s.session == 0 {
				return // that was the last of them
			}
		}
	}
	if id == 0 && s.all {
		t.sum -= t.mark(s, 0)
		s.all = false
	}
	if !s.all && s.some == 0 {
		s.session = 0
		t.some--
	}
}

// mark is what one subscription adds to the hash: the place counts, because it says who is told first.
func (t *subscribers) mark(s *subscriber, id match.Instrument) uint64 {
	place := 0
	for i := range t.list {
		if s == &t.list[i] {
			place = i
		}
	}
	return service.Mix(service.Mix(service.Mix(0, uint64(s.session)), uint64(place)), uint64(id))
}
