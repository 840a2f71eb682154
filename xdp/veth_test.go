package xdp

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"lockstep/internal/testnet"
)

// patience bounds every wait; it is far beyond what a working system needs.
const patience = time.Minute

// needNamespaces skips a test where network namespaces and XDP are not to be had.
func needNamespaces(t testing.TB) {
	t.Helper()
	if reason := testnet.Available(); reason != "" {
		t.Skipf("SKIP %s: %s", t.Name(), reason)
	}
	if err := checkCapabilities(); err != nil {
		t.Skipf("SKIP %s: %v", t.Name(), err)
	}
}

// host is a namespace with one interface, one end of a veth pair. Only file descriptors hold it.
type host struct {
	t      testing.TB
	ns     netns.NsHandle
	handle *netlink.Handle
	ip     netip.Addr
	mac    net.HardwareAddr
	link   netlink.Link
}

const hostDevice = "eth0"

// newPair makes two hosts, 10.9.0.1 and 10.9.0.2, with a veth pair between them.
func newPair(t testing.TB) (a, b *host) { return newPairOf(t, 1) }

// newPairOf makes them with so many queues each way at each end.
func newPairOf(t testing.TB, queues int) (a, b *host) {
	t.Helper()
	needNamespaces(t)
	a = &host{t: t, ns: newNamespace(t), ip: netip.MustParseAddr("10.9.0.1"), mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	b = &host{t: t, ns: newNamespace(t), ip: netip.MustParseAddr("10.9.0.2"), mac: net.HardwareAddr{2, 0, 0, 0, 0, 2}}
	for _, h := range []*host{a, b} {
		handle, err := netlink.NewHandleAt(h.ns)
		must(t, err)
		t.Cleanup(handle.Close)
		h.handle = handle
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.NumTxQueues, attrs.NumRxQueues = hostDevice, a.mac, queues, queues
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace, veth.PeerHardwareAddr = hostDevice, netlink.NsFd(b.ns), b.mac
	veth.PeerNumTxQueues, veth.PeerNumRxQueues = uint32(queues), uint32(queues)
	must(t, a.handle.LinkAdd(veth))
	for _, h := range []*host{a, b} {
		l, err := h.handle.LinkByName(hostDevice)
		must(t, err)
		h.link = l
		address, err := netlink.ParseAddr(h.ip.String() + "/24")
		must(t, err)
		must(t, h.handle.AddrAdd(l, address))
		must(t, h.handle.LinkSetUp(l))
	}
	return a, b
}

func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	type made struct {
		ns  netns.NsHandle
		err error
	}
	c := make(chan made)
	go func() { // the goroutine ends locked, and its thread, which is in the new namespace, ends with it
		runtime.LockOSThread()
		ns, err := netns.New()
		c <- made{ns, err}
	}()
	m := <-c
	must(t, m.err)
	t.Cleanup(func() { m.ns.Close() })
	return m.ns
}

// do runs f with the calling thread in the host's namespace.
func (h *host) do(f func()) {
	h.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	must(h.t, err)
	defer home.Close()
	must(h.t, netns.Set(h.ns))
	defer func() { must(h.t, netns.Set(home)) }()
	f()
}

// open opens an end point on the host, port 7400 unless the Config says otherwise, and closes it with the test.
func (h *host) open(c Config) *Endpoint {
	h.t.Helper()
	e, err := h.tryOpen(c)
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, e.Close()) })
	return e
}

func (h *host) tryOpen(c Config) (e *Endpoint, err error) {
	if !c.Local.IsValid() {
		c.Local = netip.AddrPortFrom(h.ip, 7400)
	}
	if c.RxFrames == 0 {
		c.RxFrames, c.TxFrames = 512, 256
	}
	h.do(func() { e, err = Open(c) })
	return e, err
}

// udp opens a kernel UDP socket on the host.
func (h *host) udp(port int) *net.UDPConn {
	h.t.Helper()
	var c *net.UDPConn
	h.do(func() {
		var err error
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.ip.AsSlice(), Port: port})
		must(h.t, err)
	})
	h.t.Cleanup(func() { c.Close() })
	return c
}

// wire is a packet socket on the host's interface: what is written goes out as it is; what is read passed XDP.
type wire struct {
	h  *host
	fd int
}

func (h *host) wire() *wire {
	h.t.Helper()
	w := &wire{h: h}
	h.do(func() {
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		var err error
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
		must(h.t, err)
		must(h.t, unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: h.link.Attrs().Index}))
	})
	h.t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *wire) write(frame []byte) {
	w.h.t.Helper()
	_, err := unix.Write(w.fd, frame)
	must(w.h.t, err)
}

// sees waits for a frame that satisfies want.
func (w *wire) sees(what string, want func(frame []byte) bool) {
	w.h.t.Helper()
	b := make([]byte, 4096)
	eventually(w.h.t, what, func() bool {
		n, err := unix.Read(w.fd, b)
		return err == nil && want(b[:n])
	})
}

// receive polls until n datagrams have arrived and returns copies of them.
func receive(t testing.TB, e *Endpoint, n int) (got []Datagram) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d datagrams", n), func() bool {
		for i := range e.Receive(64) {
			d := *e.Datagram(i)
			d.Payload = append([]byte(nil), d.Payload...)
			got = append(got, d)
		}
		e.Release()
		must(t, e.Err())
		return len(got) >= n
	})
	return got
}

// send sends one datagram.
func send(t testing.TB, e *Endpoint, to Addr, payload []byte) SendResult {
	t.Helper()
	eventually(t, "a free frame", func() bool { return e.Reclaim(1) == 1 })
	frame, buf := e.Take()
	result := e.Send(frame, copy(buf, payload), to)
	e.Flush()
	return result
}

// meet waits until both know each other's Ethernet address.
func meet(t testing.TB, ends ...*Endpoint) {
	t.Helper()
	for _, from := range ends {
		for _, to := range ends {
			if from != to {
				eventually(t, "neighbours to be resolved",
					func() bool { return from.Reachable(to.config.Local.Addr()) })
			}
		}
	}
}

func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
	}
}

func audit(t testing.TB, e *Endpoint) [NumOwners]int {
	t.Helper()
	where, err := e.Audit()
	must(t, err)
	must(t, e.Err())
	return where
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
