package transport

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lockstep/internal/counters"
	"lockstep/internal/testnet"
	"lockstep/xdp"
)

// The tests of the contract run over AF_XDP too, in both modes that a veth pair has.
func init() {
	transports["xdp generic"] = func(t *testing.T) *trio { return xdpTrio(t, xdp.ModeGeneric) }
	transports["xdp native"] = func(t *testing.T) *trio { return xdpTrio(t, xdp.ModeNative) }
	transports["relayed xdp"] = func(t *testing.T) *trio { return relayTrio(t, xdpTrio(t, xdp.ModeGeneric)) }
}

func xdpTrio(t *testing.T, mode xdp.Mode) *trio {
	t.Helper()
	if strings.HasPrefix(t.Name(), "TestMulticastReachesAllButTheSender/") {
		t.Skip("AF_XDP does not reach the own host, which this test does for its marker: see TestXDPMulticast")
	}
	n := newTestnet(t, 3)
	r := &trio{group: Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7401}}
	for i := range r.all {
		r.all[i] = openXDP(t, n.Member(i+1), mode, r.group, nil)
	}
	for _, from := range r.all {
		for _, to := range r.all {
			if from != to {
				awaitReachable(t, from.(*XDP), to.Local())
			}
		}
	}
	return r
}

// newTestnet makes a network, or skips the test where none is to be had.
func newTestnet(t *testing.T, members int) *testnet.Net {
	t.Helper()
	if reason := testnet.Available(); reason != "" {
		t.Skipf("SKIP %s: %s", t.Name(), reason)
	}
	n, err := testnet.New(testnet.Options{Members: members})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// openXDP opens a transport in a member of a network, or skips the test where AF_XDP is not allowed.
func openXDP(t *testing.T, m *testnet.Member, mode xdp.Mode, group Addr, file *counters.File) *XDP {
	t.Helper()
	config := xdp.Config{Local: netip.AddrPortFrom(m.Addr(), 7400), Mode: mode, RxFrames: 512, TxFrames: 512}
	if group != (Addr{}) {
		config.Groups = []netip.AddrPort{group.AddrPort()}
	}
	var x *XDP
	err := m.Do(func() (err error) { x, err = OpenXDP(config, file); return err })
	if errors.Is(err, xdp.ErrCapability) {
		t.Skipf("SKIP %s: %v", t.Name(), err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	return x
}

func awaitReachable(t *testing.T, x *XDP, to Addr) {
	t.Helper()
	for deadline := time.Now().Add(patience); !x.Reachable(to); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not find %s", x.Describe(), to)
		}
	}
}

func TestXDPMulticast(t *testing.T) {
	for _, mode := range []xdp.Mode{xdp.ModeGeneric, xdp.ModeNative} {
		r := xdpTrio(t, mode)
		for i, from := range r.all {
			transmit(t, from, r.group, "to all")
			for _, at := range r.all {
				if at == from {
					continue
				}
				got := r.collect(t, at, 1)[0]
				if string(got.Payload) != "to all" || got.From != from.Local() || got.To != r.group {
					t.Errorf("received %q from %s to %s", got.Payload, got.From, got.To)
				}
			}
			r.nothing(t, from, r.all[(i+1)%len(r.all)])
		}
	}
}

func TestXDPCountsInTheFile(t *testing.T) {
	n := newTestnet(t, 2)
	file, err := counters.Create("", 128)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() }) // after the transport
	a := openXDP(t, n.Member(1), xdp.ModeAuto, Addr{}, file)
	nobody := Addr{IP: [4]byte{10, 77, 0, 99}, Port: 7400}
	transmit(t, a, nobody, "x")
	transmit(t, a, Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7401}, "x")
	if s, u := a.counters.Sent.Load(), a.counters.Unreachable.Load(); s != 1 || u != 1 {
		t.Errorf("%d sent and %d unreachable, want one each", s, u)
	}
	kicks := file.Counter("lockstep_xdp_kicks_total", "")
	for deadline := time.Now().Add(patience); kicks.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the file says %d kicks, want 1", kicks.Load())
		}
	}
}

func TestXDPClosed(t *testing.T) {
	n := newTestnet(t, 1)
	a := openXDP(t, n.Member(1), xdp.ModeGeneric, Addr{}, nil)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if a.Err() != ErrClosed {
		t.Errorf("Err is %v", a.Err())
	}
	if a.Receive(make([]Received, 1)) != 0 || a.Acquire(make([]Frame, 1)) != 0 {
		t.Error("a closed transport works")
	}
	a.Release()
	a.Submit(nil)
}

func TestXDPOpenErrorsSayWhatToDo(t *testing.T) {
	n := newTestnet(t, 1)
	m := n.Member(1)
	local := netip.AddrPortFrom(m.Addr(), 7400)
	err := m.Do(func() error {
		u, err := OpenUDP(UDPOptions{Local: Addr{IP: m.Addr().As4(), Port: 7400}})
		if err != nil {
			return err
		}
		defer u.Close()
		_, err = OpenXDP(xdp.Config{Local: local}, nil)
		return err
	})
	if !errors.Is(err, ErrPortInUse) || !errors.Is(err, xdp.ErrPortInUse) || !strings.Contains(err.Error(), "7400") {
		t.Errorf("a taken port: %v", err)
	}
	err = m.Do(func() error {
		_, err := OpenXDP(xdp.Config{Local: local, Interface: "nic9"}, nil)
		return err
	})
	if !errors.Is(err, xdp.ErrInterface) || !strings.Contains(err.Error(), "nic9") {
		t.Errorf("a missing interface: %v", err)
	}
}
