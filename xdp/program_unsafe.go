package xdp

import "unsafe"

// words views mapped memory as n 64-bit counters.
func words(memory []byte, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), n)
}
