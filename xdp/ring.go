package xdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ring is what the four rings have in common. The kernel and the owner's thread share the words that the pointers
// point at; each word has one writer.
type ring struct {
	producer *uint32 // next slot that the producer will write
	consumer *uint32 // next slot that the consumer will read
	flags    *uint32 // written by the kernel
	mask     uint32
	size     uint32
	memory   []byte // the mapping, for unmapping
}

// needsWakeup says whether the kernel waits for a system call to go on.
func (r *ring) needsWakeup() bool { return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0 }

func (r *ring) unmap() {
	if r.memory != nil {
		unix.Munmap(r.memory)
		r.memory = nil
	}
}
