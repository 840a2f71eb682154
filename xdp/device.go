package xdp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// device is the interface of an end point, as it was when it was opened.
type device struct {
	name     string
	index    int
	mtu      int
	mac      [6]byte
	driver   string
	hardware bool   // has a bus address: a NIC, not a veth or a bridge
	taken    string // the XDP program that it has already; "" when it has none
}

// findDevice looks the interface up and refuses one that cannot carry the end point.
func findDevice(h *netlink.Handle, c *Config) (*device, error) {
	l, err := findLink(h, c)
	if err != nil {
		return nil, err
	}
	a := l.Attrs()
	d := &device{name: a.Name, index: a.Index, mtu: a.MTU}
	if a.EncapType != "ether" || copy(d.mac[:], a.HardwareAddr) != len(d.mac) {
		return nil, fmt.Errorf("xdp: %w: %s is not an Ethernet interface (%s): use kernel UDP on it",
			ErrInterface, d.name, a.EncapType)
	}
	if a.RawFlags&unix.IFF_UP == 0 {
		return nil, fmt.Errorf("xdp: %w: %s is down: `ip link set %s up`", ErrInterface, d.name, d.name)
	}
	if a.Xdp != nil && a.Xdp.Attached {
		d.taken = fmt.Sprintf("program id %d", a.Xdp.ProgId)
	}
	d.driver, d.hardware = describeDriver(d.name)
	return d, nil
}

func attached(d *device, what string) error {
	return fmt.Errorf("xdp: %w: %s has %s: stop what put it there (`bpftool net` names it), or remove it with "+
		"`ip link set dev %s xdp off`", ErrAttached, d.name, what, d.name)
}

// findLink finds the interface by name, or by its address if there is no name, and checks that it has the address.
func findLink(h *netlink.Handle, c *Config) (netlink.Link, error) {
	if c.Interface != "" {
		l, err := h.LinkByName(c.Interface)
		if err != nil {
			var missing netlink.LinkNotFoundError
			if errors.As(err, &missing) {
				return nil, fmt.Errorf("xdp: %w: there is no interface %q: `ip link` lists them",
					ErrInterface, c.Interface)
			}
			return nil, fmt.Errorf("xdp: look up interface %q: %w", c.Interface, err)
		}
		has, err := hasAddress(h, l, c.Local.Addr())
		if err == nil && !has {
			err = fmt.Errorf("xdp: %w: %s does not have the address %s: `ip -4 addr show %s` lists what it has",
				ErrInterface, c.Interface, c.Local.Addr(), c.Interface)
		}
		return l, err
	}
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("xdp: list interfaces: %w", err)
	}
	for _, l := range links {
		if has, err := hasAddress(h, l, c.Local.Addr()); err != nil || has {
			return l, err
		}
	}
	return nil, fmt.Errorf("xdp: %w: no interface has the address %s: `ip -4 addr` lists them",
		ErrInterface, c.Local.Addr())
}

func hasAddress(h *netlink.Handle, l netlink.Link, want netip.Addr) (bool, error) {
	addresses, err := h.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return false, fmt.Errorf("xdp: list the addresses of %s: %w", l.Attrs().Name, err)
	}
	for _, a := range addresses {
		if a.IP.Equal(net.IP(want.AsSlice())) {
			return true, nil
		}
	}
	return false, nil
}

// describeDriver asks the driver what it is.
func describeDriver(name string) (driver string, hardware bool) {
	driver = "unknown"
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return driver, false
	}
	defer unix.Close(fd)
	if info, err := unix.IoctlGetEthtoolDrvinfo(fd, name); err == nil {
		driver = text(info.Driver[:])
		bus := text(info.Bus_info[:])
		hardware = bus != "" && bus != "N/A" && bus != "tap"
	}
	return driver, hardware
}

// text is a C string.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}
