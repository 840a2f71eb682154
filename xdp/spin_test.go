package xdp

import (
	"errors"
	"net"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// spin reads from a kernel socket without blocking until something comes; false when the socket is closed.
func spin(c *net.UDPConn, buf []byte) (n int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	for {
		var readErr error
		if err := raw.Control(func(fd uintptr) {
			n, readErr = unix.Read(int(fd), buf)
		}); err != nil {
			return 0, false
		}
		if readErr == nil {
			return n, true
		}
		if !errors.Is(readErr, syscall.EAGAIN) {
			return 0, false
		}
		runtime.Gosched()
	}
}
