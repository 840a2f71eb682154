package sequencer

import (
	"testing"

	"lockstep/wire"
)

// DISCONNECT closes the session by a record; whoever asks again is told the same for a while, then nothing is known.
func TestDisconnect(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, 0, talk(2, 1)...))
	l.cycle()
	l.received(addr(2))
	l.bare(wire.DatagramDisconnect, addr(2), id, 2)
	l.bare(wire.DatagramDisconnect, addr(2), id, 2)
	l.messages(addr(2), id, 2, data(2, received))
	l.prove(addr(2), l.proof(addr(2), 1, id)) // while it closes
	want := wire.Answer{Kind: wire.AnswerClosed, Code: wire.RefusalSessionClosed, Correlation: 1, Response: 2}
	for range 2 {
		l.cycle()
		if g := l.one(addr(2)); len(g.answers) != 1 || g.answers[0] != want {
			t.Errorf("%+v", g.answers)
		}
		l.bare(wire.DatagramKeepalive, addr(2), id, 2)
	}
	l.cycle()
	l.received(addr(2))
	if l.kinds(wire.RecordSessionClose) != 1 || len(l.talker.order) != 1 {
		t.Errorf("%d session-close records, applied %v", l.kinds(wire.RecordSessionClose), l.talker.order)
	}
	l.prove(addr(3), l.proof(addr(3), 2, id))
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalUnknownSession {
		t.Errorf("resumed without its token: %+v", g)
	}
	l.prove(addr(3), l.proof(addr(3), 1, id))
	if g := l.one(addr(3)); g.session != id || len(g.answers) != 1 || g.answers[0] != want {
		t.Errorf("resumed: %+v", g)
	}
	l.prove(addr(3), l.proof(addr(3), 1, 0))
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalSessionClosed {
		t.Errorf("opened again with its token: %+v", g)
	}
	l.nowNs += l.s.o.Limits.ClosedNs + 1
	for range l.s.o.Limits.Sessions {
		l.cycle()
	}
	l.messages(addr(3), id, 2, data(2, received))
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalUnknownSession || g.reject.Session != id {
		t.Errorf("%+v", g)
	}
	if l.count("lockstep_sequencer_sessions") != 0 {
		t.Error("it is still there")
	}
}

// Nothing is heard of a client for too long: its session is closed by a record, and only then is it told.
func TestExpiry(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	quiet, busy := l.open(addr(2), 1), l.open(addr(3), 2)
	for range 12 {
		l.nowNs += 1e9
		l.bare(wire.DatagramKeepalive, addr(3), busy, 0)
		for range l.s.o.Limits.Sessions {
			l.cycle()
		}
	}
	g := l.one(addr(2))
	if len(g.answers) != 1 || g.answers[0].Code != wire.RefusalExpired || l.kinds(wire.RecordSessionClose) != 1 {
		t.Errorf("%+v, %d records", g, l.kinds(wire.RecordSessionClose))
	}
	if l.s.table.find(quiet) != nil || l.s.table.find(busy).state != sessionOpen {
		t.Error("the wrong one")
	}
}

// A leader measures silence from when it took over.
func TestSilenceIsMeasuredFromTakingOver(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.nowNs += 9e9
	l.lead(2, l.s.Resign())
	for range 20 {
		l.nowNs += 1e8
		l.cycle()
	}
	if l.s.table.find(id).state != sessionOpen {
		t.Error("closed too early")
	}
	for range 110 {
		l.nowNs += 1e8
		l.cycle()
	}
	if l.s.table.find(id) != nil {
		t.Error("not closed")
	}
}

// A leader that was paused has heard nobody, and that is no client's fault.
func TestPauseOfTheLeaderIsNobodysSilence(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.nowNs += 60e9
	for range 20 {
		l.cycle()
	}
	if l.s.table.find(id).state != sessionOpen {
		t.Error("closed because the leader was paused")
	}
}

// C3: a request that comes late for a session that is over, to open it or in it, is refused by every later leader, and
// nothing of it is carried out; its client is told how far it had come. After a while nobody knows.
func TestC3RequestsOfASessionThatIsOver(t *testing.T) {
	l := newLeader(t, Limits{Sessions: 1}, 0)
	id := l.open(addr(2), 1)
	late := l.proof(addr(2), 1, 0)
	l.messages(addr(2), id, 0, data(1, 0, talk(2, 1)...))
	l.cycle()
	l.bare(wire.DatagramDisconnect, addr(2), id, 2)
	l.cycle()
	l.received(addr(2))
	want := wire.Answer{Kind: wire.AnswerClosed, Code: wire.RefusalSessionClosed, Correlation: 1, Response: 2}
	other := l.open(addr(3), 2) // takes the only place
	for term := wire.Term(2); term < 4; term++ {
		l.lead(term, l.s.Resign())
		l.cycle()
		l.cycle()
		before := len(l.records())
		l.prove(addr(2), late)
		if g := l.one(addr(2)); g.reject.Code != wire.RefusalSessionClosed {
			t.Errorf("opened again: %+v", g)
		}
		l.messages(addr(2), id, 0, data(2, received))
		if g := l.one(addr(2)); g.reject.Code != wire.RefusalBadNonce || g.reject.Session != id {
			t.Errorf("a message from an address that is not proven: %+v", g)
		}
		l.prove(addr(2), l.proof(addr(2), 1, id))
		l.messages(addr(2), id, 0, data(2, received))
		for _, g := range l.received(addr(2)) {
			if g.session != id || len(g.answers) != 1 || g.answers[0] != want {
				t.Errorf("%+v, want %+v", g, want)
			}
		}
		l.cycle()
		l.nothing(addr(2))
		if n := len(l.records()); n != before || l.s.table.find(other) == nil {
			t.Errorf("%d records more", n-before)
		}
	}
	l.nowNs += l.s.o.Limits.ClosedNs
	l.wallNs += l.s.o.Limits.ClosedNs
	l.prove(addr(2), l.proof(addr(2), 1, id))
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalUnknownSession {
		t.Errorf("%+v", g)
	}
}

// What answers are still to leave when a session ends leave, and its slot is free then; with no room for them it waits.
func TestLastAnswersLeave(t *testing.T) {
	l := newLeader(t, Limits{Sessions: 1}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(2), id, 0, data(1, 0, talk(1, 1)...))
	l.bare(wire.DatagramDisconnect, addr(2), id, 0)
	giveBack := l.takeAllFrames()
	l.cycle()
	l.prove(addr(3), l.proof(addr(3), 2, 0))
	if len(l.s.table.free) != 0 {
		t.Error("its slot is free before its answers are out")
	}
	giveBack()
	l.received(addr(2))
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 2 || g.answers[0].Kind != wire.AnswerResponse || g.answers[1].Kind != wire.AnswerClosed {
		t.Errorf("%+v", g)
	}
	l.open(addr(3), 2)
}
