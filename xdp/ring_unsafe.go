package xdp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapRing maps one ring of a socket and points at its words.
func mapRing(fd int, at int64, off *unix.XDPRingOffset, size, entryBytes uint32) (ring, error) {
	memory, err := unix.Mmap(fd, at, int(off.Desc)+int(size*entryBytes), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring{}, fmt.Errorf("xdp: map a ring of %d entries: %w", size, err)
	}
	return ring{
		producer: (*uint32)(unsafe.Pointer(&memory[off.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&memory[off.Consumer])),
		flags:    (*uint32)(unsafe.Pointer(&memory[off.Flags])),
		mask:     size - 1,
		size:     size,
		memory:   memory,
	}, nil
}

// addresses views the entries of a fill or completion ring.
func (r *ring) addresses(desc uint64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&r.memory[desc])), r.size)
}

// descriptors views the entries of an rx or tx ring.
func (r *ring) descriptors(desc uint64) []unix.XDPDesc {
	return unsafe.Slice((*unix.XDPDesc)(unsafe.Pointer(&r.memory[desc])), r.size)
}
