package testnet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const helperVariable = "LOCKSTEP_TESTNET_HELPER"

// TestMain lets the test binary play the processes that the tests start.
func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "":
		os.Exit(m.Run())
	case "sleep":
		time.Sleep(time.Hour) // an endless select would be taken for a deadlock
	case "address":
		printAddresses()
	case "hold":
		holdNetwork()
	case "keep":
		keepProcess()
	}
}

func helper(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// printAddresses prints the IPv4 addresses of eth0 where the process runs.
func printAddresses() {
	dev, err := net.InterfaceByName(DeviceName)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	addrs, _ := dev.Addrs()
	for _, a := range addrs {
		fmt.Println(a)
	}
}

func TestTheBridgeShowsNoFrameToThePacketFilter(t *testing.T) {
	if reason := Available(); reason != "" {
		t.Skip(reason)
	}
	n, err := New(Options{Members: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	const setting = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	var text []byte
	if err := within(n.hub, func() (err error) { text, err = os.ReadFile(setting); return err }); err != nil {
		t.Skip(err) // this kernel has bridges that do not
	}
	if got := strings.TrimSpace(string(text)); got != "0" {
		t.Errorf("%s is %s", setting, got)
	}
}

// holdNetwork makes a network with a process in it, says where they are, and waits to be killed.
func holdNetwork() {
	n, err := New(Options{Members: 2})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	child := helper("sleep")
	if err := n.Member(1).Start(child); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(child.Process.Pid, n.Member(2).Path())
	runtime.KeepAlive(n)
	time.Sleep(time.Hour) // an endless select would be taken for a deadlock
}

func newNet(t *testing.T, o Options) *Net {
	t.Helper()
	if reason := Available(); reason != "" {
		t.Skip(reason)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// listen opens a UDP socket inside a member: for unicast when group is "", else a member of the group.
func listen(t *testing.T, m *Member, group string) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := m.Do(func() (err error) {
		if group == "" {
			conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.Addr(), 7400)))
			return err
		}
		dev, err := net.InterfaceByName(DeviceName)
		if err != nil {
			return err
		}
		conn, err = net.ListenMulticastUDP("udp4", dev, &net.UDPAddr{IP: net.ParseIP(group), Port: 7401})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, from *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, at *net.UDPConn, text string) {
	t.Helper()
	buf := make([]byte, 100)
	if err := at.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	n, _, err := at.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != text {
		t.Fatalf("%s received %q (%v), want %q", at.LocalAddr(), buf[:n], err, text)
	}
}

func port(m *Member) netip.AddrPort { return netip.AddrPortFrom(m.Addr(), 7400) }

func TestMembersReachEachOther(t *testing.T) {
	n := newNet(t, Options{Members: 3})
	conns := []*net.UDPConn{nil, listen(t, n.Member(1), ""), listen(t, n.Member(2), ""), listen(t, n.Member(3), "")}
	for from := 1; from <= 3; from++ {
		for to := 1; to <= 3; to++ {
			text := fmt.Sprintf("from %d to %d", from, to)
			send(t, conns[from], port(n.Member(to)), text)
			expect(t, conns[to], text)
		}
	}
}

// TestAPairIsOneCable: both ends reach each other, with the MTU asked for, and there is nothing in between to cut them at.
func TestAPairIsOneCable(t *testing.T) {
	n := newNet(t, Options{Members: 2, MTU: 3000, Pair: true})
	a, b := listen(t, n.Member(1), ""), listen(t, n.Member(2), "")
	send(t, a, port(n.Member(2)), "there")
	expect(t, b, "there")
	send(t, b, port(n.Member(1)), "back")
	expect(t, a, "back")
	for _, m := range n.members {
		if err := m.Do(func() error {
			dev, err := net.InterfaceByName(DeviceName)
			if err == nil && dev.MTU != 3000 {
				t.Errorf("member %d has an MTU of %d", m.ID(), dev.MTU)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if err := n.Member(1).CutReceive(); err == nil {
		t.Error("a member of a pair can be cut off")
	}
	if _, err := New(Options{Members: 3, Pair: true}); err == nil {
		t.Error("a pair of three is made")
	}
}

func TestMulticastReachesAllMembers(t *testing.T) {
	n := newNet(t, Options{Members: 3})
	const group = "239.77.0.1"
	second, third := listen(t, n.Member(2), group), listen(t, n.Member(3), group)
	sender := listen(t, n.Member(1), "")
	err := n.Member(1).Do(func() error {
		raw, err := sender.SyscallConn()
		if err != nil {
			return err
		}
		return errors.Join(err, raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInet4Addr(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, n.Member(1).Addr().As4())
		}), err)
	})
	if err != nil {
		t.Fatal(err)
	}
	send(t, sender, netip.MustParseAddrPort(group+":7401"), "to all")
	expect(t, second, "to all")
	expect(t, third, "to all")
}

func TestCutAndHeal(t *testing.T) {
	n := newNet(t, Options{Members: 2})
	one, two := n.Member(1), n.Member(2)
	first, second := listen(t, one, ""), listen(t, two, "")
	exchange := func(label string) {
		t.Helper()
		send(t, first, port(two), label)
		expect(t, second, label)
		send(t, second, port(one), label)
		expect(t, first, label)
	}
	exchange("before")
	for _, c := range []struct {
		name    string
		cut     func() error
		in, out bool // whether the member still receives, still sends
	}{
		{name: "both ways", cut: two.Cut},
		{name: "what it sends", cut: two.CutSend, in: true},
		{name: "what it receives", cut: two.CutReceive, out: true},
	} {
		if err := errors.Join(c.cut(), c.cut()); err != nil {
			t.Fatal(c.name, err)
		}
		// What is cut is lost, not late: the first to arrive afterwards is the one that may.
		send(t, first, port(two), "to the cut one: "+c.name)
		send(t, second, port(one), "from the cut one: "+c.name)
		if c.in {
			expect(t, second, "to the cut one: "+c.name)
		}
		if c.out {
			expect(t, first, "from the cut one: "+c.name)
		}
		if err := errors.Join(two.Heal(), two.Heal()); err != nil {
			t.Fatal(c.name, err)
		}
		exchange("healed: " + c.name)
	}
}

func TestOptionsAreApplied(t *testing.T) {
	n := newNet(t, Options{Members: 1, MTU: 3000})
	var mtu int
	err := n.Member(1).Do(func() error {
		dev, err := net.InterfaceByName(DeviceName)
		if err == nil {
			mtu = dev.MTU
		}
		return err
	})
	if err != nil || mtu != 3000 {
		t.Fatalf("eth0 has MTU %d (%v), want 3000", mtu, err)
	}
	for _, o := range []Options{{Members: 0}, {Members: MaxMembers + 1}, {Members: 1, MTU: 100}} {
		if bad, err := New(o); err == nil {
			bad.Close()
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestDoReturnsToTheFirstNamespace(t *testing.T) {
	n := newNet(t, Options{Members: 1})
	before := namespaces(t)
	reason := errors.New("reason")
	if err := n.Member(1).Do(func() error { return reason }); !errors.Is(err, reason) {
		t.Errorf("Do returned %v, want what the function returned", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = n.Member(1).Do(func() error { panic("in the namespace") })
	}()
	if after := namespaces(t); len(after) != len(before) {
		t.Errorf("threads are in %d namespaces, were in %d", len(after), len(before))
	}
}

// namespaces are the network namespaces that the threads of this process are in.
func namespaces(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name, err := os.Readlink(l); err == nil {
			found[name] = true
		}
	}
	return found
}

// openNamespaces counts the descriptors of this process that hold a network namespace.
func openNamespaces(t *testing.T) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range links {
		if name, err := os.Readlink(l); err == nil && strings.HasPrefix(name, "net:") {
			n++
		}
	}
	return n
}

func TestProcessStartsInsideItsMember(t *testing.T) {
	n := newNet(t, Options{Members: 2})
	for i := 1; i <= 2; i++ {
		var out bytes.Buffer
		cmd := helper("address")
		cmd.Stdout = &out
		if err := n.Member(i).Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("10.77.0.%d/24\n", i); out.String() != want {
			t.Errorf("member %d sees the addresses %q, want %q", i, out.String(), want)
		}
	}
}

func TestStartSaysWhatCouldNotBeStarted(t *testing.T) {
	n := newNet(t, Options{Members: 1})
	err := n.Member(1).Start(exec.Command("/nonexistent/program"))
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/program") {
		t.Errorf("starting nothing returned %v", err)
	}
}

func TestCloseKillsAndRemovesEverything(t *testing.T) {
	if reason := Available(); reason != "" {
		t.Skip(reason)
	}
	before := openNamespaces(t)
	n, err := New(Options{Members: 2})
	if err != nil {
		t.Fatal(err)
	}
	cmd := helper("sleep")
	if err := n.Member(1).Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := n.Member(2).Cut(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.Success() {
		t.Errorf("the process ended with %v, want it killed", err)
	}
	if after := openNamespaces(t); after != before {
		t.Errorf("%d namespaces are held, %d were before", after, before)
	}
	if err := n.Member(1).Start(helper("sleep")); !errors.Is(err, ErrClosed) {
		t.Errorf("starting after Close returned %v, want %v", err, ErrClosed)
	}
	if err := n.Member(1).Cut(); !errors.Is(err, ErrClosed) {
		t.Errorf("cutting after Close returned %v, want %v", err, ErrClosed)
	}
}

func TestEverythingDiesWithItsHolder(t *testing.T) {
	if reason := Available(); reason != "" {
		t.Skip(reason)
	}
	holder := helper("hold")
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Process.Kill() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var child int
	var path string
	if _, err := fmt.Sscan(line, &child, &path); err != nil {
		t.Fatalf("the holder said %q: %v", line, err)
	}
	// Hold one member's namespace open: its interface still has to go, since the other end of its cable goes.
	err = DoIn(path, func() error {
		if _, err := netlink.LinkByName(DeviceName); err != nil {
			t.Fatalf("while the holder lives: %v", err)
		}
		if err := holder.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = holder.Wait()
		eventually(t, "the interface is gone", func() bool {
			_, err := netlink.LinkByName(DeviceName)
			return errors.As(err, &netlink.LinkNotFoundError{})
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process inside is gone", func() bool {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || bytes.Contains(comm, []byte(") Z ")) // a zombie until init looks
	})
	if err := DoIn(path, func() error { return nil }); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("entering a namespace of a dead holder returned %v", err)
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
