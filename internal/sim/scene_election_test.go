package sim

import (
	"testing"

	"lockstep/replica"
	"lockstep/wire"
)

// TestE1SplitVoteIsResolvedWithinBoundedTries kills the leader of two and leaves time-outs that hardly differ, on a
// network slower than that: both campaign at once, again and again. Catches candidates that repeat their tie for ever.
func TestE1SplitVoteIsResolvedWithinBoundedTries(t *testing.T) {
	ties := 0
	play(t, func(o *Options) {
		o.TimeoutMaxMs = o.TimeoutMinMs + 8
		o.Network.DelayMinNs = 3e6
	}, func(s *scene) {
		leader := s.starts()
		asked := map[wire.Term]uint64{}
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, payload []byte) bool {
			if kind == wire.DatagramVoteRequest {
				h, _ := s.header(payload)
				if other := asked[h.Term]; other != 0 && other != h.Sender {
					ties++
				}
				asked[h.Term] = h.Sender
			}
			return false
		})
		before := s.term()
		s.kill(leader)
		s.leadBut(leader)
		if tries := s.term() - before; tries > 20 {
			s.wrong("%d terms for one election", tries)
		}
		s.goesOn(50)
	})
	if ties == 0 && !testing.Short() {
		t.Error("no two candidates ever asked for one term: nothing was split")
	}
}

// TestE2DisruptiveRejoinLeavesTheLeaderAlone brings a follower back that has been cut off for many election time-outs.
// Catches a missing pre-vote: its term would have risen, and the leader would have to go.
func TestE2DisruptiveRejoinLeavesTheLeaderAlone(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		away, term := s.others(leader)[0], s.term()
		s.isolate(away)
		s.elapse(1500e6)
		if got := away.core().Role(); got != replica.Canvassing {
			s.wrong("node %d is %v after a long time alone", away.id, got)
		}
		s.join()
		s.elapse(1e9)
		if s.leader() != leader || s.term() != term {
			s.wrong("term %d led by node %d became term %d", term, leader.id, s.term())
		}
		s.goesOn(50)
	})
}

// TestE3PreVoteDeadlockOfHighTermAndLongLog leaves two nodes: one with the higher term and the shorter log, one with
// the lower term and the longer log. Catches nodes that ignore each other for ever: only the second can be elected,
// and only above the first one's term.
func TestE3PreVoteDeadlockOfHighTermAndLongLog(t *testing.T) {
	as(t, func(s *scene) {
		long := s.starts()
		short, third := s.others(long)[0], s.others(long)[1]
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			return kind == wire.DatagramVote || from == short.end && kind == wire.DatagramCanvass
		})
		s.part(long, short, third)
		s.await("the leader is alone and has a tail of its own", patience, func() bool { return !long.leads() })
		if long.core().Append() <= short.core().Append() {
			s.wrong("node %d has no longer log", long.id)
		}
		// The third campaigns, and dies with the vote of the second given: that one has its term and no record of it.
		s.await("the vote is given", patience, func() bool { return short.core().Term() > long.core().Term() })
		s.elapse(10e6)
		s.kill(third)
		s.net.sift = nil
		low := long.core().Term()
		if short.core().Term() <= low {
			s.wrong("both are in term %d", low)
		}
		s.join()
		if leader := s.lead(); leader != long || s.term() <= low+1 {
			s.wrong("node %d leads term %d, the longer log is node %d's", leader.id, s.term(), long.id)
		}
		s.goesOn(50)
	})
}

// TestE4OneWayPartition cuts one direction between the leader or a follower and all other nodes. Catches a leader that
// stays although it hears nobody, or elections that a half-deaf node keeps starting.
func TestE4OneWayPartition(t *testing.T) {
	for _, x := range []struct {
		name             string
		leader, sendOnly bool
		clients          bool // clients are cut in the same way
		stays            bool // the leader of before must stay
	}{
		{"leader send-only", true, true, false, false},
		{"leader receive-only", true, false, false, false},
		{"leader send-only, clients too", true, true, true, false},
		{"leader receive-only, clients too", true, false, true, false},
		{"follower send-only", false, true, false, true},
		{"follower receive-only", false, false, false, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			as(t, func(s *scene) {
				leader := s.starts()
				victim, term := leader, s.term()
				if !x.leader {
					victim = s.others(leader)[0]
				}
				for _, e := range s.net.ends {
					if e == victim.end || !x.clients && e.number >= len(s.members) {
						continue
					}
					if x.sendOnly {
						s.setCut(e, victim.end, true)
					} else {
						s.setCut(victim.end, e, true)
					}
				}
				if x.stays {
					s.never("the leader goes", 1e9, func() bool { return s.leader() != leader || s.term() != term })
					s.goesOn(100)
					return
				}
				now := s.leadBut(leader)
				s.await("the old leader steps down", patience, func() bool { return !leader.leads() })
				settled := s.term()
				s.never("the new leader goes", 1e9, func() bool { return s.leader() != now || s.term() != settled })
				s.goesOn(100)
			})
		})
	}
}

// TestE4PartialMesh cuts links so that not everybody hears everybody. Catches endless elections, and a leader that
// keeps its place without hearing a majority.
func TestE4PartialMesh(t *testing.T) {
	t.Run("a chain of three", func(t *testing.T) {
		as(t, func(s *scene) {
			leader := s.starts()
			s.part(leader, s.others(leader)[0])
			s.elapse(1500e6)
			now, term := s.lead(), s.term()
			s.never("leadership does not stay", 1e9, func() bool { return s.leader() != now || s.term() != term })
			s.goesOn(100)
		})
	})
	t.Run("only one of five hears a majority", func(t *testing.T) {
		play(t, func(o *Options) { o.Nodes = 5 }, func(s *scene) {
			leader := s.starts()
			bridge := s.others(leader)[0]
			for _, m := range s.others(bridge) {
				s.part(m, s.others(bridge, m)...)
			}
			s.await("the bridge leads", patience, func() bool { return s.serves(bridge) && !leader.leads() })
			term := s.term()
			s.never("leadership does not stay", 1e9, func() bool { return s.leader() != bridge || s.term() != term })
			s.goesOn(100)
		})
	})
}

// TestE5QuorumLossEndsLeadership parts the leader from the others; clients still reach it. Catches a leader that
// goes on without a majority, and acknowledgements after it stepped down (skip-step-down).
func TestE5QuorumLossEndsLeadership(t *testing.T) {
	play(t, func(o *Options) { o.TimeoutMaxMs = 150 }, func(s *scene) {
		leader := s.starts()
		rest := s.others(leader)
		s.part(leader, rest...)
		s.part(rest[0], rest[1])
		s.await("the leader steps down", 3*s.o.TimeoutMaxMs*1e6, func() bool { return !leader.leads() })
		acked, told := s.acked(), s.told()
		s.elapse(2e9)
		if s.acked() != acked || s.told() != told {
			s.wrong("%d messages were acknowledged with nobody leading", s.told()-told)
		}
		s.join()
		s.lead()
		s.goesOn(100)
	})
}

// TestE7ElectionStormIsBounded leaves one node of three for a long time. Catches a hot loop of elections and a term
// that rises without anybody to lead it.
func TestE7ElectionStormIsBounded(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		last := s.others(leader)[0]
		for _, m := range s.others(last) {
			s.kill(m)
		}
		term, sent := s.term(), 0
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			if from == last.end && (kind == wire.DatagramCanvass || kind == wire.DatagramVoteRequest) {
				sent++
			}
			return false
		})
		s.elapse(10e9)
		if s.term() != term {
			s.wrong("term %d became %d with one node of three", term, s.term())
		}
		if most := int(2 * 10e9 / (s.o.HeartbeatMs * 1e6)); sent > most {
			s.wrong("%d ballots in ten seconds, want at most %d", sent, most)
		}
		for _, m := range s.others(last) {
			s.start(m)
		}
		s.goesOn(100)
	})
}

// TestE10StalledLeaderServesNothingWhenItGoesOn stops the leader's process until another leads, and lets it go on.
// Catches a leader that answers or streams on a lease that has run out (skip-step-down)
// and inputs that are taken before deadlines.
func TestE10StalledLeaderServesNothingWhenItGoesOn(t *testing.T) {
	as(t, func(s *scene) {
		old := s.starts()
		term := s.term()
		s.pause(old)
		s.leadBut(old)
		s.goesOn(100)
		streamed, answered := 0, 0
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, payload []byte) bool {
			if h, _ := s.header(payload); from == old.end && h.Term <= term {
				switch kind {
				case wire.DatagramLog:
					streamed++
				case wire.DatagramAnswers, wire.DatagramAccept:
					answered++
				}
			}
			return false
		})
		s.resume(old)
		s.await("the old leader follows", patience, func() bool { return !old.leads() && old.core().Term() > term })
		if streamed+answered > 0 {
			s.wrong("%d LOGs and %d answers of term %d, which is over", streamed, answered, term)
		}
		s.goesOn(100)
	})
}
