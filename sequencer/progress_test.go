package sequencer

import (
	"testing"

	"lockstep/wire"
)

// Messages that ask for nothing: a bare datagram says what is committed, soon and not each time.
func TestCommittedIsToldWithoutAnAnswer(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, 0))
	l.cycle()
	l.nothing(addr(2))
	l.nowNs += l.s.o.Limits.HeaderNs
	l.cycle()
	if g := l.one(addr(2)); g.committed != 1 || len(g.answers) != 0 {
		t.Errorf("%+v", g)
	}
	for c := uint64(2); c < 10; c++ { // a quarter of the window
		l.messages(addr(2), id, 0, data(c, 0))
	}
	l.cycle()
	if g := l.one(addr(2)); g.committed != 9 {
		t.Errorf("%+v", g)
	}
	l.nowNs += 10 * l.s.o.Limits.HeaderNs
	l.cycle()
	l.nothing(addr(2))
	l.bare(wire.DatagramKeepalive, addr(2), id, 0)
	l.cycle()
	if g := l.one(addr(2)); g.committed != 9 {
		t.Errorf("KEEPALIVE: %+v", g)
	}
}

// What a client has received stands in its messages' records; for a silent one, in records of its own, now and then.
func TestReceivedReachesTheLog(t *testing.T) {
	l := newLeader(t, Limits{AcksEvery: 4}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, 0, talk(10, 1)...))
	l.cycle()
	l.messages(addr(2), id, 3, data(2, 0))
	l.bare(wire.DatagramKeepalive, addr(2), id, 6)
	if n := l.kinds(wire.RecordAcks); n != 0 {
		t.Errorf("%d acks records too soon", n)
	}
	l.bare(wire.DatagramKeepalive, addr(2), id, 9)
	l.bare(wire.DatagramKeepalive, addr(2), id, 9)
	l.bare(wire.DatagramKeepalive, addr(2), id, 4) // overtaken
	all := l.records()
	last, message := all[len(all)-1], all[len(all)-2]
	if last.Kind != wire.RecordAcks || last.Acked != 9 || last.Session != id || message.Acked != 3 {
		t.Errorf("%+v, %+v", message, last)
	}
}

// Durability is asked of the journal up to the last record for which somebody waits.
func TestSyncTo(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	if l.s.SyncTo() != 0 {
		t.Errorf("nobody waits for %d", l.s.SyncTo())
	}
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelDurable)))
	want := l.s.Chain().Position
	l.messages(addr(2), id, 0, data(2, received))
	if l.s.SyncTo() != want {
		t.Errorf("%d, want %d", l.s.SyncTo(), want)
	}
}

// A disk that hangs holds back who waits for it, and nobody else.
func TestDurabilityHoldsBackOnlyWhoAsksForIt(t *testing.T) {
	l := newLeader(t, Limits{Acks: 4}, 0)
	id := l.open(addr(2), 1)
	replicated := wire.LevelsOf(wire.LevelReplicated)
	before := l.s.Chain().Position
	for c := uint64(1); c <= 20; c++ {
		l.messages(addr(2), id, 0, data(c, replicated))
		end := l.s.Chain().Position
		l.part(end, before, end)
		l.apply(end)
	}
	if got := acksIn(l.received(addr(2))); len(got) != 20 {
		t.Errorf("%v", got)
	}
	l.messages(addr(2), id, 0, data(21, wire.LevelsOf(wire.LevelDurable)))
	for c := uint64(22); c <= 26; c++ {
		l.messages(addr(2), id, 0, data(c, replicated))
		end := l.s.Chain().Position
		l.part(end, before, end)
		l.apply(end)
	}
	all := l.received(addr(2))
	if got := acksIn(all); len(got) != 3 {
		t.Errorf("%v", got)
	}
	if !l.s.table.find(id).busy {
		t.Error("the acknowledgements outstanding are not bounded")
	}
	end := l.s.Chain().Position
	l.part(end, end, end)
	if got := acksIn(l.received(addr(2))); !equal(got, [][2]uint64{{21, 4}}) {
		t.Errorf("%v", got)
	}
}
