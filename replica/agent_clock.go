package replica

import (
	"math"
	"slices"

	"lockstep/wire"
)

// clockWatch compares this node's wall clock with the others'. Followers say in STATUS what theirs shows. The leader takes
// the median of all it has heard, its own included, for the cluster's clock and says in LOG what that shows. Both ways a
// datagram takes a while: the least delay within a while counts, and what is left is an error far below any useful limit.
//
// Whoever is further than the limit from the cluster's clock is the odd one, but only where a majority of all voters is
// within the limit of it: where all differ nobody can say who is right, and somebody must lead. What a follower was
// told counts as long as there is a leader who says so: without one even an odd node may have to lead.
type clockWatch struct {
	wallNs, atNs int64 // the wall clock, and when it showed that
	sinceNs      int64 // when the present window began

	// Of a leader.
	ahead [wire.MaxNodes + 1]int64 // by how much a follower's clock is ahead, at least, ns; unheard: nothing heard
	base  int64                    // by how much the cluster's clock is ahead of this node's
	based bool

	// Of a follower.
	least int64 // by how much this node's clock is ahead of the cluster's, at least
	heard bool

	odd    int // windows in a row that say so; negative: that say otherwise
	skewed bool
}

// clockWindowNs is how long clocks are compared before that counts, and twice that before anything follows from it.
const clockWindowNs = 500e6

// clockStepNs is what a wall clock does not move by itself between two looks at it.
const clockStepNs = 10e6

const unheard = math.MinInt64

// wall is what the wall clock shows, to about a millisecond's drift: no clock is read.
func (c *clockWatch) wall(nowNs int64) int64 { return c.wallNs + nowNs - c.atNs }

// cluster is what a leader says of the cluster's clock in LOG, in milliseconds; 0: it does not know.
func (c *clockWatch) cluster(nowNs int64) uint32 {
	if !c.based {
		return 0
	}
	return max(1, uint32((c.wall(nowNs)+c.base)/1e6))
}

// noteFollower takes what a follower's clock showed when it sent STATUS.
func (c *clockWatch) noteFollower(a *Agent, n wire.NodeID, wallNs int64) {
	if a.leading {
		c.ahead[n&wire.MaxNodes] = max(c.ahead[n&wire.MaxNodes], wallNs-c.wall(a.nowNs))
	}
}

// noteLeader takes what the leader says of the cluster's clock: the leader that this node knows, not one that was
// replaced and goes on.
func (c *clockWatch) noteLeader(a *Agent, in *Input) {
	if in.Log.Clock == 0 || a.leading || in.Term != a.core.Term() || in.From.Node != a.core.Leader() {
		return
	}
	ahead := int64(int32(uint32(c.wall(a.nowNs)/1e6)-in.Log.Clock)) * 1e6
	if !c.heard || ahead < c.least {
		c.least, c.heard = ahead, true
	}
}

// watchClock looks at the clocks, about once a millisecond.
func (a *Agent) watchClock() {
	c := &a.clock
	paused, wallNs := a.nowNs-a.statusAtNs > clockWindowNs/4, a.o.WallNs()
	if step := wallNs - c.wall(a.nowNs); max(step, -step) > clockStepNs {
		c.based, c.sinceNs = false, 0
	}
	c.wallNs, c.atNs = wallNs, a.nowNs
	if c.sinceNs == 0 || paused { // what was compared before, or waited here meanwhile, is no news
		c.begin(a.nowNs)
	}
	if a.nowNs-c.sinceNs < clockWindowNs {
		return
	}
	offset, known := c.offset(a)
	c.begin(a.nowNs)
	a.m.clockOffset.Set(uint64(max(offset, -offset) / 1e3))
	limit := a.o.ClockSkewNs
	if limit == 0 {
		return
	}
	odd := known && max(offset, -offset) > limit && (!a.leading || c.based)
	if odd {
		c.odd = max(c.odd, 0) + 1
	} else { // or nobody says so any more
		c.odd = min(c.odd, 0) - 1
	}
	if skewed := c.odd > 1 || c.skewed && c.odd > -clockCalm; skewed != c.skewed {
		a.onSkew(skewed, offset)
	}
}

// clockCalm is how many windows in a row must say that a clock is right again before that counts.
const clockCalm = 4

// onSkew tells the core.
func (a *Agent) onSkew(skewed bool, offset int64) {
	a.clock.skewed = skewed
	a.m.clockSkewed.Set(gauge01(skewed))
	if skewed {
		a.m.clockSkews.Inc()
		a.o.Log("the wall clock is %d ms off the cluster's: this node lets another lead", offset/1e6)
	} else {
		a.o.Log("the wall clock is no longer known to be off")
	}
	a.publishAppended()
	a.tell(event{kind: InClockSkew, flag: skewed})
}

// begin begins a window.
func (c *clockWatch) begin(nowNs int64) {
	c.sinceNs, c.heard = nowNs, false
	for n := range c.ahead {
		c.ahead[n] = unheard
	}
}

// offset is by how much this node's clock is ahead of the cluster's; known is false where too little was heard in this
// window. On a leader based says whether a majority is within the limit of the cluster's.
func (c *clockWatch) offset(a *Agent) (offset int64, known bool) {
	if !a.leading {
		c.based = false
		return c.least, c.heard
	}
	var clocks [wire.MaxNodes + 1]int64
	n := 1 // this node's own, 0
	for id, ahead := range c.ahead {
		if ahead != unheard && wire.NodeID(id) != a.o.Self.Node {
			clocks[n] = ahead
			n++
		}
	}
	if n < a.core.majority {
		c.based = false
		return 0, false
	}
	slices.Sort(clocks[:n])
	median, near := clocks[(n-1)/2], 0
	for _, ahead := range clocks[:n] {
		if d := ahead - median; max(d, -d) <= a.o.ClockSkewNs {
			near++
		}
	}
	c.base, c.based = median, near >= a.core.majority
	return -median, true
}
