package sequencer

import (
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

// TestHeldLeaderTakesNothing holds rule 17: a leader that hands over appends nothing for clients, says so, and takes
// the same messages afterwards if it goes on.
func TestHeldLeaderTakesNothing(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	at := addr(2)
	id := l.open(at, 7)
	end := l.s.Chain().Position
	l.s.Hold(wire.RefusalBusyHandOver)
	l.messages(at, id, 0, data(1, wire.LevelsOf(wire.LevelSequenced)))
	l.cycle()
	g := l.one(at)
	if len(g.answers) != 1 || g.answers[0].Kind != wire.AnswerBusy || g.answers[0].Code != wire.RefusalBusyHandOver {
		t.Fatalf("a held leader answers %+v, want busy-hand-over", g.answers)
	}
	l.prove(addr(3), l.proof(addr(3), 8, 0))
	l.sender.Flush()
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalBusyHandOver {
		t.Fatalf("a new session is answered %+v, want busy-hand-over", g)
	}
	l.bare(wire.DatagramDisconnect, at, id, 0)
	if l.s.Chain().Position != end {
		t.Fatal("a held leader appended")
	}
	l.s.Hold(wire.RefusalNone)
	l.messages(at, id, 0, data(1, wire.LevelsOf(wire.LevelSequenced)))
	if l.s.Chain().Position == end {
		t.Fatal("nothing is taken although the leader goes on")
	}
}

// TestFarewellTellsEveryClientOnce has a leader that resigned say where the next one is.
func TestFarewellTellsEveryClientOnce(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	ids := map[transport.Addr]wire.SessionID{addr(2): l.open(addr(2), 7), addr(3): l.open(addr(3), 8)}
	l.s.Resign()
	there := transport.Addr{IP: [4]byte{10, 1, 0, 9}, Port: 7400}
	giveBack := l.takeAllFrames()
	if l.s.Farewell(2, there, 5) {
		t.Fatal("everybody was told although nothing can be sent")
	}
	giveBack()
	for range 2 { // the second finds nobody left
		if !l.s.Farewell(2, there, 5) {
			t.Fatal("not everybody was told")
		}
		l.sender.Flush()
	}
	for _, at := range []transport.Addr{addr(2), addr(3)} {
		g := l.one(at)
		if r := g.redirect; r.Leader != 2 || r.IP != there.IP || r.Port != there.Port || r.Term != 5 || r.Token != 0 || r.Session != ids[at] {
			t.Errorf("%s hears %+v, want node 2 at %s in term 5", at, r, there)
		}
	}
	l.lead(6, l.s.Chain())
	if !l.s.Farewell(3, there, 7) {
		t.Fatal("a new leadership keeps the clients of the one before")
	}
	l.sender.Flush()
	l.nothing(addr(2))
}

// TestRedirectNamesWhomItSpeaksOf has a node that does not lead repeat token and session of what it answers.
func TestRedirectNamesWhomItSpeaksOf(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	r := NewRedirector(l.s.o.Identity, l.sender)
	b := make([]byte, 256)
	c := wire.Connect{Token: 7, Session: 8, Protocol: wire.Protocol, Name: []byte("x")}
	p := wire.Prove{Token: 7, Session: 8, Protocol: wire.Protocol, Name: []byte("x")}
	l.join(addr(5))
	for kind, n := range map[wire.DatagramKind]func() int{
		wire.DatagramConnect:   func() int { return c.Put(b) },
		wire.DatagramProve:     func() int { return p.Put(b) },
		wire.DatagramKeepalive: func() int { return (&wire.Messages{}).Put(b) },
	} {
		r.Redirect(&wire.Header{Kind: kind, Sender: 8}, b[:n()], addr(5), 2, addr(9), 3)
		g := l.one(addr(5))
		token := c.Token
		if kind == wire.DatagramKeepalive {
			token = 0
		}
		if g.redirect.Session != 8 || g.redirect.Token != token || g.redirect.Leader != 2 {
			t.Errorf("%v is answered with %+v", kind, g.redirect)
		}
	}
}
