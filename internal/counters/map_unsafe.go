package counters

import "unsafe"

const (
	entrySize   = int(unsafe.Sizeof(entry{}))
	counterSize = int(unsafe.Sizeof(Counter{}))
	errorSize   = int(unsafe.Sizeof(errorEntry{}))
)

// lay sees the parts of a file in its mapped memory, which is fileSize(capacity) long.
func (v *View) lay(mem []byte, capacity int) {
	base := unsafe.Pointer(unsafe.SliceData(mem))
	v.mem = mem
	v.header = (*header)(base)
	base = unsafe.Add(base, headerSize)
	v.values = unsafe.Slice((*Counter)(base), capacity)
	base = unsafe.Add(base, capacity*counterSize)
	v.entries = unsafe.Slice((*entry)(base), capacity)
	base = unsafe.Add(base, capacity*entrySize)
	v.errors = unsafe.Slice((*errorEntry)(base), maxErrors)
}
