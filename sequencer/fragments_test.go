package sequencer

import (
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

// A response that fits no datagram goes in fragments, which leave none of its bytes out; what is short goes beside them.
func TestResponseInFragments(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, 0, talk(2, 5000)...), data(2, 0, talk(1, 10)...))
	l.cycle()
	checkParts(t, l.received(addr(2)), []int{5000, 5000, 10})
}

// checkParts puts the responses in some datagrams together, in order, and compares their lengths.
func checkParts(t *testing.T, all []got, want []int) {
	t.Helper()
	have, n := 0, uint64(1)
	for _, g := range all {
		for i, a := range g.answers {
			switch {
			case a.Kind != wire.AnswerFragment && a.Kind != wire.AnswerResponse:
				continue
			case n > uint64(len(want)):
				t.Fatalf("a part of response %d", a.Response)
			}
			total := want[n-1]
			if a.Response != n || int(a.Fragment.Offset) != have ||
				a.Kind == wire.AnswerFragment && int(a.Fragment.Total) != total {
				t.Fatalf("%+v where byte %d of response %d must be", a, have, n)
			}
			if have += len(g.payloads[i]); have >= total {
				have = 0
				n++
			}
		}
	}
	if n != uint64(len(want)+1) || have != 0 {
		t.Errorf("%d responses and %d bytes", n-1, have)
	}
}

// quota is a transport that sends so many datagrams and no more.
type quota struct {
	transport.Transport
	left int
}

func (q *quota) Acquire(frames []transport.Frame) int {
	n := q.Transport.Acquire(frames[:min(len(frames), q.left)])
	q.left -= n
	return n
}

// A transmit side that is full in the middle of a response holds it, and it goes on where it stopped.
func TestFullTransmitSideInTheMiddleOfAResponse(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	q := &quota{Transport: l.ends[addr(1)]}
	l.sender = transport.NewSender(q, 16)
	l.s.o.Sender = l.sender
	l.messages(addr(2), id, 0, data(1, 0, talk(1, 30000)...), data(2, 0, talk(1, 5000)...))
	l.cycle()
	l.nothing(addr(2))
	var all []got
	for range 10 {
		q.left = 5
		l.cycle()
		l.cycle()
		got := l.received(addr(2))
		if len(got) > 5 {
			t.Fatalf("%d datagrams", len(got))
		}
		all = append(all, got...)
	}
	checkParts(t, all, []int{30000, 5000})
}
