package agent

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These are functions of the Go runtime that it keeps reachable by linkname for the packages that depend on them.

// procPin forbids the scheduler to take this goroutine off its P, until procUnpin.
//
//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

// procyield executes PAUSE the given number of times.
//
//go:linkname procyield runtime.procyield
func procyield(cycles uint32)

// nanotime reads the monotonic clock.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

// eventfdAdd makes an eventfd readable. By a raw system call, so that a pinned thread may: it does not block, for
// the counter cannot get anywhere near its limit.
func eventfdAdd(fd int, one *uint64) {
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(one)), 8)
}
