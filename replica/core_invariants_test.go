package replica

import (
	"bytes"
	"fmt"

	"lockstep/wire"
)

// What must always hold, checked after every Step of every cluster.

// check looks at one node after a Step.
func (n *testNode) check() {
	c, k := n.c, n.core
	if k.Commit() > k.Append() || k.s.durable > k.Append() || k.Received() < k.Append() {
		c.fail("node %d: commit %d, durable %d, append %d, received %d", n.id, k.Commit(), k.s.durable, k.Append(),
			k.Received())
	}
	if k.Commit() < n.commit {
		c.fail("node %d: commit went from %d to %d", n.id, n.commit, k.Commit())
	}
	if k.NextDeadline() <= k.s.nowNs && n.stopped == "" {
		c.fail("node %d: a deadline was left behind", n.id)
	}
	if k.Commit() > n.commit {
		n.checkCommit(n.commit, k.Commit())
		n.commit = k.Commit()
	}
}

// checkCommit holds what a node knows to be committed against what was committed anywhere.
func (n *testNode) checkCommit(from, until wire.Position) {
	c := n.c
	known := min(until, wire.Position(len(c.committed)))
	if from < known && !bytes.Equal(n.mem[from:known], c.committed[from:known]) {
		c.fail("node %d: committed other bytes in [%d, %d)", n.id, from, known)
	}
	if until <= known {
		return
	}
	if n.core.Role() != Leader {
		c.fail("node %d: a follower knows of commit %d before any leader", n.id, until)
	}
	holders := 0
	for _, id := range c.voters {
		o := c.nodes[id]
		held := o.disk.log
		if c.rule == wire.RuleReplicated {
			held = o.claimed // it may have crashed since: that is what the rule allows
			if o == n {
				held = o.mem
			}
		}
		if wire.Position(len(held)) >= until && bytes.Equal(held[:until], n.mem[:until]) {
			holders++
		}
	}
	if holders <= len(c.voters)/2 {
		c.fail("node %d: commit %d under rule %v is held by %d of %d", n.id, until, c.rule, holders, len(c.voters))
	}
	c.committed = append(c.committed[:known], n.mem[known:until]...)
}

// checkVerified holds that what a leader calls verified is what a majority of the voters came to.
func (c *cluster) checkVerified(x *wire.SnapshotRecord) {
	if x.Verified == 0 {
		return
	}
	same := 0
	for _, id := range c.voters {
		if d, ok := c.digests[id][x.Verified]; ok && d == x.Digest {
			same++
		}
	}
	if same <= len(c.voters)/2 || x.Verified > wire.Position(len(c.committed)) {
		c.fail("the snapshot at %d is called verified: %d of %d have that digest; committed: %d", x.Verified, same,
			len(c.voters), len(c.committed))
	}
}

// checkElected holds that a term has one leader, and that the leader holds everything committed.
func (n *testNode) checkElected() {
	c, k := n.c, n.core
	if other, ok := c.leaders[k.Term()]; ok && other != n.peer() {
		c.fail("term %d: led by %v and %v", k.Term(), other, n.peer())
	}
	c.leaders[k.Term()] = n.peer()
	if len(c.committed) > int(k.Append()) || !bytes.Equal(n.mem[:len(c.committed)], c.committed) {
		c.fail("node %d: leads term %d without everything committed: %d of %d", n.id, k.Term(), k.Append(),
			len(c.committed))
	}
}

// checkMatching holds log matching: two logs that share a term are the same up to where it ends in the shorter one.
func (c *cluster) checkMatching() {
	for i, a := range c.all {
		for _, b := range c.all[i+1:] {
			x, y := c.nodes[a], c.nodes[b]
			if !x.up || !y.up || x.cutting || y.cutting {
				continue
			}
			for t := len(x.core.terms) - 1; t >= 0; t-- {
				e := x.core.terms[t]
				_, endX, _ := x.core.terms.find(e.Term, x.core.Append())
				_, endY, ok := y.core.terms.find(e.Term, y.core.Append())
				if !ok {
					continue
				}
				end := min(endX, endY)
				if !bytes.Equal(x.mem[:end], y.mem[:end]) {
					c.fail("nodes %d and %d differ below %d, in term %d", a, b, end, e.Term)
				}
				break
			}
		}
	}
}

// checkConverged holds that the cluster works: one leader, everybody aligned and equal. It returns what is wrong.
func (c *cluster) checkConverged() string {
	leader := c.leader()
	if leader == nil {
		return "no leader"
	}
	for _, id := range c.all {
		k := c.nodes[id].core
		switch {
		case !c.nodes[id].up:
			return fmt.Sprintf("node %d is down: %s", id, c.nodes[id].stopped)
		case !k.Aligned() || k.Recovering():
			return fmt.Sprintf("node %d: aligned %v, recovering %v", id, k.Aligned(), k.Recovering())
		case k.Append() != leader.core.Append() || k.Commit() != leader.core.Append():
			return fmt.Sprintf("node %d: append %d, commit %d; the leader's append is %d", id, k.Append(), k.Commit(),
				leader.core.Append())
		}
	}
	return ""
}
