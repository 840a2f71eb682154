package command

import (
	"strings"
	"testing"

	"lockstep/node"
)

// TestAClusterIsSettledWhenNothingIsMissing takes one thing after the other away from a cluster that is.
func TestAClusterIsSettledWhenNothingIsMissing(t *testing.T) {
	whole := func() []node.Status {
		return []node.Status{
			{Node: 1, Cluster: "c", Leader: 2, Term: 5, Applied: 900},
			{Node: 2, Cluster: "c", Leader: 2, Term: 5, Applied: 990, Commit: 1000,
				Followers: []node.Follower{{Node: 1, Counts: true}, {Node: 3, Learner: true}}},
			{Node: 3, Cluster: "c", Leader: 2, Term: 5, Applied: 901},
		}
	}
	if missing, now := unsettled(whole(), 900); missing != "" || now != 1000 {
		t.Errorf("%q is missing of a cluster that is whole; committed %d", missing, now)
	}
	if missing, now := unsettled(whole(), 0); !strings.Contains(missing, "has applied") || now != 1000 {
		t.Errorf("asked for the first time: %q, committed %d", missing, now)
	}
	for want, spoil := range map[string]func(list []node.Status){
		"no node leads": func(list []node.Status) { list[1].Leader = 0 },
		"node 1 is of cluster d, the leader of c":                         func(list []node.Status) { list[0].Cluster = "d" },
		"node 3 does not follow node 2 in term 5 yet":                     func(list []node.Status) { list[2].Leader = 0 },
		"node 1 does not follow node 2 in term 5 yet":                     func(list []node.Status) { list[0].Leader, list[0].Term = 1, 4 },
		"node 1 recovers: it is new":                                      func(list []node.Status) { list[0].Recovering = "it is new" },
		"node 3 has halted: why":                                          func(list []node.Status) { list[2].Halted = "why" },
		"node 3 has a full disk":                                          func(list []node.Status) { list[2].DiskFull = true },
		"node 1 has a disk that hangs":                                    func(list []node.Status) { list[0].DiskHung = true },
		"node 1 has applied 899 bytes of the log, and 1000 are committed": func(list []node.Status) { list[0].Applied = 899 },
		"node 1 does not count for node 2, which leads":                   func(list []node.Status) { list[1].Followers[0].Counts = false },
	} {
		list := whole()
		spoil(list)
		if missing, _ := unsettled(list, 900); !strings.HasPrefix(missing, want) && missing != want {
			t.Errorf("%q, want %q", missing, want)
		}
	}
}
