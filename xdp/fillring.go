package xdp

import "sync/atomic"

// fillRing gives the kernel empty frames to receive into. We produce.
type fillRing struct {
	ring
	entries []uint64
	next    uint32 // our index, ahead of what is published
	limit   uint32 // the kernel's index as last seen, plus size: how far next may go
}

// push queues a frame, not yet visible; false when the ring is full.
func (r *fillRing) push(addr uint64) bool {
	if r.next == r.limit {
		r.limit = atomic.LoadUint32(r.consumer) + r.size
		if r.next == r.limit {
			return false
		}
	}
	r.entries[r.next&r.mask] = addr
	r.next++
	return true
}

// waiting is how many published frames the kernel has not taken.
func (r *fillRing) waiting() uint32 { return r.next - atomic.LoadUint32(r.consumer) }

// publish shows the kernel all that was pushed.
func (r *fillRing) publish() { atomic.StoreUint32(r.producer, r.next) }
