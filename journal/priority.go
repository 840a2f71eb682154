package journal

import "golang.org/x/sys/unix"

// The I/O priority class that is served only when nobody else wants the disk, as far as the I/O scheduler heeds it.
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13
)

// lowerPriority gives the calling thread, which is locked to its goroutine, the lowest priority on the disk. Not on the
// processors: a Go thread that the kernel keeps off them holds up every stop of the world. What the kernel refuses stays
// as it is.
func lowerPriority() {
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioIdle)
}
