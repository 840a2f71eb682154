package transport

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockstep/internal/counters"
	"lockstep/internal/testnet"
)

func loopback(port uint16) Addr { return Addr{IP: [4]byte{127, 0, 0, 1}, Port: port} }

func openUDP(t *testing.T, o UDPOptions) *UDP {
	t.Helper()
	u, err := OpenUDP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// freePort finds a port that nobody uses now.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

func TestUDPMulticastOnLoopbackAsUnprivilegedUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("runs as an unprivileged user anyway")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=TestMulticastReachesAllButTheSender/^udp$")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("PASS")) || bytes.Contains(out, []byte("no tests")) {
		t.Errorf("as user 65534: %v\n%s", err, out)
	}
}

func TestUDPGroupsAreApart(t *testing.T) {
	port := freePort(t)
	group := func(last byte) Addr { return Addr{IP: [4]byte{239, 77, 0, last}, Port: port} }
	a := openUDP(t, UDPOptions{Local: loopback(0), Group: group(1)})
	b := openUDP(t, UDPOptions{Local: loopback(0), Group: group(2)})
	r := &trio{all: [3]Transport{a, b}}
	from := openUDP(t, UDPOptions{Local: loopback(0)})
	transmit(t, from, group(1), "for a")
	transmit(t, from, group(2), "for b")
	if got := r.collect(t, a, 1); string(got[0].Payload) != "for a" {
		t.Errorf("a received %q", got[0].Payload)
	}
	if got := r.collect(t, b, 1); string(got[0].Payload) != "for b" {
		t.Errorf("b received %q", got[0].Payload)
	}
}

func TestUDPPayloadFollowsMTU(t *testing.T) {
	for _, c := range []struct{ mtu, want int }{{0, 1472}, {576, 548}, {9000, 8972}, {60000, 8972}} {
		if u := openUDP(t, UDPOptions{Local: loopback(0), MTU: c.mtu}); u.MaxPayload() != c.want {
			t.Errorf("MTU %d gives payloads of %d, want %d", c.mtu, u.MaxPayload(), c.want)
		}
	}
}

func TestUDPDropsAndCountsWhatIsTooLong(t *testing.T) {
	u := openUDP(t, UDPOptions{Local: loopback(0)})
	r := &trio{all: [3]Transport{u}}
	raw, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(u.Local().AddrPort()))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, size := range []int{u.MaxPayload() + 1, 20000, 0, u.MaxPayload()} {
		if _, err := raw.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range r.collect(t, u, 2) {
		if want := []int{0, u.MaxPayload()}[i]; len(d.Payload) != want {
			t.Errorf("datagram %d has %d bytes, want %d", i, len(d.Payload), want)
		}
	}
	if n := u.counters.Truncated.Load(); n != 2 {
		t.Errorf("%d counted as truncated, want 2", n)
	}

	tx := make([]Frame, 1)
	u.Acquire(tx)
	tx[0].Length, tx[0].To = u.MaxPayload()+1, u.Local()
	u.Submit(tx)
	if n := u.counters.TooLong.Load(); n != 1 {
		t.Errorf("%d counted as too long, want 1", n)
	}
	r.nothing(t, u, u)
}

func TestUDPCountsWhatItMoves(t *testing.T) {
	file, err := counters.Create("", 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	u := openUDP(t, UDPOptions{Local: loopback(0), Counters: file, TransmitSlots: 4})
	r := &trio{all: [3]Transport{u}}
	tx := make([]Frame, 5)
	if n := u.Acquire(tx); n != 4 {
		t.Fatalf("acquired %d frames, want 4", n)
	}
	for i := range tx[:4] {
		tx[i].Length, tx[i].To = 10, u.Local()
	}
	u.Submit(tx[:4])
	r.collect(t, u, 4)
	for name, want := range map[string]uint64{
		"lockstep_transport_sent_total": 4, "lockstep_transport_received_total": 4, "lockstep_transport_full_total": 1,
	} {
		if got := file.Counter(name, "").Load(); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestUDPCountsWhatTheKernelDropped(t *testing.T) {
	const count = 300
	from := openUDP(t, UDPOptions{Local: loopback(0)})
	to := openUDP(t, UDPOptions{Local: loopback(0), BufferBytes: 16 << 10})
	for range count {
		transmit(t, from, to.Local(), strings.Repeat("x", 1000))
	}
	rx := make([]Received, 64)
	received := 0
	for range 2 * overrunEvery {
		received += to.Receive(rx)
		to.Release()
	}
	overrun := int(to.counters.Overrun.Load())
	if overrun == 0 || received+overrun != count {
		t.Errorf("%d received and %d counted as overrun, want %d together", received, overrun, count)
	}
}

func TestUDPOpenErrorsSayWhatToDo(t *testing.T) {
	taken := openUDP(t, UDPOptions{Local: loopback(0)})
	port := strconv.Itoa(int(taken.Local().Port))
	_, err := OpenUDP(UDPOptions{Local: taken.Local()})
	if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), port) {
		t.Errorf("a taken port gives %v, want %v naming port %s", err, ErrPortInUse, port)
	}
	group := Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7400}
	for _, c := range []struct {
		options UDPOptions
		names   string
	}{
		{UDPOptions{}, "0.0.0.0"},
		{UDPOptions{Local: group}, "239.77.0.1"},
		{UDPOptions{Local: Addr{IP: [4]byte{192, 0, 2, 1}, Port: 7400}}, "192.0.2.1"},
		{UDPOptions{Local: loopback(0), Group: loopback(7400)}, "127.0.0.1:7400"},
		{UDPOptions{Local: loopback(0), Group: Addr{IP: group.IP}}, "239.77.0.1:0"},
		{UDPOptions{Local: loopback(0), MTU: 100}, "MTU of 100"},
		{UDPOptions{Local: loopback(0), ReceiveSlots: 5000}, "ReceiveSlots 5000"},
		{UDPOptions{Local: loopback(0), TransmitSlots: -1}, "TransmitSlots -1"},
	} {
		u, err := OpenUDP(c.options)
		if err == nil {
			u.Close()
			t.Errorf("%+v was accepted", c.options)
		} else if !strings.Contains(err.Error(), c.names) {
			t.Errorf("%+v: %q does not name %q", c.options, err, c.names)
		}
	}
}

func TestUDPClosed(t *testing.T) {
	u, err := OpenUDP(UDPOptions{Local: loopback(0)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.Close(), u.Close()); err != nil {
		t.Fatal(err)
	}
	if u.Receive(make([]Received, 1)) != 0 || u.Acquire(make([]Frame, 1)) != 0 || u.Err() != ErrClosed {
		t.Error("a closed transport still works")
	}
	openUDP(t, UDPOptions{Local: u.Local()}) // the port is free again
}

func TestUDPDescribeReportsWhatWasGot(t *testing.T) {
	u := openUDP(t, UDPOptions{Local: loopback(0), BufferBytes: 64 << 10})
	for _, want := range []string{"udp lo", u.Local().String(), "mtu 1500", "receive buffer 64 KiB"} {
		if !strings.Contains(u.Describe(), want) {
			t.Errorf("%q does not say %q", u.Describe(), want)
		}
	}
}

func TestLocalFor(t *testing.T) {
	ip, err := LocalFor(loopback(9))
	if err != nil || ip != [4]byte{127, 0, 0, 1} {
		t.Errorf("the way to loopback starts at %v (%v)", ip, err)
	}
}

// inMembers opens a transport in each of two members of a network.
func inMembers(t *testing.T, options [2]UDPOptions) (*testnet.Net, *UDP, *UDP) {
	t.Helper()
	if reason := testnet.Available(); reason != "" {
		t.Skip(reason)
	}
	n, err := testnet.New(testnet.Options{Members: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	var opened [2]*UDP
	for i := range opened {
		m := n.Member(i + 1)
		o := options[i]
		o.Local = Addr{IP: m.Addr().As4(), Port: 7400}
		if err := m.Do(func() error { opened[i] = openUDP(t, o); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return n, opened[0], opened[1]
}

func TestUDPOverEthernet(t *testing.T) {
	group := Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7401}
	n, a, b := inMembers(t, [2]UDPOptions{{Group: group}, {Group: group}})
	r := &trio{all: [3]Transport{a, b}, group: group}
	transmit(t, a, b.Local(), "unicast")
	transmit(t, a, group, "multicast")
	got := r.collect(t, b, 2)
	seen := map[Addr]string{got[0].To: string(got[0].Payload), got[1].To: string(got[1].Payload)}
	if seen[b.Local()] != "unicast" || seen[group] != "multicast" || got[0].From != a.Local() {
		t.Errorf("received %v from %s", seen, got[0].From)
	}
	r.nothing(t, a, b)

	transmit(t, a, Addr{IP: [4]byte{192, 0, 2, 1}, Port: 7400}, "nowhere")
	if got := a.counters.Unreachable.Load(); got != 1 {
		t.Errorf("%d counted as unreachable, want 1", got)
	}
	if err := n.Member(1).Do(func() error {
		ip, err := LocalFor(b.Local())
		if ip != a.Local().IP {
			t.Errorf("LocalFor gives %v, want %v", ip, a.Local().IP)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// Datagrams to a member that does not answer ARP pile up in the socket's send buffer; what does not fit has to wait
// with the transport, in order, and to go out later.
func TestUDPKeepsWhatTheKernelDoesNotTakeYet(t *testing.T) {
	const count = 20
	n, a, b := inMembers(t, [2]UDPOptions{{BufferBytes: 4096, TransmitSlots: count}})
	if err := n.Member(2).Cut(); err != nil {
		t.Fatal(err)
	}
	tx := make([]Frame, count)
	a.Acquire(tx)
	for i := range tx {
		tx[i].Buf[0] = byte(i)
		tx[i].Length, tx[i].To = 1000, b.Local()
	}
	a.Submit(tx)
	free := a.Acquire(tx)
	if free == count {
		t.Fatal("the kernel took all, nothing had to wait")
	}
	a.Submit(make([]Frame, 0))
	for i := range tx[:free] {
		tx[i].Length = 0
	}
	a.Submit(tx[:free])
	if err := n.Member(2).Heal(); err != nil {
		t.Fatal(err)
	}
	last := -1
	rx := make([]Received, 4)
	for deadline := time.Now().Add(patience); last != count-1; {
		a.Submit(nil)
		for _, d := range rx[:b.Receive(rx)] {
			if int(d.Payload[0]) <= last {
				t.Fatalf("datagram %d arrived after %d", d.Payload[0], last)
			}
			last = int(d.Payload[0])
		}
		b.Release()
		if time.Now().After(deadline) {
			t.Fatalf("the last datagram to arrive was %d, want %d", last, count-1)
		}
	}
	if got := a.Acquire(tx); got != count {
		t.Errorf("%d frames are free in the end, want %d", got, count)
	}
}
