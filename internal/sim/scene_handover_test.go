package sim

import (
	"fmt"
	"testing"

	"lockstep/replica"
	"lockstep/wire"
)

// handOver asks a leader to let another node lead.
func (s *scene) handOver(from *member, to wire.NodeID) *replica.OperatorCall {
	s.t.Helper()
	call := from.process.in.Operator.Begin(replica.OperatorRequest{Kind: replica.OperatorHandOver, Node: to})
	if call == nil {
		s.wrong("node %d has another request under way", from.id)
	}
	return call
}

// answered waits for what came of it.
func (s *scene) answered(call *replica.OperatorCall) (answer replica.OperatorAnswer) {
	s.t.Helper()
	s.await("the operator is answered", patience, func() bool {
		select {
		case answer = <-call.Done():
			return true
		default:
			return false
		}
	})
	return answer
}

// TestE9TransferLosesNothingThatIsInFlight hands leadership round under load. Catches messages that are lost between
// two leaders, and a leader that appends after it has said where its log ends.
func TestE9TransferLosesNothingThatIsInFlight(t *testing.T) {
	as(t, func(s *scene) {
		for range 4 {
			leader := s.starts()
			target := s.others(leader)[0]
			if answer := s.answered(s.handOver(leader, target.id)); answer.Err != nil {
				s.wrong("%v", answer.Err)
			}
			s.await("the target leads", patience, func() bool { return s.serves(target) && !leader.leads() })
			s.goesOn(50)
		}
	})
}

// TestE9TransferToATargetThatLagsOrIsGoneIsGivenUp hands over to a node that does not get the log, or not the word to
// lead. Catches a leader that never appends again, or that leads on beside the target.
func TestE9TransferToATargetThatLagsOrIsGoneIsGivenUp(t *testing.T) {
	for _, x := range []struct {
		name string
		lost wire.DatagramKind
	}{{"the log does not reach it", wire.DatagramLog}, {"the word to lead does not reach it", wire.DatagramTransfer}} {
		t.Run(x.name, func(t *testing.T) {
			as(t, func(s *scene) {
				leader := s.starts()
				target, term := s.others(leader)[0], s.term()
				s.drop(func(from, to *endpoint, kind wire.DatagramKind, payload []byte) bool {
					return from == leader.end && to == target.end && kind == x.lost &&
						(kind != wire.DatagramLog || len(payload) > wire.DatagramHeaderSize+wire.LogHeaderSize)
				})
				s.goesOn(20)
				if answer := s.answered(s.handOver(leader, target.id)); answer.Err == nil {
					s.wrong("it is said to be done: %s", answer.What)
				}
				s.goesOn(50)
				if s.leader() != leader || s.term() != term {
					s.wrong("node %d leads term %d", s.leader().id, s.term())
				}
			})
		})
	}
}

// TestE9LeaderIsKilledInMidTransfer kills the leader once it has said TRANSFER, or the target once it has heard it.
func TestE9LeaderIsKilledInMidTransfer(t *testing.T) {
	for _, target := range []bool{false, true} {
		t.Run(map[bool]string{false: "the leader", true: "the target"}[target], func(t *testing.T) {
			as(t, func(s *scene) {
				leader := s.starts()
				victim, said := leader, false
				if target {
					victim = s.others(leader)[0]
				}
				s.drop(func(_, _ *endpoint, kind wire.DatagramKind, _ []byte) bool {
					said = said || kind == wire.DatagramTransfer
					return false
				})
				s.handOver(leader, s.others(leader)[0].id)
				s.await("TRANSFER is on the way", patience, func() bool { return said })
				s.elapse(s.faultRng.Int64N(200e3))
				s.kill(victim)
				s.net.sift = nil
				s.lead()
				s.goesOn(50)
				s.start(victim)
			})
		})
	}
}

// TestE6HungDiskEndsLeadership has the leader's journal stand still; its heartbeats go on. Catches a leader that
// nobody can replace and that answers nobody whose answer waits for its disk.
func TestE6HungDiskEndsLeadership(t *testing.T) {
	for _, agents := range [][]int{{agentJournal}, {agentJournal, agentMark, agentVote}} {
		t.Run(fmt.Sprint(len(agents), " threads hang"), func(t *testing.T) {
			as(t, func(s *scene) {
				zombie := s.starts()
				s.hang(zombie, agents...)
				next := s.leadBut(zombie)
				s.await("the old leader knows it", patience, func() bool { return !zombie.leads() })
				s.goesOn(100)
				s.never("it leads again on a disk that hangs", 1e9, zombie.leads)
				s.resume(zombie)
				end := next.core().Commit()
				s.await("it catches up once its disk goes on", patience, func() bool { return zombie.core().Commit() >= end })
				s.goesOn(50)
			})
		})
	}
}
