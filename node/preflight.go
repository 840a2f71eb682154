package node

import (
	"fmt"

	"lockstep/tuning"
)

// worstShown is how many findings a start prints.
const worstShown = 3

// preflight looks at the host, prints its score and the worst of what is not as wanted, and refuses a host below what the
// config asks for. Only the first opening of a start refuses: a node that runs is not to end over its host.
func (n *Node) preflight() error {
	profile := n.profile()
	target := tuning.Target{Profile: profile, Interface: n.config.Transport.Interface, Dir: n.config.Dir,
		Cores: n.config.Threads.Cores}
	findings := tuning.Check(tuning.ThisHost(), target)
	score := tuning.Score(findings)
	n.findings = tuning.Wrong(findings)
	n.counters.Counter("lockstep_tuning_score", "how fit the host is, 0 to 100").Set(uint64(score))
	n.logf("host: score %d of 100 for profile %s, %d items not as wanted (lockstep tune check%s)", score, profile,
		len(n.findings), target.Flags())
	for _, f := range n.findings[:min(len(n.findings), worstShown)] {
		n.logf("host: %s is %s, wanted %s: %s", f.Item, f.Current, f.Wanted, f.Fix)
	}
	if below := n.config.Tuning.RefuseBelow; score < below && !n.begun.preflown {
		return fmt.Errorf("%w: the host's score is %d, key \"tuning.refuse_below\" is %d: mend what lockstep tune check%s "+
			"shows, or lower the key", ErrConfig, score, below, target.Flags())
	}
	n.begun.preflown = true
	return n.holdLatency()
}

// profile is what this node's host is checked for.
func (n *Node) profile() tuning.Profile {
	if p, err := tuning.ParseProfile(n.config.Tuning.Profile); err == nil {
		return p
	}
	if n.config.Self().Learner {
		return tuning.Follower
	}
	return tuning.Leader
}

// holdLatency keeps the host's cores out of deep idle states while the node is open.
func (n *Node) holdLatency() error {
	want := n.config.Tuning.HoldLatency
	if want == "off" || want == "auto" && n.config.Threads.Layout != "dedicated" {
		return nil
	}
	held, err := tuning.HoldLatency(tuning.ThisHost())
	if err != nil && want == "on" {
		return fmt.Errorf("%w: key \"tuning.hold_cpu_latency\": %w", ErrConfig, err)
	}
	if err != nil {
		n.logf("host: %v: a core that sleeps deeply answers late", err)
		return nil
	}
	n.closers = append(n.closers, held.Close)
	n.logf("host: cores are held out of deep idle states")
	return nil
}
