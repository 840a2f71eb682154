package sim

import (
	"bytes"
	"testing"

	"lockstep/transport"
	"lockstep/wire"
)

// datagrams are those of one client that are kept, the newest of each kind.
type datagrams map[wire.DatagramKind][]byte

// keepOf keeps what a client sends, and the challenges that it is sent.
func (s *scene) keepOf(e *endpoint) datagrams {
	list := datagrams{}
	s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
		kind := wire.DatagramKind(payload[kindOffset])
		if from == e || to == e && kind == wire.DatagramChallenge {
			list[kind] = bytes.Clone(payload)
		}
		return true
	}
	return list
}

// prove sends a client's old PROVE once more, with a nonce that is good: CONNECT goes first and is answered. Other says
// what is changed about it.
func (s *scene) prove(list datagrams, from, to *endpoint, other func(p *wire.Prove)) {
	s.t.Helper()
	answers := s.keepOf(from)
	s.inject(from, to, list[wire.DatagramConnect])
	s.await("a challenge", patience, func() bool { return answers[wire.DatagramChallenge] != nil })
	s.net.sift = nil
	var (
		h         wire.Header
		challenge wire.Challenge
		prove     wire.Prove
		valid     = wire.Validator{Cluster: clusterID}
	)
	body, _ := valid.Validate(answers[wire.DatagramChallenge], &h)
	ok := challenge.Decode(body)
	h, body = s.header(list[wire.DatagramProve])
	if !ok || !prove.Decode(body) || challenge.Token != prove.Token {
		s.wrong("a challenge to token %x, not to %x", challenge.Token, prove.Token)
	}
	prove.Nonce = challenge.Nonce
	if other != nil {
		other(&prove)
	}
	b := make([]byte, len(list[wire.DatagramProve]))
	prove.Put(b[wire.DatagramHeaderSize:])
	wire.Seal(b, &h)
	s.inject(from, to, b)
}

// refused is how often a node has told clients a reason.
func refused(m *member, why wire.Refusal) uint64 {
	return m.counter(`lockstep_sequencer_refused_total{reason="` + why.Name() + `"}`)
}

// TestC3SessionThatIsOverStaysOver has everything that a client sent for a session that is over arrive again: at the leader
// that closed it, at the next one, and at one that began from a snapshot. Catches a session that is opened anew by a
// request that comes late, and messages that are carried out once more (forget-closed).
func TestC3SessionThatIsOverStaysOver(t *testing.T) {
	for _, where := range []string{"the same leader", "the next leader", "a leader that began from a snapshot"} {
		t.Run(where, func(t *testing.T) {
			play(t, withSnapshots, func(s *scene) {
				l := s.loads[0]
				list := s.keepOf(l.end)
				leader := s.starts()
				over := l.session
				s.await("it is at work", patience, func() bool { return over.responses > 20 })
				l.stopped = true // it begins no other: its address is used by hand from here on
				sent := len(over.sent)
				over.client.Close(clientEpochNs + s.nowNs)
				s.await("the session is over", patience, func() bool { return over.closed })
				s.net.sift = nil
				closedAt := s.check.end
				switch where {
				case "the next leader":
					s.kill(leader)
					s.leadBut(leader)
					s.start(leader)
				case "a leader that began from a snapshot":
					s.restartFromSnapshots(closedAt)
				}
				s.goesOn(50) // whoever leads serves
				now := s.lead()
				opened, told := now.counter("lockstep_sequencer_sessions_opened_total"), refused(now, wire.RefusalSessionClosed)
				s.prove(list, l.end, now.end, func(p *wire.Prove) { p.Session = 0 }) // as if it were to open it
				s.await("it is told that it is over", patience, func() bool { return refused(now, wire.RefusalSessionClosed) > told })
				answers := s.keepAll(1 << 20)
				s.prove(list, l.end, now.end, func(p *wire.Prove) { p.Session = over.id })
				*answers = nil
				s.inject(l.end, now.end, list[wire.DatagramMessages])
				s.elapse(20e6)
				s.goesOn(50)
				if n := now.counter("lockstep_sequencer_sessions_opened_total"); n != opened || s.lead() != now {
					s.wrong("%d sessions were opened", n-opened)
				}
				if model := s.check.model[over.id]; !model.closed || int(model.next-1) > sent || len(over.sent) != sent {
					s.wrong("messages of a session that is over took effect: %+v, %d sent", model, sent)
				}
				l.stopped = false
				l.newSession()
				l.schedule(s.nowNs + 1000)
				s.goesOn(50)
			})
		})
	}
}

// restartFromSnapshots waits until all nodes have snapshots behind a position and starts them all again.
func (s *scene) restartFromSnapshots(at wire.Position) {
	s.t.Helper()
	s.await("all have snapshots", 3*patience, func() bool {
		for _, m := range s.members {
			if list := s.snapshots(m); m != s.leader() && (len(list) == 0 || list[len(list)-1] <= at) {
				return false
			}
		}
		return true
	})
	begun, leader := s.count.Sometimes[sometimesBegun], s.leader()
	for _, m := range s.members {
		s.kill(m)
	}
	for _, m := range s.others(leader) {
		s.start(m)
	}
	s.lead()
	if s.count.Sometimes[sometimesBegun]-begun < 2 {
		s.wrong("%d nodes began from snapshots", s.count.Sometimes[sometimesBegun]-begun)
	}
	s.start(leader)
}

// TestC1RepeatBehindASnapshotIsAnsweredAlike has a client hear nothing of what becomes of its messages until the nodes have
// begun again from snapshots behind them. Catches forget-kept, ignore-sessions, and what is applied twice.
func TestC1RepeatBehindASnapshotIsAnsweredAlike(t *testing.T) {
	play(t, withSnapshots, func(s *scene) {
		s.starts()
		l := s.loads[0]
		s.await("it is at work", patience, func() bool { return l.session.responses > 20 })
		s.drop(func(_, to *endpoint, kind wire.DatagramKind, _ []byte) bool {
			return to == l.end && kind == wire.DatagramAnswers
		})
		heard := l.session.client.Stats().Acks
		s.await("its window is full", patience, func() bool { return l.session.client.Open() >= int(s.o.Clients.Window) })
		s.restartFromSnapshots(s.check.end)
		next := s.lead()
		s.net.sift = nil
		s.await("it is answered", patience, func() bool { return l.session.client.Stats().Acks > heard+uint64(s.o.Clients.Window)/2 })
		if s.leader() == next && next.counter("lockstep_sequencer_repeats_total") == 0 {
			s.wrong("node %d has taken no repeated message", next.id)
		}
		s.goesOn(50)
	})
}

// TestC3FullTableRefusesByName has one client more than the table of sessions holds: it is told so, the others do not
// notice, and it is let in when another goes.
func TestC3FullTableRefusesByName(t *testing.T) {
	play(t, func(o *Options) { o.Sessions, o.Clients.Clients = 2, 3 }, func(s *scene) {
		leader := s.starts()
		in := func() (n int) {
			for _, l := range s.loads {
				if l.session.client.Connected() {
					n++
				}
			}
			return n
		}
		s.await("one is told that there is no room", patience, func() bool {
			return in() == 2 && refused(leader, wire.RefusalBusySessions) > 0
		})
		s.never("there is room", 500e6, func() bool { return in() > 2 })
		s.goesOn(50)
		for _, l := range s.loads {
			if l.session.client.Connected() {
				l.stopped = true
				l.session.client.Close(clientEpochNs + s.nowNs)
				break
			}
		}
		s.await("the third is let in", patience, func() bool {
			n := 0
			for _, l := range s.loads {
				if l.session.id != 0 && !l.session.closed {
					n++
				}
			}
			return n == 2 && in() == 2
		})
		s.goesOn(50)
	})
}
