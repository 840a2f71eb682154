package testnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// DeviceName is what every member calls its interface.
const DeviceName = "eth0"

// Member is one machine on the network.
type Member struct {
	net  *Net
	id   int
	ns   netns.NsHandle
	port netlink.Link // the bridge's end of its cable; nil in a pair

	prepared  bool // the port can take filters
	noSend    bool
	noReceive bool
}

// ID is the member's number, from 1.
func (m *Member) ID() int { return m.id }

// Addr is the member's address, 10.77.0.N for member N.
func (m *Member) Addr() netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(m.id)}) }

// hardware is the address of the member's interface.
func (m *Member) hardware() net.HardwareAddr {
	return net.HardwareAddr{0x02, 'L', 'S', 0, 0, byte(m.id)}
}

// Path names the member's namespace for other processes, as long as this process has the network open: for DoIn, or
// for nsenter --net=PATH.
func (m *Member) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(m.ns)) }

// Do runs f on the calling goroutine, with its OS thread in the member's namespace, and returns what f returns.
// Goroutines started by f are outside.
func (m *Member) Do(f func() error) error { return within(m.ns, f) }

// Start starts a process in the member's namespace. It is killed when this process dies and when the network is
// closed; waiting for it is the caller's, as after exec.Cmd.Start.
func (m *Member) Start(cmd *exec.Cmd) error { return m.net.keeper.startIn(m.ns, cmd) }

// configure sets up the member's side: address, eth0 and lo.
func (m *Member) configure() error {
	handle, err := netlink.NewHandleAt(m.ns)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer handle.Close()
	for _, name := range []string{"lo", DeviceName} {
		link, err := handle.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if name == DeviceName {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: m.Addr().AsSlice(), Mask: net.CIDRMask(prefixBits, 32)}}
			if err := handle.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("give %s the address %s: %w", name, m.Addr(), err)
			}
		}
		if err := handle.LinkSetUp(link); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	return nil
}
