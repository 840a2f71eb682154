package agent

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Parker lets one thread block until something arrives: on file descriptors, or from another thread of this process
// that calls WakeIfParked after publishing to it. The thread that parks does
//
//	look at every source; nothing there:
//	Announce
//	look at every source once more; something there: Withdraw, and work
//	Block
//
// and a thread that publishes does
//
//	publish (an atomic store)
//	WakeIfParked (an atomic load, and more only if the other side has announced)
//
// so that either the second look finds what was published, or the publisher finds the announcement.
type Parker struct {
	_      [128]byte
	parked atomic.Uint32 // written by the parking thread, and by whoever takes the wake-up on itself
	_      [124]byte

	fds     []unix.PollFd // the eventfd is the first
	timeout unix.Timespec
	drained [8]byte
	one     uint64 // what a wake-up adds to the eventfd
}

// NewParker makes a parker for the descriptors given, besides its own eventfd. It does not own them.
func NewParker(fds ...int) (*Parker, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("agent: eventfd for a parking thread: %w", err)
	}
	p := &Parker{one: 1, fds: make([]unix.PollFd, 0, len(fds)+1)}
	p.fds = append(p.fds, unix.PollFd{Fd: int32(event), Events: unix.POLLIN})
	for _, fd := range fds {
		p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return p, nil
}

// Announce says that this thread is about to block. It must look at its sources once more before it does. Parking
// thread only.
func (p *Parker) Announce() { p.parked.Store(1) }

// Withdraw takes the announcement back. Parking thread only.
func (p *Parker) Withdraw() { p.parked.Store(0) }

// Block waits until a descriptor is readable, or somebody wakes this thread, or timeoutNs have passed (negative: no
// limit), and takes the announcement back. It says whether there is a reason to look: false after the time-out. It may
// return true without one. Parking thread only; never pinned.
func (p *Parker) Block(timeoutNs int64) bool {
	var timeout *unix.Timespec
	if timeoutNs >= 0 {
		p.timeout = unix.NsecToTimespec(timeoutNs)
		timeout = &p.timeout
	}
	n, err := unix.Ppoll(p.fds, timeout, nil)
	p.parked.Store(0)
	if err != nil {
		return true // interrupted by a signal; the caller looks, and comes back
	}
	if p.fds[0].Revents != 0 {
		_, _ = unix.Read(int(p.fds[0].Fd), p.drained[:])
	}
	return n > 0
}

// WakeIfParked wakes the thread if it has announced that it blocks: one atomic load when it has not. After publishing.
// Any thread, pinned or not.
func (p *Parker) WakeIfParked() {
	if p.parked.Load() != 0 && p.parked.CompareAndSwap(1, 0) {
		p.Wake()
	}
}

// Wake ends the Block under way, or makes the next one return at once. Any thread, pinned or not; not after Close.
func (p *Parker) Wake() { eventfdAdd(int(p.fds[0].Fd), &p.one) }

// Close closes the eventfd. Nobody may use the parker any more.
func (p *Parker) Close() error {
	fd := int(p.fds[0].Fd)
	if fd < 0 {
		return nil
	}
	p.fds[0].Fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("agent: close the eventfd of a parker: %w", err)
	}
	return nil
}
