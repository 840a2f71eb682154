package node

import (
	"fmt"
	"testing"

	"lockstep/wire"
)

// A learner applies what the others do, under both rules, through crashes of its own and a change of leader; the leader
// shows how far it is. Nothing waits for it.
func TestLearnerAppliesWhatTheOthersDo(t *testing.T) {
	for _, rule := range []string{"durable", "replicated"} {
		t.Run(rule, func(t *testing.T) {
			c := newClusterOf(t, 4, rule, t.TempDir(), nil, func(config *Config) { config.Cluster.Nodes[3].Learner = true })
			const learner = 3
			c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
			c.roundTrip(wire.LevelApplied, []byte("with the learner"))
			c.until("the learner has applied the same", 1_000_000, 1000, func() bool { return c.sameState() })
			c.stop(learner)
			c.roundTrip(wire.LevelDurable, []byte("without the learner"))
			c.restart(learner)
			c.until("the learner has caught up", 1_000_000, 5000, func() bool { return c.sameState() })
			c.run(100e6)
			s := c.nodes[learner].Status()
			if s.Role != "learner" || s.Recovering != "" {
				t.Errorf("the learner is %q, recovering %q", s.Role, s.Recovering)
			}
			leader := c.nodes[c.leaderOf()]
			want := Follower{Node: 4, Learner: true, Append: s.Append, Durable: s.Durable}
			if list := leader.Status().Followers; len(list) != 3 || list[2] != want {
				t.Errorf("the leader shows %+v, want %+v in it", list, want)
			}
			if plan, err := PlanRecovery(c.asked()); err == nil {
				t.Errorf("recovered for a learner's sake: %+v", plan)
			}
		})
	}
}

// With voters away a learner does not fill in: two of four nodes, one of them a learner, elect nobody.
func TestLearnerMakesNoMajority(t *testing.T) {
	c := newClusterOf(t, 4, "durable", t.TempDir(), nil, func(config *Config) { config.Cluster.Nodes[0].Learner = true })
	c.stop(1)
	c.stop(2)
	c.run(3e9)
	if at := c.leaderOf(); at >= 0 {
		t.Fatalf("node %d leads with a learner's help\n%s", at+1, fmt.Sprint(c.logs[at]))
	}
}
