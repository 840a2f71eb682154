package command

import (
	"context"
	"fmt"
	"time"

	"lockstep/node"
)

// waitEvery is how often nodes are asked.
const waitEvery = 200 * time.Millisecond

// awaitSettled asks the nodes until nothing is missing, and fails with what is when the time is up.
func awaitSettled(ctx context.Context, controls []string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var committed uint64
	missing := "no node was asked"
	for {
		var list []node.Status
		silent := ""
		for _, control := range controls {
			s, err := node.FetchStatus(ctx, control)
			if err != nil {
				silent = fmt.Sprintf("%s does not answer: %v", control, err)
				break
			}
			list = append(list, s)
		}
		if ctx.Err() == nil { // else the last time that all were asked counts
			if missing = silent; missing == "" {
				missing, committed = unsettled(list, committed)
			}
			if missing == "" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not settled after %v: %s", limit, missing)
		case <-time.After(waitEvery):
		}
	}
}

// unsettled says what is missing for the next node to be restarted without loss of service: all agree who leads, all are
// whole and count, and have applied what was committed when they were asked before; "": nothing. committed is the
// leader's commit of that time, 0 at first, which settles nothing; that of this time is returned.
func unsettled(list []node.Status, committed uint64) (missing string, now uint64) {
	var leader *node.Status
	for i := range list {
		if list[i].Leader == list[i].Node && list[i].Leader != 0 && (leader == nil || list[i].Term > leader.Term) {
			leader = &list[i]
		}
	}
	if leader == nil {
		return "no node leads", 0
	}
	for i := range list {
		s := &list[i]
		switch {
		case s.Cluster != leader.Cluster:
			missing = "is of cluster " + s.Cluster + ", the leader of " + leader.Cluster
		case s.Leader != leader.Node || s.Term != leader.Term:
			missing = fmt.Sprintf("does not follow node %d in term %d yet", leader.Node, leader.Term)
		case s.Recovering != "":
			missing = "recovers: " + s.Recovering
		case s.Halted != "":
			missing = "has halted: " + s.Halted
		case s.DiskFull:
			missing = "has a full disk"
		case s.DiskHung:
			missing = "has a disk that hangs"
		case committed == 0 || s.Applied < committed:
			missing = fmt.Sprintf("has applied %d bytes of the log, and %d are committed", s.Applied, max(committed, leader.Commit))
		default:
			continue
		}
		return fmt.Sprintf("node %d %s", s.Node, missing), leader.Commit
	}
	for _, f := range leader.Followers {
		if !f.Learner && !f.Counts {
			return fmt.Sprintf("node %d does not count for node %d, which leads", f.Node, leader.Node), leader.Commit
		}
	}
	return "", leader.Commit
}
