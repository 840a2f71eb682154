package transport

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// openUnicast opens the socket that everything is sent from and that unicast arrives at.
func openUnicast(at Addr, dev *device, buffer int) (int, Addr, error) {
	fd, err := openSocket(buffer)
	if err != nil {
		return -1, Addr{}, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port), Addr: at.IP}); err != nil {
		unix.Close(fd)
		return -1, Addr{}, bindError(at, err)
	}
	loop := 0
	if dev.loopback {
		loop = 1 // or the other processes on loopback get nothing
	}
	via := &unix.IPMreqn{Address: at.IP, Ifindex: int32(dev.index)}
	err = firstError(
		// An explicit interface: loopback has no multicast route, and an unprivileged user cannot make one.
		sockopt("IP_MULTICAST_IF", unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, via)),
		sockopt("IP_MULTICAST_LOOP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, loop)),
		sockopt("IP_MULTICAST_TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 1)),
	)
	if err != nil {
		unix.Close(fd)
		return -1, Addr{}, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, Addr{}, fmt.Errorf("transport: read back the port of %s: %w", at, err)
	}
	if in4, ok := name.(*unix.SockaddrInet4); ok {
		at.Port = uint16(in4.Port)
	}
	return fd, at, nil
}

// openGroup opens a socket that the group's datagrams arrive at, and only those: it is bound to the group's address.
// SO_REUSEADDR lets every node of one machine have its own.
func openGroup(group, local Addr, dev *device, buffer int) (int, error) {
	fd, err := openSocket(buffer)
	if err != nil {
		return -1, err
	}
	err = sockopt("SO_REUSEADDR", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(group.Port), Addr: group.IP}); err != nil {
		unix.Close(fd)
		return -1, bindError(group, err)
	}
	join := &unix.IPMreqn{Multiaddr: group.IP, Address: local.IP, Ifindex: int32(dev.index)}
	if err := unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, join); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("transport: join group %s on interface %s: %w: "+
			"the interface must be up and the limit net.ipv4.igmp_max_memberships not reached", group, dev.name, err)
	}
	return fd, nil
}

// openSocket opens a non-blocking UDP socket with what both sockets have in common.
func openSocket(buffer int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("transport: open a UDP socket: %w", err)
	}
	err = firstError(
		// Only groups that this very socket joined, not those that anybody on the machine joined.
		sockopt("IP_MULTICAST_ALL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)),
		// DF set: a datagram that is too long is refused and counted, never fragmented.
		sockopt("IP_MTU_DISCOVER",
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)),
		growBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, buffer),
		growBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, buffer),
	)
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// growBuffer asks for a socket buffer beyond the system's limit, which root may, else up to that limit.
func growBuffer(fd, force, option, bytes int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bytes) == nil {
		return nil
	}
	return sockopt("socket buffer", unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, bytes))
}

// bufferBytes reads back what a socket got. The kernel reports twice the payload room, to cover its own overhead.
func bufferBytes(fd, option int) int {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
	if err != nil {
		return 0
	}
	return n / 2
}

func sockopt(name string, err error) error {
	if err != nil {
		return fmt.Errorf("transport: set %s: %w", name, err)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
