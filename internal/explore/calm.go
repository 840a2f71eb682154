package explore

import (
	"fmt"

	"lockstep/replica"
)

// What must come of a state when nothing goes wrong any more. A state that the cluster cannot get out of would break
// no rule of safety and be as bad. So some states, spread over the whole walk, are each gone on from: all that is under
// way arrives, disks do what they are asked, clocks run together, until all three nodes follow one leader and hold the
// same, committed.

// calm plays peace.
type calm struct {
	site   *site
	cores  [Nodes]replica.Core
	shells [Nodes]shell
	net    []message
	why    string // what went wrong
}

// calmRounds is how often clocks may move before all must be well: tens of election time-outs.
const calmRounds = 120

func newCalm(w *World) *calm {
	roomy := *w
	roomy.MaxTerm, roomy.MaxRecords = maxTerm, maxRecords
	c := &calm{site: newSite(&roomy)}
	c.site.core = new(replica.Core)
	return c
}

// outcome is what peace came to.
type outcome uint8

const (
	wellAgain  outcome = iota
	outOfRoom          // terms or records did not suffice: nothing is known
	undecided          // a majority may have forgotten: that is for an operator
	deadEnd            // it did not come to rest
	brokenRule         // something that must never be happened on the way
)

// from begins in a state.
func (c *calm) from(t *tables, s *state) outcome {
	for i, n := range s.node {
		c.cores[i].CopyFrom(t.entries[n].core)
		c.shells[i] = t.entries[n].sh
	}
	c.net, c.why = c.net[:0], ""
	for _, m := range s.net[:s.count] {
		c.net = append(c.net, t.messages[m])
	}
	for range calmRounds {
		if end := c.settle(); end != wellAgain {
			return end
		}
		if c.rests() {
			return wellAgain
		}
		if end := c.advance(); end != wellAgain {
			return end
		}
	}
	if c.forgotten() > Nodes/2 {
		return undecided
	}
	c.why = "dead end: when nothing goes wrong any more, the nodes do not come to rest under one leader"
	return deadEnd
}

// forgotten counts the nodes that do not count: they may have forgotten, or the newest log does not list them, or theirs
// is empty and not every config record of the newest lists them.
func (c *calm) forgotten() (n int) {
	newest := &c.shells[0]
	for i := range c.shells {
		sh := &c.shells[i]
		if sh.n > 0 && (newest.n == 0 || sh.log[sh.n-1].term() > newest.log[newest.n-1].term() ||
			sh.log[sh.n-1].term() == newest.log[newest.n-1].term() && sh.n > newest.n) {
			newest = sh
		}
	}
	for i := range c.shells {
		counts := true
		for _, r := range newest.log[:newest.n] {
			if r.kind() == kindConfig {
				listed := r.config(c.site.base).Member[i].Incarnation == uint64(c.shells[i].inc)
				counts = listed && (counts || c.shells[i].knowsConfig())
			}
		}
		if c.cores[i].Recovering() || !counts {
			n++
		}
	}
	return n
}

// knowsConfig says whether the node's log holds a config record.
func (s *shell) knowsConfig() bool {
	for _, r := range s.log[:s.n] {
		if r.kind() == kindConfig {
			return true
		}
	}
	return false
}

// do has an action done to a node.
func (c *calm) do(n int, what func(s *site)) outcome {
	s := c.site
	s.core.CopyFrom(&c.cores[n])
	s.sh = c.shells[n]
	s.sends, s.failure, s.beyond, s.now = s.sends[:0], "", false, 0
	what(s)
	s.finish()
	c.cores[n].CopyFrom(s.core)
	c.shells[n] = s.sh
	c.net = append(c.net, s.sends...)
	switch {
	case s.failure != "":
		c.why = fmt.Sprintf("after peace began: %s", s.failure)
		return brokenRule
	case s.beyond:
		return outOfRoom
	}
	return wellAgain
}

// settle completes all that is under way, and what follows from it.
func (c *calm) settle() outcome {
	for busy := true; busy; {
		busy = false
		for n := range c.shells {
			sh := &c.shells[n]
			for _, x := range [...]struct {
				on   bool
				what func(*site)
			}{{sh.persist.on, (*site).stored}, {sh.cut.on, (*site).carryCut}, {sh.reports[0] != report{}, (*site).report},
				{sh.synced < sh.n && !sh.cut.on, func(s *site) { s.sync(s.sh.n) }},
				{c.abandoned(n), (*site).fetchFailed}} {
				if !x.on {
					continue
				}
				busy = true
				if end := c.do(n, x.what); end != wellAgain {
					return end
				}
				break // one thing changes what else there is
			}
		}
		if len(c.net) == 0 {
			continue
		}
		busy = true
		m := c.net[0]
		c.net = c.net[1:]
		if end := c.do(int(m.to)-1, func(s *site) { s.deliver(m) }); end != wellAgain {
			return end
		}
	}
	return wellAgain
}

// abandoned says whether a node waits for a fetch that nobody answers any more.
func (c *calm) abandoned(n int) bool {
	generation := c.cores[n].CatchingUp()
	for i := range c.net {
		m := &c.net[i]
		ours := m.kind == fetch && int(m.from) == n+1 || m.kind == chunk && int(m.to) == n+1
		if ours && m.generation == uint8(generation) {
			return false
		}
	}
	return generation != 0 && c.site.w.Bug != FetchHangs
}

// advance moves all clocks to the next deadline, one node after the other.
func (c *calm) advance() outcome {
	next := c.cores[0].NextDeadline()
	for i := range c.cores {
		next = min(next, c.cores[i].NextDeadline())
	}
	for i := range c.cores {
		if end := c.do(i, func(s *site) { s.tick(next) }); end != wellAgain {
			return end
		}
		if end := c.settle(); end != wellAgain {
			return end
		}
	}
	return wellAgain
}

// rests says whether all nodes follow one leader and hold the same, committed and synced.
func (c *calm) rests() bool {
	leader := c.cores[0].Leader()
	if leader == 0 || c.cores[leader-1].Role() != replica.Leader {
		return false
	}
	l := &c.cores[leader-1]
	for i := range c.cores {
		n := &c.cores[i]
		if n.Leader() != leader || n.Term() != l.Term() || !n.Aligned() || n.Recovering() || n.HandingOver() ||
			n.Append() != l.Append() || n.Commit() != l.Append() || c.shells[i].synced != c.shells[i].n {
			return false
		}
	}
	return true
}
