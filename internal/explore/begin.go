package explore

import (
	"fmt"

	"lockstep/replica"
)

// How worlds begin. What happens before is not explored.

// begin is the first state of the world.
func (x *explorer) begin() state {
	s := state{budget: x.w.budget()}
	for i := range s.node {
		s.node[i] = x.t.first(uint8(i + 1))
	}
	switch x.w.Begin {
	case Led:
		x.lead(&s)
	case Behind:
		x.lead(&s)
		for range 2 {
			x.settle(&s, 1, actPropose, func(to uint8) bool { return to != 3 }, nil)
		}
		x.settle(&s, 1, actTick, func(to uint8) bool { return to != 3 }, nil)
	case Rivals:
		x.settle(&s, 1, actTick, func(to uint8) bool { return to != 3 }, func() bool { return x.leads(&s, 1) })
		s.count, s.net = 0, [maxNet]uint16{}
		x.settle(&s, 3, actTick, func(to uint8) bool { return to != 1 }, func() bool { return x.leads(&s, 3) })
		s.count, s.net = 0, [maxNet]uint16{}
	}
	return s
}

// lead has node 1 elected, and lets all hear of all.
func (x *explorer) lead(s *state) {
	for range 4 { // holes are asked for, commit is told
		x.settle(s, 1, actTick, nil, nil)
		x.settle(s, 2, actTick, nil, nil)
		x.settle(s, 3, actTick, nil, nil)
	}
}

func (x *explorer) leads(s *state, n int) bool {
	return x.t.entries[s.node[n-1]].core.Role() == replica.Leader
}

// first numbers a node as the world begins.
func (t *tables) first(id uint8) uint32 {
	s := t.site
	s.sh = shell{id: id, run: 1, inc: 1}
	if !s.w.Founding {
		config := s.base
		for i := range config.Member[:Nodes] {
			config.Member[i].Incarnation, config.Member[i].Run = 1, 1
		}
		s.sh.term = 1
		s.sh.log[0], s.sh.log[1] = newRecord(1, kindTerm), newConfig(1, &config)
		s.sh.n = 2
	}
	s.now, s.failure = 0, ""
	s.start()
	s.finish()
	if s.failure != "" {
		panic(fmt.Sprintf("explore: world %q cannot begin: %s", s.w.Name, s.failure))
	}
	return t.node()
}

// settle has one action done to node n, and then everything that is under way, until nothing is or done says so.
// Messages to nodes that reach says nothing good of are lost.
func (x *explorer) settle(s *state, n uint8, kind uint8, reach func(to uint8) bool, done func() bool) {
	e := x.edge(s, n-1, kind)
	if e == nil && kind == actTick {
		return
	}
	x.follow(s, n-1, e)
	for (done == nil || !done()) && x.settleOnce(s, reach, done == nil) {
	}
}

func (x *explorer) settleOnce(s *state, reach func(to uint8) bool, disks bool) bool {
	for n := range uint8(Nodes) {
		for _, kind := range [...]uint8{actStored, actCut, actSync, actReport} {
			if kind == actSync && !disks {
				continue
			}
			if e := x.edge(s, n, kind); e != nil {
				x.follow(s, n, e)
				return true
			}
		}
	}
	if s.count == 0 {
		return false
	}
	m := s.net[0]
	n := x.t.messages[m].to - 1
	var sums hashes
	x.remove(s, &sums, 0)
	if reach == nil || reach(n+1) {
		x.follow(s, n, x.t.deliver(s.node[n], m))
	}
	return true
}

// edge is the effect of the first action of a kind on a node, nil if there is none.
func (x *explorer) edge(s *state, n uint8, kind uint8) *effect {
	for _, e := range x.t.edges(s.node[n]) {
		if e.action.kind() == kind {
			return &x.t.effects[e.effect]
		}
	}
	return nil
}

// follow takes an effect on a node.
func (x *explorer) follow(s *state, n uint8, e *effect) {
	switch {
	case e != nil && e.kind == effectNothing:
		return
	case e == nil || e.kind != effectChange:
		panic(fmt.Sprintf("explore: world %q cannot begin", x.w.Name))
	}
	s.node[n] = e.node
	var sums hashes
	for _, m := range x.t.sends[e.sends:][:e.count] {
		x.put(s, &sums, m)
	}
}
