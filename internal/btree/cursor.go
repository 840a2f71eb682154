package btree

// maxDepth is more than 2^32 keys need.
const maxDepth = 9

// Cursor walks through a tree in order. The zero value is at the end.
type Cursor struct {
	tree  *Tree
	depth int              // steps of the path; 0: at the end
	nodes [maxDepth]uint32 // the last one has the entry, those before lead to it
	at    [maxDepth]int
}

// Seek returns a cursor at the first key that is not below the given one.
func (t *Tree) Seek(key []byte) (c Cursor) {
	c.tree = t
	h := head(key)
	for i := t.root; i != 0; {
		x := &t.nodes[i]
		at, found := t.search(x, h, key)
		c.push(i, at)
		if found {
			return c
		}
		i = x.child[at]
	}
	c.climb()
	return c
}

// ID returns the number of the key that the cursor is at; ok is false at the end.
func (c *Cursor) ID() (id uint32, ok bool) {
	if c.depth == 0 {
		return 0, false
	}
	return c.tree.nodes[c.nodes[c.depth-1]].id[c.at[c.depth-1]], true
}

// Next moves on to the next key, or to the end.
func (c *Cursor) Next() {
	if c.depth == 0 {
		return
	}
	c.at[c.depth-1]++
	i := c.tree.nodes[c.nodes[c.depth-1]].child[c.at[c.depth-1]]
	for ; i != 0; i = c.tree.nodes[i].child[0] {
		c.push(i, 0)
	}
	c.climb()
}

func (c *Cursor) push(i uint32, at int) {
	c.nodes[c.depth], c.at[c.depth] = i, at
	c.depth++
}

// climb goes up from behind the last entry of a node to the one after it.
func (c *Cursor) climb() {
	for c.depth > 0 && c.at[c.depth-1] == c.tree.nodes[c.nodes[c.depth-1]].n {
		c.depth--
	}
}
