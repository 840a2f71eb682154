package transport

import (
	"fmt"

	"golang.org/x/sys/unix"

	"lockstep/internal/counters"
)

// UDPOptions say what OpenUDP opens.
type UDPOptions struct {
	// Local is the unicast end point, on an address that this machine has. Port 0 takes any free one.
	Local Addr
	// Group is the multicast group to receive; the zero Addr for none. Every member gives the same group and port.
	// Members on one machine hear each other on loopback only: elsewhere multicast is not looped back.
	Group Addr
	// MTU in bytes of an IP packet; 0 takes the interface's (1500 on loopback).
	MTU int
	// ReceiveSlots is how many datagrams one Receive takes at most; 0 means 256. At most 1024.
	ReceiveSlots int
	// TransmitSlots is how many datagrams wait at most for the kernel to take them; 0 means 1024. At most 65536.
	TransmitSlots int
	// BufferBytes is the size to ask of each socket buffer; 0 means 8 MiB. What was got is in Describe.
	BufferBytes int
	// Counters is where to count, open for longer than the transport; nil counts privately.
	Counters *counters.File
}

// Limits and defaults of a kernel UDP transport.
const (
	defaultReceiveSlots  = 256
	defaultTransmitSlots = 1024
	maxTransmitSlots     = 1 << 16
	defaultBufferBytes   = 8 << 20
	maxVectors           = 1024 // the kernel takes no more messages in one call (UIO_MAXIOV)
	overrunEvery         = 4096 // receive calls between two looks at the kernel's own drop counts; a power of two
)

// UDP is the transport over kernel UDP sockets: for a laptop, a container, an unprivileged user.
type UDP struct {
	sockets  [2]int // unicast, then the group's; -1 when there is none
	fds      []int
	polls    uint32
	overruns [2]uint32 // kernel drop counts already counted

	receiveVec vectors
	receiveBuf [][]byte

	// Datagrams on their way to the kernel are the entries [0, waiting) of transmitVec, in order; slots[i] is the
	// buffer of entry i. All other buffers are on the free stack.
	transmitVec vectors
	transmitBuf [][]byte
	slots       []uint32
	waiting     int
	free        []uint32

	local, group Addr
	maxPayload   int
	counters     *Counters
	private      *counters.File
	description  string
	err          error
}

var _ Transport = (*UDP)(nil)

// OpenUDP opens kernel UDP sockets in the network namespace of the calling thread. Cold. The error says which
// address, port or interface is the trouble and what to do.
func OpenUDP(o UDPOptions) (*UDP, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dev, err := findDevice(o.Local.IP)
	if err != nil {
		return nil, err
	}
	mtu, err := dev.pathMTU(o.MTU)
	if err != nil {
		return nil, err
	}
	u := &UDP{sockets: [2]int{-1, -1}, local: o.Local, group: o.Group, maxPayload: mtu - HeaderBytes}
	if err := u.open(&o, &dev); err != nil {
		u.closeSockets()
		return nil, err
	}
	if o.Counters != nil {
		u.counters = NewCounters(o.Counters)
	} else if u.counters, u.private, err = privateCounters(); err != nil {
		u.closeSockets()
		return nil, err
	}
	u.prepare(o.ReceiveSlots, o.TransmitSlots)
	u.description = u.describe(&dev, mtu)
	return u, nil
}

// check fills in defaults and refuses what cannot be.
func (o *UDPOptions) check() error {
	if o.Local.IP == ([4]byte{}) || o.Local.IsMulticast() {
		return fmt.Errorf("transport: %s cannot be a local end point: give the address of one of this machine's "+
			"interfaces", o.Local)
	}
	if o.Group != (Addr{}) && (!o.Group.IsMulticast() || o.Group.Port == 0) {
		return fmt.Errorf("transport: %s is not a multicast group: want an address in 224.0.0.0/4 and a port, "+
			"such as 239.77.0.1:7400", o.Group)
	}
	for _, v := range []struct {
		name     string
		value    *int
		standard int
		most     int
	}{
		{"ReceiveSlots", &o.ReceiveSlots, defaultReceiveSlots, maxVectors},
		{"TransmitSlots", &o.TransmitSlots, defaultTransmitSlots, maxTransmitSlots},
		{"BufferBytes", &o.BufferBytes, defaultBufferBytes, 1 << 30},
	} {
		if *v.value == 0 {
			*v.value = v.standard
		}
		if *v.value < 1 || *v.value > v.most {
			return fmt.Errorf("transport: %s %d is out of range: want 1 to %d", v.name, *v.value, v.most)
		}
	}
	return nil
}

func (u *UDP) open(o *UDPOptions, dev *device) (err error) {
	if u.sockets[0], u.local, err = openUnicast(o.Local, dev, o.BufferBytes); err != nil {
		return err
	}
	u.fds = append(u.fds, u.sockets[0])
	if o.Group == (Addr{}) {
		return nil
	}
	if u.sockets[1], err = openGroup(o.Group, o.Local, dev, o.BufferBytes); err != nil {
		return err
	}
	u.fds = append(u.fds, u.sockets[1])
	return nil
}

// prepare allocates everything that the hot path uses.
func (u *UDP) prepare(receiveSlots, transmitSlots int) {
	u.receiveVec = newVectors(receiveSlots)
	u.receiveBuf = cut(receiveSlots, u.maxPayload)
	for i, b := range u.receiveBuf {
		u.receiveVec.buffer(i, b)
	}
	u.transmitVec = newVectors(transmitSlots)
	u.transmitBuf = cut(transmitSlots, u.maxPayload)
	u.slots = make([]uint32, transmitSlots)
	u.free = make([]uint32, transmitSlots)
	for i := range u.free {
		u.free[i] = uint32(transmitSlots - 1 - i)
	}
}

// cut makes n buffers of size bytes, each starting on a cache line.
func cut(n, size int) [][]byte {
	stride := (size + 63) &^ 63
	memory := make([]byte, n*stride)
	buffers := make([][]byte, n)
	for i := range buffers {
		buffers[i] = memory[i*stride : i*stride+size : i*stride+size]
	}
	return buffers
}

func (u *UDP) describe(dev *device, mtu int) string {
	group := "no group"
	if u.sockets[1] >= 0 {
		group = "group " + u.group.String()
	}
	return fmt.Sprintf("udp %s %s, %s, mtu %d, kernel sockets, receive buffer %d KiB, send buffer %d KiB",
		dev.name, u.local, group, mtu,
		bufferBytes(u.sockets[0], unix.SO_RCVBUF)>>10, bufferBytes(u.sockets[0], unix.SO_SNDBUF)>>10)
}

// MaxPayload implements Transport.
func (u *UDP) MaxPayload() int { return u.maxPayload }

// Local implements Transport; the port is the one got when any was asked for.
func (u *UDP) Local() Addr { return u.local }

// Fds implements Transport.
func (u *UDP) Fds() []int { return u.fds }

// Err implements Transport.
func (u *UDP) Err() error { return u.err }

// Describe implements Transport.
func (u *UDP) Describe() string { return u.description }

// Close implements Transport.
func (u *UDP) Close() error {
	if u.err == ErrClosed {
		return nil
	}
	u.countOverruns()
	u.closeSockets()
	u.err = ErrClosed
	if u.private != nil {
		return u.private.Close()
	}
	return nil
}

func (u *UDP) closeSockets() {
	for i, fd := range u.sockets {
		if fd >= 0 {
			unix.Close(fd)
			u.sockets[i] = -1
		}
	}
	u.fds = nil
}
