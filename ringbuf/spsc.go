package ringbuf

import "fmt"

// SPSC is a ring of values of type T between one producing and one consuming thread. Values are copied in and out;
// what is in the slots beforehand stays there until it is overwritten, so T should not hold pointers that must be
// let go.
type SPSC[T any] struct {
	slots []T
	mask  uint64
	_     [pad]byte

	// The producer's own: what it has filled, and how far it last saw the consumer.
	filled   uint64
	seenHead uint64
	_        [pad - 16]byte

	tail Cursor // published by the producer: slots before it may be read

	// The consumer's own.
	read     uint64
	seenTail uint64
	_        [pad - 16]byte

	head Cursor // published by the consumer: slots before it may be filled again
}

// NewSPSC makes a ring of the slots given, whose number must be a power of two. The caller must not touch them
// afterwards.
func NewSPSC[T any](slots []T) *SPSC[T] { return newSPSCAt(slots, 0) }

// newSPSCAt starts the indices elsewhere, so that tests reach their ends.
func newSPSCAt[T any](slots []T, start uint64) *SPSC[T] {
	if !powerOfTwo(len(slots)) {
		panic(fmt.Sprintf("ringbuf: an SPSC ring of %d slots: want a power of two", len(slots)))
	}
	r := &SPSC[T]{slots: slots, mask: uint64(len(slots) - 1)}
	r.filled, r.seenHead, r.read, r.seenTail = start, start, start, start
	r.tail.Store(start)
	r.head.Store(start)
	return r
}

func powerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// Cap is the number of slots. Any thread.
func (r *SPSC[T]) Cap() int { return len(r.slots) }

// Offer copies *v into the next slot, and says whether there was one. The consumer sees it after Publish.
// Producer only.
func (r *SPSC[T]) Offer(v *T) bool {
	if r.filled-r.seenHead > r.mask {
		r.seenHead = r.head.Load()
		if r.filled-r.seenHead > r.mask {
			return false
		}
	}
	r.slots[r.filled&r.mask] = *v
	r.filled++
	return true
}

// Publish shows the consumer everything offered so far. Once a batch. Producer only.
func (r *SPSC[T]) Publish() { r.tail.Store(r.filled) }

// Free returns how many Offers are certain to succeed now. Producer only.
func (r *SPSC[T]) Free() int {
	r.seenHead = r.head.Load()
	return len(r.slots) - int(r.filled-r.seenHead)
}

// Peek returns the oldest value that was not advanced over, in its slot, or nil when there is none. It may be read
// and written until the Release after the Advance over it. Consumer only.
func (r *SPSC[T]) Peek() *T {
	if r.read == r.seenTail {
		r.seenTail = r.tail.Load()
		if r.read == r.seenTail {
			return nil
		}
	}
	return &r.slots[r.read&r.mask]
}

// Advance moves on over the value that Peek returned. Without one it must not be called. Consumer only.
func (r *SPSC[T]) Advance() { r.read++ }

// Release gives the slots advanced over back to the producer. Once a batch. Consumer only.
func (r *SPSC[T]) Release() { r.head.Store(r.read) }

// Poll copies up to len(out) values out, oldest first, gives their slots back (no Release is needed), and returns
// how many. Consumer only.
func (r *SPSC[T]) Poll(out []T) int {
	n := r.seenTail - r.read
	if n < uint64(len(out)) {
		r.seenTail = r.tail.Load()
		n = r.seenTail - r.read
	}
	if n = min(n, uint64(len(out))); n == 0 {
		return 0
	}
	from := r.read & r.mask
	copied := copy(out[:n], r.slots[from:])
	copy(out[copied:n], r.slots)
	r.read += n
	r.Release()
	return int(n)
}
