package xdp

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// reservation is a kernel UDP socket that holds our port and our group memberships. No datagram of ours reaches it: it
// makes a port conflict show, keeps others off the port, has the kernel answer IGMP queries, and opens the NIC's filter
// for the groups' Ethernet addresses.
type reservation struct {
	fd    int
	local netip.AddrPort // with the port got, if any was asked for
}

func reserve(local netip.AddrPort, groups []netip.AddrPort, d *device) (*reservation, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("xdp: open a UDP socket: %w", err)
	}
	r := &reservation{fd: fd, local: local}
	if err := r.setUp(groups, d); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reservation) setUp(groups []netip.AddrPort, d *device) error {
	// What strays here is never read; the smallest buffer will do.
	_ = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	err := unix.Bind(r.fd, &unix.SockaddrInet4{Port: int(r.local.Port()), Addr: r.local.Addr().As4()})
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("xdp: %w: UDP port %d on %s belongs to another socket: stop its process (`ss -ulpn` names it) "+
			"or configure another port", ErrPortInUse, r.local.Port(), r.local.Addr())
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("xdp: UDP port %d needs CAP_NET_BIND_SERVICE: take a port above 1023: %w", r.local.Port(), err)
	case err != nil:
		return fmt.Errorf("xdp: bind UDP %s: %w", r.local, err)
	}
	bound, err := unix.Getsockname(r.fd)
	if err != nil {
		return fmt.Errorf("xdp: read back the UDP port: %w", err)
	}
	r.local = netip.AddrPortFrom(r.local.Addr(), uint16(bound.(*unix.SockaddrInet4).Port))
	joined := make(map[netip.Addr]bool)
	for _, g := range groups {
		if joined[g.Addr()] {
			continue
		}
		joined[g.Addr()] = true
		m := &unix.IPMreqn{Multiaddr: g.Addr().As4(), Ifindex: int32(d.index)}
		err := unix.SetsockoptIPMreqn(r.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, m)
		if errors.Is(err, syscall.ENOBUFS) {
			return fmt.Errorf("xdp: join %s on %s: too many groups: raise net.ipv4.igmp_max_memberships: %w",
				g.Addr(), d.name, err)
		}
		if err != nil {
			return fmt.Errorf("xdp: join group %s on %s: %w", g.Addr(), d.name, err)
		}
	}
	return nil
}

func (r *reservation) close() {
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}
