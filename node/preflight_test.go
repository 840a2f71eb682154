package node

import (
	"errors"
	"strings"
	"testing"

	"lockstep/tuning"
)

// TestPreflightRefusesBelowAScore: what no machine reaches is refused once, with the way to mend it; a node that runs is
// not ended by it.
func TestPreflightRefusesBelowAScore(t *testing.T) {
	n, log := counting(t, formatted(t), "", 0)
	n.begun = &begun{}
	n.config.Cluster.Nodes = []NodeConfig{{ID: 1}}
	n.config.Tuning = TuningConfig{Profile: "auto", RefuseBelow: 101, HoldLatency: "off"} // 101: more than can be asked for
	err := n.preflight()
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "tuning.refuse_below") ||
		!strings.Contains(err.Error(), "lockstep tune check --profile leader --dir "+n.config.Dir) {
		t.Errorf("refused with %v", err)
	}
	if shown := strings.Count(log.String(), "host: "); shown > 1+worstShown || !strings.Contains(log.String(), "host: score ") {
		t.Errorf("it printed\n%s", log)
	}
	n.config.Tuning.RefuseBelow = 0
	if err := n.preflight(); err != nil {
		t.Error(err)
	}
	n.config.Tuning.RefuseBelow = 101
	if err := n.preflight(); err != nil {
		t.Errorf("opened again by a node that runs: %v", err)
	}
	score := tuning.Score(tuning.Check(tuning.ThisHost(), tuning.Target{Dir: n.config.Dir}))
	if got := n.gauge("lockstep_tuning_score"); int(got) != score {
		t.Errorf("the gauge says %d, want %d", got, score)
	}
	for _, f := range n.findings {
		if !f.State.Wrong() || f.Fix == "" {
			t.Errorf("%s is %s, mended by %q: status is to show what is not as wanted", f.Item, f.State, f.Fix)
		}
	}
}

func TestProfileOfANode(t *testing.T) {
	n := &Node{}
	n.config.Node, n.config.Cluster.Nodes = 1, []NodeConfig{{ID: 1}, {ID: 2, Learner: true}}
	n.config.Tuning.Profile = "auto"
	if p := n.profile(); p != tuning.Leader {
		t.Errorf("a voter's is %s", p)
	}
	n.config.Node = 2
	if p := n.profile(); p != tuning.Follower {
		t.Errorf("a learner's is %s", p)
	}
	n.config.Tuning.Profile = "lab"
	if p := n.profile(); p != tuning.Lab {
		t.Errorf("that of a config that says lab is %s", p)
	}
}

// TestDedicatedLayoutHoldsLatency: with a thread on each of four cores none may sleep deeply, if the kernel lets it.
func TestDedicatedLayoutHoldsLatency(t *testing.T) {
	held, err := tuning.HoldLatency(tuning.ThisHost())
	if err != nil {
		t.Skip(err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		layout, hold string
		want         bool
	}{{"dedicated", "auto", true}, {"shared", "auto", false}, {"shared", "on", true}, {"dedicated", "off", false}} {
		n, log := counting(t, formatted(t), "", 0)
		n.begun = &begun{}
		n.config.Threads.Layout, n.config.Tuning.HoldLatency = c.layout, c.hold
		before := len(n.closers)
		if err := n.holdLatency(); err != nil {
			t.Fatal(err)
		}
		if got := len(n.closers) > before; got != c.want || got != strings.Contains(log.String(), "deep idle") {
			t.Errorf("layout %s, key %q: held %v, want %v; it printed %q", c.layout, c.hold, got, c.want, log)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}
}
