package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"lockstep/ringbuf"
	"lockstep/xdp/nic"
)

var errGone = fmt.Errorf("xdp: %w: the interface is gone: restart when it is back", ErrInterface)

// Endpoint is one UDP end point over AF_XDP. See the package's documentation for who may call what.
type Endpoint struct {
	// Of the owner's thread.
	socket     *socket
	umem       *umem
	headers    headers
	maxPayload int
	staged     int // frames queued by Send and not yet published
	held       []uint32
	heldN      int
	datagrams  []Datagram
	places     []Owner // Audit's: where each frame is

	// Shared.
	neighbours neighbours
	counts     counts
	errands    atomic.Uint32 // what the owner is asked to do; see errand
	swap       atomic.Pointer[socket]
	given      atomic.Pointer[socket]
	unbound    atomic.Bool // the kernel let go of the socket
	err        atomic.Pointer[error]

	// Cold.
	config      Config
	device      *device
	program     *program
	reservation *reservation
	watcher     *watcher
	keeper      *nic.Keeper // of the interface's settings; nil when they are not ours to change
	settings    string      // for Describe
	namespace   netns.NsHandle
	fd          int // the socket's, whichever it is
	zeroCopy    bool
	budget      int
	rung        rung
	former      kernelCounts // of sockets that were given up; under closing
	reason      string
	closing     sync.Mutex // Close against Stats
	closed      bool
}

// batchMax is how many datagrams one Receive returns at most.
const batchMax = 1024

// living keeps every open end point from the garbage collector, which would close the program's attachment.
var living sync.Map

// Open attaches to an interface and is ready to send and receive when it returns. Cold.
func Open(config Config) (*Endpoint, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if err := checkCapabilities(); err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("xdp: open netlink: %w", err)
	}
	e := &Endpoint{config: config}
	if e.namespace, err = netns.Get(); err != nil {
		h.Close()
		return nil, fmt.Errorf("xdp: network namespace of this thread: %w", err)
	}
	if err := e.open(h); err != nil {
		h.Close()
		return nil, errors.Join(err, e.release())
	}
	living.Store(e, true)
	return e, nil
}

func (e *Endpoint) open(h *netlink.Handle) (err error) {
	c := &e.config
	if e.device, err = findDevice(h, c); err != nil {
		return err
	}
	if err = c.fitFrame(e.device.name, e.device.mtu); err != nil {
		return err
	}
	e.maxPayload = e.device.mtu - ipv4Bytes - udpBytes
	if e.reservation, err = reserve(c.Local, c.Groups, e.device); err != nil {
		return err
	}
	if e.device.taken != "" { // said only now: a second process on our own port is to hear that first
		return attached(e.device, e.device.taken)
	}
	c.Local = e.reservation.local
	if err = e.settle(); err != nil {
		return err
	}
	if e.umem, err = mapUmem(c.FrameBytes, c.RxFrames, c.TxFrames); err != nil {
		return err
	}
	if e.program, err = loadProgram(e.endpoints()); err != nil {
		return err
	}
	if err = e.holdInterrupts(); err != nil {
		return err
	}
	if err = e.climb(h); err != nil {
		return err
	}
	e.umem.recall()
	e.fd, e.zeroCopy, e.budget = e.socket.fd, e.socket.zeroCopy, e.socket.budget
	e.headers = newHeaders(e.device.mac, e.Local(), c.MulticastTTL)
	e.held = make([]uint32, c.RxFrames)
	e.places = make([]Owner, len(e.umem.owner))
	e.datagrams = make([]Datagram, min(batchMax, c.RxFrames))
	e.watcher, err = startWatcher(e, h)
	return err
}

// endpoints are all that is ours: the own address and the groups.
func (e *Endpoint) endpoints() []netip.AddrPort {
	return append([]netip.AddrPort{e.config.Local}, e.config.Groups...)
}

// MaxPayload is the largest datagram that is not fragmented, in bytes.
func (e *Endpoint) MaxPayload() int { return e.maxPayload }

// Local is the unicast end point, with the port that was got.
func (e *Endpoint) Local() Addr {
	return Addr{IP: e.config.Local.Addr().As4(), Port: e.config.Local.Port()}
}

// Fd is a descriptor that is readable while received frames wait. It stays the same number when the socket is made anew.
func (e *Endpoint) Fd() int { return e.fd }

// Err is nil until the end point is broken for good.
func (e *Endpoint) Err() error {
	if err := e.err.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the end point. The first reason stays.
func (e *Endpoint) fail(err error) { e.err.CompareAndSwap(nil, &err) }

// notify tells whoever wants to know, in a sentence.
func (e *Endpoint) notify(sentence string) {
	if e.config.Notify != nil {
		e.config.Notify(sentence)
	}
}

// Mode is the rung that was got: "zero-copy" (native too), "native" or "generic" (both with a copy).
func (e *Endpoint) Mode() string { return e.rung.name }

// ZeroCopy says whether the NIC reads and writes our memory itself, as the kernel reports it.
func (e *Endpoint) ZeroCopy() bool { return e.zeroCopy }

// Describe says in one line what was got, and why not something better.
func (e *Endpoint) Describe() string {
	budget := ""
	if e.budget < e.config.TxBudget {
		budget = " (this kernel has no XDP_MAX_TX_SKB_BUDGET)"
	}
	return fmt.Sprintf("xdp %s queue %d, %s (%s), driver %s, mtu %d, frames %d+%d of %d bytes, %d frames a call%s%s",
		e.device.name, e.config.Queue, e.rung.name, e.reason, e.device.driver, e.device.mtu,
		e.config.RxFrames, e.config.TxFrames, e.config.FrameBytes, e.budget, budget, e.settings)
}

// Pages is what the memory of the frames is made of.
func (e *Endpoint) Pages() ringbuf.Pages { return e.umem.mapping.Pages() }

// Reachable says whether the Ethernet address of a destination is known now. If not, it is asked for.
func (e *Endpoint) Reachable(to netip.Addr) bool {
	return to.Is4() && (to.IsMulticast() || e.neighbours.lookup(to.As4()) != nil)
}

// Close gives everything back to the kernel: the program is detached when it returns. The owner's thread must have
// stopped.
func (e *Endpoint) Close() error {
	e.closing.Lock()
	if e.closed {
		e.closing.Unlock()
		return nil
	}
	e.closed = true
	e.closing.Unlock()
	e.watcher.stop()
	e.fail(ErrClosed)
	err := e.release()
	living.Delete(e)
	return err
}

// release gives back whatever is open.
func (e *Endpoint) release() error {
	if e.program != nil {
		e.program.close()
	}
	for _, s := range []*socket{e.socket, e.swap.Swap(nil), e.given.Swap(nil)} {
		if s != nil {
			s.close()
		}
	}
	if e.reservation != nil {
		e.reservation.close()
	}
	e.namespace.Close()
	var err error
	if e.keeper != nil {
		err = e.keeper.Close()
	}
	if e.umem == nil {
		return err
	}
	if unmap := e.umem.close(); unmap != nil {
		err = errors.Join(err, fmt.Errorf("xdp: unmap frames: %w", unmap))
	}
	return err
}
