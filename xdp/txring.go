package xdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// txRing gives the kernel frames to send. We produce.
type txRing struct {
	ring
	entries []unix.XDPDesc
	next    uint32 // our index, ahead of what is published
	limit   uint32 // the kernel's index as last seen, plus size: how far next may go
}

// push queues a frame, not yet visible; false when there is no room.
func (r *txRing) push(addr uint64, length uint32) bool {
	if r.room(1) == 0 {
		return false
	}
	r.entries[r.next&r.mask] = unix.XDPDesc{Addr: addr, Len: length}
	r.next++
	return true
}

// room is how many more frames the ring takes, at least want if it can.
func (r *txRing) room(want uint32) uint32 {
	if r.limit-r.next < want {
		r.limit = atomic.LoadUint32(r.consumer) + r.size
	}
	return r.limit - r.next
}

// publish shows the kernel all that was pushed.
func (r *txRing) publish() { atomic.StoreUint32(r.producer, r.next) }

// waiting is how many published frames the kernel has not looked at.
func (r *txRing) waiting() uint32 { return r.next - atomic.LoadUint32(r.consumer) }
