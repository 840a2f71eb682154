package xdp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lockstep/xdp/nic"
)

// refuses checks that opening fails with an error of a kind that names what a reader needs.
func refuses(t *testing.T, err, kind error, names ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("opened; want an error: %v", kind)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("%v; want an error of the kind %q", err, kind)
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v; want it to name %q", err, name)
		}
	}
}

func TestOpenRefusesWithTheReason(t *testing.T) {
	a, b := newPair(t)
	_, err := a.tryOpen(Config{Interface: "nic9"})
	refuses(t, err, ErrInterface, "nic9")
	_, err = a.tryOpen(Config{Interface: "lo"})
	refuses(t, err, ErrInterface, "lo", "10.9.0.1")
	_, err = a.tryOpen(Config{Interface: hostDevice, Local: netip.AddrPortFrom(b.ip, 7400)})
	refuses(t, err, ErrInterface, hostDevice, "10.9.0.2")
	_, err = a.tryOpen(Config{Local: netip.AddrPortFrom(b.ip, 7400)})
	refuses(t, err, ErrInterface, "10.9.0.2")
	_, err = a.tryOpen(Config{Queue: 1})
	refuses(t, err, ErrInterface, "queue 1")
	_, err = a.tryOpen(Config{Mode: ModeZeroCopy})
	refuses(t, err, ErrMode, "zero-copy", "veth", "generic")
	_, err = a.tryOpen(Config{RxFrames: 100, TxFrames: 64})
	refuses(t, err, nil, "100")
	for _, budget := range []int{31, 513} {
		_, err = a.tryOpen(Config{RxFrames: 512, TxFrames: 512, TxBudget: budget})
		refuses(t, err, nil, fmt.Sprint(budget), "32 to 512")
	}

	a.udp(7400)
	_, err = a.tryOpen(Config{})
	refuses(t, err, ErrPortInUse, "7400", "10.9.0.1")

	must(t, a.handle.LinkSetMTU(a.link, 2000))
	_, err = a.tryOpen(Config{FrameBytes: 2048, Local: netip.AddrPortFrom(a.ip, 7401)})
	refuses(t, err, nil, "1778", "4096")
	must(t, a.handle.LinkSetMTU(a.link, 9000))
	_, err = a.tryOpen(Config{Local: netip.AddrPortFrom(a.ip, 7401)})
	refuses(t, err, nil, "9000", "3826", "multi-buffer")
	must(t, a.handle.LinkSetMTU(a.link, 1500))

	must(t, a.handle.LinkSetDown(a.link))
	_, err = a.tryOpen(Config{})
	refuses(t, err, ErrInterface, "down", "ip link set")
}

func TestSecondProgramAndSecondSocketAreRefused(t *testing.T) {
	a, _ := newPair(t)
	e, err := a.tryOpen(Config{})
	must(t, err)
	_, err = a.tryOpen(Config{Local: netip.AddrPortFrom(a.ip, 7401)})
	refuses(t, err, ErrAttached, hostDevice, "bpftool")
	_, err = a.tryOpen(Config{}) // the same port: that is what the second process is to hear of
	refuses(t, err, ErrPortInUse, "7400", "10.9.0.1")
	must(t, e.Close())

	// The kernel lets go of the queue a little later; opening again at once must work.
	e, err = a.tryOpen(Config{})
	must(t, err)
	e.program.detach()
	_, err = a.tryOpen(Config{Local: netip.AddrPortFrom(a.ip, 7401)})
	refuses(t, err, ErrQueueBusy, "queue 0", hostDevice)
	must(t, e.Close())
}

func TestSeveralQueuesNeedSteering(t *testing.T) {
	needNamespaces(t)
	a := &host{t: t, ns: newNamespace(t), ip: netip.MustParseAddr("10.9.0.1")}
	var err error
	a.handle, err = netlink.NewHandleAt(a.ns)
	must(t, err)
	defer a.handle.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = hostDevice, 2, 2
	veth := netlink.NewVeth(attrs)
	veth.PeerName = "other"
	must(t, a.handle.LinkAdd(veth))
	address, err := netlink.ParseAddr("10.9.0.1/24")
	must(t, err)
	must(t, a.handle.AddrAdd(veth, address))
	must(t, a.handle.LinkSetUp(veth))
	_, err = a.tryOpen(Config{})
	refuses(t, err, ErrInterface, "2 queues", "ethtool -L")
	_, err = a.tryOpen(Config{Steering: nic.SteerAuto})
	refuses(t, err, ErrInterface, "2 queues", "manual")
	must(t, a.open(Config{Steering: nic.SteerManual, Queue: 1}).Close())

	dir := t.TempDir()
	_, err = a.tryOpen(Config{Steering: nic.SteerRules, StateDir: dir})
	refuses(t, err, nic.ErrSteering, hostDevice, "driver veth", "ethtool -N", "manual")
	_, err = a.tryOpen(Config{Steering: nic.SteerAuto, StateDir: dir, Queue: 1})
	refuses(t, err, nic.ErrSteering, "queue 0 only")
	e := a.open(Config{Steering: nic.SteerAuto, StateDir: dir, BusyPollUs: 10})
	queues := func() (n int) {
		a.do(func() { n = nic.Queues(hostDevice) })
		return n
	}
	if queues() != 1 || !strings.Contains(e.Describe(), "queue 0 by channels, busy polling with interrupts on") {
		t.Errorf("%d queues; %s", queues(), e.Describe())
	}
	must(t, e.Close())
	if queues() != 2 {
		t.Errorf("%d queues are left of 2", queues())
	}
}

// On a veth in native mode what is sent through a queue comes in on the queue of that number; in generic mode on the one
// before it, so that two ends can serve the first only. What comes in on others is not ours.
func TestOneQueueOfSeveral(t *testing.T) {
	for _, c := range []struct {
		mode          Mode
		served, other int
	}{{ModeGeneric, 0, 2}, {ModeNative, 2, 3}} {
		t.Run(c.mode.String(), func(t *testing.T) {
			a, b := newPairOf(t, 4)
			ea := a.open(Config{Mode: c.mode, Steering: nic.SteerManual, Queue: c.served})
			eb := b.open(Config{Mode: c.mode, Steering: nic.SteerManual, Queue: c.served})
			meet(t, ea, eb)
			works(t, ea, eb)
			must(t, eb.Close())
			eb = b.open(Config{Mode: c.mode, Steering: nic.SteerManual, Queue: c.other})
			eventually(t, "the neighbour", func() bool { return eb.Reachable(a.ip) })
			send(t, eb, ea.Local(), []byte("on a queue that is not served"))
			eventually(t, "the count of what is lost", func() bool {
				return ea.Stats().Decisions[DecisionNoSocket] == 1
			})
			if ea.Receive(1) != 0 {
				t.Error("it arrived")
			}
		})
	}
}

func TestMissingCapabilityIsNamed(t *testing.T) {
	needNamespaces(t)
	for name, number := range map[string]int{
		"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_BPF": unix.CAP_BPF,
	} {
		result := make(chan error)
		go func() { // its thread loses the capability for good and ends with it
			runtime.LockOSThread()
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var data [2]unix.CapUserData
			if err := unix.Capget(&header, &data[0]); err != nil {
				result <- err
				return
			}
			for _, c := range []int{number, unix.CAP_SYS_ADMIN} { // which includes CAP_BPF
				data[c/32].Effective &^= 1 << (c % 32)
			}
			if err := unix.Capset(&header, &data[0]); err != nil {
				result <- err
				return
			}
			_, err := Open(Config{Local: netip.MustParseAddrPort("127.0.0.1:7400")})
			result <- err
		}()
		err := <-result
		refuses(t, err, ErrCapability, name)
		if strings.Count(err.Error(), "CAP_") != 1 {
			t.Errorf("%v; names more than %s", err, name)
		}
	}
}

func TestPortZeroTakesAFreeOne(t *testing.T) {
	a, b := newPair(t)
	ea := a.open(Config{Local: netip.AddrPortFrom(a.ip, 0)})
	if ea.Local().Port == 0 {
		t.Fatal("no port")
	}
	eb := b.open(Config{})
	meet(t, ea, eb)
	send(t, eb, ea.Local(), []byte("x"))
	receive(t, ea, 1)
}

func TestUnknownNeighbourIsAskedFor(t *testing.T) {
	a, b := newPair(t)
	ea := a.open(Config{})
	to := Addr{b.ip.As4(), 9}
	if r := send(t, ea, to, []byte("x")); r != SendNoNeighbour {
		t.Fatalf("result %d: nobody could know the neighbour yet", r)
	}
	eventually(t, "the neighbour after one attempt", func() bool { return ea.neighbours.table.Load().count == 1 })
	if r := send(t, ea, to, []byte("x")); r != SendQueued {
		t.Errorf("result %d", r)
	}
	if s := ea.Stats(); s.NoNeighbour != 1 || s.Sent != 1 || s.Neighbours != 1 {
		t.Errorf("%+v", s)
	}
	audit(t, ea)

	// A new Ethernet address is learnt, and one that went away is asked for again.
	must(t, b.handle.LinkSetHardwareAddr(b.link, net.HardwareAddr{2, 0, 0, 0, 0, 9}))
	must(t, a.handle.NeighSet(&netlink.Neigh{LinkIndex: a.link.Attrs().Index, IP: b.ip.AsSlice(),
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}, State: netlink.NUD_REACHABLE}))
	eventually(t, "the new address", func() bool {
		mac := ea.neighbours.lookup(to.IP)
		return mac != nil && *mac == [6]byte{2, 0, 0, 0, 0, 9}
	})
	before := ea.neighbours.table.Load()
	must(t, a.handle.NeighDel(&netlink.Neigh{LinkIndex: a.link.Attrs().Index, IP: b.ip.AsSlice()}))
	eventually(t, "the loss to be seen", func() bool { return ea.neighbours.table.Load() != before })
	eventually(t, "the neighbour again", func() bool { return ea.Reachable(b.ip) })
}

func TestSendsThroughTheGateway(t *testing.T) {
	a, b := newPair(t)
	_, far, err := net.ParseCIDR("172.20.0.0/16")
	must(t, err)
	must(t, a.handle.RouteAdd(&netlink.Route{LinkIndex: a.link.Attrs().Index, Dst: far, Gw: b.ip.AsSlice()}))
	ea := a.open(Config{Peers: []netip.Addr{netip.MustParseAddr("172.20.1.1")}})
	out := b.wire()
	eventually(t, "the way to the peer", func() bool { return ea.Reachable(netip.MustParseAddr("172.20.1.1")) })
	send(t, ea, Addr{[4]byte{172, 20, 1, 1}, 1}, []byte("far away"))
	out.sees("the datagram at the gateway", func(f []byte) bool {
		return len(f) == 50 && string(f[42:]) == "far away" && net.HardwareAddr(f[:6]).String() == b.mac.String()
	})
}

func TestOwnAddressAndTooLongAreDropped(t *testing.T) {
	a, _ := newPair(t)
	ea := a.open(Config{})
	if r := send(t, ea, Addr{a.ip.As4(), 1}, nil); r != SendNoNeighbour {
		t.Errorf("to the own host: %d", r)
	}
	ea.Reclaim(1)
	frame, _ := ea.Take()
	if r := ea.Send(frame, ea.MaxPayload()+1, group); r != SendTooLong {
		t.Errorf("too long: %d", r)
	}
	if s := ea.Stats(); s.TooLong != 1 {
		t.Errorf("%d too long", s.TooLong)
	}
	if where := audit(t, ea); where[OwnerFree] != 256 {
		t.Errorf("frames are at %v", where)
	}
}

func TestLinkDownIsSeenAndPasses(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode, Peers: []netip.Addr{b.ip}}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		must(t, b.handle.LinkSetDown(b.link)) // a loses its carrier
		eventually(t, "the carrier's loss", func() bool { s := ea.Stats(); return !s.LinkUp && s.LinkDowns == 1 })
		must(t, b.handle.LinkSetUp(b.link))
		eventually(t, "the carrier", func() bool { return ea.Stats().LinkUp })
		meet(t, ea, eb)

		must(t, a.handle.LinkSetDown(a.link))
		eventually(t, "the interface to go down", func() bool { return !ea.Stats().LinkUp })
		send(t, ea, group, []byte("nowhere"))
		if s := ea.Stats(); s.KickErrors[kickNetDown] == 0 {
			t.Errorf("errors %v", s.KickErrors)
		}
		must(t, a.handle.LinkSetUp(a.link))
		eventually(t, "a datagram to get through again", func() bool {
			send(t, ea, eb.Local(), []byte("back"))
			n := eb.Receive(64)
			eb.Release()
			return n > 0
		})
		audit(t, ea)
	})
}

func TestLossOfInterfaceOrProgramIsFinal(t *testing.T) {
	t.Run("interface", func(t *testing.T) {
		a, _ := newPair(t)
		ea := a.open(Config{})
		must(t, a.handle.LinkDel(a.link))
		eventually(t, "the end", func() bool { return errors.Is(ea.Err(), ErrInterface) })
	})
	t.Run("interface, seen by the sender", func(t *testing.T) {
		a, _ := newPair(t)
		ea := a.open(Config{})
		must(t, a.handle.LinkDel(a.link))
		send(t, ea, group, []byte("x"))
		eventually(t, "the end", func() bool { ea.Flush(); return errors.Is(ea.Err(), ErrInterface) })
	})
	t.Run("MTU", func(t *testing.T) {
		a, _ := newPair(t)
		ea := a.open(Config{})
		must(t, a.handle.LinkSetMTU(a.link, 1400))
		eventually(t, "the end", func() bool {
			return ea.Err() != nil && strings.Contains(ea.Err().Error(), "1400")
		})
	})
	t.Run("program", func(t *testing.T) {
		a, _ := newPair(t)
		ea := a.open(Config{})
		ea.program.detach()
		eventually(t, "the end", func() bool {
			return ea.Err() != nil && strings.Contains(ea.Err().Error(), "program")
		})
	})
}

func TestCloseDetachesAndGivesThePortBack(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, err := a.tryOpen(Config{Mode: mode, Groups: []netip.AddrPort{netip.MustParseAddrPort("239.77.0.1:7401")}})
		must(t, err)
		must(t, ea.Close())
		must(t, ea.Close())
		if !errors.Is(ea.Err(), ErrClosed) {
			t.Errorf("%v", ea.Err())
		}
		ea.Stats()
		l, err := a.handle.LinkByIndex(a.link.Attrs().Index)
		must(t, err)
		if l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached {
			t.Error("the program is still attached")
		}
		kernel := a.udp(7400)
		eb := b.open(Config{Mode: mode, Peers: []netip.Addr{a.ip}})
		eventually(t, "the neighbour", func() bool { return eb.Reachable(a.ip) })
		send(t, eb, Addr{a.ip.As4(), 7400}, []byte("to the kernel"))
		buf := make([]byte, 64)
		if n, _, err := kernel.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "to the kernel" {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

func TestBrokenFrameOwnershipEndsTheEndpoint(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{}), b.open(Config{})
	meet(t, ea, eb)
	eb.umem.owner[0] = OwnerApp // as if the kernel filled a frame that we have
	send(t, ea, eb.Local(), []byte("x"))
	eventually(t, "the end", func() bool { eb.Receive(1); return errors.Is(eb.Err(), errBroken) })
	if _, err := eb.Audit(); err == nil {
		t.Error("the audit finds nothing")
	}
}
