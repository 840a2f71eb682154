package sequencer

import (
	"lockstep/transport"
	"lockstep/wire"
)

// bucket lets things pass at a rate, and some at once after a rest.
type bucket struct {
	everyNs int64
	burst   int64
	fullNs  int64 // when it has room for a whole burst again
}

func newBucket(perS, burst int) bucket {
	return bucket{everyNs: max(1, 1e9/int64(perS)), burst: int64(burst)}
}

// take takes one, unless fewer than reserve would be left.
func (b *bucket) take(nowNs, reserve int64) bool {
	full := max(b.fullNs, nowNs) + b.everyNs
	if full-nowNs > (b.burst-reserve)*b.everyNs {
		return false
	}
	b.fullNs = full
	return true
}

const (
	admitBurst    = 64
	admitPerCycle = 8
)

// admission bounds what clients that come cost those that are there: after a change of leader all come at once.
type admission struct {
	admit   bucket // CONNECT and PROVE that are looked at
	reject  bucket // and those beyond that are told so
	inCycle int    // looked at in this duty cycle

	turnedNs int64 // when somebody was last turned away
}

func newAdmission(perS int) admission {
	return admission{turnedNs: never, admit: newBucket(perS, admitBurst), reject: newBucket(perS, admitBurst)}
}

// admits says whether a CONNECT or PROVE is looked at now. CONNECT leaves half a burst to PROVE: who has come so far is
// not to begin again. What is not looked at is told to come later, or, when that is too much as well, nothing.
func (s *Sequencer) admits(kind wire.DatagramKind, token uint64, session wire.SessionID, from transport.Addr) bool {
	a, reserve := &s.admission, int64(0)
	if kind == wire.DatagramConnect {
		reserve = admitBurst / 2
	}
	if a.inCycle < admitPerCycle && a.admit.take(s.nowNs, reserve) {
		a.inCycle++
		return true
	}
	a.turnedNs = s.nowNs
	if a.reject.take(s.nowNs, 0) {
		s.reject(from, token, session, wire.RefusalBusyConnecting)
	} else {
		s.meters.unanswered.Inc()
	}
	return false
}

// keepsPace says whether a session may send a message now. The leader's alone: nothing of it is in the log.
func (s *Sequencer) keepsPace(x *session) bool {
	if s.o.Limits.MessagesPerS == 0 {
		return true
	}
	b := s.rate
	b.fullNs = x.rateNs
	return b.take(s.nowNs, 0)
}
