package xdp

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Errors that Open wraps, for whoever decides by them.
var (
	// ErrInterface: there is no such interface, or it cannot carry an end point.
	ErrInterface = errors.New("interface unusable")
	// ErrAttached: the interface has an XDP program of somebody else.
	ErrAttached = errors.New("an XDP program is attached already")
	// ErrQueueBusy: another AF_XDP socket serves the queue.
	ErrQueueBusy = errors.New("queue in use")
	// ErrPortInUse: the UDP port belongs to another socket.
	ErrPortInUse = errors.New("port in use")
	// ErrCapability: the process lacks a capability.
	ErrCapability = errors.New("capability missing")
	// ErrMode: the required mode is not to be had.
	ErrMode = errors.New("mode not available")
	// ErrClosed is what Err says after Close.
	ErrClosed = errors.New("xdp: closed")
)

// capability is a Linux capability that AF_XDP needs; instead is one that includes it, 0 for none.
type capability struct {
	number  int
	instead int
	name    string
	purpose string
}

var capabilities = []capability{
	{unix.CAP_NET_ADMIN, 0, "CAP_NET_ADMIN", "to attach an XDP program"},
	{unix.CAP_NET_RAW, 0, "CAP_NET_RAW", "to open an AF_XDP socket"},
	{unix.CAP_BPF, unix.CAP_SYS_ADMIN, "CAP_BPF", "to load an XDP program"},
	{unix.CAP_PERFMON, unix.CAP_SYS_ADMIN, "CAP_PERFMON", "to have its packet accesses verified"},
}

// checkCapabilities looks at the effective capabilities of the calling thread and names those that are missing.
func checkCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("xdp: read the capabilities of this process: %w", err)
	}
	has := func(number int) bool { return data[number/32].Effective&(1<<(number%32)) != 0 }
	var missing []string
	for _, c := range capabilities {
		if !has(c.number) && (c.instead == 0 || !has(c.instead)) {
			missing = append(missing, c.name+" ("+c.purpose+")")
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("xdp: %w: the process lacks %s: run it as root or grant it (AmbientCapabilities= in a unit "+
		"file, or setcap), or use kernel UDP", ErrCapability, strings.Join(missing, " and "))
}

// permission puts a refused step into a sentence; any other error is passed on with what was being done.
func permission(what string, err error) error {
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("xdp: %s: %w: the kernel refuses although this process has CAP_NET_ADMIN, CAP_NET_RAW, "+
			"CAP_BPF and CAP_PERFMON: they may hold in a user namespace only; run on the host, or use kernel UDP: %w",
			what, ErrCapability, err)
	}
	return fmt.Errorf("xdp: %s: %w", what, err)
}
