package sequencer

import (
	"testing"

	"lockstep/wire"
)

// reader is a client that sends as fast as its window admits, and acknowledges what it has received.
type reader struct {
	*leader
	id        wire.SessionID
	next      uint64 // message
	received  uint64 // responses
	busy      map[wire.Refusal]int
	ended     wire.Refusal
	committed uint64
}

func (l *leader) reader(window uint32) *reader {
	p := l.proof(addr(2), 1, 0)
	p.Window = window
	l.prove(addr(2), p)
	l.cycle()
	return &reader{leader: l, id: l.one(addr(2)).accept.Session, next: 1, busy: map[wire.Refusal]int{}}
}

// hear takes what has arrived.
func (r *reader) hear() {
	for _, g := range r.leader.received(addr(2)) {
		r.committed = max(r.committed, g.committed)
		for _, a := range g.answers {
			switch a.Kind {
			case wire.AnswerResponse, wire.AnswerFragment:
				if a.Kind == wire.AnswerFragment && a.Fragment.Offset > 0 {
					continue
				}
				r.received = max(r.received, a.Response)
			case wire.AnswerBusy:
				r.busy[a.Code]++
				r.next = a.Correlation
			case wire.AnswerClosed:
				r.ended = a.Code
			}
		}
	}
}

// A client that sends as fast as it can and acknowledges what it gets is slowed down when its responses are large: it is
// told busy-kept, is not closed as a slow consumer, and everything it sends is answered in the end.
func TestFastSenderWithLargeResponsesIsSlowedDown(t *testing.T) {
	const messages = 1500
	l := newLeader(t, Limits{}, 8192)
	r := l.reader(256)
	for cycles := 0; r.received < messages; cycles++ {
		if cycles > 20_000 || r.ended != wire.RefusalNone {
			t.Fatalf("%d of %d responses after %d cycles, ended %v, busy %v", r.received, messages, cycles, r.ended, r.busy)
		}
		sent := 0
		for ; r.next <= messages && r.next <= r.committed+256 && sent < 8; r.next++ {
			l.messages(addr(2), r.id, r.received, data(r.next, 0, talk(1, 20_000)...))
			sent++
		}
		if sent == 0 {
			l.bare(wire.DatagramKeepalive, addr(2), r.id, r.received)
		}
		l.nowNs += 100_000
		l.cycle()
		if cycles%16 == 15 { // a client that is behind by some cycles
			r.hear()
		}
	}
	if r.busy[wire.RefusalBusyKept] == 0 || len(l.talker.order) != messages {
		t.Errorf("busy %v, %d messages applied", r.busy, len(l.talker.order))
	}
}

// A client that acknowledges without sending has that put into the log as soon as it is a quarter of what may be kept,
// in bytes as in numbers.
func TestLargeResponsesAreAcknowledgedInTheLog(t *testing.T) {
	l := newLeader(t, Limits{}, 8192)
	r := l.reader(256)
	for r.next = 1; r.next <= 8; r.next++ {
		l.messages(addr(2), r.id, 0, data(r.next, 0, talk(1, 60_000)...))
		l.cycle()
	}
	for range 100 {
		l.cycle()
		r.hear()
	}
	l.bare(wire.DatagramKeepalive, addr(2), r.id, 3)
	if n := l.kinds(wire.RecordAcks); n != 0 {
		t.Errorf("%d acks records for 3 responses of 8, 180 KB of 1 MiB", n)
	}
	l.bare(wire.DatagramKeepalive, addr(2), r.id, 5)
	l.cycle()
	if n := l.kinds(wire.RecordAcks); n != 1 {
		t.Errorf("%d acks records for 5 responses, 300 KB of 1 MiB", n)
	}
	if k := l.s.table.find(r.id).kept; k.acked != 5 || k.bytes != 180_000 {
		t.Errorf("the leader knows of %+v", k)
	}
}

// A client that is given responses and acknowledges none is closed as a slow consumer in the end, however it is slowed
// down before: by the log alone.
func TestSlowConsumerIsClosedAllTheSame(t *testing.T) {
	l := newLeader(t, Limits{KeptResponses: 4096}, 8192)
	r := l.reader(4096)
	for cycles := 0; r.ended == wire.RefusalNone; cycles++ {
		if cycles > 2000 {
			t.Fatalf("not closed, %d messages taken, busy %v", r.next-1, r.busy)
		}
		for range 4 {
			l.messages(addr(2), r.id, 0, data(r.next, 0, talk(1, 20_000)...))
			r.next++
		}
		l.nowNs += 10e6
		l.cycle()
		r.hear()
	}
	if r.ended != wire.RefusalSlowConsumer || r.busy[wire.RefusalBusyKept] == 0 {
		t.Errorf("ended %v, busy %v", r.ended, r.busy)
	}
}

// What waits for room to be sent is one thing that the service said, however often it is tried: what messages cause of
// late is not forgotten over it.
func TestWhatWaitsForRoomIsLearntOnce(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	r := l.reader(16)
	l.messages(addr(2), r.id, 0, data(1, 0, talk(1, 900)...))
	l.cycle()
	r.hear()
	usual := l.s.usual
	small := l.open(addr(3), 9)
	giveBack := l.takeAllFrames()
	for c := range uint64(60) {
		l.messages(addr(3), small, 0, data(c+1, 0, talk(1, 10)...))
	}
	for range 3000 {
		l.cycle()
	}
	if l.s.held == nil {
		t.Fatal("nothing waits")
	}
	if l.s.usual < usual*9/10 {
		t.Errorf("a message is taken to cause %d bytes, and did cause %d", l.s.usual, usual)
	}
	giveBack()
	l.cycle()
}
