package vfs

import "unsafe"

// AlignedBytes returns n zero bytes whose address is a multiple of BlockBytes, as direct I/O wants it. The garbage
// collector does not move heap memory, so the address stays.
func AlignedBytes(n int) []byte {
	b := make([]byte, n+BlockBytes)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (BlockBytes - 1)
	return b[skip : skip+n : skip+n]
}

// Aligned reports whether b begins at a multiple of BlockBytes, as direct I/O wants it.
func Aligned(b []byte) bool {
	return len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%BlockBytes == 0
}
