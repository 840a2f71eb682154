package nic

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// request is struct ifreq: the name, then a pointer to the command.
type request struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	rest [16]byte
}

// ask hands a command to the driver of an interface, which answers in place.
func ask(fd int, name string, command []byte) error {
	r := request{data: unsafe.Pointer(&command[0])}
	copy(r.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r)))
	if errno != 0 {
		return errno
	}
	return nil
}
