package wire

import "math/bits"

// Assembly is a payload being put together from fragments, which may come in any order, more than once, and cut
// differently each time. The zero value is ready for Begin. It belongs to one thread.
type Assembly struct {
	total uint32
	have  uint32   // bytes [0, have) are there
	bytes []byte   // as many as the longest payload so far needed
	ahead []uint64 // a bit for each unit of 8 bytes beyond have that is there
}

// Begin starts a payload of so many bytes, at most MaxMessage, and forgets the one before. room is how many bytes to
// allocate at once, if what is there does not do: none is allocated then until a payload is longer.
func (a *Assembly) Begin(total uint32, room int) {
	if int(total) > len(a.bytes) {
		room = max(int(total), room)
		a.bytes = make([]byte, room)
		a.ahead = make([]uint64, (room+511)/512)
	}
	a.total, a.have = total, 0
	clear(a.ahead[:(total+511)/512])
}

// Total is the length of the payload that was begun.
func (a *Assembly) Total() uint32 { return a.total }

// Have is how many bytes are there without a hole.
func (a *Assembly) Have() uint32 { return a.have }

// Whole says whether all of the payload is there.
func (a *Assembly) Whole() bool { return a.have == a.total }

// Payload is what is there without a hole, a view.
func (a *Assembly) Payload() []byte { return a.bytes[:a.have:a.have] }

// Skip claims that everything up to the end of a part is there.
func (a *Assembly) Skip(offset uint32, part []byte) { a.have = max(a.have, offset+uint32(len(part))) }

// Add takes a part that lies within the payload. It returns false when all of it was there.
func (a *Assembly) Add(offset uint32, part []byte) bool {
	end := offset + uint32(len(part))
	if end <= a.have {
		return false
	}
	if offset > a.have {
		return a.keep(offset, end, part)
	}
	copy(a.bytes[offset:end], part)
	a.have = end
	for a.have < a.total && a.ahead[a.have/512]>>(a.have/8%64)&1 != 0 {
		a.have = min(a.have&^7+8, a.total)
	}
	return true
}

// keep takes a part beyond a hole: the units that it covers wholly. The last unit of the payload may be a part of one.
func (a *Assembly) keep(offset, end uint32, part []byte) (news bool) {
	from, until := (offset+7)/8, end/8
	if end == a.total {
		until = (end + 7) / 8
	}
	for unit := from; unit < until; {
		word, bit := unit/64, unit%64
		n := min(64-bit, until-unit)
		mask := (^uint64(0) >> (64 - n)) << bit
		news = news || bits.OnesCount64(a.ahead[word]&mask) != int(n)
		a.ahead[word] |= mask
		unit += n
	}
	if news {
		copy(a.bytes[offset:end], part)
	}
	return news
}
