package orderbook

import "lockstep/service"

// numbers is a hash table from numbers other than 0 to numbers, with linear probing. It grows by itself, at twice its
// size each time; it is never walked.
type numbers struct {
	slots []pair // a power of two; key 0: free
	used  int
}

type pair struct {
	key   uint64
	value uint32
}

func newNumbers(room int) numbers {
	n := 16
	for n < 2*room {
		n *= 2
	}
	return numbers{slots: make([]pair, n)}
}

func (t *numbers) home(key uint64) int { return int(service.Mix(0, key)) & (len(t.slots) - 1) }

// find is the slot of a key, or the free one where it would go.
func (t *numbers) find(key uint64) int {
	i := t.home(key)
	for t.slots[i].key != key && t.slots[i].key != 0 {
		i = (i + 1) & (len(t.slots) - 1)
	}
	return i
}

// get is the value of a key; ok is false when it has none.
func (t *numbers) get(key uint64) (value uint32, ok bool) {
	p := &t.slots[t.find(key)]
	return p.value, p.key != 0
}

// put gives a key a value.
func (t *numbers) put(key uint64, value uint32) {
	p := &t.slots[t.find(key)]
	if p.key == 0 {
		if t.used++; 2*t.used > len(t.slots) {
			t.grow()
			p = &t.slots[t.find(key)]
		}
	}
	*p = pair{key, value}
}

func (t *numbers) grow() {
	old := t.slots
	t.slots = make([]pair, 2*len(old))
	for _, p := range old {
		if p.key != 0 {
			t.slots[t.find(p.key)] = p
		}
	}
}

// remove takes a key out, if it is there, and closes the gap: who was put behind it because it was taken moves up.
func (t *numbers) remove(key uint64) {
	gap := t.find(key)
	if t.slots[gap].key == 0 {
		return
	}
	mask := len(t.slots) - 1
	for i := (gap + 1) & mask; t.slots[i].key != 0; i = (i + 1) & mask {
		if (i-t.home(t.slots[i].key))&mask >= (i-gap)&mask {
			t.slots[gap] = t.slots[i]
			gap = i
		}
	}
	t.slots[gap] = pair{}
	t.used--
}
