package match

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A ladder finds the prices that a sorted list of them has, from both ends and from any price, however far apart they are,
// and gives back what it does not need.
func TestLadderIsASortedSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShelf(64, 3)
		l := &ladder{}
		var want []uint32
		price := rapid.OneOf(rapid.Uint32Range(1, MaxPrice), rapid.Uint32Range(4090, 4100), rapid.Uint32Range(1<<18-2, 1<<18+2))
		of := func(i uint32) uint32 {
			if i == 0 {
				return 0
			}
			return s.levels[i].price
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			p := price.Draw(t, "price")
			at, there := slices.BinarySearch(want, p)
			switch {
			case !there && len(want) < 64:
				i := s.add(l, p)
				if s.levels[i].price != p || s.add(l, p) != i {
					t.Fatalf("level of %d: %+v", p, s.levels[i])
				}
				want = slices.Insert(want, at, p)
			case there:
				s.remove(l, p)
				want = slices.Delete(want, at, at+1)
			}
			var up, down []uint32
			for i := s.lowest(l); i != 0; i = s.after(l, s.levels[i].price) {
				up = append(up, s.levels[i].price)
			}
			for i := s.highest(l); i != 0; i = s.before(l, s.levels[i].price) {
				down = append(down, s.levels[i].price)
			}
			slices.Reverse(down)
			if !slices.Equal(up, want) || !slices.Equal(down, want) {
				t.Fatalf("upwards %v, downwards reversed %v, want %v", up, down, want)
			}
			p = price.Draw(t, "from")
			at, there = slices.BinarySearch(want, p)
			var below, above uint32
			if at > 0 {
				below = want[at-1]
			}
			if there {
				at++
			}
			if at < len(want) {
				above = want[at]
			}
			if of(s.before(l, p)) != below || of(s.after(l, p)) != above {
				t.Fatalf("around %d: %d and %d, want %d and %d", p, of(s.before(l, p)), of(s.after(l, p)), below, above)
			}
		}
		for _, p := range want {
			s.remove(l, p)
		}
		if l.root.bits != 0 || s.free() != int(s.freshNode)-1 {
			t.Fatalf("%d nodes are free of %d", s.free(), s.freshNode-1)
		}
	})
}

// free counts the nodes that were given back.
func (s *shelf) free() (n int) {
	for i := s.freeNode; i != 0; i = s.node(i).child[0] {
		n++
	}
	return n
}
