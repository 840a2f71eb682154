package btree

import (
	"bytes"
	"encoding/binary"
)

const (
	degree  = 16           // a node that is not the root has at least degree-1 keys
	maxKeys = 2*degree - 1 // in a node
)

// node 0 is not used, so that 0 is no node.
type node struct {
	head  [maxKeys]uint64
	id    [maxKeys]uint32
	child [maxKeys + 1]uint32 // all 0 in a leaf; child[0] of a free node is the next free one
	n     int
}

func (x *node) leaf() bool { return x.child[0] == 0 }

// Tree is a set of keys in the order of their bytes, each with a number. Make one with New.
type Tree struct {
	key   func(id uint32) []byte
	nodes []node
	root  uint32
	free  uint32
	count int
}

// New returns an empty tree. key tells the key of a number that is in the tree, or is being inserted.
func New(key func(id uint32) []byte) *Tree {
	t := &Tree{key: key}
	t.Reset()
	return t
}

// Reset takes everything out and keeps the memory.
func (t *Tree) Reset() {
	t.nodes = append(t.nodes[:0], node{})
	t.free, t.count = 0, 0
	t.root = t.take()
}

// Len is how many keys there are.
func (t *Tree) Len() int { return t.count }

// Get returns the number of a key; ok is false when it is not there.
func (t *Tree) Get(key []byte) (id uint32, ok bool) {
	h := head(key)
	for i := t.root; i != 0; {
		x := &t.nodes[i]
		at, found := t.search(x, h, key)
		if found {
			return x.id[at], true
		}
		i = x.child[at]
	}
	return 0, false
}

// Insert takes a number in under its key, which must not be there yet.
func (t *Tree) Insert(id uint32) {
	if t.nodes[t.root].n == maxKeys {
		old := t.root
		t.root = t.take()
		t.nodes[t.root].child[0] = old
		t.split(t.root, 0)
	}
	key := t.key(id)
	h := head(key)
	i := t.root
	for {
		at, _ := t.search(&t.nodes[i], h, key)
		if t.nodes[i].leaf() {
			t.nodes[i].insert(at, h, id, 0)
			t.count++
			return
		}
		child := t.nodes[i].child[at]
		if t.nodes[child].n == maxKeys {
			t.split(i, at)
			if t.less(&t.nodes[i], at, h, key) {
				at++
			}
			child = t.nodes[i].child[at]
		}
		i = child
	}
}

// Delete takes a key out and returns its number; ok is false when it is not there. The owner still has the key.
func (t *Tree) Delete(key []byte) (id uint32, ok bool) {
	id, ok = t.remove(t.root, head(key), key)
	if ok {
		t.count--
	}
	if x := &t.nodes[t.root]; x.n == 0 && !x.leaf() {
		old := t.root
		t.root = x.child[0]
		t.give(old)
	}
	return id, ok
}

// head is the beginning of a key as a number: keys with unequal heads are ordered as these.
func head(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

// less tells whether entry at of a node comes before a key.
func (t *Tree) less(x *node, at int, h uint64, key []byte) bool {
	if x.head[at] != h {
		return x.head[at] < h
	}
	return bytes.Compare(t.key(x.id[at]), key) < 0
}

// search is the first entry of a node that does not come before a key, and whether it is that key.
func (t *Tree) search(x *node, h uint64, key []byte) (at int, found bool) {
	low, high := 0, x.n
	for low < high {
		if middle := (low + high) / 2; t.less(x, middle, h, key) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < x.n && x.head[low] == h && bytes.Equal(t.key(x.id[low]), key)
}

// insert puts an entry in, and the child that follows it.
func (x *node) insert(at int, h uint64, id, child uint32) {
	copy(x.head[at+1:x.n+1], x.head[at:x.n])
	copy(x.id[at+1:x.n+1], x.id[at:x.n])
	copy(x.child[at+2:x.n+2], x.child[at+1:x.n+1])
	x.head[at], x.id[at], x.child[at+1] = h, id, child
	x.n++
}

// cut takes an entry out, and the child that follows it.
func (x *node) cut(at int) {
	copy(x.head[at:], x.head[at+1:x.n])
	copy(x.id[at:], x.id[at+1:x.n])
	copy(x.child[at+1:], x.child[at+2:x.n+1])
	x.child[x.n] = 0
	x.n--
}

// take returns an empty leaf. It may move all nodes.
func (t *Tree) take() uint32 {
	if i := t.free; i != 0 {
		t.free = t.nodes[i].child[0]
		t.nodes[i] = node{}
		return i
	}
	t.nodes = append(t.nodes, node{})
	return uint32(len(t.nodes) - 1)
}

func (t *Tree) give(i uint32) {
	t.nodes[i].child[0] = t.free
	t.free = i
}

// split halves the full child at of a node: its middle entry moves up.
func (t *Tree) split(parent uint32, at int) {
	right := t.take()
	p := &t.nodes[parent]
	left := p.child[at]
	l, r := &t.nodes[left], &t.nodes[right]
	copy(r.head[:], l.head[degree:])
	copy(r.id[:], l.id[degree:])
	copy(r.child[:], l.child[degree:])
	clear(l.child[degree:])
	l.n, r.n = degree-1, degree-1
	p.insert(at, l.head[degree-1], l.id[degree-1], right)
}
