package sim

import (
	"fmt"
	"path"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal/snapshot"
	"lockstep/replica"
	"lockstep/wire"
)

// withSnapshots is a world that takes snapshots often and keeps no log that no start needs.
func withSnapshots(o *Options) {
	o.Clients.Burst, o.Clients.Payload, o.SegmentBytes, o.RingBytes = 20, 1200, 128<<10, 64<<10
	o.Store.SnapshotBytes, o.Store.PinNs = 48<<10, 200e6
}

// snapshots are the positions of what a node holds.
func (s *scene) snapshots(m *member) (list []wire.Position) {
	for _, x := range m.process.in.Store.List() {
		list = append(list, x.Position())
	}
	return list
}

// floorOf is where a node's log begins.
func floorOf(m *member) wire.Position { return wire.Position(m.counter("lockstep_log_floor_position")) }

// drops waits until nodes have dropped the log up to a position.
func (s *scene) drops(at wire.Position, list ...*member) {
	s.t.Helper()
	s.await(fmt.Sprintf("the log goes up to %d", at), patience, func() bool {
		for _, m := range list {
			if floorOf(m) <= at {
				return false
			}
		}
		return true
	})
}

// TestL13FollowerBehindTheLogsBeginningInstallsASnapshot has a follower away until the others have dropped what it
// lacks. It has a tail of its own that nobody committed, and an old snapshot, and the others drop on while it fetches.
// Catches skip-install-mark, a loop, a tail that stays, a snapshot that is older than the log.
func TestL13FollowerBehindTheLogsBeginningInstallsASnapshot(t *testing.T) {
	for _, tail := range []bool{false, true} {
		t.Run(map[bool]string{false: "a follower", true: "a leader with a tail of its own"}[tail], func(t *testing.T) {
			play(t, withSnapshots, func(s *scene) {
				leader := s.starts()
				s.await("there are snapshots", patience, func() bool { return len(s.snapshots(s.others(leader)[0])) > 1 })
				away := s.others(leader)[0]
				if tail {
					away = leader
				}
				s.part(away, s.others(away)...)
				s.elapse(300e6)
				lacks := away.core().Append()
				for _, m := range s.others(away) {
					s.await("another one leads", patience, func() bool { l := s.leader(); return l != nil && l != away })
					s.drops(lacks, m)
				}
				installs, epoch := s.count.Sometimes[sometimesInstalled], away.epoch
				s.join()
				s.await("it has caught up", 3*patience, func() bool {
					return away.process != nil && away.core().Commit() > lacks && s.leader() != nil &&
						away.core().Commit() >= s.leader().core().Commit()-64<<10
				})
				if s.count.Sometimes[sometimesInstalled] == installs {
					s.wrong("it has installed nothing")
				}
				if away.epoch > epoch+6 {
					s.wrong("it has begun %d times", away.epoch-epoch)
				}
				s.goesOn(100)
			})
		})
	}
}

// TestL13LeaderDropsLogWhileAFollowerFetches parts a follower again and again, until the others have dropped what it
// lacks: it gets on each time. Catches ignore-pins and drop-too-much.
func TestL13LeaderDropsLogWhileAFollowerFetches(t *testing.T) {
	play(t, withSnapshots, func(s *scene) {
		leader := s.starts()
		away := s.others(leader)[0]
		for range 3 { // each time that it is nearly there it is parted again
			s.part(away, s.others(away)...)
			s.elapse(200e6)
			lacks := away.core().Append()
			s.drops(lacks, s.others(away)...)
			s.join()
			s.await("it installs", 3*patience, func() bool {
				return away.process != nil && away.core().Append() > lacks
			})
		}
		s.goesOn(100)
	})
}

// TestL6CutTailDoesNotComeBackBehindASnapshot has a leader cut off append a tail, which is cut when it comes back; then
// snapshots are taken and the power fails. Catches bytes of the tail that a start from a snapshot finds behind the log.
func TestL6CutTailDoesNotComeBackBehindASnapshot(t *testing.T) {
	play(t, withSnapshots, func(s *scene) {
		old := s.starts()
		others := s.others(old)
		for _, m := range others {
			s.part(old, m)
		}
		s.await("another one leads", patience, func() bool { l := s.leader(); return l != nil && l != old && s.serves(l) })
		cuts := s.count.Cuts
		s.join()
		s.await("the tail is cut", patience, func() bool { return s.count.Cuts > cuts })
		s.await("it holds a snapshot behind that", patience, func() bool {
			held := s.snapshots(old)
			return len(held) > 0 && held[len(held)-1] > old.seen.commit-64<<10 && old.core().Role() == replica.Follower
		})
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll} {
			s.unplug(old, choose)
			s.start(old) // what it begins with is held against what it had
			s.elapse(50e6)
		}
		s.goesOn(100)
	})
}

// TestP8FullDiskConcernsTheSnapshotAlone has nodes without room for snapshots: they go on as before, drop nothing, and
// take snapshots again when there is room.
func TestP8FullDiskConcernsTheSnapshotAlone(t *testing.T) {
	play(t, withSnapshots, func(s *scene) {
		s.starts()
		epochs := uint32(0)
		for _, m := range s.members {
			epochs += m.epoch
			m.failing.Inject(vfs.Fault{Ops: vfs.OpWrite | vfs.OpMkdir, Path: snapshot.Dir, Times: -1, Err: syscall.ENOSPC})
		}
		s.elapse(100e6)
		held, end := map[*member]int{}, s.check.end
		for _, m := range s.members {
			held[m] = len(s.snapshots(m))
		}
		s.goesOn(400)
		if s.check.end < end+wire.Position(2*s.o.Store.SnapshotBytes) {
			s.wrong("the log has grown by %d only", s.check.end-end)
		}
		for _, m := range s.members {
			epochs -= m.epoch
			if n := len(s.snapshots(m)); n > held[m] {
				s.wrong("node %d has %d snapshots, and had %d", m.id, n, held[m])
			}
			m.failing.Heal()
		}
		if epochs != 0 {
			s.wrong("a node has ended")
		}
		s.drops(end, s.members...)
		s.goesOn(50)
	})
}

// spoil spoils what a node that is down holds of a snapshot.
func (s *scene) spoil(m *member, at wire.Position, file string) {
	s.t.Helper()
	m.spoilt = true
	name := path.Join(nodeDir, snapshot.Dir, fmt.Sprintf("%020d", at), file)
	size, err := m.disk.Stat(name)
	if err == nil {
		err = m.disk.Rot(name, size/2, 0x10)
	}
	if err != nil {
		s.wrong("%v", err)
	}
}

// TestP10SpoiltSnapshotFallsBackOrIsRefused spoils the newest snapshot of a node, its data or its manifest: it begins
// from the one before, sets the other aside, and removes no other file. When all are spoilt and the log before them is
// gone, it refuses by name and touches nothing. Catches restore-no-hash.
func TestP10SpoiltSnapshotFallsBackOrIsRefused(t *testing.T) {
	for _, file := range []string{"data", "manifest"} {
		t.Run(file, func(t *testing.T) {
			play(t, withSnapshots, func(s *scene) {
				leader := s.starts()
				m := s.others(leader)[0]
				s.drops(0, m)
				s.await("it holds two snapshots", patience, func() bool { return len(s.snapshots(m)) >= 2 })
				held := s.snapshots(m)
				s.unplug(m, vfs.KeepAll)
				s.spoil(m, held[len(held)-1], file)
				strange := path.Join(nodeDir, snapshot.Dir, "notes")
				if f, err := m.disk.OpenFile(strange, vfs.Write|vfs.Create); err != nil || f.Close() != nil {
					s.wrong("%v", err)
				}
				s.start(m)
				if text := m.log.String()[m.said:]; !strings.Contains(text, "set aside") || !strings.Contains(text, "starting from the snapshot") {
					s.wrong("it says nothing of what it found: %s", text)
				}
				if _, err := m.disk.Stat(strange); err != nil {
					s.wrong("it has removed what it does not know: %v", err)
				}
				s.goesOn(50)
				s.await("it holds others", patience, func() bool { return len(s.snapshots(m)) >= 2 })
				held = s.snapshots(m)
				s.unplug(m, vfs.KeepAll)
				for _, at := range held {
					s.spoil(m, at, file)
				}
				before := fmt.Sprint(segmentsOf(m))
				var why error
				m.excuse = func(err error) bool { why = err; return true }
				m.start()
				if m.process != nil || why == nil || !strings.Contains(why.Error(), "reseed") {
					s.wrong("it starts from nothing: %v", why)
				}
				if after := fmt.Sprint(segmentsOf(m)); after != before {
					s.wrong("it had %s, and has %s", before, after)
				}
				m.excuse, m.starting = nil, true
				m.wipe() // what the operator is told to do
				s.start(m)
				s.await("it is there again", 3*patience, func() bool {
					return m.process != nil && !m.core().Recovering() && m.core().Commit() > 0
				})
				s.goesOn(50)
			})
		})
	}
}

// segmentsOf are the segment files of a node's disk.
func segmentsOf(m *member) (list []string) {
	for _, f := range m.disk.Files() {
		if strings.HasSuffix(f, ".seg") {
			list = append(list, f)
		}
	}
	return list
}

// TestP9PowerFailsAtEachStepOfSnapshotsAndInstalls cuts the power of a node at one operation on snapshots after the
// other, and of one that installs: it begins with what it had, or with what it was about to have. Catches forget-kept: what
// clients are owed is in the snapshot.
func TestP9PowerFailsAtEachStepOfSnapshotsAndInstalls(t *testing.T) {
	as := func(t *testing.T, script func(s *scene)) { t.Helper(); play(t, withSnapshots, script) }
	t.Run("publishing and dropping", func(t *testing.T) {
		as(t, func(s *scene) {
			leader := s.starts()
			m := s.others(leader)[0]
			for step := 1; step <= 14; step++ {
				s.await("it runs", patience, func() bool { return m.process != nil })
				cuts := s.count.PowerCuts
				m.storeSteps = step
				s.await("the power fails", patience, func() bool { return s.count.PowerCuts > cuts })
			}
			s.goesOn(50)
		})
	})
	t.Run("installing", func(t *testing.T) {
		as(t, func(s *scene) {
			leader := s.starts()
			away := s.others(leader)[0]
			for step := 1; step <= 21; step += 4 {
				s.await("it runs", patience, func() bool { return away.process != nil })
				s.part(away, s.others(away)...)
				s.elapse(100e6)
				s.drops(away.core().Append(), s.others(away)...)
				cuts := s.count.PowerCuts
				away.storeSteps = step
				s.join()
				s.await("the power fails", 3*patience, func() bool { return s.count.PowerCuts > cuts })
				s.await("it has caught up", 3*patience, func() bool {
					return away.process != nil && away.core().Commit() >= s.check.end-64<<10
				})
			}
			s.goesOn(50)
		})
	})
}
