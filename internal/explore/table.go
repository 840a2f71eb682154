package explore

import (
	"math"

	"lockstep/replica"
	"lockstep/wire"
)

// The tables of what there is. Nodes, messages and effects are numbered as they are met; a state is a few numbers.

// entry is a node as it was met: what is needed to have an action done to it.
type entry struct {
	core  *replica.Core
	sh    shell
	edges []edge // what may happen to it, messages apart; nil until asked for
	known bool
}

// edge is an action and what it does.
type edge struct {
	action action
	effect uint32
}

// effect is what an action does to a node.
type effect struct {
	node   uint32 // what the node is then
	sends  uint32 // first of the messages that leave, in tables.sends
	count  uint8
	kind   effectKind
	reason uint16 // of a failure
}

type effectKind uint8

const (
	effectChange  effectKind = iota
	effectNothing            // the node is the same, and nothing leaves
	effectBeyond             // it leaves the bounds of the world
	effectFailure            // it must never be
)

type tables struct {
	site *site
	core replica.Core // where hashes are taken

	entries []entry
	briefs  []brief // of each entry, what is held against other nodes
	hashes  []hashes
	byHash  map[uint64]uint32

	messages      []message
	messageHashes []hashes
	byMessage     map[message]uint16

	effects  []effect
	sends    []uint16
	failures []string
	memo     memo // (node, message) -> effect
}

func newTables(w *World) *tables {
	return &tables{site: newSite(w), byHash: map[uint64]uint32{}, byMessage: map[message]uint16{}, memo: newMemo()}
}

// node numbers the node at hand.
func (t *tables) node() uint32 {
	s := t.site
	own := s.sh.hash(&renamings[0]) + s.core.Hash()
	if id, ok := t.byHash[own]; ok {
		return id
	}
	id := uint32(len(t.entries))
	t.byHash[own] = id
	h := hashes{own}
	for i := 1; i < len(renamings); i++ {
		t.core.CopyFrom(s.core)
		t.core.Rename((*[wire.MaxNodes + 1]wire.NodeID)(&renamings[i]))
		h[i] = s.sh.hash(&renamings[i]) + t.core.Hash()
	}
	for i := range h {
		h[i] = mix(h[i])
	}
	core := new(replica.Core)
	core.CopyFrom(s.core)
	t.entries = append(t.entries, entry{core: core, sh: s.sh})
	t.briefs = append(t.briefs, s.brief())
	t.hashes = append(t.hashes, h)
	return id
}

// message numbers a message.
func (t *tables) message(m *message) uint16 {
	if id, ok := t.byMessage[*m]; ok {
		return id
	}
	if len(t.messages) > math.MaxUint16 {
		panic("explore: a world with too many different messages")
	}
	id := uint16(len(t.messages))
	t.byMessage[*m] = id
	t.messages = append(t.messages, *m)
	t.messageHashes = append(t.messageHashes, m.hash())
	return id
}

// load puts a node at hand.
func (t *tables) load(node uint32) {
	s := t.site
	s.core.CopyFrom(t.entries[node].core)
	s.sh = t.entries[node].sh
}

// try has an action done to a node.
func (t *tables) try(node uint32, a action) effect {
	t.load(node)
	s := t.site
	var m *message
	if a.kind() == actDeliver {
		delivered := t.messages[a.arg()]
		m = &delivered
	}
	s.do(a, m)
	switch {
	case s.failure != "":
		t.failures = append(t.failures, s.failure)
		return effect{kind: effectFailure, reason: uint16(len(t.failures) - 1)}
	case s.beyond:
		return effect{kind: effectBeyond}
	}
	e := effect{node: t.node(), sends: uint32(len(t.sends)), count: uint8(len(s.sends))}
	for i := range s.sends {
		t.sends = append(t.sends, t.message(&s.sends[i]))
	}
	if e.node == node && e.count == 0 {
		e.kind = effectNothing
	}
	return e
}

// deliver is what a message does to a node.
func (t *tables) deliver(node uint32, message uint16) *effect {
	slot := t.memo.slot(uint64(node)<<32 | uint64(message))
	if *slot == 0 {
		t.effects = append(t.effects, t.try(node, act(actDeliver, 0, message)))
		// try may number nodes but puts nothing into the memo: the slot is still the one
		*slot = uint32(len(t.effects))
	}
	return &t.effects[*slot-1]
}

// edges is what may happen to a node, messages apart. What changes nothing is left out.
func (t *tables) edges(node uint32) []edge {
	if !t.entries[node].known {
		t.load(node)
		var list []edge
		for _, a := range t.site.possible(nil) {
			e := t.try(node, a)
			if e.kind == effectNothing {
				continue
			}
			t.effects = append(t.effects, e)
			list = append(list, edge{a, uint32(len(t.effects) - 1)})
		}
		t.entries[node].edges, t.entries[node].known = list, true
	}
	return t.entries[node].edges
}

// memo maps pairs to numbers from 1 on: open addressing, linear probing.
type memo struct {
	keys   []uint64
	values []uint32
	used   int
}

func newMemo() memo { return memo{keys: make([]uint64, 1<<16), values: make([]uint32, 1<<16)} }

// slot is where the value of key is; 0 in it: none yet. It is good until the next call.
func (m *memo) slot(key uint64) *uint32 {
	if m.used*8 > len(m.keys)*5 {
		m.grow()
	}
	key++ // 0 is an empty slot
	mask := uint64(len(m.keys) - 1)
	for i := mix(key) & mask; ; i = (i + 1) & mask {
		switch m.keys[i] {
		case key:
			return &m.values[i]
		case 0:
			m.keys[i] = key
			m.used++
			return &m.values[i]
		}
	}
}

func (m *memo) grow() {
	old := *m
	*m = memo{keys: make([]uint64, 2*len(old.keys)), values: make([]uint32, 2*len(old.values))}
	for i, key := range old.keys {
		if key != 0 {
			*m.slot(key - 1) = old.values[i]
		}
	}
}
