package sim

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// alone parts the leader from the others until it has a tail of its own and has stepped down, and returns its end.
func (s *scene) alone(leader *member) wire.Position {
	s.t.Helper()
	rest, shared := s.others(leader), wire.Position(0)
	s.part(leader, rest...)
	s.elapse(2e6) // what is under way arrives
	for _, m := range rest {
		shared = max(shared, m.core().Append())
	}
	s.await("the leader steps down", patience, func() bool { return !leader.leads() })
	if end := leader.core().Append(); end <= shared {
		s.wrong("node %d has no tail of its own: it ends at %d, the others at %d", leader.id, end, shared)
	}
	return leader.core().Append()
}

// TestL1Figure8OldTermBytesAreNotCommittedByCount puts bytes of an older term on a majority, without anything of the
// leader's own term, and has a node win that lacks them. Catches commit-old-term: the bytes would have been committed,
// and be lost.
func TestL1Figure8OldTermBytesAreNotCommittedByCount(t *testing.T) {
	as(t, func(s *scene) {
		old := s.starts()
		b, c := s.others(old)[0], s.others(old)[1]
		s.part(b, c)
		s.part(c, b)
		tail := s.alone(old)
		s.kill(old)
		// b leads a later term, and dies with the first record of it on its own disk alone.
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			return kind == wire.DatagramLog || from == c.end && kind == wire.DatagramCanvass
		})
		s.join()
		s.await("the record of the later term is on one disk", patience, func() bool {
			return b.leads() && b.core().Append() > c.core().Append() && uint64(b.core().Append()) == b.process.durable.Load()
		})
		later := b.core().Term()
		s.kill(b)
		s.start(old)
		s.onlyUpTo(old, tail)
		s.await("the older bytes are on a majority, and nothing newer", patience, func() bool {
			return old.leads() && c.core().Append() == tail && uint64(tail) == c.process.durable.Load()
		})
		s.elapse(50e6) // it hears of that
		if !old.leads() || old.core().Commit() >= tail {
			s.wrong("node %d leads: %v; it has committed older bytes by counting them", old.id, old.leads())
		}
		s.kill(old)
		s.net.sift = nil
		s.start(b)
		if now := s.leadBut(old); now != b || s.term() <= later {
			s.wrong("node %d leads term %d: only node %d has a record of term %d", now.id, s.term(), b.id, later)
		}
		s.await("the older bytes are cut", patience, func() bool { return c.counter("lockstep_cuts_total") > 0 })
		s.start(old)
		s.goesOn(50)
	})
}

// onlyUpTo has nothing of a node's log arrive anywhere from a position on.
func (s *scene) onlyUpTo(m *member, end wire.Position) {
	s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
		h, body := s.header(payload)
		var log wire.Log
		if from != m.end || h.Kind != wire.DatagramLog || !log.Decode(body) {
			return true
		}
		until := log.Position + wire.Position(len(body)-wire.LogHeaderSize)
		if until <= end || len(body) == wire.LogHeaderSize {
			return true
		}
		if log.Position < end {
			b := bytes.Clone(payload[:len(payload)-int(until-end)])
			wire.Seal(b, &h)
			s.inject(from, to, b)
		}
		return false
	}
}

// TestL2StaleTermStatusIsNotCounted has reports of an older term arrive again at the leader of a later one that
// lacks one voice for a majority: what they say has never been in its log. Catches count-stale-term.
func TestL2StaleTermStatusIsNotCounted(t *testing.T) {
	play(t, func(o *Options) { o.Nodes = 5 }, func(s *scene) {
		old := s.starts()
		rest := s.others(old)
		liar := rest[0]
		s.part(liar, rest[1:]...)
		s.part(old, rest[1:]...)
		var kept [][]byte
		s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
			if h, _ := s.header(payload); from == liar.end && to == old.end && h.Kind == wire.DatagramStatus {
				kept = append(kept, bytes.Clone(payload))
			}
			return true
		}
		s.await("the leader steps down", patience, func() bool { return !old.leads() })
		s.net.sift = nil
		s.kill(old)
		now := s.leadBut(old)
		away := s.others(old, liar, now)[0]
		s.goesOn(20)
		s.part(now, away)
		s.elapse(1e6) // what was under way has come
		refused, commit := now.core().Refused(replica.RefusedOldTerm), now.core().Commit()
		for _, payload := range kept {
			s.inject(liar.end, now.end, payload)
		}
		s.never("commit moves by reports of an older term", 50e6, func() bool { return now.core().Commit() > commit })
		if n := now.core().Refused(replica.RefusedOldTerm) - refused; n != uint64(len(kept)) || n == 0 {
			s.wrong("%d of %d reports of an older term were refused", n, len(kept))
		}
		s.start(old)
		s.join()
		s.goesOn(50)
	})
}

// TestL3NothingIsAppliedBeyondCommit restarts the node that is ahead, alone: its log goes further than what a majority
// holds. Catches apply-past-commit and replay to the end of one's own log.
func TestL3NothingIsAppliedBeyondCommit(t *testing.T) {
	as(t, func(s *scene) {
		ahead := s.starts()
		rest := s.others(ahead)
		end := s.alone(ahead)
		committed := s.check.end
		s.kill(ahead)
		for _, m := range rest {
			s.kill(m)
		}
		s.start(ahead)
		s.never("the node applies what no majority holds", 2e9, func() bool {
			return ahead.process.in.Progress.Applied() > committed
		})
		if ahead.core().Append() != end {
			s.wrong("node %d ended at %d and begins with %d", ahead.id, end, ahead.core().Append())
		}
		for _, m := range rest {
			s.start(m)
		}
		s.join()
		s.goesOn(50)
	})
}

// TestL5UncommittedTailIsTruncated brings a leader back whose tail nobody else has, while others have gone on. Its
// clients are sent to the new leader with the same messages. Catches a tail that is kept or applied, and skip-dedup.
func TestL5UncommittedTailIsTruncated(t *testing.T) {
	as(t, func(s *scene) {
		old := s.starts()
		end := s.alone(old)
		s.leadBut(old)
		s.goesOn(100)
		cuts := s.count.Cuts
		s.join()
		s.await("the tail is cut", patience, func() bool { return s.count.Cuts > cuts })
		s.await("the old leader has caught up", patience, func() bool {
			return old.core().Aligned() && old.core().Commit() > end
		})
		s.goesOn(50)
	})
}

// awaitCut waits until a node's journal has carried out a cut.
func (s *scene) awaitCut(m *member) {
	s.t.Helper()
	s.await("the tail is cut", patience, func() bool { return m.counter("lockstep_journal_cuts_total") > 0 })
}

// TestL7LateDurableReportOfACutTailIsNotTaken cuts a tail that is synced, or whose sync is still under way, and lets
// no sync follow. Catches keep-durable-over-cut: what was said of the bytes before the cut would stand for those
// which have come in their place.
func TestL7LateDurableReportOfACutTailIsNotTaken(t *testing.T) {
	for _, synced := range []bool{false, true} {
		t.Run(map[bool]string{false: "the sync is under way", true: "the tail is synced"}[synced], func(t *testing.T) {
			as(t, func(s *scene) {
				old := s.starts()
				if !synced {
					s.hang(old, agentJournal)
				}
				s.part(old, s.others(old)...)
				now := s.leadBut(old)
				s.goesOn(50)
				s.net.sift = func(from, _ *endpoint, _ transport.Addr, payload []byte) bool {
					var st wire.Status
					h, body := s.header(payload)
					if from == old.end && h.Kind == wire.DatagramStatus && st.Decode(body) && old.process != nil &&
						st.Aligned != 0 && uint64(st.Durable) > old.process.durable.Load() {
						s.World.fail("node %d reports %d as durable, of [0, %d)", old.id, st.Durable, old.process.durable.Load())
					}
					return true
				}
				s.join()
				if synced {
					s.awaitCut(old)
					s.hang(old, agentJournal)
				}
				s.elapse(300e6)
				s.resume(old)
				s.await("the tail is cut and replaced", patience, func() bool {
					return old.core().Aligned() && !old.leads() && old.core().Commit() >= now.core().Commit()-64<<10
				})
				s.goesOn(100)
			})
		})
	}
}

// TestL8LeaderWhoseWriteFailsNeverReusesAPlace fails a write of the leader's journal after it has streamed. Catches a
// leader that goes on, or writes something else at the same term and position (ignore-failed-sync, retry-failed-sync).
func TestL8LeaderWhoseWriteFailsNeverReusesAPlace(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpSync} {
		t.Run(op.String(), func(t *testing.T) {
			play(t, func(o *Options) { o.Disk.Direct = op == vfs.OpWrite }, func(s *scene) {
				leader, term := s.starts(), s.term()
				leader.diskBad = true
				leader.failing.Inject(vfs.Fault{Ops: op, Path: "journal", Times: 1, Err: syscall.EIO})
				s.await("the leader ends", patience, func() bool { return s.count.Ends == 1 })
				s.await("it is there again", patience, func() bool { return leader.process != nil })
				leader.diskBad = false
				s.await("another term begins", patience, func() bool { return s.leader() != nil && s.term() > term })
				s.lead()
				s.goesOn(100)
			})
		})
	}
}

// TestL9LateRepeatedAndReorderedDatagramsTakeNothingBack keeps datagrams of all kinds and terms and has them arrive
// again, in any order, through changes of leadership. Catches positions and commit that go back.
func TestL9LateRepeatedAndReorderedDatagramsTakeNothingBack(t *testing.T) {
	play(t, func(o *Options) {
		o.Network.Duplicate, o.Network.Reorder, o.Network.Replay = 0.3, 0.3, 0.5
		o.Clients.Clients = 1
	}, func(s *scene) {
		for range 3 {
			leader := s.starts()
			s.kill(leader)
			s.leadBut(leader)
			s.goesOn(50)
			s.start(leader)
		}
		if n := &s.net.count; n.Replayed == 0 || n.Duplicated == 0 || n.Reordered == 0 {
			s.wrong("nothing came again: %+v", *n)
		}
	})
}

// TestL10CommitDoesNotGoBackWithTheMajoritysPositions cuts the power of a follower that made the majority, again and
// again, while the other is away: the position that a majority holds goes down. Catches a commit that follows it.
func TestL10CommitDoesNotGoBackWithTheMajoritysPositions(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		near, away := s.others(leader)[0], s.others(leader)[1]
		s.part(away, leader, near)
		for range 4 {
			s.goesOn(30)
			commit := leader.core().Commit()
			s.unplug(near, vfs.LoseAll)
			s.elapse(20e6)
			s.start(near)
			s.await("the follower is counted again", patience, func() bool {
				return leader.leads() && leader.core().Commit() > commit
			})
		}
		s.join()
		s.goesOn(50)
	})
}

// TestL11ServiceThatIsFarBehindGoesOnFromItsOwnPosition has a node lead whose service must first replay a log that is
// many times longer than the ring. Catches skip-journal-records, and a service that wants its next record in the ring.
func TestL11ServiceThatIsFarBehindGoesOnFromItsOwnPosition(t *testing.T) {
	play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 20, 1200 }, func(s *scene) {
		leader := s.starts()
		s.await("the log is longer than the ring", patience, func() bool {
			return int64(s.check.end) > 8*s.o.RingBytes
		})
		slow, other := s.others(leader)[0], s.others(leader)[1]
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			return from == other.end && kind == wire.DatagramCanvass
		})
		s.part(other, leader, slow) // so that the slow one has all that it has
		s.goesOn(20)
		s.kill(leader)
		s.kill(slow)
		s.join()
		s.start(slow)
		s.await("the node leads", patience, func() bool { return slow.leads() })
		if applied := slow.process.in.Progress.Applied(); int64(slow.core().Append()-applied) < s.o.RingBytes {
			s.wrong("it leads with %d applied of %d: it is not behind", applied, slow.core().Append())
		}
		s.net.sift = nil
		s.goesOn(50)
		s.start(leader)
	})
}

// TestL12SameTermAndPositionWithOtherBytesFencesTheNode has a follower take a record that the leader never sent, sealed
// with a good check. Catches logs that part without anybody saying so: the chain must stop the node, by name.
func TestL12SameTermAndPositionWithOtherBytesFencesTheNode(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		victim := s.others(leader)[0]
		ended := ""
		victim.excuse = func(err error) bool {
			ended = err.Error()
			return strings.Contains(ended, "stopping:")
		}
		forged := false
		s.net.sift = func(from, to *endpoint, _ transport.Addr, payload []byte) bool {
			h, body := s.header(payload)
			if forged || from != leader.end || to != victim.end || h.Kind != wire.DatagramLog ||
				len(body) < wire.LogHeaderSize+100 {
				return true
			}
			b := bytes.Clone(payload)
			b[len(b)-9] ^= 1
			wire.Seal(b, &h)
			s.inject(from, to, b)
			forged = true
			return true
		}
		s.await("the node stops", patience, func() bool { return ended != "" })
		if !strings.Contains(victim.log.String()+ended, "record at position") && !strings.Contains(ended, "other bytes") {
			s.wrong("node %d stopped with %q", victim.id, ended)
		}
		s.net.sift, victim.excuse = nil, nil
		s.goesOn(100)
	})
}

// TestL14NodeThatLacksCommittedRecordsDoesNotLead kills the leader when one of the others is far behind, and has only
// that one campaign for a while. Catches vote-for-older-log.
func TestL14NodeThatLacksCommittedRecordsDoesNotLead(t *testing.T) {
	as(t, func(s *scene) {
		leader := s.starts()
		behind, whole := s.others(leader)[0], s.others(leader)[1]
		s.part(behind, leader, whole)
		s.goesOn(100)
		s.drop(func(from, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
			return from == whole.end && (kind == wire.DatagramCanvass || kind == wire.DatagramVoteRequest)
		})
		s.kill(leader)
		s.join()
		s.never("a node leads that lacks what is committed", 2e9, behind.leads)
		s.net.sift = nil
		if now := s.leadBut(leader); now != whole {
			s.wrong("node %d leads", now.id)
		}
		s.goesOn(50)
		s.start(leader)
	})
}

// TestL6CutTailDoesNotComeBack cuts a tail, fills what has come in its place beyond the segment, and starts the node
// again at several points of that. Catches resurrect-cut-tail: a node that begins with bytes which it has cut would
// vote by them.
func TestL6CutTailDoesNotComeBack(t *testing.T) {
	for _, power := range []bool{false, true} {
		t.Run(map[bool]string{false: "killed", true: "without power"}[power], func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Burst, o.Clients.Payload = 12, 1200 }, func(s *scene) {
				old := s.starts()
				tail := s.alone(old)
				s.leadBut(old)
				s.goesOn(20)
				s.join()
				s.awaitCut(old)
				for k := range 3 {
					s.elapse(int64(k) * s.faultRng.Int64N(5e6)) // at once, the first time
					s.kill(old)
					if power {
						old.mount(old.disk.Crash(vfs.LoseAll))
					}
					s.start(old)
					if old.core().Append() == tail {
						s.wrong("node %d begins with the tail that it had cut", old.id)
					}
				}
				end := s.check.end
				s.await("the log goes on in another segment", patience, func() bool {
					return int64(old.core().Commit()-end) > 2*s.o.SegmentBytes
				})
				s.kill(old)
				s.start(old)
				s.goesOn(50)
			})
		})
	}
}
