package sequencer

import (
	"runtime"
	"testing"

	"lockstep/wire"
)

// What ten thousand sessions cost a leader, its service driver included, beyond what it has anyhow: stated in
// docs/operations.md.
const (
	idleBytes  = 3 << 10 // of a session that has sent nothing yet
	usedBytes  = 6 << 10 // of one that has sent a few messages and was answered
	manyOpened = 10_000
)

// heap is what is reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// openMany opens sessions at one address and returns their ids.
func (l *leader) openMany(n int) (ids []wire.SessionID) {
	for token := range uint64(n) {
		l.prove(addr(2), l.proof(addr(2), token+1, 0))
		if token%admitPerCycle == admitPerCycle-1 || int(token) == n-1 {
			l.nowNs += 1e6
			l.wallNs += 1e6
			l.cycle()
			for _, g := range l.received(addr(2)) {
				if g.kind == wire.DatagramAccept {
					ids = append(ids, g.accept.Session)
				}
			}
		}
	}
	if len(ids) != n {
		l.t.Fatalf("%d sessions of %d are open", len(ids), n)
	}
	return ids
}

// Ten thousand sessions cost what they use: little while they are idle, and no more after a burst than what the burst
// needed. What they held is free again when they are closed.
func TestMemoryOfTenThousandSessions(t *testing.T) {
	l := newLeader(t, Limits{Sessions: manyOpened}, 0)
	before := heap()
	ids := l.openMany(manyOpened)
	idle := (heap() - before) / manyOpened
	for round := range uint64(3) {
		for i, id := range ids {
			l.messages(addr(2), id, round, data(round+1, wire.LevelsOf(wire.LevelApplied), talk(1, 16)...))
			if i%64 == 63 {
				l.cycle()
				l.received(addr(2))
			}
		}
		l.cycle()
		l.received(addr(2))
	}
	used := (heap() - before) / manyOpened
	t.Logf("%d bytes for an idle session, %d for one that was used", idle, used)
	if idle > idleBytes || used > usedBytes {
		t.Errorf("%d bytes for an idle session, %d for one that was used: want at most %d and %d", idle, used, idleBytes, usedBytes)
	}
	if len(l.talker.order) != 3*manyOpened {
		t.Errorf("%d messages applied", len(l.talker.order))
	}
}

// A session that needed much gives it back when it ends, at the leader and in the driver.
func TestMemoryIsGivenBack(t *testing.T) {
	l := newLeader(t, Limits{Sessions: 4}, 0)
	l.openMany(4)
	before := heap()
	for _, x := range l.s.table.slots {
		for c := uint64(1); c <= 24; c++ {
			l.messages(addr(2), x.id, 0, data(c, 0, talk(4, 900)...))
			l.cycle()
		}
	}
	l.received(addr(2))
	if grown := heap() - before; grown < 4*64<<10 {
		t.Fatalf("%d bytes more with 86 KB of responses kept for each of 4 sessions", grown)
	}
	for _, x := range l.s.table.slots {
		l.bare(wire.DatagramDisconnect, addr(2), x.id, 0)
	}
	l.cycle()
	l.received(addr(2))
	if left := heap() - before; left > 64<<10 {
		t.Errorf("%d bytes are left of it", left)
	}
}

// However the memory for a session's messages grew, a repeat of any in its window is answered with where that stands.
func TestRepeatsAreAnsweredAcrossGrowth(t *testing.T) {
	for _, lag := range []int{1, 50, 250} { // messages that the service is behind, at most
		l := newLeader(t, Limits{}, 0)
		p := l.proof(addr(2), 1, 0)
		p.Window = 256
		l.prove(addr(2), p)
		l.cycle()
		id := l.one(addr(2)).accept.Session
		received := wire.LevelsOf(wire.LevelReceived)
		for c := uint64(1); c <= 700; c++ {
			l.messages(addr(2), id, 0, data(c, received))
			if c%uint64(lag) == 0 {
				l.cycle()
			}
		}
		l.cycle()
		l.received(addr(2))
		places := map[uint64]wire.Record{}
		for _, r := range l.records() {
			places[r.Correlation] = r
		}
		for c := uint64(700 - 255); c <= 700; c++ {
			l.messages(addr(2), id, 0, data(c, received))
			l.cycle()
			g := l.one(addr(2))
			if len(g.answers) != 1 || g.answers[0].Correlation != c || g.answers[0].Position != places[c].Position ||
				g.answers[0].Sequence != places[c].Sequence {
				t.Fatalf("lag %d: repeat of %d: %+v, want %+v", lag, c, g.answers, places[c])
			}
		}
		if n := len(l.s.table.find(id).entries); n > 512 {
			t.Errorf("lag %d: memory for %d messages", lag, n)
		}
	}
}
