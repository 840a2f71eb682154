package xdp

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is one AF_XDP socket with its four rings, all of them in the owner's hands.
type socket struct {
	fd       int
	fill     fillRing
	rx       rxRing
	tx       txRing
	comp     completionRing
	budget   int  // frames that the kernel sends in one call in copy mode
	zeroCopy bool // as the kernel says, once bound
	// busyPolls says that the driver runs only when the owner's thread makes it.
	busyPolls bool
}

// txBudgetOption is the socket's option for the budget; a variable for tests, which name one that no kernel has.
var txBudgetOption = unix.XDP_MAX_TX_SKB_BUDGET

// standardBudget is how many frames the kernel sends in one call if it is not told otherwise.
const standardBudget = 32

// fillEntries is the size of the fill ring: twice the pool, because the kernel hands a frame over in the rx ring before
// it gives the frame's slot in the fill ring back.
func fillEntries(u *umem) uint32 { return 2 * u.rxFrames }

// openSocket makes a socket over u, with rings that hold a whole pool each, and gives the kernel every receive frame:
// some drivers stall for good if they are bound to an empty fill ring.
func openSocket(u *umem, txBudget, busyPollUs int) (*socket, error) {
	fd, err := rawSocket()
	if err != nil {
		return nil, err
	}
	s := &socket{fd: fd, budget: standardBudget}
	if err := s.setUp(u, txBudget, busyPollUs); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func rawSocket() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, syscall.EAFNOSUPPORT):
		return -1, fmt.Errorf("xdp: this kernel has no AF_XDP (CONFIG_XDP_SOCKETS): use kernel UDP: %w", err)
	case err != nil:
		return -1, permission("open an AF_XDP socket", err)
	}
	return fd, nil
}

func (s *socket) setUp(u *umem, txBudget, busyPollUs int) error {
	if err := registerUmem(s.fd, u); err != nil {
		if errors.Is(err, syscall.ENOBUFS) {
			return fmt.Errorf("xdp: pin %d MiB of memory: over the limit of locked memory: grant CAP_IPC_LOCK or "+
				"raise LimitMEMLOCK: %w", len(u.memory)>>20, err)
		}
		return permission("register memory with an AF_XDP socket", err)
	}
	for _, r := range []struct {
		option, size int
	}{
		{unix.XDP_UMEM_FILL_RING, int(fillEntries(u))},
		{unix.XDP_RX_RING, int(u.rxFrames)},
		{unix.XDP_UMEM_COMPLETION_RING, int(u.txFrames)},
		{unix.XDP_TX_RING, int(u.txFrames)},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, r.size); err != nil {
			return fmt.Errorf("xdp: ring of %d entries: %w", r.size, err)
		}
	}
	if err := s.mapRings(u); err != nil {
		return err
	}
	s.raiseLimits(int(u.txFrames), txBudget)
	if busyPollUs > 0 {
		if err := s.busyPoll(busyPollUs); err != nil {
			return err
		}
	}
	for f := uint32(0); f < u.rxFrames; f++ {
		s.fill.push(u.address(f)) // marked by recall, once the owner takes the socket
	}
	s.fill.publish()
	return nil
}

func (s *socket) mapRings(u *umem) error {
	off, err := mmapOffsets(s.fd)
	if err != nil {
		return fmt.Errorf("xdp: ring offsets: %w", err)
	}
	if s.fill.ring, err = mapRing(s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, &off.Fr, fillEntries(u), 8); err != nil {
		return err
	}
	if s.rx.ring, err = mapRing(s.fd, unix.XDP_PGOFF_RX_RING, &off.Rx, u.rxFrames, 16); err != nil {
		return err
	}
	if s.comp.ring, err = mapRing(s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, &off.Cr, u.txFrames, 8); err != nil {
		return err
	}
	if s.tx.ring, err = mapRing(s.fd, unix.XDP_PGOFF_TX_RING, &off.Tx, u.txFrames, 16); err != nil {
		return err
	}
	s.fill.entries = s.fill.addresses(off.Fr.Desc)
	s.fill.limit = s.fill.size
	s.rx.entries = s.rx.descriptors(off.Rx.Desc)
	s.comp.entries = s.comp.addresses(off.Cr.Desc)
	s.tx.entries = s.tx.descriptors(off.Tx.Desc)
	s.tx.limit = s.tx.size
	return nil
}

// raiseLimits asks for what lets one call send a whole batch in copy mode. A kernel that takes less is no error: more
// calls are made then.
func (s *socket) raiseLimits(txFrames, txBudget int) {
	// The kernel charges a copied frame to the send buffer, with its bookkeeping.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, txFrames*2*MinFrameBytes)
	if unix.SetsockoptInt(s.fd, unix.SOL_XDP, txBudgetOption, txBudget) == nil {
		s.budget = txBudget
	}
}

func (s *socket) busyPoll(us int) error {
	for _, o := range []struct {
		option, value int
	}{
		{unix.SO_PREFER_BUSY_POLL, 1},
		{unix.SO_BUSY_POLL, us},
		{unix.SO_BUSY_POLL_BUDGET, busyPollBudget},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o.option, o.value); err != nil {
			return permission("switch on busy polling", err)
		}
	}
	s.busyPolls = true
	return nil
}

// bindAttempts, bindPause apart, bound the wait for the kernel to let go of a socket that was closed just before: it
// does so a little later, on a thread of its own.
const (
	bindAttempts = 100
	bindPause    = 10 * time.Millisecond
)

// bind binds the socket to a queue and reads back what was got.
func (s *socket) bind(device *device, queue int, zeroCopy bool) error {
	flags := unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY
	if zeroCopy {
		flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_ZEROCOPY
	}
	address := &unix.SockaddrXDP{Flags: uint16(flags), Ifindex: uint32(device.index), QueueID: uint32(queue)}
	err := unix.Bind(s.fd, address)
	for i := 0; i < bindAttempts && errors.Is(err, syscall.EBUSY); i++ {
		time.Sleep(bindPause)
		err = unix.Bind(s.fd, address)
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("xdp: %w: another AF_XDP socket serves queue %d of %s: stop its process or configure another "+
			"queue", ErrQueueBusy, queue, device.name)
	case err != nil:
		return permission(fmt.Sprintf("bind to queue %d of %s", queue, device.name), err)
	}
	options, err := socketOptions(s.fd)
	if err != nil {
		return fmt.Errorf("xdp: read back the socket's mode: %w", err)
	}
	s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	return nil
}

// kickTx tells the kernel to look at the tx ring. It does not block and does not tell the Go scheduler: it is short.
func (s *socket) kickTx() syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// kickRx tells the kernel to look at the fill ring, and with busy polling to run the driver. It does not block.
func (s *socket) kickRx() syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// unmap gives the rings back; as long as they are mapped the kernel keeps the socket.
func (s *socket) unmap() {
	s.fill.unmap()
	s.rx.unmap()
	s.comp.unmap()
	s.tx.unmap()
}

func (s *socket) close() {
	s.unmap()
	if s.fd >= 0 {
		unix.Close(s.fd)
		s.fd = -1
	}
}
