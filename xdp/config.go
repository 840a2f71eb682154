package xdp

import (
	"fmt"
	"math/bits"
	"net/netip"

	"lockstep/xdp/nic"
)

// Mode says how the XDP program and the socket are attached, or what is required of that.
type Mode uint8

// The modes. All but ModeAuto are a requirement: Open fails if it is not to be had.
const (
	// ModeAuto takes zero-copy where the driver has it, then native copy if only the binding fails there. On a
	// driver without zero-copy, such as veth, it takes generic, which costs less there than native copy.
	ModeAuto Mode = iota
	// ModeZeroCopy requires the NIC to read and write our memory itself.
	ModeZeroCopy
	// ModeNative requires the program to run in the driver; with zero-copy if there is, else with a copy.
	ModeNative
	// ModeGeneric runs the program in the network stack; works with every driver.
	ModeGeneric
)

var modeNames = [...]string{ModeAuto: "auto", ModeZeroCopy: "zero-copy", ModeNative: "native", ModeGeneric: "generic"}

// String is the mode's name in configuration.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("xdp: mode %q: want auto, zero-copy, native or generic", s)
}

// Config says what Open opens.
type Config struct {
	// Interface by name. Empty takes the one that has the local address.
	Interface string
	// Local is the unicast end point: an IPv4 address of the interface, and a UDP port; port 0 takes any free one.
	Local netip.AddrPort
	// Groups are the multicast groups to receive, each with its port.
	Groups []netip.AddrPort
	// Peers are resolved to Ethernet addresses at start and kept resolved. Others are resolved when first sent to.
	Peers []netip.Addr
	// Mode, ModeAuto by default.
	Mode Mode
	// Queue of the interface to receive from and send through.
	Queue int
	// Steering is how our flows come to Queue if the interface has several receive queues: what the NIC hashes to others
	// would be lost. nic.SteerOff, the default, refuses such an interface; nic.SteerManual says that it has been
	// seen to; the others change settings of the interface until Close, and need StateDir.
	Steering nic.Steering
	// StateDir is where it is written down which settings of the interface were changed, so that they are taken back also
	// after the process was killed, by the next Open with the same StateDir. One end point alone uses it. Empty:
	// no settings are changed.
	StateDir string
	// FrameBytes is the size of a frame in umem: 2048 or 4096. 0 takes the one that fits the MTU. Some drivers do
	// zero-copy with 4096 only.
	FrameBytes int
	// RxFrames and TxFrames are the sizes of the two frame pools, powers of two; 0 means 4096 and 2048.
	RxFrames, TxFrames int
	// TxBudget is how many frames one system call may send in copy mode (XDP_MAX_TX_SKB_BUDGET): 32 to TxFrames; 0 is
	// TxFrames. A kernel that has no such option sends 32, and Describe says so.
	TxBudget int
	// MulticastTTL is the TTL of multicast datagrams; 0 means 1: not beyond the link. Unicast has 64.
	MulticastTTL int
	// BusyPollUs makes the owner's thread run the driver, so many microseconds a call at most; 0 is off. On a NIC, with
	// StateDir, napi_defer_hard_irqs and gro_flush_timeout are set until Close. It does harm on virtual interfaces.
	BusyPollUs int
	// Notify, if not nil, is told in a sentence what happened to the NIC and what was done about it, on the background
	// goroutine.
	Notify func(sentence string)
	// Observe, if not nil, is given the statistics about once a second, on the background goroutine.
	Observe func(*Stats)
}

// Limits and defaults of a Config.
const (
	MinFrameBytes   = 2048
	MaxFrameBytes   = 4096
	defaultRxFrames = 4096
	defaultTxFrames = 2048
	minPoolFrames   = 64
	maxPoolFrames   = 1 << 16
	maxGroups       = 32
	maxQueues       = 256 // entries of the map sockets in steer.bpf.c
	busyPollBudget  = 64
)

// check fills in defaults and refuses what cannot be.
func (c *Config) check() error {
	if !c.Local.Addr().Is4() || c.Local.Addr().IsUnspecified() || c.Local.Addr().IsMulticast() {
		return fmt.Errorf("xdp: local address %s: want an IPv4 address of the interface", c.Local.Addr())
	}
	if len(c.Groups) > maxGroups {
		return fmt.Errorf("xdp: %d multicast groups: at most %d", len(c.Groups), maxGroups)
	}
	for _, g := range c.Groups {
		if !g.Addr().Is4() || !g.Addr().IsMulticast() || g.Port() == 0 {
			return fmt.Errorf("xdp: %s is not a multicast group: want an address in 224.0.0.0/4 and a port, "+
				"such as 239.77.0.1:7401", g)
		}
	}
	for _, p := range c.Peers {
		if !p.Is4() {
			return fmt.Errorf("xdp: peer %s is not an IPv4 address", p)
		}
	}
	if c.RxFrames == 0 {
		c.RxFrames = defaultRxFrames
	}
	if c.TxFrames == 0 {
		c.TxFrames = defaultTxFrames
	}
	for _, n := range []int{c.RxFrames, c.TxFrames} {
		if n < minPoolFrames || n > maxPoolFrames || bits.OnesCount(uint(n)) != 1 {
			return fmt.Errorf("xdp: %d frames in a pool: want a power of two from %d to %d",
				n, minPoolFrames, maxPoolFrames)
		}
	}
	if c.TxBudget == 0 {
		c.TxBudget = c.TxFrames
	}
	if c.TxBudget < standardBudget || c.TxBudget > c.TxFrames {
		return fmt.Errorf("xdp: %d frames a call to send: want %d to %d, the number of transmit frames",
			c.TxBudget, standardBudget, c.TxFrames)
	}
	if c.FrameBytes != 0 && c.FrameBytes != MinFrameBytes && c.FrameBytes != MaxFrameBytes {
		return fmt.Errorf("xdp: frames of %d bytes: want %d or %d", c.FrameBytes, MinFrameBytes, MaxFrameBytes)
	}
	if c.MulticastTTL == 0 {
		c.MulticastTTL = 1
	}
	if c.MulticastTTL < 0 || c.MulticastTTL > 255 {
		return fmt.Errorf("xdp: multicast TTL %d: want 1 to 255", c.MulticastTTL)
	}
	if c.Queue < 0 || c.Queue >= maxQueues || c.BusyPollUs < 0 || int(c.Mode) >= len(modeNames) {
		return fmt.Errorf("xdp: queue %d, busy poll %d us, mode %d: want a queue from 0 to %d, 0 us or more, and a "+
			"mode that there is", c.Queue, c.BusyPollUs, c.Mode, maxQueues-1)
	}
	return nil
}

// fitFrame chooses the frame size for an MTU, or says why none fits.
func (c *Config) fitFrame(device string, mtu int) error {
	size := c.FrameBytes
	if size == 0 {
		size = MinFrameBytes
		if mtu > maxMTU(size) {
			size = MaxFrameBytes
		}
	}
	if mtu > maxMTU(size) {
		return fmt.Errorf("xdp: the MTU of %s is %d, too long for a frame of %d bytes, and packets in several frames "+
			"(multi-buffer, XDP_USE_SG) are not supported: set it to %d or less (`ip link set %s mtu %d`)%s",
			device, mtu, size, maxMTU(size), device, maxMTU(size), tryLarger(size, mtu))
	}
	c.FrameBytes = size
	return nil
}

// maxMTU is the largest IP packet that a frame has room for, received or sent.
func maxMTU(frameBytes int) int { return frameBytes - rxHeadroom - ethernetBytes }

func tryLarger(size, mtu int) string {
	if size < MaxFrameBytes && mtu <= maxMTU(MaxFrameBytes) {
		return fmt.Sprintf(", or configure frames of %d bytes", MaxFrameBytes)
	}
	return ""
}
