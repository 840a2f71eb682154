package sim

import (
	"fmt"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// Scenarios that others have been bitten by, under their names: of Aeron's ClusterTest, of TigerBeetle's replica
// tests, of etcd's raft, and our own.

// TestPartition of TigerBeetle: "partition 2-1", "1-2", each symmetric, send-only and receive-only. The side of two
// goes on whenever it hears itself; a side of one never does.
func TestPartition(t *testing.T) {
	for _, side := range []string{"2-1", "1-2"} { // nodes with the leader - nodes without
		for _, mode := range []string{"symmetric", "send-only", "receive-only"} {
			t.Run(side+" "+mode, func(t *testing.T) {
				as(t, func(s *scene) {
					leader := s.starts()
					single := leader
					if side == "2-1" {
						single = s.others(leader)[0]
					}
					if mode != "send-only" {
						s.mute(single, s.others(single)...)
					}
					if mode != "receive-only" {
						s.deafen(single, s.others(single)...)
					}
					if single == leader {
						s.leadBut(leader)
						s.await("the old leader steps down", patience, func() bool { return !leader.leads() })
					} else {
						s.never("leadership changes", 1e9, func() bool { return s.leader() != leader })
					}
					s.goesOn(100)
					s.join()
					s.goesOn(50)
				})
			})
		}
	}
}

// TestPartitionClientPrimary of TigerBeetle: requests, or replies, do not get through between a client and the leader.
func TestPartitionClientPrimary(t *testing.T) {
	for _, requests := range []bool{true, false} {
		t.Run(map[bool]string{true: "drop requests", false: "drop replies"}[requests], func(t *testing.T) {
			as(t, func(s *scene) {
				leader := s.starts()
				cut := s.loads[0].end
				from, to := cut, leader.end
				if !requests {
					from, to = to, from
				}
				s.setCut(from, to, true)
				s.elapse(1500e6)
				s.goesOn(50) // of the other client
				s.setCut(from, to, false)
				open := s.loads[0].session
				n := open.responses
				s.await("the client is served again", patience, func() bool { return open.responses > n+20 })
			})
		})
	}
}

// TestDuelOfThePrimaries of TigerBeetle: the leader is stopped, another takes over and is stopped, and the first
// goes on; then both are there.
func TestDuelOfThePrimaries(t *testing.T) {
	as(t, func(s *scene) {
		first := s.starts()
		s.pause(first)
		second := s.leadBut(first)
		s.pause(second)
		s.resume(first)
		s.elapse(600e6)
		s.resume(second)
		s.await("one of them steps down", patience, func() bool { return !first.leads() || !second.leads() })
		s.lead()
		s.goesOn(100)
	})
}

// TestPartitionedReplicaWithHigherViewCannotLockOutClient of TigerBeetle: a node of a higher term that hears nobody
// must not keep clients from the leader: what it says of its term is not an acknowledgement of anything.
func TestPartitionedReplicaWithHigherViewCannotLockOutClient(t *testing.T) {
	as(t, func(s *scene) {
		first := s.starts()
		s.mute(first, s.others(first)...)
		second := s.leadBut(first)
		s.mute(second, s.others(second)...)
		s.deafen(first, second)
		s.join()
		s.part(second, s.others(second)...) // it has a later term than the first, and its clients
		s.leadBut(second)
		s.goesOn(200)
		for _, l := range s.loads {
			if !l.session.client.Connected() {
				s.wrong("client %d is not served", l.number)
			}
		}
	})
}

// TestShouldElectSameLeaderAfterLosingQuorum of Aeron: both followers go and come back; the leader may lead again, and
// nothing is lost either way.
func TestShouldElectSameLeaderAfterLosingQuorum(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		for _, m := range s.others(leader) {
			s.kill(m)
		}
		s.await("the leader steps down", patience, func() bool { return !leader.leads() })
		term := leader.core().Term()
		s.start(s.others(leader)[0])
		if now := s.lead(); now != leader || now.core().Term() <= term {
			s.wrong("node %d leads term %d: only node %d had the whole log", now.id, now.core().Term(), leader.id)
		}
		s.goesOn(50)
		s.start(s.others(leader)[1])
	})
}

// TestShouldTolerateMultipleLeaderFailures of Aeron.
func TestShouldTolerateMultipleLeaderFailures(t *testing.T) {
	play(t, func(o *Options) { o.Nodes = 5 }, func(s *scene) {
		first := s.starts()
		s.kill(first)
		second := s.leadBut(first)
		s.goesOn(50)
		s.kill(second)
		s.leadBut(second)
		s.goesOn(50)
		s.start(first)
		s.start(second)
		s.goesOn(50)
	})
}

// TestShouldRecoverAfterTwoLeaderNodesFailAndComeBackUpAtSameTime of Aeron.
func TestShouldRecoverAfterTwoLeaderNodesFailAndComeBackUpAtSameTime(t *testing.T) {
	as(t, func(s *scene) {
		first := s.starts()
		s.kill(first)
		second := s.leadBut(first)
		s.goesOn(20)
		s.unplug(second, vfs.LoseAll)
		s.elapse(500e6)
		for _, m := range []*member{first, second} {
			m.starting = false
			s.startLater(m, 1000)
		}
		s.lead()
		s.goesOn(100)
	})
}

// TestShouldCatchUpFromEmptyLog and TestShouldRecoverWhenFollowerIsMultipleTermsBehindFromEmptyLog of Aeron: a follower
// without anything comes back terms later, and later than the others' rings reach.
func TestShouldRecoverWhenFollowerIsMultipleTermsBehind(t *testing.T) {
	for _, empty := range []bool{false, true} {
		t.Run(map[bool]string{false: "with its log", true: "from an empty log"}[empty], func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 12, 1200 }, func(s *scene) {
				leader := s.starts()
				away := s.others(leader)[0]
				s.kill(away)
				if empty {
					away.wipe()
				}
				for range 3 {
					leader = s.lead()
					s.kill(leader)
					s.start(leader)
					s.goesOn(150)
				}
				s.await("the log is longer than the ring", patience, func() bool { return int64(s.check.end) > 2*s.o.RingBytes })
				end := s.check.end
				s.start(away)
				s.await("it has caught up", patience, func() bool { return away.core().Commit() >= end })
				s.goesOn(50)
			})
		})
	}
}

// TestShouldRecoverWhenFollowerArrivesPartWayThroughTermAfterMissingElection of Aeron.
func TestShouldRecoverWhenFollowerArrivesPartWayThroughTermAfterMissingElection(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		away := s.others(leader)[0]
		s.isolate(away)
		s.kill(leader)
		s.start(leader)
		s.leadBut(away)
		s.goesOn(50)
		s.join()
		s.await("it follows", patience, func() bool { return away.core().Aligned() })
		s.goesOn(50)
	})
}

// TestShouldRecoverWhenLeaderHasAppendedMoreThanFollower of Aeron: the whole cluster is stopped with the leader ahead.
func TestShouldRecoverWhenLeaderHasAppendedMoreThanFollower(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		s.alone(leader)
		for _, m := range s.members {
			s.kill(m)
		}
		s.join()
		for _, m := range s.members {
			s.start(m)
		}
		s.lead()
		s.goesOn(50)
	})
}

// TestShouldCatchUpAfterFollowerMissesOneMessage of Aeron.
func TestShouldCatchUpAfterFollowerMissesOneMessage(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		away, lost := s.others(leader)[0], false
		s.drop(func(from, to *endpoint, kind wire.DatagramKind, payload []byte) bool {
			if lost || from != leader.end || to != away.end || kind != wire.DatagramLog || len(payload) < 200 {
				return false
			}
			lost = true
			return true
		})
		s.await("a datagram is lost", patience, func() bool { return lost })
		end := leader.core().Append()
		s.await("it is repaired", 50e6, func() bool { return away.core().Append() >= end })
	})
}

// TestShouldFormClusterAfterFullPartition of Aeron: nobody hears anybody from the first moment on.
func TestShouldFormClusterAfterFullPartition(t *testing.T) {
	as(t, func(s *scene) {
		for _, m := range s.members {
			s.part(m, s.others(m)...)
		}
		s.never("a node leads alone", 2e9, func() bool { return s.leader() != nil })
		s.join()
		s.starts()
	})
}

// TestShouldRestartClusterWithMajorityOfNodesBeingBehind of Aeron.
func TestShouldRestartClusterWithMajorityOfNodesBeingBehind(t *testing.T) {
	play(t, func(o *Options) { o.Nodes = 5 }, func(s *scene) {
		leader := s.starts()
		rest := s.others(leader)
		for _, m := range rest[:2] {
			s.isolate(m)
		}
		s.goesOn(100)
		s.isolate(rest[2])
		s.elapse(50e6)
		for _, m := range s.members {
			s.unplug(m, vfs.LoseAll)
		}
		s.join()
		for _, m := range s.members {
			s.start(m)
		}
		s.lead()
		s.goesOn(50)
	})
}

// TestShouldNotGetStuckInFollowerCatchUp of Aeron: the server of a catch-up dies in the middle of it.
func TestShouldNotGetStuckInFollowerCatchUp(t *testing.T) {
	play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 20, 1200 }, func(s *scene) {
		leader := s.starts()
		away := s.others(leader)[0]
		s.isolate(away)
		end := leader.core().Commit()
		s.await("the log is far beyond the ring", patience, func() bool {
			return int64(leader.core().Commit()-end) > 6*s.o.RingBytes
		})
		s.join()
		s.await("a catch-up is under way", patience, func() bool { return away.core().CatchingUp() != 0 })
		s.kill(leader)
		end = s.check.end
		s.elapse(300e6)
		s.start(leader)
		s.await("it has caught up", patience, func() bool { return away.core().Commit() >= end })
		s.goesOn(50)
	})
}

// TestShouldEnterElectionWhenTheLeadersLogAgentStops of Aeron ("RecordingStopsUnexpectedly"): the journal of the leader
// ends with an error.
func TestShouldEnterElectionWhenTheLeadersJournalStops(t *testing.T) {
	as(t, func(s *scene) {
		leader, term := s.starts(), s.term()
		leader.diskBad = true
		leader.failing.Inject(vfs.Fault{Ops: vfs.OpWrite, Path: "journal", Times: -1, Err: syscall.EIO})
		s.await("it ends", patience, func() bool { return leader.process == nil })
		leader.starting = true
		s.leadBut(leader)
		if s.term() <= term {
			s.wrong("term %d goes on", term)
		}
		s.goesOn(50)
	})
}

// TestShouldNotAcceptSessionsThatAreNotCommitted of Aeron ("NextCommittedSessionIdReflectOnlyCommittedSessions"): a
// leader that no follower hears opens no session (accept-before-commit).
func TestShouldNotAcceptSessionsThatAreNotCommitted(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.lead()
		s.part(leader, s.others(leader)...)
		accepted := 0
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			if from == leader.end && kind == wire.DatagramAccept {
				accepted++
			}
			return false
		})
		known := len(s.check.byID)
		for _, l := range s.loads {
			if l.session.id == 0 {
				l.sendNs = 0
			}
		}
		s.await("the leader steps down", patience, func() bool { return !leader.leads() })
		if accepted > 0 && len(s.check.byID) > known {
			s.wrong("%d sessions were accepted without a majority", accepted)
		}
		s.join()
		s.goesOn(50)
	})
}

// TestOldMessages of etcd's raft: LOG of a term that is over arrives at those who have gone on.
func TestOldMessages(t *testing.T) {
	as(t, func(s *scene) {
		old := s.starts()
		var kept []keptDatagram
		s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
			if h, _ := s.header(payload); from == old.end && h.Kind == wire.DatagramLog && len(kept) < 500 {
				kept = append(kept, keptDatagram{from, to, append([]byte(nil), payload...)})
			}
			return true
		}
		s.goesOn(50)
		s.net.sift = nil
		s.kill(old)
		next := s.leadBut(old)
		s.goesOn(20)
		for i, k := range kept {
			s.inject(k.from, k.to, k.payload)
			if i%10 == 0 {
				s.elapse(1e6)
			}
		}
		s.goesOn(50)
		if s.leader() != next || next.core().Refused(replica.RefusedOldTerm) == 0 {
			s.wrong("LOG of an older term was not refused")
		}
		s.start(old)
	})
}

// TestLeaderIsKilled at each step of a message's way; its power is cut, and what it had not synced is gone.
func TestLeaderIsKilled(t *testing.T) {
	for _, x := range []struct {
		name string
		lost wire.DatagramKind // never leaves the leader
		due  func(m *member, end wire.Position) bool
	}{
		{"between stamp and publish", wire.DatagramLog, func(m *member, end wire.Position) bool {
			return m.core().Append() > end
		}},
		{"between publish and local sync", 0, func(m *member, end wire.Position) bool {
			return m.core().Append() > end && uint64(m.core().Append()) > m.process.durable.Load()
		}},
		{"between quorum and reply", wire.DatagramAnswers, func(m *member, end wire.Position) bool {
			return m.core().Commit() > end
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			as(t, func(s *scene) {
				for range 3 {
					leader := s.starts()
					s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
						return from == leader.end && kind == x.lost
					})
					end := leader.core().Append()
					s.await("the instant", patience, func() bool { return x.due(leader, end) })
					s.unplug(leader, vfs.LoseAll)
					s.net.sift = nil
					s.leadBut(leader)
					s.goesOn(30)
					s.start(leader)
				}
			})
		})
	}
}

// muteAll has nothing that a node sends from now on reach anybody.
func muteAll(s *scene, m *member) {
	for _, e := range s.net.ends {
		s.setCut(m.end, e, true)
	}
}

// TestFollowerIsKilled between the write, the sync and the report of it.
func TestFollowerIsKilled(t *testing.T) {
	for _, x := range []struct {
		name string
		op   vfs.Op
	}{{"before the write", vfs.OpWrite}, {"between write and sync", vfs.OpSync}, {"between sync and report", 0}} {
		t.Run(x.name, func(t *testing.T) {
			play(t, func(o *Options) { o.Disk.Direct = false }, func(s *scene) {
				for range 3 {
					leader := s.starts()
					victim := s.others(leader)[0]
					cuts := s.count.PowerCuts
					if x.op == 0 {
						durable := victim.process.durable.Load()
						s.await("it has synced more", patience, func() bool { return victim.process.durable.Load() > durable })
						muteAll(s, victim)
						victim.crash(true)
					} else {
						victim.disk.Step = func(op vfs.Op, path string) {
							if op == x.op {
								panic(powerCut{victim})
							}
						}
					}
					s.await("its power fails", patience, func() bool { return s.count.PowerCuts > cuts })
					s.join()
					s.goesOn(30)
					s.await("it is there again", patience, func() bool { return victim.process != nil })
				}
			})
		})
	}
}

// TestStepDownWithHalfABatchInTheTransmitRing lets a part of what the leader's network card was given go out.
func TestStepDownWithHalfABatchInTheTransmitRing(t *testing.T) {
	for _, part := range []int{1, 3, 7} {
		t.Run(fmt.Sprint(part, " datagrams go out"), func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 40, 1200 }, func(s *scene) {
				leader := s.starts()
				out, closed := 0, false
				s.drop(func(from, to *endpoint, kind wire.DatagramKind, payload []byte) bool {
					if from != leader.end || to.number >= len(s.members) {
						return false
					}
					if kind == wire.DatagramLog && len(payload) > 1000 {
						out++
						closed = closed || out > part
					}
					return closed
				})
				s.await("half a batch is out", patience, func() bool { return closed })
				s.await("it steps down", patience, func() bool { return !leader.leads() })
				s.net.sift = nil
				s.lead()
				s.goesOn(100)
			})
		})
	}
}
