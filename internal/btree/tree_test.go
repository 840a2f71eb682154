package btree

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// owner keeps keys by number, as whoever uses a tree does.
type owner struct {
	keys [][]byte
	tree *Tree
}

func newOwner() *owner {
	o := &owner{keys: [][]byte{nil}}
	o.tree = New(func(id uint32) []byte { return o.keys[id] })
	return o
}

func (o *owner) insert(key string) {
	o.keys = append(o.keys, []byte(key))
	o.tree.Insert(uint32(len(o.keys) - 1))
}

// walk lists the keys from one on.
func (o *owner) walk(from string) (keys []string) {
	for c := o.tree.Seek([]byte(from)); ; c.Next() {
		id, ok := c.ID()
		if !ok {
			return keys
		}
		keys = append(keys, string(o.keys[id]))
	}
}

// check holds the shape to what makes it a B-tree: all leaves equally deep, nodes at least half full, keys in order.
func (o *owner) check(t interface{ Fatalf(string, ...any) }) {
	var depth func(i uint32, root bool) int
	used := 1
	depth = func(i uint32, root bool) int {
		used++
		x := &o.tree.nodes[i]
		if x.n > maxKeys || x.n < degree-1 && !root {
			t.Fatalf("a node of %d entries", x.n)
		}
		for at := range x.n {
			if x.head[at] != head(o.keys[x.id[at]]) {
				t.Fatalf("the head of %q is %x", o.keys[x.id[at]], x.head[at])
			}
		}
		if x.leaf() {
			if slices.ContainsFunc(x.child[:], func(c uint32) bool { return c != 0 }) {
				t.Fatalf("a leaf with children")
			}
			return 1
		}
		first := depth(x.child[0], false)
		for at := 1; at <= x.n; at++ {
			if depth(x.child[at], false) != first {
				t.Fatalf("leaves are not equally deep")
			}
		}
		return first + 1
	}
	depth(o.tree.root, true)
	for i := o.tree.free; i != 0; i = o.tree.nodes[i].child[0] {
		used++
	}
	if used != len(o.tree.nodes) {
		t.Fatalf("%d nodes in use or free, of %d", used, len(o.tree.nodes))
	}
}

// TestTreeIsASortedSet compares a tree with a sorted slice over random insertions, deletions and walks.
func TestTreeIsASortedSet(t *testing.T) {
	keys := rapid.OneOf(
		rapid.Map(rapid.IntRange(0, 3000), func(n int) string { return fmt.Sprintf("same beginning %d", n) }),
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 10), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		o := newOwner()
		var want []string
		grow := rapid.IntRange(1, 9).Draw(t, "of 10 are insertions")
		for range rapid.IntRange(1, 1500).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			at, there := slices.BinarySearch(want, key)
			if id, ok := o.tree.Get([]byte(key)); ok != there || ok && string(o.keys[id]) != key {
				t.Fatalf("Get(%q): %v, want %v", key, ok, there)
			}
			if rapid.IntRange(0, 9).Draw(t, "do") < grow {
				if !there {
					o.insert(key)
					want = slices.Insert(want, at, key)
				}
			} else {
				if len(want) > 0 && !there {
					at, there = at%len(want), true
					key = want[at]
				}
				if id, ok := o.tree.Delete([]byte(key)); ok != there || ok && string(o.keys[id]) != key {
					t.Fatalf("Delete(%q): %v, want %v", key, ok, there)
				}
				if there {
					want = slices.Delete(want, at, at+1)
				}
			}
		}
		o.check(t)
		if got := o.walk(""); !slices.Equal(got, want) || o.tree.Len() != len(want) {
			t.Fatalf("%d keys, want %d:\n%q\n%q", o.tree.Len(), len(want), got, want)
		}
		from := keys.Draw(t, "from")
		at, _ := slices.BinarySearch(want, from)
		if got := o.walk(from); !slices.Equal(got, want[at:]) {
			t.Fatalf("from %q: %q, want %q", from, got, want[at:])
		}
	})
}

func TestTreeOfMany(t *testing.T) {
	o := newOwner()
	const n = 50000
	for i := range n {
		o.insert(fmt.Sprintf("%d", i*7919%n))
	}
	o.check(t)
	for i := range n {
		if i%3 != 0 {
			if _, ok := o.tree.Delete(fmt.Append(nil, i)); !ok {
				t.Fatalf("%d is not there", i)
			}
		}
	}
	o.check(t)
	got := o.walk("")
	if len(got) != (n+2)/3 || !slices.IsSorted(got) {
		t.Fatalf("%d keys left", len(got))
	}
	o.tree.Reset()
	if got := o.walk(""); len(got) != 0 || o.tree.Len() != 0 {
		t.Fatalf("%q after Reset", got)
	}
}

func TestTreeDoesNotAllocate(t *testing.T) {
	o := newOwner()
	for i := range 20000 {
		o.insert(fmt.Sprintf("key %d", i))
	}
	at := uint32(0)
	if n := testing.AllocsPerRun(50000, func() {
		at = at%20000 + 1
		id, _ := o.tree.Delete(o.keys[at])
		c := o.tree.Seek(o.keys[at])
		c.Next()
		if next, ok := c.ID(); ok && bytes.Compare(o.keys[next], o.keys[at]) <= 0 {
			t.Fatal("not in order")
		}
		o.tree.Insert(id)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGet(b *testing.B) {
	o := newOwner()
	for i := range 100000 {
		o.insert(fmt.Sprintf("some/key/%06d", i*7919%100000))
	}
	at := 0
	for b.Loop() {
		at = at*31%100000 + 1
		if _, ok := o.tree.Get(o.keys[at]); !ok {
			b.Fatal("not there")
		}
	}
}
