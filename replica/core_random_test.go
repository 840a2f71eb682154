package replica

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"lockstep/wire"
)

// TestRandomSchedules runs many short schedules of everything that can happen to a cluster, checks what must always
// hold after every Step, then ends the faults and wants the cluster to work again. A failure names its seed.
func TestRandomSchedules(t *testing.T) {
	schedules := 800
	if testing.Short() {
		schedules = 200
	}
	for seed := range uint64(schedules) {
		if failure := randomSchedule(seed, 400, silent); failure != "" {
			t.Fatalf("seed %d: %s", seed, failure)
		}
	}
}

var oneSeed = flag.Uint64("replica.seed", 0, "TestOneSeed: run this schedule and print what happens")

// TestOneSeed prints a schedule that failed: go test -run OneSeed -v -replica.seed=N.
func TestOneSeed(t *testing.T) {
	if *oneSeed == 0 {
		t.Skip("no -replica.seed given")
	}
	if failure := randomSchedule(*oneSeed, 400, t.Logf); failure != "" {
		t.Fatal(failure)
	}
}

// FuzzSchedules lets the fuzzer choose seeds.
func FuzzSchedules(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if failure := randomSchedule(seed, 600, silent); failure != "" {
			t.Fatal(failure)
		}
	})
}

// silent traces nothing.
func silent(string, ...any) {}

func randomSchedule(seed uint64, steps int, trace func(string, ...any)) string {
	rng := rand.New(rand.NewPCG(seed, 2))
	sizes := [...]int{3, 3, 3, 5, 1, 2}
	rule := wire.RuleDurable
	if rng.IntN(3) == 0 {
		rule = wire.RuleReplicated
	}
	ring := [...]uint64{1 << 12, 1 << 16}[rng.IntN(2)]
	c := newClusterOf(sizes[rng.IntN(len(sizes))], max(0, rng.IntN(5)-2), rule, seed, ring)
	c.trace = trace
	if rng.IntN(2) == 0 {
		c.snapshot = uint64(1000 + rng.IntN(3000))
		for _, id := range c.all {
			c.nodes[id].disk.run--
			c.nodes[id].start()
		}
	}
	calm := rng.IntN(3) == 0 // no crashes
	c.rng = rng
	for i := range steps {
		c.randomEvent(calm)
		if i%16 == 0 {
			c.checkMatching()
			c.checkValue()
		}
		if len(c.failures) > 0 {
			return fmt.Sprintf("step %d: %s", i, c.failures[0])
		}
	}
	return c.heal()
}

// randomEvent lets one thing happen.
func (c *cluster) randomEvent(calm bool) {
	n := c.nodes[c.all[c.rng.IntN(len(c.all))]]
	switch p := c.rng.IntN(1000); {
	case p < 500:
		c.randomDatagram()
	case p < 700:
		n.work([...]string{"persist", "cut", "sync", "fetch", "apply"}[c.rng.IntN(5)])
	case p < 800:
		if leader := c.leader(); leader != nil {
			leader.propose(1+c.rng.IntN(5), c.rng.IntN(300))
		}
	case p < 900:
		c.nowNs += c.rng.Int64N(1e6)
		c.tick()
	case p < 940:
		c.nowNs += c.rng.Int64N(60e6)
		c.tick()
	case p < 960:
		c.settle()
	case p < 970:
		a, b := c.all[c.rng.IntN(len(c.all))], c.all[c.rng.IntN(len(c.all))]
		c.blocked[a][b] = !c.blocked[a][b]
	case p < 975:
		n.step(Input{Kind: [...]InputKind{InDiskFull, InDiskHung}[c.rng.IntN(2)], Flag: c.rng.IntN(2) == 0})
	case p < 980:
		n.step(Input{Kind: InHandOver})
	case p < 985:
		n.step(Input{Kind: InClockSkew, Flag: c.rng.IntN(2) == 0})
	case p < 988:
		c.randomOrder()
	case p < 990:
		n.step(Input{Kind: InSnapshot, Flag: c.rng.IntN(2) == 0})
	case calm:
	case n.up:
		if c.rng.IntN(4) == 0 {
			n.stop()
		} else {
			n.crash(wire.Position(c.rng.Uint64N(uint64(n.chain.Position) + 1)))
		}
	default:
		n.start()
	}
}

// randomDatagram delivers, drops, repeats or overtakes.
func (c *cluster) randomDatagram() {
	if len(c.net) == 0 {
		return
	}
	i := 0
	if c.rng.IntN(4) == 0 {
		i = c.rng.IntN(len(c.net))
	}
	d := c.net[i]
	if c.rng.IntN(12) > 0 { // else it comes again
		c.net = append(c.net[:i:i], c.net[i+1:]...)
	}
	if c.rng.IntN(8) > 0 { // else it is lost
		c.deliver(d)
	}
}

// checkValue holds that a clone does what the original does, and hashes the same.
func (c *cluster) checkValue() {
	for _, id := range c.all {
		n := c.nodes[id]
		if n.stopped != "" {
			continue
		}
		d := n.core.Clone()
		if !d.Equal(n.core) || d.Hash() != n.core.Hash() {
			c.fail("node %d: a clone is not equal", id)
		}
		before := n.core.Hash()
		d.Step(n.now()+1e9, &Input{Kind: InTick})
		if n.core.Hash() != before {
			c.fail("node %d: a clone shares state", id)
		}
	}
}

// heal ends all faults and wants the cluster to work within a bounded time.
func (c *cluster) heal() string {
	c.blocked = [wire.MaxNodes + 1][wire.MaxNodes + 1]bool{}
	for _, id := range c.all {
		n := c.nodes[id]
		if !n.up {
			n.start()
		}
		n.step(Input{Kind: InDiskFull})
		n.step(Input{Kind: InDiskHung})
		n.step(Input{Kind: InClockSkew})
	}
	out := c.cannotVote()
	if failure, ok := c.converge(); ok {
		return failure
	}
	if len(c.committed) == 0 && c.rule == wire.RuleReplicated {
		out = c.cannotVote() // crashes among the first records: the first config record says who could vote
	}
	if out <= (len(c.voters)-1)/2 || c.leader() != nil {
		return "healed: " + c.checkConverged() + "\n" + c.status()
	}
	// A majority may have forgotten: the cluster waits for an operator, who takes the newest log.
	c.order(c.newest(c.voters), c.voters)
	c.advance(500e6)
	for _, id := range c.learners {
		if n := c.nodes[id]; n.stopped != "" { // it knew more to be committed than any voter has left
			n.start()
		}
	}
	if failure, ok := c.converge(); ok {
		return failure
	}
	return "recovered by order: " + c.checkConverged() + "\n" + c.status()
}

// converge lets time pass until the cluster works; ok when it does, or when something is wrong.
func (c *cluster) converge() (failure string, ok bool) {
	for range 40 {
		c.advance(100e6)
		if leader := c.leader(); leader != nil {
			leader.propose(1, 100)
		}
		c.advance(10e6)
		if len(c.failures) > 0 {
			return "healed: " + c.failures[0], true
		}
		if c.checkConverged() == "" {
			return "", true
		}
	}
	return "", false
}

// cannotVote counts the nodes that may have forgotten, or that the newest committed config record does not list, or
// that do not hold it.
func (c *cluster) cannotVote() (count int) {
	var newest *wire.ConfigAt
	for _, id := range c.voters {
		h := &c.nodes[id].core.s.configs
		for i := range h.at[:h.n] {
			at := &h.at[i]
			if (int(at.End) <= len(c.committed) || len(c.committed) == 0) && (newest == nil || at.End > newest.End) {
				newest = at
			}
		}
	}
	for _, id := range c.voters {
		n := c.nodes[id]
		unlisted := newest != nil && member(&newest.Config, id).Incarnation != n.disk.incarnation
		unproven := newest != nil && n.core.s.configs.n == 0
		if n.core.Recovering() || unproven || unlisted {
			count++
		}
	}
	return count
}
