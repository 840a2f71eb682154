package sim

import (
	"bytes"
	"fmt"
	"testing"

	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// TestT1WallClockStepsReachNeitherElectionsNorStamps steps wall clocks by ten seconds, forth and back. Catches
// time-outs on the wall clock; that stamps never go back is checked of every record (stamp-by-wall-clock).
func TestT1WallClockStepsReachNeitherElectionsNorStamps(t *testing.T) {
	as(t, func(s *scene) {
		leader, term := s.starts(), s.term()
		for _, step := range []int64{10e9, -20e9, 15e9, -5e9} {
			for _, m := range s.members {
				m.clock.wallNs += step
			}
			s.goesOn(100)
			if s.leader() != leader || s.term() != term {
				s.wrong("a step of %d s ended the leadership", step/1e9)
			}
		}
	})
}

// TestT2StampsGoOnWhenTheNextLeadersClockIsBehind kills a leader whose wall clock is ahead of the others'. Catches
// stamps that go back, and clamps that nobody counts. It holds TigerBeetle's "primary no clock sync" as well: nobody
// synchronizes clocks here.
func TestT2StampsGoOnWhenTheNextLeadersClockIsBehind(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		for _, m := range s.others(leader) {
			m.clock.wallNs -= 3e9
		}
		s.goesOn(20)
		s.kill(leader)
		next := s.leadBut(leader)
		s.goesOn(100)
		s.await("stamps past the clock are counted", patience, func() bool {
			return next.counter("lockstep_sequencer_stamp_clamps_total") > 0
		})
		s.start(leader)
	})
}

// TestN1PacketChaosEndsInPeace has every fault of the network at once, for a while, with changes of leadership in it.
func TestN1PacketChaosEndsInPeace(t *testing.T) {
	as(t, func(s *scene) {
		s.starts()
		s.net.o.Loss, s.net.o.Duplicate, s.net.o.Reorder, s.net.o.Replay = 0.2, 0.2, 0.3, 0.2
		for range 5 {
			leader := s.leader()
			s.net.o.DelayMeanNs = s.faultRng.Int64N(5e6) + 1
			for _, e := range s.net.ends {
				s.net.links[s.faultRng.IntN(len(s.net.ends))][e.number].clogNs = s.nowNs + s.faultRng.Int64N(300e6)
			}
			s.elapse(400e6)
			if leader != nil && leader.process != nil {
				s.kill(leader)
				s.elapse(300e6)
				s.start(leader)
			}
		}
		s.net.o = s.o.Network
		s.lead()
		s.goesOn(100)
	})
}

// TestN2CorruptAndTruncatedDatagramsAreDroppedAndCounted flips bits of one datagram in twenty, and cuts some of them
// off. Catches anything that is taken without its check.
func TestN2CorruptAndTruncatedDatagramsAreDroppedAndCounted(t *testing.T) {
	as(t, func(s *scene) {
		s.starts()
		s.net.o.Corrupt = 0.05
		s.goesOn(500)
		dropped := uint64(0)
		for _, m := range s.members {
			for d := wire.DropNone + 1; d < wire.NumDrops; d++ {
				dropped += m.counter(`lockstep_datagrams_dropped_total{reason="` + d.String() + `"}`)
			}
		}
		if dropped == 0 || s.net.count.Corrupted == 0 {
			s.wrong("%d datagrams were corrupted, %d dropped", s.net.count.Corrupted, dropped)
		}
	})
}

// TestN6SlowFollowerHoldsNobodyUp stops a follower for most of the time, and then for good until it is far behind
// the ring. Catches a leader that waits for everybody, and a follower that can never join again.
func TestN6SlowFollowerHoldsNobodyUp(t *testing.T) {
	play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 12, 1200 }, func(s *scene) {
		leader, term := s.starts(), s.term()
		slow := s.others(leader)[0]
		for range 10 {
			s.pause(slow)
			s.elapse(60e6)
			s.resume(slow)
			s.elapse(2e6)
		}
		s.goesOn(100)
		s.pause(slow)
		end := leader.core().Commit()
		s.await("the leader goes on beyond its ring", patience, func() bool {
			return int64(leader.core().Commit()-end) > 3*s.o.RingBytes
		})
		if s.leader() != leader || s.term() != term {
			s.wrong("a slow follower ended the leadership")
		}
		s.resume(slow)
		s.await("the follower catches up", patience, func() bool {
			return slow.core().Commit() > end && slow.core().Append() > leader.core().Commit()-64<<10
		})
	})
}

// TestN7GapInAClientsStreamIsFilled loses datagrams of messages after the client has connected anew, of messages that fit one
// and of such that come in fragments. Catches a message or a fragment that is skipped (no-resend, fragment-skipped): the order
// of a session, the bytes of each message, and what is open in the end, are checked.
func TestN7GapInAClientsStreamIsFilled(t *testing.T) {
	for _, long := range []int{0, 30} {
		t.Run(fmt.Sprintf("%d percent long", long), func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Burst, o.Clients.Long, o.Clients.LongBytes = 32, long, 12000 }, func(s *scene) {
				leader := s.starts()
				s.kill(leader)
				next := s.leadBut(leader)
				lost, accepted := 0, false
				s.drop(func(from, to *endpoint, kind wire.DatagramKind, _ []byte) bool {
					accepted = accepted || kind == wire.DatagramAccept && from == next.end
					if accepted && kind == wire.DatagramMessages && to == next.end && lost < 20 {
						lost++
						return lost%3 == 1
					}
					return false
				})
				s.await("messages are lost", patience, func() bool { return lost >= 20 })
				s.goesOn(200)
				if next.counter("lockstep_sequencer_gaps_total") == 0 {
					s.wrong("no gap was asked for")
				}
				if n := next.counter("lockstep_sequencer_assembled_total"); (n > 0) != (long > 0) {
					s.wrong("%d messages were put together from fragments", n)
				}
				s.start(leader)
			})
		})
	}
}

// TestC1RepeatAtTheNextLeaderIsSequencedOnce lets nothing that the leader answers reach its clients, and kills it: they
// send to the next one what is committed, what is in its log, and what nobody has. Catches skip-dedup.
func TestC1RepeatAtTheNextLeaderIsSequencedOnce(t *testing.T) {
	as(t, func(s *scene) {
		s.starts()
		for range 3 {
			leader := s.lead()
			s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
				return from == leader.end && kind == wire.DatagramAnswers
			})
			done := len(s.check.log)
			s.await("messages are committed", patience, func() bool { return len(s.check.log) > done+10 })
			s.kill(leader)
			next := s.leadBut(leader)
			s.net.sift = nil
			s.goesOn(50)
			if next.counter("lockstep_sequencer_repeats_total") == 0 {
				s.wrong("node %d has taken no repeated message", next.id)
			}
			s.start(leader)
		}
	})
}

// TestC2OutcomeOfAHalfCommittedBatchIsSettled kills the leader in the middle of what it streams: some of a batch
// reaches the others, the rest does not. Catches messages that are applied twice or never, and false success.
func TestC2OutcomeOfAHalfCommittedBatchIsSettled(t *testing.T) {
	play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 32, 1200 }, func(s *scene) {
		for range 3 {
			leader := s.starts()
			sent, all := 0, false
			s.drop(func(from, _ *endpoint, kind wire.DatagramKind, payload []byte) bool {
				if from != leader.end || kind != wire.DatagramLog || len(payload) < 500 {
					return all && from == leader.end
				}
				sent++
				all = all || sent > 20
				return all
			})
			s.await("a batch is cut through", patience, func() bool { return all })
			s.kill(leader)
			s.leadBut(leader)
			s.net.sift = nil
			s.goesOn(50)
			s.start(leader)
		}
	})
}

// TestC4StaleLeaderServesNobody parts the leader from the others and leaves it its clients, which hear nobody else.
// Catches answers of a leader that is none any more (skip-step-down): none may come once it has stepped down, and
// none of its own may say that a message is safe.
func TestC4StaleLeaderServesNobody(t *testing.T) {
	as(t, func(s *scene) {
		old := s.starts()
		rest := s.others(old)
		for _, l := range s.loads {
			for _, m := range rest {
				s.setCut(l.end, m.end, true)
				s.setCut(m.end, l.end, true)
			}
		}
		s.part(old, rest...)
		s.elapse(5e6)
		acked := s.acked()
		next := s.leadBut(old)
		s.await("the old leader steps down", patience, func() bool { return !old.leads() })
		served := 0
		s.net.sift = func(from, _ *endpoint, _ transport.Addr, payload []byte) bool {
			h, _ := s.header(payload)
			if from == old.end && (h.Kind == wire.DatagramAnswers || h.Kind == wire.DatagramAccept) {
				served++
			}
			return true
		}
		s.elapse(2e9)
		if s.acked() != acked || served > 0 {
			s.wrong("%d messages acknowledged, %d answers of a leader that is none", s.acked()-acked, served)
		}
		s.join()
		s.net.sift = nil
		if next.core().Role() != replica.Leader {
			s.wrong("node %d does not lead any more", next.id)
		}
		s.goesOn(100)
	})
}

// replayAll keeps datagrams of nodes and has each arrive again where it was sent.
func (s *scene) keepAll(most int) (kept *[]keptDatagram) {
	kept = new([]keptDatagram)
	s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
		if len(*kept) < most {
			*kept = append(*kept, keptDatagram{from, to, bytes.Clone(payload)})
		}
		return true
	}
	return kept
}

type keptDatagram struct {
	from, to *endpoint
	payload  []byte
}

// TestN1DatagramsOfEarlierRunsAndTermsChangeNothing keeps everything that was sent, restarts every node, and has all
// of it arrive again. Catches reports, votes and log bytes that are taken from a run or a term that is over.
func TestN1DatagramsOfEarlierRunsAndTermsChangeNothing(t *testing.T) {
	as(t, func(s *scene) {
		kept := s.keepAll(4000)
		s.starts()
		s.net.sift = nil
		for _, m := range s.members {
			s.kill(m)
			s.lead()
			s.start(m)
			s.goesOn(50)
		}
		leader, term := s.lead(), s.term()
		for i, k := range *kept {
			s.inject(k.from, k.to, k.payload)
			if i%20 == 0 {
				s.elapse(1e6)
			}
		}
		s.goesOn(50)
		if s.leader() != leader || s.term() != term {
			s.wrong("datagrams of earlier runs ended the leadership of term %d", term)
		}
	})
}
