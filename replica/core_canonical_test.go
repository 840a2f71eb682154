package replica

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"lockstep/wire"
)

// Whatever happens next, the core that Normalize puts in the place of another does the same.
func TestNormalizedCoreDoesTheSame(t *testing.T) {
	compared := 0
	var x, y Core
	differ := func(c, d *Core) string {
		x.CopyFrom(c)
		y.CopyFrom(d)
		x.Normalize(7, false)
		y.Normalize(7, false)
		compared++
		return difference(&x, &y)
	}
	sampleCores(t, func(c *Core, next []Input, rng *rand.Rand) {
		d := c.Clone()
		d.Normalize(c.s.rng, false)
		once := d.Clone()
		once.Normalize(c.s.rng, false)
		if !once.Equal(d) {
			t.Fatal("normalized twice, a core changes")
		}
		past := c.s.nowNs
		for i := range next {
			at := d.s.nowNs + rng.Int64N(3)*rng.Int64N(60e6)
			outs, same := c.Step(past+at, &next[i]), d.Step(at, &next[i])
			if len(outs) != len(same) {
				t.Fatalf("input %d: outputs %v, normalized %v", next[i].Kind, kinds(outs), kinds(same))
			}
			for k := range outs {
				if outs[k].Kind != same[k].Kind || outs[k].Kind == OutSend && outs[k].Message != same[k].Message {
					t.Fatalf("input %d: outputs %v, normalized %v", next[i].Kind, kinds(outs), kinds(same))
				}
			}
			if what := differ(c, d); what != "" {
				t.Fatalf("after input %d the core and its normalized twin differ: %s", next[i].Kind, what)
			}
		}
	})
	if compared < 1000 {
		t.Errorf("only %d comparisons", compared)
	}
}

// Nodes have no rank: with other ids, a core does the same.
func TestRenamedCoreDoesTheSame(t *testing.T) {
	compared := 0
	sampleCores(t, func(c *Core, next []Input, rng *rand.Rand) {
		to := [wire.MaxNodes + 1]wire.NodeID{}
		for i, p := range rng.Perm(len(c.o.Voters)) {
			to[c.o.Voters[i]] = c.o.Voters[p]
		}
		d := c.Clone()
		d.Rename(&to)
		for i := range next {
			in := next[i]
			if in.Kind == InHandOver && in.Node == 0 {
				continue // whoever is furthest: the first of equals
			}
			renamed := in
			renamed.From.Node, renamed.Node = to[in.From.Node], to[in.Node]
			RenameConfig(&renamed.Config, &to)
			at := c.s.nowNs + rng.Int64N(60e6)
			c.Step(at, &in)
			d.Step(at, &renamed)
			e := c.Clone()
			e.Rename(&to)
			if what := difference(e, d); what != "" {
				t.Fatalf("after input %d the core and its renamed twin differ: %s", in.Kind, what)
			}
			compared++
		}
	})
	if compared < 1000 {
		t.Errorf("only %d comparisons", compared)
	}
}

// A node id or a list by node id that is new in the state must be renamed.
func TestRenameSeesEveryNodeID(t *testing.T) {
	core := NewCore(testOptions(wire.RuleDurable), Restored{Incarnation: 1, Run: 1}, 0)
	byNode := reflect.TypeFor[[wire.MaxNodes + 1]wire.Position]().Len()
	to := [wire.MaxNodes + 1]wire.NodeID{0, 2, 1, 3, 4, 5, 6, 7}
	ids := 0
	var visit func(name string, pick func(*Core) reflect.Value)
	visit = func(name string, pick func(*Core) reflect.Value) {
		v := pick(core)
		switch {
		case v.Type() == reflect.TypeFor[configHistory](): // by RenameConfig
		case v.Type() == reflect.TypeFor[wire.NodeID]():
			ids++
			d := core.Clone()
			for pick(d).Uint() != 1 {
				flip(pick(d))
				if pick(d).Uint() > 1 {
					flip(pick(d))
					return // a self that is another node
				}
			}
			d.Rename(&to)
			if pick(d).Uint() != 2 {
				t.Errorf("%s is a node id that is not renamed", name)
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				visit(name+"."+v.Type().Field(i).Name, func(c *Core) reflect.Value { return pick(c).Field(i) })
			}
		case v.Kind() == reflect.Array && v.Len() == byNode:
			ids++
			d := core.Clone()
			first := func(c *Core, n int) reflect.Value {
				e := pick(c).Index(n)
				for e.Kind() == reflect.Struct {
					e = e.Field(0)
				}
				return e
			}
			flip(first(d, 1))
			d.Rename(&to)
			if first(d, 1).Uint() != 0 || first(d, 2).Uint() != 1 {
				t.Errorf("%s is kept by node and not renamed", name)
			}
		}
	}
	visit("state", func(c *Core) reflect.Value { return reflect.ValueOf(c).Elem().FieldByName("s") })
	if ids < 9 {
		t.Errorf("only %d fields were visited", ids)
	}
}

func TestCopyFromIsAClone(t *testing.T) {
	var d Core
	sampleCores(t, func(c *Core, next []Input, _ *rand.Rand) {
		d.CopyFrom(c)
		if !d.Equal(c) || d.Hash() != c.Hash() {
			t.Fatal("a copy differs")
		}
		hash := c.Hash()
		for i := range next {
			d.Step(d.s.nowNs+50e6, &next[i])
		}
		if c.Hash() != hash {
			t.Fatal("a copy shares state")
		}
	})
}

// difference names what differs between two cores, "" if nothing does.
func difference(c, d *Core) (what string) {
	if c.Equal(d) && c.Hash() == d.Hash() {
		return ""
	}
	var visit func(name string, x, y reflect.Value)
	visit = func(name string, x, y reflect.Value) {
		switch x.Kind() {
		case reflect.Struct:
			for i := range x.NumField() {
				visit(name+"."+x.Type().Field(i).Name, x.Field(i), y.Field(i))
			}
		case reflect.Array, reflect.Slice:
			for i := range min(x.Len(), y.Len()) {
				visit(fmt.Sprintf("%s[%d]", name, i), x.Index(i), y.Index(i))
			}
		default:
			if !x.Equal(y) {
				what += fmt.Sprintf(" %s: %v, %v", name, x, y)
			}
		}
	}
	visit("state", reflect.ValueOf(c).Elem().FieldByName("s"), reflect.ValueOf(d).Elem().FieldByName("s"))
	visit("terms", reflect.ValueOf(c).Elem().FieldByName("terms"), reflect.ValueOf(d).Elem().FieldByName("terms"))
	return what + " (or a length)"
}

func kinds(outs []Output) (list []OutputKind) {
	for i := range outs {
		list = append(list, outs[i].Kind)
	}
	return list
}

// sampleCores gives clones of cores out of random schedules, each with what could happen to it next.
func sampleCores(t *testing.T, each func(c *Core, next []Input, rng *rand.Rand)) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		c := newCluster(3, [...]wire.CommitRule{wire.RuleDurable, wire.RuleReplicated}[seed%2], seed, 1<<12)
		c.rng = rng
		if c.snapshot = seed % 4 * 500; c.snapshot > 0 {
			for _, id := range c.all {
				c.nodes[id].disk.run--
				c.nodes[id].start()
			}
		}
		for range 300 {
			c.randomEvent(seed%3 == 0)
			n := c.nodes[c.voters[rng.IntN(3)]]
			if len(c.failures) > 0 || !n.up || n.stopped != "" || rng.IntN(4) > 0 {
				continue
			}
			each(n.core.Clone(), c.nextOf(n), rng)
		}
		if len(c.failures) > 0 {
			t.Fatalf("seed %d: %s", seed, c.failures[0])
		}
	}
}

// nextOf is what could happen to a node next, in any order.
func (c *cluster) nextOf(n *testNode) []Input {
	next := []Input{{Kind: InTick}, {Kind: InHandOver, Node: c.voters[c.rng.IntN(3)]}}
	for _, d := range c.net {
		if d.to == n.id {
			next = append(next, d.in)
		}
	}
	for _, p := range n.persist {
		next = append(next, Input{Kind: InPersisted, Term: p.term, Node: p.vote})
	}
	if n.cutting {
		next = append(next, Input{Kind: InCutDone, Position: n.cutTo, Generation: n.cutGen, Checksum: 9})
	}
	next = append(next, Input{Kind: InDurable, Position: n.chain.Position, Generation: n.disk.generation})
	c.rng.Shuffle(len(next), func(i, k int) { next[i], next[k] = next[k], next[i] })
	return next
}
