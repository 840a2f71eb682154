package sim

import (
	"strconv"
	"strings"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/wire"
)

// TestP2NothingIsAcknowledgedBeforeAMajorityHasSynced hangs disks until no majority syncs, and then cuts the power
// of all nodes at once. Catches ack-before-sync and ack-before-commit.
func TestP2NothingIsAcknowledgedBeforeAMajorityHasSynced(t *testing.T) {
	for _, x := range []struct {
		name  string
		nodes int
		hang  int
	}{{"two of three disks hang", 3, 2}, {"a single node's disk hangs", 1, 1}} {
		t.Run(x.name, func(t *testing.T) {
			play(t, func(o *Options) { o.Nodes, o.Disk.Direct = x.nodes, false }, func(s *scene) {
				leader := s.starts()
				for _, m := range append(s.others(leader), leader)[:x.hang] {
					s.hang(m, agentJournal)
				}
				s.elapse(5e6) // what is synced already may be told
				acked, end := s.acked(), leader.core().Append()
				s.never("a message is acknowledged that no majority has synced", 60e6, func() bool { return s.acked() > acked })
				if leader.core().Append() == end {
					s.wrong("nothing was sent meanwhile")
				}
				for _, m := range s.members {
					s.unplug(m, vfs.LoseAll)
				}
				for _, m := range s.members {
					s.start(m)
				}
				s.lead()
				s.goesOn(50)
			})
		})
	}
}

// TestP3PowerCutAtAnyOperationOfADisk cuts the power of the leader at one operation of its disk after the other, with
// any part of what was not synced kept. Catches tails that are taken for whole, and ignore-failed-sync.
func TestP3PowerCutAtAnyOperationOfADisk(t *testing.T) {
	as(t, func(s *scene) {
		s.starts()
		for step := 1; step <= 12; step++ {
			m := s.lead()
			cuts := s.count.PowerCuts
			m.stepsLeft = step
			s.await("the power fails", patience, func() bool { return s.count.PowerCuts > cuts })
			s.await("the node is there again", patience, func() bool { return m.process != nil })
			s.goesOn(20)
		}
	})
}

// rotAt flips a bit of what a node that is down had synced, or makes it unreadable.
func (s *scene) rotAt(m *member, at wire.Position, unreadable bool) {
	s.t.Helper()
	m.impaired = true
	file, offset, ok := m.locate(at)
	if !ok {
		s.wrong("node %d has no segment with position %d", m.id, at)
	}
	var err error
	if unreadable {
		err = m.disk.Spoil(file, offset)
	} else {
		err = m.disk.Rot(file, offset, 0x10)
	}
	if err != nil {
		s.wrong("rot at %d: %v", at, err)
	}
}

// TestP4BitRotBelowTheWatermarkIsMendedFromAPeer spoils what a node had synced long ago while it is down. Catches
// damage that is taken for the end of the log: what is committed would be cut.
func TestP4BitRotBelowTheWatermarkIsMendedFromAPeer(t *testing.T) {
	for _, unreadable := range []bool{false, true} {
		t.Run(map[bool]string{false: "a flipped bit", true: "an unreadable sector"}[unreadable], func(t *testing.T) {
			as(t, func(s *scene) {
				leader := s.starts()
				for _, m := range []*member{s.others(leader)[0], leader} {
					s.await("the watermark has moved", patience, func() bool { return m.marked > 16<<10 })
					s.unplug(m, vfs.KeepAll)
					s.rotAt(m, m.marked/2, unreadable)
					printed := m.log.Len()
					s.start(m)
					if said := m.log.String()[printed:]; !strings.Contains(said, "damage") && !strings.Contains(said, "read back") {
						s.wrong("node %d says nothing of its damage: %s", m.id, said)
					}
					s.await("it is whole again", patience, func() bool {
						c := m.core()
						return !c.Recovering() && c.Commit() >= m.marked && s.leader() != nil
					})
					s.goesOn(50)
				}
			})
		})
	}
}

// TestP4RottenBytesOfACatchUpAreDroppedAndFetchedElsewhere spoils what a running leader synced, where a follower that
// was away is to catch up from. Catches a follower that believes a disk, or that stops because of another one's.
func TestP4RottenBytesOfACatchUpAreDroppedAndFetchedElsewhere(t *testing.T) {
	for _, unreadable := range []bool{false, true} {
		t.Run(map[bool]string{false: "flipped bits", true: "an unreadable sector"}[unreadable], func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 20, 1200 }, func(s *scene) {
				leader := s.starts()
				away := s.others(leader)[0]
				s.isolate(away)
				from := away.core().Append()
				s.await("the log is far beyond the ring", patience, func() bool {
					return int64(leader.core().Commit()-from) > 6*s.o.RingBytes
				})
				for i := range wire.Position(8) { // lengths and payloads
					s.rotAt(leader, from+wire.Position(s.o.RingBytes)/2+i*1023, unreadable)
				}
				end, epoch := s.check.end, away.epoch
				s.join()
				s.await("it has caught up", patience, func() bool { return away.process != nil && away.core().Commit() >= end })
				spoilt := away.counter("lockstep_caught_up_spoilt_total")
				if away.epoch != epoch || spoilt == 0 && !unreadable {
					s.wrong("it was given rotten bytes %d times, and was started %d times", spoilt, away.epoch-epoch)
				}
				s.goesOn(50)
			})
		})
	}
}

// TestP5DamagedRecordsAreUnknownNotAbsent leaves a node whose copy of committed records is damaged with one that
// never had them. Catches damage that counts as a vote against the record: the two would elect, and go on without
// it.
func TestP5DamagedRecordsAreUnknownNotAbsent(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		damaged, behind := s.others(leader)[0], s.others(leader)[1]
		s.part(behind, leader, damaged)
		s.elapse(20e6)
		lacks := behind.core().Append()
		s.goesOn(200)
		s.await("the watermark has moved", patience, func() bool { return damaged.marked > lacks+8<<10 })
		s.unplug(damaged, vfs.KeepAll)
		s.rotAt(damaged, damaged.marked-4<<10, false)
		s.kill(leader)
		s.start(damaged)
		s.join()
		s.never("two nodes elect a leader without the records that one had and lost", 3e9, func() bool {
			return damaged.leads() || behind.leads()
		})
		s.start(leader)
		s.goesOn(50)
	})
}

// TestP5AllCopiesLostStopsTheClusterAndSaysSo damages committed records on every node. Catches a cluster that goes
// on with what is left.
func TestP5AllCopiesLostStopsTheClusterAndSaysSo(t *testing.T) {
	play(t, func(o *Options) { o.Unlimited = true }, func(s *scene) {
		s.starts()
		for _, m := range s.members {
			s.await("the watermark has moved", patience, func() bool { return m.marked > 32<<10 })
		}
		for _, m := range s.members {
			s.unplug(m, vfs.KeepAll)
			s.rotAt(m, 16<<10, false)
		}
		for _, m := range s.members {
			s.start(m)
		}
		s.never("a leader is elected by nodes that may all have forgotten", 5e9, func() bool { return s.leader() != nil })
		for _, m := range s.members {
			if !m.core().Recovering() || !strings.Contains(m.log.String(), "recovering: ") {
				s.wrong("node %d does not say that it is recovering", m.id)
			}
		}
	})
}

// lie has a device say that it has synced what it has not.
func (s *scene) lie(m *member) {
	m.impaired, m.diskBad = true, true
	m.failing.Inject(vfs.Fault{Ops: vfs.OpSync, Times: -1, Lie: true})
}

// TestP7DeviceThatLiesAboutSyncLosesNothingThatOthersHave has devices lie and their power fail. A minority of them
// loses nothing; a majority is seen by the leader that is left, by name, before it counts them. Catches a durable
// position that goes back in silence.
func TestP7DeviceThatLiesAboutSyncLosesNothingThatOthersHave(t *testing.T) {
	for _, liars := range []int{1, 2} {
		t.Run(strconv.Itoa(liars)+" of three", func(t *testing.T) {
			play(t, func(o *Options) {
				o.Disk.Direct = false
				o.SegmentBytes = 1 << 20 // one will do: of a next one that is gone the node itself would know
			}, func(s *scene) {
				leader := s.starts()
				list := s.others(leader)[:liars]
				for _, m := range list {
					s.lie(m)
				}
				s.goesOn(200)
				refused := leader.core().Refused(replica.RefusedDurableRegress)
				for _, m := range list {
					s.unplug(m, vfs.LoseAll)
				}
				commit := leader.core().Commit()
				for _, m := range list {
					s.start(m)
				}
				for _, m := range list {
					s.await("the loss is made good", patience, func() bool { return m.process != nil && m.core().Commit() > commit })
				}
				if s.leader() == leader && leader.core().Refused(replica.RefusedDurableRegress) == refused {
					s.wrong("nobody has noticed what was lost")
				}
				s.goesOn(50)
			})
		})
	}
}

// TestP11WipedNodeCountsForNothingUntilItIsAdmitted wipes a follower while the third node is away. Catches
// count-unadmitted and forget-amnesia: the leader would commit with a node that may have forgotten its vote.
func TestP11WipedNodeCountsForNothingUntilItIsAdmitted(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		wiped, away := s.others(leader)[0], s.others(leader)[1]
		s.part(away, leader, wiped)
		s.goesOn(50)
		wiped.starting = true
		wiped.wipe()
		s.elapse(1e6)
		commit := leader.core().Commit()
		s.start(wiped)
		s.never("the wiped node makes a majority", 3e9, func() bool {
			return wiped.leads() || leader.core().Commit() > commit
		})
		s.join()
		s.await("it is admitted", patience, func() bool {
			return !wiped.core().Recovering() && wiped.core().Commit() > commit
		})
		s.goesOn(50)
	})
}

// TestP11OlderDiskUnderTheSameIdentityIsRefused puts an old image of its disk under a node. Catches a node whose
// promises since are forgotten and that counts all the same: its run, or its durable position, has been seen further
// on.
func TestP11OlderDiskUnderTheSameIdentityIsRefused(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		m := s.others(leader)[0]
		image := m.disk.Crash(vfs.KeepAll)
		s.goesOn(100)
		s.kill(m)
		s.start(m) // its run is one further on the disk that is taken away
		s.goesOn(100)
		s.kill(m)
		m.mount(image)
		m.marked, m.reported = 0, 0
		commit := leader.core().Commit()
		s.start(m)
		s.await("it is refused by name", patience, func() bool {
			c := leader.core()
			return c.Refused(replica.RefusedRun)+c.Refused(replica.RefusedDurableRegress) > 0
		})
		s.kill(m) // a start more, and its run is a new one
		s.start(m)
		s.await("it has caught up", patience, func() bool { return m.core().Commit() > commit })
		s.goesOn(50)
	})
}
