package xdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// rxRing brings received frames. We consume.
type rxRing struct {
	ring
	entries []unix.XDPDesc
	next    uint32 // our index, ahead of what is published
	limit   uint32 // the kernel's index as last seen
}

// available is how many descriptors can be read, at most want. The kernel's index is read again only when those known
// of are used up.
func (r *rxRing) available(want uint32) uint32 {
	if r.next == r.limit {
		r.limit = atomic.LoadUint32(r.producer)
	}
	return min(r.limit-r.next, want)
}

// waiting is how many descriptors the kernel has published that were not read.
func (r *rxRing) waiting() uint32 { return atomic.LoadUint32(r.producer) - r.next }

// pop reads the next descriptor; one must be available.
func (r *rxRing) pop() unix.XDPDesc {
	d := r.entries[r.next&r.mask]
	r.next++
	return d
}

// publish gives the read slots back to the kernel.
func (r *rxRing) publish() { atomic.StoreUint32(r.consumer, r.next) }
