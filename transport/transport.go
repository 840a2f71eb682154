package transport

import (
	"errors"
	"fmt"
	"net/netip"
)

// Addr is an IPv4 UDP end point. It holds no pointer and compares with ==, so that the hot path can keep and
// compare end points without allocation.
type Addr struct {
	IP   [4]byte
	Port uint16
}

// AddrFrom converts a standard library end point; it refuses anything but IPv4.
func AddrFrom(ap netip.AddrPort) (Addr, error) {
	ip := ap.Addr().Unmap()
	if !ip.Is4() {
		return Addr{}, fmt.Errorf("transport: %s is not an IPv4 address: Lockstep's data plane is IPv4 only", ap)
	}
	return Addr{IP: ip.As4(), Port: ap.Port()}, nil
}

// ParseAddr reads "10.0.0.1:7400".
func ParseAddr(s string) (Addr, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return Addr{}, fmt.Errorf("transport: address %q: want IPV4:PORT, such as 10.0.0.1:7400: %w", s, err)
	}
	return AddrFrom(ap)
}

// AddrPort converts back, for printing and for the standard library. Cold.
func (a Addr) AddrPort() netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4(a.IP), a.Port) }

// String prints "10.0.0.1:7400". Cold.
func (a Addr) String() string { return a.AddrPort().String() }

// IsMulticast says whether the address is a group (224.0.0.0/4).
func (a Addr) IsMulticast() bool { return a.IP[0]&0xf0 == 0xe0 }

// Received is one datagram as it arrived. Payload belongs to the transport and may be read until the Release that
// follows the Receive that returned it.
type Received struct {
	Payload []byte
	From    Addr
	To      Addr // where it was sent: our own end point, or the group
	// AtNs is when it arrived, by the clock that the receiver stamps with (agent.Clock's StampNs); 0: the transport does not
	// say, and the receiver takes the instant at which Receive returned. A transport that knows better, as by the
	// network interface's own stamps, says so here.
	AtNs int64
}

// Frame is an empty buffer to be filled and sent. It belongs to the caller between Acquire and Submit.
type Frame struct {
	Buf    []byte // room for one datagram: len is MaxPayload
	Length int    // set by the caller: how much of Buf is the datagram; 0 gives the frame back unsent
	To     Addr   // set by the caller: a unicast end point or the group
	Token  uint64 // the transport's own mark; not to be touched
}

// Transport moves datagrams, in batches. One thread owns it: no method may be called from two threads, and none
// blocks. Nothing on the way of a datagram allocates.
type Transport interface {
	// Receive fills rx with what has arrived and returns how many; 0 when nothing has. Everything that the
	// Receive before handed out must have been given back with Release. What this transport sent to a group that
	// it is in itself does not arrive.
	Receive(rx []Received) int
	// Release gives back what the last Receive handed out. Without a Receive before it, it does nothing.
	Release()
	// Acquire fills tx with empty frames and returns how many there were: fewer than asked for when the
	// transmit side is full (counted). A frame that is acquired must be submitted, filled or not.
	Acquire(tx []Frame) int
	// Submit queues the frames in order and hands them to the kernel with as few system calls as there can be
	// (one where the kernel takes them all). A frame whose address cannot be reached now (no neighbour) is
	// dropped and counted, and so is one that is longer than MaxPayload: a datagram is a datagram. Errors are
	// counted; an error that ends the transport (interface gone) shows in Err. Submit(nil) pushes on what an
	// earlier call left with the kernel.
	Submit(tx []Frame)
	// MaxPayload is the largest datagram that is not fragmented: the interface's MTU less 28 bytes.
	MaxPayload() int
	// Local is the unicast end point that others reach this transport at.
	Local() Addr
	// Fds are descriptors that become readable when something arrives: for an idle strategy that blocks.
	Fds() []int
	// Err is nil until the transport is broken for good.
	Err() error
	// Describe says in one line what this transport is ("xdp eth0 queue 0, generic, copy; why ..."). Cold.
	Describe() string
	// Close gives everything back to the kernel. The thread that owned the transport must have stopped.
	Close() error
}

// ErrClosed is what Err says after Close.
var ErrClosed = errors.New("transport: closed")
