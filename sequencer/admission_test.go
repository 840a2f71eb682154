package sequencer

import (
	"testing"

	"lockstep/wire"
)

// newcomer is a client on its way into a session.
type newcomer struct {
	token  uint64
	nonce  uint64 // from CHALLENGE; 0: not yet
	dueNs  int64
	tries  int64
	inside bool
}

// storm is many clients that come at once, from one address, and come again when they hear nothing or BUSY.
type storm struct {
	*leader
	list           []newcomer
	busy, sent, in int
}

func (w *storm) send() {
	for i := range w.list {
		c := &w.list[i]
		if c.inside || w.nowNs < c.dueNs {
			continue
		}
		w.sent++
		c.tries++
		c.dueNs = w.nowNs + min(c.tries, 20)*10e6 + int64(c.token*7919%10_000)*1000 // 10 ms more each time, spread
		if c.nonce == 0 {
			w.connect(addr(9), wire.Connect{Token: c.token, Window: 32, Protocol: wire.Protocol, Name: []byte("x")})
			continue
		}
		p := w.proof(addr(9), c.token, 0)
		p.Nonce = c.nonce
		w.prove(addr(9), p)
	}
}

func (w *storm) hear() {
	for _, g := range w.received(addr(9)) {
		switch {
		case g.kind == wire.DatagramChallenge:
			c := &w.list[g.challenge.Token-1]
			c.nonce, c.dueNs = g.challenge.Nonce, w.nowNs
		case g.kind == wire.DatagramReject && g.reject.Code == wire.RefusalBusyConnecting:
			w.busy++
		case g.kind == wire.DatagramAccept:
			if c := &w.list[g.accept.Token-1]; !c.inside {
				c.inside = true
				w.in++
			}
		default:
			w.t.Fatalf("%+v", g)
		}
	}
}

// A thousand clients that come at once are admitted at the rate, told to come later, and all get in; meanwhile every
// message of a session that is there is answered in the cycle in which it comes.
func TestStormIsAdmittedAtARate(t *testing.T) {
	const clients = 1000
	l := newLeader(t, Limits{Sessions: clients + 1, AdmitPerS: 5000}, 2*clients)
	id := l.open(addr(2), 1<<40)
	w := &storm{leader: l, list: make([]newcomer, clients)}
	for i := range w.list {
		w.list[i].token = uint64(i + 1)
	}
	beganNs := l.nowNs
	for n := uint64(1); w.in < clients; n++ {
		if l.nowNs-beganNs > 10e9 {
			t.Fatalf("%d of %d are in after 10 s, with %d datagrams", w.in, clients, w.sent)
		}
		looked := l.count("lockstep_sequencer_challenges_total")
		w.send()
		l.messages(addr(2), id, 0, data(n, applied))
		if more := l.count("lockstep_sequencer_challenges_total") - looked; more > admitPerCycle {
			t.Fatalf("%d challenges in a cycle", more)
		}
		l.nowNs += 90_000
		l.wallNs += 90_000
		l.cycle()
		w.hear()
		if g := l.one(addr(2)); len(g.answers) != 1 || g.answers[0].Level != wire.LevelApplied {
			t.Fatalf("message %d was answered with %+v", n, g)
		}
	}
	tookNs := l.nowNs - beganNs
	passed := l.count("lockstep_sequencer_challenges_total") + clients
	if most := uint64(tookNs/200_000) + admitBurst; passed > most+2 {
		t.Errorf("%d datagrams were looked at in %d ms: the rate admits %d", passed, tookNs/1e6, most)
	}
	if w.busy == 0 || l.count("lockstep_sequencer_connects_unanswered_total") == 0 {
		t.Errorf("%d were told to come later", w.busy)
	}
	t.Logf("%d clients in %d ms, %d datagrams, %d told to come later", clients, tookNs/1e6, w.sent, w.busy)
}

// PROVE passes when CONNECT does not any more: who has come so far is not to begin again.
func TestProofComesBeforeConnect(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	for range 5 {
		for token := range uint64(admitPerCycle) {
			l.connect(addr(2), wire.Connect{Token: token + 1, Protocol: wire.Protocol, Name: []byte("x")})
		}
		l.cycle()
	}
	l.received(addr(2))
	l.connect(addr(2), wire.Connect{Token: 1, Protocol: wire.Protocol, Name: []byte("x")})
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalBusyConnecting || g.reject.Token != 1 {
		t.Errorf("CONNECT is answered with %+v", g)
	}
	l.prove(addr(2), l.proof(addr(2), 1, 0))
	l.cycle()
	if g := l.one(addr(2)); g.kind != wire.DatagramAccept {
		t.Errorf("PROVE is answered with %+v", g)
	}
}

// A session that sends more than it may is told so by name, is not hurt otherwise, and goes on when it has waited;
// another is not concerned, and nothing of it is in the log.
func TestRateOfMessages(t *testing.T) {
	l := newLeader(t, Limits{MessagesPerS: 100}, 0)
	id, other := l.open(addr(2), 1), l.open(addr(3), 2)
	before := len(l.records())
	for c := uint64(1); c <= 12; c++ {
		l.messages(addr(2), id, 0, data(c, 0))
	}
	l.messages(addr(3), other, 0, data(1, 0))
	if n := len(l.records()) - before; n != 11 {
		t.Errorf("%d records, want 10 of one and 1 of the other", n)
	}
	l.cycle()
	l.received(addr(3))
	g := l.one(addr(2))
	if len(g.answers) != 1 || g.answers[0].Code != wire.RefusalBusyRate || g.answers[0].Correlation != 11 {
		t.Errorf("%+v", g.answers)
	}
	l.nowNs += 20e6
	for c := uint64(11); c <= 13; c++ {
		l.messages(addr(2), id, 0, data(c, 0))
	}
	if n := len(l.records()) - before; n != 13 {
		t.Errorf("%d records after 20 ms, want 2 more", n)
	}
}

// A client that is turned away, again and again, is not silent: its session lives for as long as that lasts, and the time
// of silence begins anew behind it.
func TestClientsThatAreTurnedAwayAreNotSilent(t *testing.T) {
	l := newLeader(t, Limits{Sessions: 4, AdmitPerS: 1000, SessionNs: 1e9}, 64)
	id := l.open(addr(2), 1<<40)
	ever := func(ns int64, flood bool) {
		for endNs := l.nowNs + ns; l.nowNs < endNs; {
			for i := range uint64(20 * admitPerCycle) {
				if flood {
					l.connect(addr(9), wire.Connect{Token: i + 1, Session: id, Window: 32, Protocol: wire.Protocol, Name: []byte("x")})
				}
			}
			l.nowNs += 20e6
			l.wallNs += 20e6
			l.cycle()
			l.received(addr(9))
		}
	}
	ever(3e9, true)
	if l.count("lockstep_sequencer_connects_unanswered_total") == 0 || l.count("lockstep_sequencer_sessions_expired_total") != 0 {
		t.Fatalf("%d sessions expired while clients were turned away", l.count("lockstep_sequencer_sessions_expired_total"))
	}
	ever(2e9, false)
	if n := l.count("lockstep_sequencer_sessions_expired_total"); n != 1 || l.kinds(wire.RecordSessionClose) != 1 {
		t.Errorf("%d sessions expired when nobody was turned away any more, want 1", n)
	}
}
