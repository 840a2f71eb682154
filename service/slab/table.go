package slab

// Table finds places by hashes of 64 bits: open addressing with linear probing, at most half full. Several places may
// have one hash: whoever looks compares. Where the hash is a bijection of the key (service.Mix of one number is), a hit
// is the one.
type Table struct {
	slots []slot
	mask  uint64
}

type slot struct {
	hash  uint64
	place uint32 // 0: free
}

// NewTable returns an empty table for at most limit places.
func NewTable(limit int) Table {
	n := 2
	for n < 2*limit {
		n *= 2
	}
	return Table{slots: make([]slot, n), mask: uint64(n - 1)}
}

// Reset empties the table.
func (t *Table) Reset() { clear(t.slots) }

// Find is the place with a hash, 0 if there is none: for hashes that tell keys apart.
func (t *Table) Find(hash uint64) uint32 {
	at := t.Begin(hash)
	return t.Next(hash, &at)
}

// Begin is where a search for a hash begins.
func (t *Table) Begin(hash uint64) (at uint64) { return hash & t.mask }

// Next is the next place with a hash from at on, which moves behind it; 0 when there are no more.
func (t *Table) Next(hash uint64, at *uint64) uint32 {
	for i := *at; ; i = (i + 1) & t.mask {
		s := &t.slots[i]
		if s.place == 0 || s.hash == hash {
			*at = (i + 1) & t.mask
			return s.place
		}
	}
}

// Add takes a place in, which is not there.
func (t *Table) Add(hash uint64, place uint32) {
	i := hash & t.mask
	for t.slots[i].place != 0 {
		i = (i + 1) & t.mask
	}
	t.slots[i] = slot{hash, place}
}

// Remove takes a place out, which is there under that hash, and closes the gap.
func (t *Table) Remove(hash uint64, place uint32) {
	gap := hash & t.mask
	for t.slots[gap].place != place || t.slots[gap].hash != hash {
		gap = (gap + 1) & t.mask
	}
	for i := (gap + 1) & t.mask; t.slots[i].place != 0; i = (i + 1) & t.mask {
		if home := t.slots[i].hash & t.mask; (i-home)&t.mask >= (i-gap)&t.mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = slot{}
}
