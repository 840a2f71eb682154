package ringbuf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mapping is memory outside of the Go heap, all of it populated, so that no later use of it can fault or fail.
type Mapping struct {
	mem []byte
}

// Bytes is the memory. It must not be used after Close.
func (m *Mapping) Bytes() []byte { return m.mem }

// Close gives the memory back. A second Close does nothing.
func (m *Mapping) Close() error {
	if m.mem == nil {
		return nil
	}
	mem := m.mem
	m.mem = nil
	if err := unix.MunmapPtr(unsafe.Pointer(&mem[0]), uintptr(len(mem))); err != nil {
		return fmt.Errorf("ringbuf: unmap %d bytes: %w", len(mem), err)
	}
	return nil
}

// Map maps and populates memory, for a MessageRing or whatever else should be off the heap. bytes is rounded up to
// whole pages.
func Map(bytes int) (*Mapping, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("ringbuf: map %d bytes: want at least 1", bytes)
	}
	page := os.Getpagesize()
	size := (bytes + page - 1) &^ (page - 1)
	if err := checkAvailable(size); err != nil {
		return nil, err
	}
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("ringbuf: map %d bytes: %w", size, err)
	}
	return &Mapping{mem: unsafe.Slice((*byte)(p), size)[:bytes:size]}, nil
}

// checkAvailable refuses what the machine has no memory for. The kernel would not: it would start ending processes.
func checkAvailable(bytes int) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("ringbuf: how much memory is there: %w", err)
	}
	_, after, _ := strings.Cut(string(text), "MemAvailable:")
	var kilobytes int
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		return fmt.Errorf("ringbuf: no MemAvailable in /proc/meminfo: %w", err)
	}
	if bytes>>10 > kilobytes {
		return fmt.Errorf("ringbuf: a ring of %d bytes: the machine has %d KiB of memory left: choose a smaller ring",
			bytes, kilobytes)
	}
	return nil
}

// MapLog maps the memory of a LogRing: bytes (a power of two, at least a page), twice, back to back, so that
// Bytes is twice as long and its halves are the same pages.
func MapLog(bytes int) (*Mapping, error) {
	page := os.Getpagesize()
	if !powerOfTwo(bytes) || bytes < page {
		return nil, fmt.Errorf("ringbuf: a log ring of %d bytes: want a power of two, %d or more", bytes, page)
	}
	if err := checkAvailable(bytes); err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("lockstep-log", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("ringbuf: memory file for a log ring of %d bytes: %w", bytes, err)
	}
	defer unix.Close(fd)
	// Allocated here, where it can be refused; a page found missing at its first use would be a SIGBUS.
	if err := unix.Fallocate(fd, 0, 0, int64(bytes)); err != nil {
		return nil, fmt.Errorf("ringbuf: %d bytes of memory for the log ring (choose a smaller ring or free memory): %w",
			bytes, err)
	}
	size := uintptr(bytes)
	base, err := unix.MmapPtr(-1, 0, nil, 2*size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("ringbuf: %d bytes of address space for the log ring: %w", 2*bytes, err)
	}
	for half := range uintptr(2) {
		_, err := unix.MmapPtr(fd, 0, unsafe.Add(base, half*size), size, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_SHARED|unix.MAP_FIXED|unix.MAP_POPULATE)
		if err != nil {
			err = fmt.Errorf("ringbuf: map half %d of a log ring of %d bytes: %w", half, bytes, err)
			return nil, errors.Join(err, unix.MunmapPtr(base, 2*size))
		}
	}
	return &Mapping{mem: unsafe.Slice((*byte)(base), 2*bytes)}, nil
}
