package transport

import (
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // bytes received or sent, set by the kernel
}

// vectors are what sendmmsg and recvmmsg take: message headers, each tied for good to its address and its one
// buffer. They live on the Go heap, which does not move, so that the kernel's view of them stays good.
type vectors struct {
	hdrs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet4
}

func newVectors(n int) vectors {
	v := vectors{
		hdrs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet4, n),
	}
	for i := range v.hdrs {
		h := &v.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&v.names[i]))
		h.Namelen = unix.SizeofSockaddrInet4
		h.Iov = &v.iovs[i]
		h.SetIovlen(1)
		v.names[i].Family = unix.AF_INET
	}
	return v
}

// buffer ties entry i to a buffer.
func (v *vectors) buffer(i int, b []byte) {
	v.iovs[i].Base = &b[0]
	v.iovs[i].SetLen(len(b))
}

// move copies what the sender set of entry from to entry to.
func (v *vectors) move(to, from int) {
	v.iovs[to] = v.iovs[from]
	v.names[to] = v.names[from]
}

// address sets the end point of entry i.
func (v *vectors) address(i int, a Addr) {
	v.names[i].Addr = a.IP
	v.names[i].Port = networkOrder(a.Port)
}

// peer is the end point that the kernel stored in entry i.
func (v *vectors) peer(i int) Addr {
	return Addr{IP: v.names[i].Addr, Port: networkOrder(v.names[i].Port)}
}

// receive takes up to count datagrams into the entries from first on, without blocking. Raw: the thread is not
// handed over to the Go scheduler for a call that never waits.
func (v *vectors) receive(fd, first, count int) (int, unix.Errno) {
	for i := first; i < first+count; i++ {
		v.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.hdrs[first])),
		uintptr(count), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send hands the kernel the entries [first, first+count) in order, without blocking, and returns how many it took.
func (v *vectors) send(fd, first, count int) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.hdrs[first])),
		uintptr(count), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// socketDrops reads how many datagrams the kernel dropped at a socket since it was opened.
func socketDrops(fd int) uint32 {
	const dropsIndex, entries = 8, 9 // SK_MEMINFO_DROPS, SK_MEMINFO_VARS
	var info [entries]uint32
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return info[dropsIndex]
}

var littleEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

// networkOrder converts a port between the machine's and the network's byte order.
func networkOrder(port uint16) uint16 {
	if littleEndian {
		return bits.ReverseBytes16(port)
	}
	return port
}
