package xdp

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	xdpPass     = 2
	xdpRedirect = 4
)

// tag puts VLAN tags into a frame, outermost first.
func tag(frame []byte, protocols ...uint16) []byte {
	out := append([]byte(nil), frame[:12]...)
	for i, p := range protocols {
		out = append(out, byte(p>>8), byte(p), 0, byte(100+i))
	}
	return append(out, frame[12:]...)
}

// withOptions gives a frame's IPv4 header four bytes of options.
func withOptions(frame []byte) []byte {
	out := append([]byte(nil), frame[:34]...)
	out = append(out, 1, 1, 1, 0)
	out = append(out, frame[34:]...)
	out[14] = 0x46
	out[17] += 4
	return out
}

func TestProgramDecides(t *testing.T) {
	needNamespaces(t)
	p, err := loadProgram([]netip.AddrPort{
		netip.MustParseAddrPort("10.9.0.2:7500"), netip.MustParseAddrPort("239.77.0.1:7401"),
	})
	must(t, err)
	defer p.close()
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)

	ours := func() []byte { return frameTo(addrB, []byte("0123456789")) }
	change := func(f func(b []byte)) []byte { b := ours(); f(b); return b }
	cases := []struct {
		name  string
		frame []byte
		want  Decision
	}{
		{"to us", ours(), DecisionTaken},
		{"to our group", frameTo(group, []byte("x")), DecisionTaken},
		{"to us, without payload", frameTo(addrB, nil), DecisionTaken},
		{"to us, 1472 bytes", frameTo(addrB, make([]byte, 1472)), DecisionTaken},
		{"to us, padded to the least frame", append(frameTo(addrB, []byte{1}), make([]byte, 17)...), DecisionTaken},
		{"to us, with a UDP checksum", change(func(b []byte) { b[40], b[41] = 0x12, 0x34 }), DecisionTaken},

		{"another port", frameTo(Addr{addrB.IP, 7501}, nil), DecisionNotOurs},
		{"the group's port at our address", frameTo(Addr{addrB.IP, 7401}, nil), DecisionNotOurs},
		{"our port at another address", frameTo(Addr{[4]byte{10, 9, 0, 3}, 7500}, nil), DecisionNotOurs},
		{"another group with the same MAC", frameTo(Addr{[4]byte{238, 77, 0, 1}, 7401}, nil), DecisionNotOurs},
		{"our group, another port", frameTo(Addr{group.IP, 7500}, nil), DecisionNotOurs},
		{"broadcast", frameTo(Addr{[4]byte{255, 255, 255, 255}, 7500}, nil), DecisionNotOurs},

		{"in a VLAN", tag(ours(), 0x8100), DecisionTagged},
		{"in a provider VLAN", tag(ours(), 0x88a8, 0x8100), DecisionTagged},
		{"not ours, in a VLAN", tag(frameTo(Addr{addrB.IP, 1}, nil), 0x8100), DecisionNotOurs},
		{"three tags", tag(ours(), 0x88a8, 0x8100, 0x8100), DecisionNotIPv4},
		{"tag cut", tag(ours(), 0x8100)[:16], DecisionShort},

		{"ARP", change(func(b []byte) { b[13] = 6 }), DecisionNotIPv4},
		{"IPv6", change(func(b []byte) { b[12], b[13] = 0x86, 0xdd }), DecisionNotIPv4},
		{"TCP", change(func(b []byte) { b[23] = 6 }), DecisionNotUDP},
		{"IGMP", change(func(b []byte) { b[23] = 2 }), DecisionNotUDP},
		{"ICMP", change(func(b []byte) { b[23] = 1 }), DecisionNotUDP},
		{"IP version 5", change(func(b []byte) { b[14] = 0x55 }), DecisionHeader},
		{"header of 16 bytes", change(func(b []byte) { b[14] = 0x44 }), DecisionHeader},
		{"IP options", withOptions(ours()), DecisionOptions},
		{"first fragment", change(func(b []byte) { b[20] = 0x20 }), DecisionFragment},
		{"later fragment", change(func(b []byte) { b[20], b[21] = 0, 0xb9 }), DecisionFragment},

		{"IP length beyond the frame", change(func(b []byte) { b[17]++ }), DecisionLength},
		{"IP length below the headers", change(func(b []byte) { b[17] = 27 }), DecisionLength},
		{"UDP length below the IP length", change(func(b []byte) { b[39]-- }), DecisionLength},
		{"UDP length beyond the IP length", change(func(b []byte) { b[39]++ }), DecisionLength},
		{"payload cut", ours()[:45], DecisionLength},
		{"UDP header cut", ours()[:40], DecisionShort},
		{"IP header cut", ours()[:30], DecisionShort},
		{"Ethernet header only", ours()[:14], DecisionShort},

		{"from a group", change(func(b []byte) { b[26] = 239 }), DecisionSource},
		{"from broadcast", change(func(b []byte) { copy(b[26:], []byte{255, 255, 255, 255}) }), DecisionSource},
		{"from nowhere", change(func(b []byte) { copy(b[26:], []byte{0, 0, 0, 0}) }), DecisionSource},
	}
	run := func(name string, frame []byte, want Decision) {
		t.Helper()
		before := p.decisions()
		action, _, err := p.objects.Steer.Test(frame)
		must(t, err)
		after := p.decisions()
		for d := range NumDecisions {
			expect := before[d]
			if d == want {
				expect++
			}
			if after[d] != expect {
				t.Errorf("%s: counted as %s %d times, want decision %s", name, d, after[d]-before[d], want)
			}
		}
		wantAction := uint32(xdpPass)
		if want == DecisionTaken {
			wantAction = xdpRedirect
		}
		if action != wantAction {
			t.Errorf("%s: action %d, want %d", name, action, wantAction)
		}
	}
	// Without a socket, ours go to the kernel as well: it is what happens when the process is gone.
	run("to us, without a socket", ours(), DecisionNoSocket)
	must(t, p.objects.Sockets.Put(uint32(0), uint32(fd)))
	for _, c := range cases {
		run(c.name, c.frame, c.want)
	}
}
