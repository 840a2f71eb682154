package ringbuf

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestCloseLeavesAloneWhatTheKernelTookAway has a file of large pages, of which there are not enough, mapped over what was
// reserved: the kernel refuses, and has let go of the address space by then. What somebody else maps there stays.
func TestCloseLeavesAloneWhatTheKernelTookAway(t *testing.T) {
	fd, err := unix.MemfdCreate("lockstep-test", unix.MFD_CLOEXEC|unix.MFD_HUGETLB|unix.MFD_HUGE_2MB)
	if err != nil {
		t.Skipf("no files of large pages: %v", err)
	}
	defer unix.Close(fd)
	size := (freeLarge(t) + 1) * LargePage
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		t.Fatal(err)
	}
	m, err := reserve(size + LargePage)
	if err != nil {
		t.Fatal(err)
	}
	at := unsafe.Pointer(unsafe.SliceData(m.mem[LargePage:]))
	if err := m.place(fd, LargePage, size, unix.MAP_SHARED); err == nil {
		t.Fatal("more large pages could be mapped than the pool has")
	}
	page := os.Getpagesize()
	const other = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED_NOREPLACE
	got, err := unix.MmapPtr(-1, 0, at, uintptr(page), unix.PROT_READ|unix.PROT_WRITE, other)
	if err != nil {
		t.Skipf("the kernel keeps what it could not map over: %v", err)
	}
	theirs := unsafe.Slice((*byte)(got), page)
	theirs[0] = 7
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Madvise(theirs, unix.MADV_POPULATE_READ); err != nil {
		t.Errorf("what somebody else had mapped is gone: %v", err)
	} else if theirs[0] != 7 {
		t.Errorf("somebody else's byte is %d", theirs[0])
	}
	_ = unix.MunmapPtr(got, uintptr(page))
}
