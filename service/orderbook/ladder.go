package orderbook

import "math/bits"

// maxPrices is how many prices a ladder can hold: three steps of 64.
const maxPrices = 64 * 64 * 64

// level is the queue of orders at one price, oldest first: indexes into the pool, 0 when empty.
type level struct{ head, tail uint32 }

// prices is a set of prices 0 .. n-1 in three steps of bitmaps, so that the lowest and the highest are found in
// three looks whatever the distances.
type prices struct {
	top    uint64
	middle []uint64 // a bit a word of bottom
	bottom []uint64 // a bit a price
}

func newPrices(n uint64) prices {
	words := (n + 63) / 64
	return prices{middle: make([]uint64, (words+63)/64), bottom: make([]uint64, words)}
}

func (p *prices) add(price uint64) {
	p.bottom[price>>6] |= 1 << (price & 63)
	p.middle[price>>12] |= 1 << (price >> 6 & 63)
	p.top |= 1 << (price >> 12)
}

func (p *prices) remove(price uint64) {
	if p.bottom[price>>6] &^= 1 << (price & 63); p.bottom[price>>6] != 0 {
		return
	}
	if p.middle[price>>12] &^= 1 << (price >> 6 & 63); p.middle[price>>12] != 0 {
		return
	}
	p.top &^= 1 << (price >> 12)
}

// lowest returns the lowest price of the set; ok is false when it is empty.
func (p *prices) lowest() (price uint64, ok bool) {
	if p.top == 0 {
		return 0, false
	}
	i := uint64(bits.TrailingZeros64(p.top))
	i = i<<6 | uint64(bits.TrailingZeros64(p.middle[i]))
	return i<<6 | uint64(bits.TrailingZeros64(p.bottom[i])), true
}

// highest returns the highest price of the set; ok is false when it is empty.
func (p *prices) highest() (price uint64, ok bool) {
	if p.top == 0 {
		return 0, false
	}
	i := uint64(bits.Len64(p.top) - 1)
	i = i<<6 | uint64(bits.Len64(p.middle[i])-1)
	return i<<6 | uint64(bits.Len64(p.bottom[i])-1), true
}

// after returns the lowest price of the set that is above the given one.
func (p *prices) after(price uint64) (next uint64, ok bool) {
	const all = ^uint64(0)
	i := price >> 6
	if w := p.bottom[i] & (all << (price & 63) << 1); w != 0 {
		return i<<6 | uint64(bits.TrailingZeros64(w)), true
	}
	j := i >> 6
	if w := p.middle[j] & (all << (i & 63) << 1); w != 0 {
		i = j<<6 | uint64(bits.TrailingZeros64(w))
		return i<<6 | uint64(bits.TrailingZeros64(p.bottom[i])), true
	}
	w := p.top & (all << j << 1)
	if w == 0 {
		return 0, false
	}
	j = uint64(bits.TrailingZeros64(w))
	i = j<<6 | uint64(bits.TrailingZeros64(p.middle[j]))
	return i<<6 | uint64(bits.TrailingZeros64(p.bottom[i])), true
}

// before returns the highest price of the set that is below the given one.
func (p *prices) before(price uint64) (next uint64, ok bool) {
	i := price >> 6
	if w := p.bottom[i] & (1<<(price&63) - 1); w != 0 {
		return i<<6 | uint64(bits.Len64(w)-1), true
	}
	j := i >> 6
	if w := p.middle[j] & (1<<(i&63) - 1); w != 0 {
		i = j<<6 | uint64(bits.Len64(w)-1)
		return i<<6 | uint64(bits.Len64(p.bottom[i])-1), true
	}
	w := p.top & (1<<j - 1)
	if w == 0 {
		return 0, false
	}
	j = uint64(bits.Len64(w) - 1)
	i = j<<6 | uint64(bits.Len64(p.middle[j])-1)
	return i<<6 | uint64(bits.Len64(p.bottom[i])-1), true
}
