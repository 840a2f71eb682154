package sim

import (
	"strings"
	"testing"

	"lockstep/replica"
)

// Timers are set by clients' messages all the time; the checks of the alarm say that each fires once, at one record on all
// nodes, not before its deadline. Here leaders go while timers are pending and while their records are under way.
func TestTimersFireOnceAcrossFailover(t *testing.T) {
	play(t, func(o *Options) { o.Clients.Alarms = 30 }, func(s *scene) {
		for range 4 {
			leader := s.lead()
			fired := len(s.check.fires)
			s.await("timers to fire", patience, func() bool { return len(s.check.fires) > fired+10 })
			s.await("a timer about to fire", patience, func() bool { return len(leader.alarm.pending) > 3 })
			leader.crash(true)
			s.await("another leader", patience, func() bool { return s.leader() != nil && s.serves(s.leader()) })
		}
	})
}

// A node whose service puts out something else than the others' is found and stops; started again it does as they do.
func TestNodeThatDivergesIsFound(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			play(t, func(o *Options) { o.Clients.Alarms = 30 }, func(s *scene) {
				bad := s.lead()
				if who == "follower" {
					bad = s.members[int(bad.id)%len(s.members)]
				}
				s.await("a point", patience, func() bool { return bad.seen.hashAt > 0 })
				said := ""
				bad.excuse = func(err error) bool {
					said = err.Error()
					return strings.Contains(said, "the services of this node have diverged: at position")
				}
				bad.wrong, s.lied = true, true
				ends := s.count.Ends
				s.await("it to stop", patience, func() bool { return s.count.Ends > ends })
				bad.wrong, bad.excuse = false, nil
				for _, m := range s.members {
					if m != bad && m.process == nil {
						s.wrong("node %d ends too, not only node %d (%s)", m.id, bad.id, said)
					}
				}
				s.await("it to follow", patience, func() bool {
					return bad.process != nil && bad.process.in.Core.Role() == replica.Follower && bad.seen.hashAt > 0
				})
			})
		})
	}
}
