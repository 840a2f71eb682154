package explore

// visited is the set of states that have been seen, as 64-bit hashes: open addressing, linear probing, at most 5/8
// full. Two states with one hash would be taken for one: with n states the chance that there is such a pair is below
// n*n/2^65.
type visited struct {
	slots []uint64
	used  int
}

func newVisited() visited { return visited{slots: make([]uint64, 1<<16)} }

// add says whether h is new, and keeps it.
func (v *visited) add(h uint64) bool {
	if v.used*8 > len(v.slots)*5 {
		old := v.slots
		v.slots, v.used = make([]uint64, 2*len(old)), 0
		for _, h := range old {
			if h != 0 {
				v.add(h)
			}
		}
	}
	if h == 0 {
		h = 1
	}
	mask := uint64(len(v.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch v.slots[i] {
		case h:
			return false
		case 0:
			v.slots[i] = h
			v.used++
			return true
		}
	}
}

// steps is how each state was reached first: the state before it, and what happened. In blocks, so that growing copies
// nothing.
type steps struct {
	blocks [][]step
	n      int
}

type step struct {
	from   uint32
	action action
}

func (s *steps) add(x step) {
	if s.n%blockLength == 0 {
		s.blocks = append(s.blocks, make([]step, 0, blockLength))
	}
	last := &s.blocks[len(s.blocks)-1]
	*last = append(*last, x)
	s.n++
}

func (s *steps) at(i uint32) step { return s.blocks[i/blockLength][i%blockLength] }

const blockLength = 1 << 14

// layer is the states at one depth, in blocks that are used again.
type layer struct {
	blocks [][]state
	n      int
	free   [][]state
}

func (l *layer) add(s *state) {
	if l.n%blockLength == 0 {
		if n := len(l.free); n > 0 {
			l.blocks, l.free = append(l.blocks, l.free[n-1]), l.free[:n-1]
		} else {
			l.blocks = append(l.blocks, make([]state, 0, blockLength))
		}
	}
	last := &l.blocks[len(l.blocks)-1]
	*last = append(*last, *s)
	l.n++
}

// drain takes all states out, oldest first, while each says to go on.
func (l *layer) drain(each func(s *state) bool) {
	blocks := l.blocks
	l.blocks, l.n = nil, 0
	for _, block := range blocks {
		for i := range block {
			if !each(&block[i]) {
				return
			}
		}
		l.free = append(l.free, block[:0])
	}
}
