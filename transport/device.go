package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limits of a datagram.
const (
	// HeaderBytes is what IPv4 and UDP put in front of a payload.
	HeaderBytes = 28
	// MaxMTU is the largest MTU that is made use of.
	MaxMTU = 9000
	// loopbackMTU is what a loopback interface is taken to have, so that what works there works on Ethernet.
	loopbackMTU = 1500
	// minMTU is the least that IPv4 lets a link have and still carries our headers.
	minMTU = 576
)

// device is the network interface that an address belongs to.
type device struct {
	name     string
	index    int
	mtu      int
	loopback bool
}

// findDevice looks up the interface of a local address in the network namespace of the calling thread. Cold.
func findDevice(ip [4]byte) (device, error) {
	want := netip.AddrFrom4(ip)
	interfaces, err := net.Interfaces()
	if err != nil {
		return device{}, fmt.Errorf("transport: list network interfaces: %w", err)
	}
	for i := range interfaces {
		dev := &interfaces[i]
		loopback := dev.Flags&net.FlagLoopback != 0
		if !hasAddr(dev, want) && !(loopback && want.IsLoopback()) {
			continue
		}
		return device{name: dev.Name, index: dev.Index, mtu: dev.MTU, loopback: loopback}, nil
	}
	return device{}, fmt.Errorf("transport: no network interface has the address %s: "+
		"give one that `ip -4 addr` shows on this machine", want)
}

func hasAddr(dev *net.Interface, want netip.Addr) bool {
	addrs, err := dev.Addrs()
	if err != nil {
		return false
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr() == want {
			return true
		}
	}
	return false
}

// pathMTU is the MTU to work with: what was configured, else the interface's; never more than MaxMTU.
func (d *device) pathMTU(configured int) (int, error) {
	mtu := d.mtu
	if d.loopback {
		mtu = loopbackMTU
	}
	if configured != 0 {
		if configured < minMTU || configured > d.mtu {
			return 0, fmt.Errorf("transport: an MTU of %d does not fit interface %s: want %d to %d",
				configured, d.name, minMTU, min(d.mtu, MaxMTU))
		}
		mtu = configured
	}
	return min(mtu, MaxMTU), nil
}

// LocalFor finds the local address that the kernel would send to a remote end point from. No datagram is sent. It is
// for whoever knows the nodes but not its own address, such as a client. Cold.
func LocalFor(to Addr) ([4]byte, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return [4]byte{}, fmt.Errorf("transport: socket to find a way to %s: %w", to, err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port), Addr: to.IP}); err != nil {
		return [4]byte{}, fmt.Errorf("transport: no way to %s: %w: check the address and `ip route`", to, err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return [4]byte{}, fmt.Errorf("transport: local address for %s: %w", to, err)
	}
	in4, ok := local.(*unix.SockaddrInet4)
	if !ok {
		return [4]byte{}, fmt.Errorf("transport: local address for %s is not IPv4", to)
	}
	return in4.Addr, nil
}

// ErrPortInUse is wrapped by the error of an open that found its port taken.
var ErrPortInUse = errors.New("port in use")

// bindError puts a failed bind into a sentence.
func bindError(at Addr, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("transport: %w: UDP port %d on %s belongs to another process: "+
			"stop that process or configure another port", ErrPortInUse, at.Port, at.AddrPort().Addr())
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("transport: UDP port %d needs CAP_NET_BIND_SERVICE: run as root or take a port above 1023: %w",
			at.Port, err)
	}
	return fmt.Errorf("transport: bind UDP %s: %w", at, err)
}
