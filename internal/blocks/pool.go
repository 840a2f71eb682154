package blocks

import "math/bits"

// Smallest is the size of the shortest block, Largest that of the longest, in bytes.
const (
	Smallest = 32
	Largest  = 1 << 17

	shift   = 5 // Smallest is 1 << shift
	classes = 2*(17-shift) + 1
)

// Pool hands out blocks. The zero value keeps none.
type Pool struct {
	Keep int // bytes of blocks that are kept for later
	kept int
	free [classes][][]byte
}

// class is the number of the shortest size that n bytes fit into: 32, 48, 64, 96, 128 ...
func class(n int) int {
	if n <= Smallest {
		return 0
	}
	power := bits.Len(uint(n-1)) - shift // of the next power of two
	if n <= 3<<(power+shift-2) {
		return 2*power - 1
	}
	return 2 * power
}

func size(class int) int {
	if class%2 == 0 {
		return Smallest << (class / 2)
	}
	return 3 * Smallest / 2 << (class / 2)
}

// Take returns a block of n bytes, at most Largest, with any content. Its capacity is that of its size.
func (p *Pool) Take(n int) []byte {
	c := class(n)
	if free := p.free[c]; len(free) > 0 {
		b := free[len(free)-1]
		free[len(free)-1] = nil
		p.free[c] = free[:len(free)-1]
		p.kept -= cap(b)
		return b[:n]
	}
	return make([]byte, n, size(c))
}

// Give takes a block back.
func (p *Pool) Give(b []byte) {
	if cap(b) == 0 || p.kept+cap(b) > p.Keep {
		return
	}
	p.kept += cap(b)
	c := class(cap(b))
	p.free[c] = append(p.free[c], b)
}

// Holds says whether a block is of the size that n bytes take, so that it can go on with that length.
func (p *Pool) Holds(b []byte, n int) bool { return cap(b) == size(class(n)) }
