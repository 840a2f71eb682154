package match

import "math/bits"

// level is the queue of orders at one price, first to execute first: indexes into the orders, 0 when empty. It is also what
// orders wait in that have no price.
type level struct {
	head, tail uint32
	orders     uint32
	price      uint32
	shown      uint64 // of all its orders
	total      uint64 // what is left of them
}

// node is one step of a ladder: 64 children, of which bits names those that are there.
type node struct {
	bits  uint64
	child [64]uint32
}

// ladder is a set of prices, each with its level: four steps of 64, the first within. Only what is in use takes memory.
type ladder struct{ root node }

// nodeChunk is how many nodes are made at once.
const nodeChunk = 256

// shelf is where all ladders have their nodes and levels. Levels are made at the start for as many as there can be. Nodes
// are made when prices are so far apart as they never were before, and stay: three for each price apart from all others
// would be too much to make beforehand.
type shelf struct {
	nodes      [][]node
	freeNode   uint32 // of those that were given back: a list through child[0]
	freshNode  uint32 // the first that was never in use
	levels     []level
	freeLevel  uint32 // a list through head
	freshLevel uint32
}

// newShelf makes room for the levels of so many orders, each at a price of its own, and for reserved levels: 1 .. reserved,
// which are always there.
func newShelf(orders, reserved int) shelf {
	return shelf{
		nodes: make([][]node, 0, 3*orders/nodeChunk+1), freshNode: 1,
		levels: make([]level, orders+reserved+1), freshLevel: uint32(reserved + 1),
	}
}

func (s *shelf) takeNode() uint32 {
	i := s.freeNode
	if i == 0 {
		i = s.freshNode
		s.freshNode++
		if int(i/nodeChunk) == len(s.nodes) {
			s.nodes = append(s.nodes, make([]node, nodeChunk))
		}
		return i
	}
	s.freeNode = s.node(i).child[0]
	return i
}

func (s *shelf) node(i uint32) *node { return &s.nodes[i/nodeChunk][i%nodeChunk] }

func (s *shelf) takeLevel(price uint32) uint32 {
	i := s.freeLevel
	if i == 0 {
		i = s.freshLevel
		s.freshLevel++
	} else {
		s.freeLevel = s.levels[i].head
	}
	s.levels[i] = level{price: price}
	return i
}

// down returns the node below one, made if it is not there.
func (s *shelf) down(n *node, digit uint32) *node {
	if n.bits&(1<<digit) == 0 {
		n.bits |= 1 << digit
		n.child[digit] = s.takeNode()
	}
	return s.node(n.child[digit])
}

// add returns the level of a price, made if it is not there.
func (s *shelf) add(l *ladder, price uint32) uint32 {
	n := s.down(&l.root, price>>18)
	n = s.down(n, price>>12&63)
	n = s.down(n, price>>6&63)
	digit := price & 63
	if n.bits&(1<<digit) == 0 {
		n.bits |= 1 << digit
		n.child[digit] = s.takeLevel(price)
	}
	return n.child[digit]
}

// remove takes the level of a price, which is there and empty, out.
func (s *shelf) remove(l *ladder, price uint32) {
	first := &l.root
	second := s.node(first.child[price>>18])
	third := s.node(second.child[price>>12&63])
	fourth := s.node(third.child[price>>6&63])
	i := fourth.child[price&63]
	s.levels[i].head, s.freeLevel = s.freeLevel, i
	if fourth.bits &^= 1 << (price & 63); fourth.bits != 0 {
		return
	}
	if s.up(third, price>>6&63) && s.up(second, price>>12&63) {
		s.up(first, price>>18)
	}
}

// up takes a node that is empty out of the one above, and tells whether that is empty now.
func (s *shelf) up(above *node, digit uint32) bool {
	i := above.child[digit]
	s.node(i).child[0], s.freeNode = s.freeNode, i
	above.bits &^= 1 << digit
	return above.bits == 0
}

// lowest returns the level of the lowest price, 0 when there is none.
func (s *shelf) lowest(l *ladder) uint32 {
	if l.root.bits == 0 {
		return 0
	}
	i := l.root.child[bits.TrailingZeros64(l.root.bits)]
	for range 3 {
		n := s.node(i)
		i = n.child[bits.TrailingZeros64(n.bits)&63]
	}
	return i
}

// highest returns the level of the highest price, 0 when there is none.
func (s *shelf) highest(l *ladder) uint32 {
	if l.root.bits == 0 {
		return 0
	}
	i := l.root.child[bits.Len64(l.root.bits)-1]
	for range 3 {
		n := s.node(i)
		i = n.child[(bits.Len64(n.bits)-1)&63]
	}
	return i
}

// path finds the nodes on the way to a price, the first first; depth is how many of them are there.
func (s *shelf) path(l *ladder, price uint32) (nodes [4]*node, depth int) {
	n := &l.root
	for shift := 18; ; shift -= 6 {
		nodes[depth] = n
		depth++
		digit := price >> shift & 63
		if shift == 0 || n.bits&(1<<digit) == 0 {
			return nodes, depth
		}
		n = s.node(n.child[digit])
	}
}

// after returns the level of the lowest price above the given one, 0 when there is none.
func (s *shelf) after(l *ladder, price uint32) uint32 {
	nodes, depth := s.path(l, price)
	for depth > 0 {
		depth--
		n := nodes[depth]
		above := n.bits & (^uint64(0) << (price >> (18 - 6*depth) & 63) << 1)
		if above == 0 {
			continue
		}
		i := n.child[bits.TrailingZeros64(above)]
		for ; depth < 3; depth++ {
			n = s.node(i)
			i = n.child[bits.TrailingZeros64(n.bits)&63]
		}
		return i
	}
	return 0
}

// before returns the level of the highest price below the given one, 0 when there is none.
func (s *shelf) before(l *ladder, price uint32) uint32 {
	nodes, depth := s.path(l, price)
	for depth > 0 {
		depth--
		n := nodes[depth]
		below := n.bits & (1<<(price>>(18-6*depth)&63) - 1)
		if below == 0 {
			continue
		}
		i := n.child[bits.Len64(below)-1]
		for ; depth < 3; depth++ {
			n = s.node(i)
			i = n.child[(bits.Len64(n.bits)-1)&63]
		}
		return i
	}
	return 0
}
