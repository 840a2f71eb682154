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
	mem   []byte
	own   [][]byte // what Close gives back: with what lies around the memory and nobody may touch
	pages Pages
}

// Bytes is the memory. It must not be used after Close.
func (m *Mapping) Bytes() []byte { return m.mem }

// Pages is what the memory is made of.
func (m *Mapping) Pages() Pages { return m.pages }

// Close gives the memory back. A second Close does nothing.
func (m *Mapping) Close() error {
	own := m.own
	m.mem, m.own = nil, nil
	var failed []error
	for _, part := range own {
		if err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(part)), uintptr(len(part))); err != nil {
			failed = append(failed, fmt.Errorf("ringbuf: unmap %d bytes: %w", len(part), err))
		}
	}
	return errors.Join(failed...)
}

// Map maps and populates memory, for a MessageRing or whatever else should be off the heap. bytes is rounded up to
// whole pages. What is larger than half a large page is rounded up to large ones, and made of them where there are some: of
// the pool that the machine has set aside for them, else transparent ones.
func Map(bytes int) (*Mapping, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("ringbuf: map %d bytes: want at least 1", bytes)
	}
	large, why := bytes > LargePage/2, "it is small"
	if large {
		m, err := mapPool(bytes)
		if err == nil {
			return m, nil
		}
		why = poolLacks(err)
	}
	page := os.Getpagesize()
	if large {
		page = LargePage
	}
	size := roundUp(bytes, page)
	if err := checkAvailable(size); err != nil {
		return nil, err
	}
	m, err := reserve(size)
	if err != nil {
		return nil, err
	}
	if err = m.place(-1, 0, size, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err == nil {
		if large {
			_ = unix.Madvise(m.mem, unix.MADV_HUGEPAGE) // refused where the kernel has none: small ones do
		}
		err = populate(m.mem)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ringbuf: map %d bytes: %w", size, err), m.Close())
	}
	m.pages = Pages{Bytes: size, Why: why}
	if large {
		m.pages.found(m.mem, "AnonHugePages", thpAnonymous)
	}
	m.mem = m.mem[:bytes:size]
	return m, nil
}

// mapPool maps memory of the pool of large pages. It takes all of it now, or says what is lacking.
func mapPool(bytes int) (*Mapping, error) {
	size := roundUp(bytes, LargePage)
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB|unix.MAP_HUGE_2MB)
	if err != nil {
		return nil, err
	}
	all := unsafe.Slice((*byte)(p), size)
	m := &Mapping{mem: all[:bytes:size], own: [][]byte{all}, pages: Pages{Kind: PagesPool, Bytes: size, Large: size}}
	if err := populate(all); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// reserve takes address space that begins where a large page may, with a page on each side that nobody may touch, so
// that the kernel joins it with no other mapping.
func reserve(size int) (*Mapping, error) {
	page := os.Getpagesize()
	total := size + LargePage + 2*page
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(total), unix.PROT_NONE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("ringbuf: %d bytes of address space: %w", total, err)
	}
	all := unsafe.Slice((*byte)(p), total)
	first := int(uintptr(p)) + page
	from := roundUp(first, LargePage) - int(uintptr(p))
	return &Mapping{mem: all[from : from+size : from+size], own: [][]byte{all}}, nil
}

// place maps n bytes of fd (-1: of none), at offset at of the memory, over what was reserved there. The kernel takes away what
// was there before it finds that it cannot map, as with a pool that is short of pages; the next thread that maps something,
// the Go runtime's included, may be given that address. So what could not be mapped is not ours any more: Close leaves it alone.
func (m *Mapping) place(fd, at, n, flags int) error {
	part := m.mem[at : at+n]
	base := unsafe.Pointer(unsafe.SliceData(part))
	_, err := unix.MmapPtr(fd, 0, base, uintptr(n), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_FIXED)
	if err != nil {
		all := m.own[0] // whole: only one place is tried after the other, up to the first that fails
		before := int(uintptr(base) - uintptr(unsafe.Pointer(unsafe.SliceData(all))))
		m.own = [][]byte{all[:before], all[before+n:]}
	}
	return err
}

// populate has all pages of mem present, or says why that cannot be: found missing at its first use, one of a file would be
// a SIGBUS.
func populate(mem []byte) error {
	err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	if !errors.Is(err, unix.EINVAL) {
		return err
	}
	page := os.Getpagesize() // a kernel before 5.14
	for at := 0; at < len(mem); at += page {
		*(*byte)(unsafe.Add(unsafe.Pointer(&mem[0]), at)) = 0
	}
	return nil
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
// Bytes is twice as long and its halves are the same pages. They are large ones where there are some, as with Map.
func MapLog(bytes int) (*Mapping, error) {
	page := os.Getpagesize()
	if !powerOfTwo(bytes) || bytes < page {
		return nil, fmt.Errorf("ringbuf: a log ring of %d bytes: want a power of two, %d or more", bytes, page)
	}
	large, why := bytes >= LargePage, "it is small"
	if large {
		m, err := mapTwice(bytes, unix.MFD_HUGETLB|unix.MFD_HUGE_2MB)
		if err == nil {
			m.pages = Pages{Kind: PagesPool, Bytes: bytes, Large: bytes}
			return m, nil
		}
		why = poolLacks(err)
	}
	if err := checkAvailable(bytes); err != nil {
		return nil, err
	}
	m, err := mapTwice(bytes, 0)
	if err != nil {
		return nil, fmt.Errorf("ringbuf: a log ring of %d bytes (choose a smaller ring or free memory): %w", bytes, err)
	}
	m.pages = Pages{Bytes: bytes, Why: why}
	if large {
		m.pages.found(m.mem[:bytes], "ShmemPmdMapped", thpShared)
	}
	return m, nil
}

// mapTwice maps a memory file twice, back to back. Its memory is allocated here, where that can be refused.
func mapTwice(bytes, flags int) (*Mapping, error) {
	fd, err := unix.MemfdCreate("lockstep-log", unix.MFD_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(bytes)); err != nil {
		return nil, fmt.Errorf("memory file: %w", err)
	}
	transparent := flags == 0 && bytes >= LargePage
	if !transparent {
		if err := allocate(fd, bytes); err != nil {
			return nil, err
		}
	}
	m, err := reserve(2 * bytes)
	if err != nil {
		return nil, err
	}
	if err := m.fill(fd, bytes, transparent); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// fill maps both halves and has them present. Transparent huge pages are what a first touch may bring, and allocating does
// not: where they are wanted, that comes second.
func (m *Mapping) fill(fd, bytes int, transparent bool) error {
	for half := range 2 {
		if err := m.place(fd, half*bytes, bytes, unix.MAP_SHARED); err != nil {
			return fmt.Errorf("map half %d: %w", half, err)
		}
	}
	if transparent {
		if unix.Madvise(m.mem, unix.MADV_HUGEPAGE) == nil {
			if err := unix.Madvise(m.mem[:bytes], unix.MADV_POPULATE_WRITE); err != nil && !errors.Is(err, unix.EINVAL) {
				return err
			}
		}
		if err := allocate(fd, bytes); err != nil {
			return err
		}
	}
	return errors.Join(populate(m.mem[:bytes]), populate(m.mem[bytes:]))
}

// allocate has a memory file's pages be there, or says that there are too few.
func allocate(fd, bytes int) error {
	if err := unix.Fallocate(fd, 0, 0, int64(bytes)); err != nil {
		return fmt.Errorf("allocate: %w", err)
	}
	return nil
}

func roundUp(n, to int) int { return (n + to - 1) &^ (to - 1) }
