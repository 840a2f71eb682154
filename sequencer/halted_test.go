package sequencer

import (
	"slices"
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

// While apply has halted, nobody waits in silence: new messages, new sessions, and repeats of messages that wait for the
// service are told so by name. Nothing of it is consumed, and all of it is done when apply goes on.
func TestClientsAreToldThatApplyHasHalted(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	at := l.s.Chain().Position
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelApplied), poison...))
	l.cycle()
	l.cycle()
	if h := l.driver.Status().Halt; h == nil || h.Position() != at {
		t.Fatalf("halt %v, the poison is at %d", h, at)
	}
	l.received(addr(2))
	records := len(l.records())
	busy := func(what string, from byte) {
		t.Helper()
		l.cycle()
		g := l.one(addr(from))
		code := g.reject.Code
		if len(g.answers) == 1 && g.answers[0].Kind == wire.AnswerBusy {
			code = g.answers[0].Code
		}
		if code != wire.RefusalBusyHalted || len(l.records()) != records {
			t.Errorf("%s: %+v, %d records of %d", what, g, len(l.records()), records)
		}
	}
	l.messages(addr(2), id, 0, data(2, wire.LevelsOf(wire.LevelApplied), 1))
	busy("a new message", 2)
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelApplied), poison...))
	busy("a repeat", 2)
	l.join(addr(3))
	l.prove(addr(3), l.proof(addr(3), 9, 0))
	busy("a new session", 3)
	if !l.s.AppendSkip(l.nowNs, at) {
		t.Fatal("no room for a skip record")
	}
	for range 6 {
		l.cycle()
	}
	if g := l.one(addr(2)); !g.skipped() {
		t.Errorf("once it is passed over: %+v", g)
	}
	applied := wire.LevelsOf(wire.LevelApplied)
	l.messages(addr(2), id, 0, data(1, applied, poison...), data(2, applied, 1))
	l.cycle()
	l.cycle()
	var kinds []wire.AnswerKind
	for _, g := range l.received(addr(2)) {
		for _, a := range g.answers {
			kinds = append(kinds, a.Kind)
		}
	}
	if len(kinds) != 2 || kinds[0] != wire.AnswerRefused || kinds[1] != wire.AnswerAck {
		t.Errorf("a repeat of it and the next message: answers of kinds %v", kinds)
	}

	// A new leader says what became of it, from its driver's dump.
	l.leadAnew(addr(2), 7, id)
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelApplied), poison...))
	l.cycle()
	if g := l.one(addr(2)); !g.skipped() {
		t.Errorf("from the next leader: %+v", g)
	}
}

// leadAnew ends leadership and begins another, where a client proves itself with its session.
func (l *leader) leadAnew(from transport.Addr, token uint64, id wire.SessionID) {
	l.t.Helper()
	l.lead(2, l.s.Resign())
	l.cycle()
	l.cycle()
	l.prove(from, l.proof(from, token, id))
	l.received(from)
}

// skipped says whether the one answer is that a message was passed over.
func (g *got) skipped() bool {
	return len(g.answers) == 1 && g.answers[0].Kind == wire.AnswerRefused && g.answers[0].Code == wire.RefusalSkipped
}

// A void that an earlier leader sequenced is still one for the next: its repeat says so, and that of a message that took
// effect does not.
func TestTheNextLeaderKnowsWhatWasVoided(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	l.messages(addr(2), id, 0, data(1, wire.LevelsOf(wire.LevelApplied), 1), void(2, wire.LevelsOf(wire.LevelApplied)))
	l.cycle()
	l.cycle()
	l.leadAnew(addr(2), 7, id)
	l.messages(addr(2), id, 0, void(1, wire.LevelsOf(wire.LevelApplied)), void(2, wire.LevelsOf(wire.LevelApplied)))
	l.cycle()
	g := l.one(addr(2))
	if len(g.answers) != 2 || g.answers[0].Code != wire.RefusalNone || g.answers[1].Code != wire.RefusalVoided ||
		g.answers[0].Level != wire.LevelApplied || g.answers[1].Level != wire.LevelApplied {
		t.Errorf("%+v", g)
	}
}

// Where an inherited message stands the next leader knows as well as the one that sequenced it.
func TestTheNextLeaderKnowsWhereMessagesStand(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	durable := wire.LevelsOf(wire.LevelDurable)
	told := func() []wire.Answer {
		t.Helper()
		l.messages(addr(2), id, 0, data(1, durable, 1), data(2, durable, 2), data(3, durable, 3))
		l.cycle()
		l.cycle()
		var list []wire.Answer
		for _, g := range l.received(addr(2)) {
			for _, a := range g.answers {
				if a.Kind == wire.AnswerAck {
					list = append(list, wire.Answer{Correlation: a.Correlation, Level: a.Level, Sequence: a.Sequence,
						Position: a.Position, Timestamp: a.Timestamp})
				}
			}
		}
		return list
	}
	first := told()
	l.leadAnew(addr(2), 7, id)
	again := told()
	if len(first) != 3 || first[2].Sequence == 0 || !slices.Equal(first, again) {
		t.Errorf("the first leader says %+v, the next one %+v", first, again)
	}
}
