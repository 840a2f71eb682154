package sequencer

import (
	"testing"

	"lockstep/wire"
)

// While nobody knows which node's services are right, what they say stays here, and clients are told by name. It leaves
// when a majority agrees; what is true of the log is acknowledged all the time.
func TestDisputedAnswersAreHeldBack(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelDurable, wire.LevelApplied), talk(1, 8)...))
	l.s.Disputed(true)
	l.cycle()
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 1 || g.answers[0].Level != wire.LevelDurable {
		t.Fatalf("while disputed: %+v, want that the message is durable", g)
	}
	records := len(l.records())
	l.messages(addr(2), id, 0, data(2, wire.LevelsOf(wire.LevelApplied), 1))
	l.cycle()
	if g = l.one(addr(2)); len(g.answers) != 1 || g.answers[0].Code != wire.RefusalBusyDiverged {
		t.Errorf("a new message: %+v", g)
	}
	l.join(addr(3))
	l.prove(addr(3), l.proof(addr(3), 9, 0))
	l.cycle()
	if g = l.one(addr(3)); g.reject.Code != wire.RefusalBusyDiverged || len(l.records()) != records {
		t.Errorf("a new session: %+v", g)
	}
	l.s.Disputed(false)
	l.cycle()
	if g = l.one(addr(2)); len(g.answers) != 1 || g.answers[0].Kind != wire.AnswerResponse {
		t.Errorf("once a majority agrees: %+v", g)
	}
}
