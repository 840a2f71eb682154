package xdp

import "sync/atomic"

// completionRing brings back frames that were sent, or that the kernel gave up. We consume.
type completionRing struct {
	ring
	entries []uint64
	next    uint32 // our index, ahead of what is published
}

// available is how many frames have come back.
func (r *completionRing) available() uint32 { return atomic.LoadUint32(r.producer) - r.next }

// pop reads the next address; one must be available.
func (r *completionRing) pop() uint64 {
	addr := r.entries[r.next&r.mask]
	r.next++
	return addr
}

// publish gives the read slots back to the kernel.
func (r *completionRing) publish() { atomic.StoreUint32(r.consumer, r.next) }
