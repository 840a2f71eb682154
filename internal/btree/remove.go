package btree

// remove takes a key out from below a node that is the root or has degree entries at least, so that one may go.
func (t *Tree) remove(i uint32, h uint64, key []byte) (id uint32, ok bool) {
	x := &t.nodes[i]
	at, found := t.search(x, h, key)
	switch {
	case found && x.leaf():
		id = x.id[at]
		x.cut(at)
		return id, true
	case found:
		return t.replace(i, at, h, key), true
	case x.leaf():
		return 0, false
	}
	return t.remove(t.refill(i, at), h, key)
}

// replace takes entry at of an inner node out: the one before or after it takes its place, or both children become one.
func (t *Tree) replace(i uint32, at int, h uint64, key []byte) uint32 {
	x := &t.nodes[i]
	id := x.id[at]
	switch {
	case t.nodes[x.child[at]].n >= degree:
		x.head[at], x.id[at] = t.removeLast(x.child[at])
	case t.nodes[x.child[at+1]].n >= degree:
		x.head[at], x.id[at] = t.removeFirst(x.child[at+1])
	default:
		t.merge(i, at)
		id, _ = t.remove(t.nodes[i].child[at], h, key)
	}
	return id
}

func (t *Tree) removeFirst(i uint32) (h uint64, id uint32) {
	for !t.nodes[i].leaf() {
		i = t.refill(i, 0)
	}
	x := &t.nodes[i]
	h, id = x.head[0], x.id[0]
	x.cut(0)
	return h, id
}

func (t *Tree) removeLast(i uint32) (h uint64, id uint32) {
	for !t.nodes[i].leaf() {
		i = t.refill(i, t.nodes[i].n)
	}
	x := &t.nodes[i]
	h, id = x.head[x.n-1], x.id[x.n-1]
	x.cut(x.n - 1)
	return h, id
}

// refill sees to it that child at of a node has an entry to spare, from a neighbour or by becoming one with it, and
// returns the child that what was below it is below now.
func (t *Tree) refill(i uint32, at int) uint32 {
	x := &t.nodes[i]
	if t.nodes[x.child[at]].n >= degree {
		return x.child[at]
	}
	switch {
	case at > 0 && t.nodes[x.child[at-1]].n >= degree:
		t.shiftRight(x, at-1)
	case at < x.n && t.nodes[x.child[at+1]].n >= degree:
		t.shiftLeft(x, at)
	case at < x.n:
		t.merge(i, at)
	default:
		at--
		t.merge(i, at)
	}
	return t.nodes[i].child[at]
}

// shiftRight moves an entry from the child before entry at up, and that one down into the child after it.
func (t *Tree) shiftRight(x *node, at int) {
	l, r := &t.nodes[x.child[at]], &t.nodes[x.child[at+1]]
	copy(r.child[1:r.n+2], r.child[:r.n+1])
	copy(r.head[1:r.n+1], r.head[:r.n])
	copy(r.id[1:r.n+1], r.id[:r.n])
	r.head[0], r.id[0], r.child[0] = x.head[at], x.id[at], l.child[l.n]
	r.n++
	x.head[at], x.id[at] = l.head[l.n-1], l.id[l.n-1]
	l.cut(l.n - 1)
}

// shiftLeft is the same the other way.
func (t *Tree) shiftLeft(x *node, at int) {
	l, r := &t.nodes[x.child[at]], &t.nodes[x.child[at+1]]
	l.insert(l.n, x.head[at], x.id[at], r.child[0])
	x.head[at], x.id[at] = r.head[0], r.id[0]
	copy(r.child[:], r.child[1:r.n+1])
	copy(r.head[:], r.head[1:r.n])
	copy(r.id[:], r.id[1:r.n])
	r.child[r.n] = 0
	r.n--
}

// merge makes one node of entry at and the two children beside it, which have degree-1 entries each.
func (t *Tree) merge(i uint32, at int) {
	x := &t.nodes[i]
	right := x.child[at+1]
	l, r := &t.nodes[x.child[at]], &t.nodes[right]
	l.head[l.n], l.id[l.n] = x.head[at], x.id[at]
	copy(l.head[l.n+1:], r.head[:r.n])
	copy(l.id[l.n+1:], r.id[:r.n])
	copy(l.child[l.n+1:], r.child[:r.n+1])
	l.n += 1 + r.n
	x.cut(at)
	t.give(right)
}
