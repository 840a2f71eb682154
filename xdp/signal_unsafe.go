package xdp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

var one uint64 = 1

// signal makes an eventfd readable. It does not block and does not tell the Go scheduler.
func signal(fd int) {
	unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}
