package xdp

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"lockstep/internal/testnet"
)

// inModes runs a test with both ways that every veth supports.
func inModes(t *testing.T, f func(t *testing.T, mode Mode)) {
	for _, mode := range []Mode{ModeGeneric, ModeNative} {
		t.Run(mode.String(), func(t *testing.T) { f(t, mode) })
	}
}

func TestUnicastBothWays(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea := a.open(Config{Interface: hostDevice, Mode: mode, Peers: []netip.Addr{b.ip}})
		eb := b.open(Config{Interface: hostDevice, Mode: mode})
		meet(t, ea, eb)
		for _, n := range []int{0, 1, 17, 200, ea.MaxPayload()} {
			payload := bytes.Repeat([]byte{byte(n)}, n)
			for _, way := range [][2]*Endpoint{{ea, eb}, {eb, ea}} {
				if r := send(t, way[0], way[1].Local(), payload); r != SendQueued {
					t.Fatalf("%d bytes: not sent: %d", n, r)
				}
				got := receive(t, way[1], 1)
				if len(got) != 1 || !bytes.Equal(got[0].Payload, payload) ||
					got[0].From != way[0].Local() || got[0].To != way[1].Local() {
					t.Fatalf("%d bytes: got %d datagrams, first %d bytes from %v to %v", n, len(got),
						len(got[0].Payload), got[0].From, got[0].To)
				}
			}
		}
		if r := send(t, ea, eb.Local(), make([]byte, ea.MaxPayload())); r != SendQueued {
			t.Errorf("the longest datagram is refused")
		}
		audit(t, ea)
		audit(t, eb)
	})
}

func TestOneTransmitCallCarriesABatch(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		const batch = 100
		if ea.Reclaim(batch) != batch {
			t.Fatal("no frames")
		}
		for i := range batch {
			frame, buf := ea.Take()
			buf[0] = byte(i)
			ea.Send(frame, 1, eb.Local())
		}
		before := ea.Stats().Kicks
		ea.Flush()
		if kicks := ea.Stats().Kicks - before; ea.socket.budget >= batch && kicks != 1 {
			t.Errorf("%d system calls for %d frames", kicks, batch)
		}
		for i, d := range receive(t, eb, batch) {
			if d.Payload[0] != byte(i) {
				t.Fatalf("datagram %d came as number %d", d.Payload[0], i)
			}
		}
	})
}

func TestTalksWithTheKernel(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea := a.open(Config{Mode: mode, Peers: []netip.Addr{b.ip}})
		kernel := b.udp(7500)
		eventually(t, "the neighbour", func() bool { return ea.Reachable(b.ip) })

		_, err := kernel.WriteToUDPAddrPort([]byte("from the kernel"), ea.config.Local)
		must(t, err)
		d := receive(t, ea, 1)[0]
		if string(d.Payload) != "from the kernel" || d.From != addrB {
			t.Errorf("got %q from %v", d.Payload, d.From)
		}
		send(t, ea, addrB, []byte("from XDP"))
		must(t, kernel.SetReadDeadline(time.Now().Add(patience)))
		buf := make([]byte, 100)
		n, from, err := kernel.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "from XDP" || from != ea.config.Local {
			t.Errorf("the kernel got %q from %v: %v", buf[:n], from, err)
		}
	})
}

func TestTheRestPassesToTheKernel(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea := a.open(Config{Mode: mode})
		kernelA, kernelB := a.udp(9000), b.udp(9000)
		_, err := kernelB.WriteToUDPAddrPort([]byte("other port"), netip.AddrPortFrom(a.ip, 9000))
		must(t, err)
		must(t, kernelA.SetReadDeadline(time.Now().Add(patience)))
		buf := make([]byte, 100)
		if n, _, err := kernelA.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "other port" {
			t.Errorf("UDP to another port: %q, %v", buf[:n], err)
		}

		in, out := a.wire(), b.wire()
		ours := frameTo(addrA, []byte("ours, but tagged")) // to the end point's own address and port
		copy(ours, a.mac)
		copy(ours[26:], b.ip.AsSlice())
		out.write(tag(rechecksum(ours), 0x8100))
		in.sees("a tagged frame", func(f []byte) bool { return bytes.Contains(f, []byte("ours, but tagged")) })

		// A ping is answered by the kernel. Type 8, checksum over eight bytes.
		ping := []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}
		frame := append(append([]byte(nil), frameTo(addrA, nil)[:34]...), ping...)
		copy(frame, a.mac)
		copy(frame[6:], b.mac)
		copy(frame[26:], b.ip.AsSlice())
		frame[17], frame[23] = 28, 1
		out.write(rechecksum(frame))
		out.sees("a ping's answer", func(f []byte) bool { return len(f) >= 42 && f[23] == 1 && f[34] == 0 })

		s := ea.Stats()
		if s.Decisions[DecisionTaken] != 0 || s.Decisions[DecisionTagged] != 1 || s.Decisions[DecisionNotOurs] == 0 ||
			s.Decisions[DecisionNotUDP] == 0 || s.Decisions[DecisionNotIPv4] == 0 {
			t.Errorf("decisions %v", s.Decisions)
		}
		if ea.Receive(10) != 0 {
			t.Error("something reached the end point")
		}
	})
}

func TestMulticastThroughABridge(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		needNamespaces(t)
		net, err := testnet.New(testnet.Options{Members: 3})
		must(t, err)
		defer net.Close()
		to := netip.MustParseAddrPort("239.77.0.1:7401")
		var ends []*Endpoint
		for i := 1; i <= 3; i++ {
			m := net.Member(i)
			must(t, m.Do(func() error {
				e, err := Open(Config{Local: netip.AddrPortFrom(m.Addr(), 7400), Groups: []netip.AddrPort{to},
					Mode: mode, RxFrames: 256, TxFrames: 256})
				if err == nil {
					ends = append(ends, e)
				}
				return err
			}))
		}
		for i, from := range ends {
			payload := fmt.Appendf(nil, "from %d", i)
			if r := send(t, from, group, payload); r != SendQueued {
				t.Fatalf("not sent: %d", r)
			}
			for j, e := range ends {
				if j == i {
					continue
				}
				d := receive(t, e, 1)[0]
				if !bytes.Equal(d.Payload, payload) || d.From != from.Local() || d.To != group {
					t.Errorf("%d got %q from %v to %v", j, d.Payload, d.From, d.To)
				}
			}
			if from.Receive(1) != 0 {
				t.Error("what was sent to the group came back to its sender")
			}
		}
		for _, e := range ends {
			audit(t, e)
			must(t, e.Close())
		}
	})
}

func TestFramesAddUpAfterLoad(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		sent, echoed := 0, 0
		payload := make([]byte, 200)
		eventually(t, "20000 datagrams to come back", func() bool {
			n := ea.Reclaim(64)
			for range n {
				frame, buf := ea.Take()
				if sent%7 == 3 {
					ea.Give(frame)
				} else {
					ea.Send(frame, copy(buf, payload), eb.Local())
				}
				sent++
			}
			ea.Flush()
			echo(eb, 32)
			echoed += ea.Receive(64)
			if sent%500 < 64 {
				audit(t, ea) // with frames in all places
			}
			ea.Release()
			return echoed > 20000
		})
		for _, e := range []*Endpoint{ea, eb} {
			eventually(t, "everything sent to come back", func() bool {
				e.Reclaim(256)
				return e.umem.freeN == 256
			})
			where := audit(t, e)
			if where[OwnerFree] != 256 || where[OwnerFill]+where[OwnerRx] != 512 {
				t.Errorf("frames are at %v", where)
			}
			if s := e.Stats(); s.RxInvalid != 0 || s.TxInvalid != 0 {
				t.Errorf("the kernel saw %d and %d invalid descriptors", s.RxInvalid, s.TxInvalid)
			}
		}
	})
}

// echo sends back what has arrived, as far as there are frames.
func echo(e *Endpoint, most int) int {
	n := e.Receive(min(most, e.Reclaim(most)))
	for i := range n {
		d := e.Datagram(i)
		frame, buf := e.Take()
		e.Send(frame, copy(buf, d.Payload), d.From)
	}
	e.Release()
	e.Flush()
	return n
}

func TestExhaustedFillRingIsSeen(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode, RxFrames: 64, TxFrames: 64})
		meet(t, ea, eb)
		seen := func() bool {
			s := eb.Stats()
			return s.RxFillEmpty+s.RxRingFull > 0
		}
		eventually(t, "drops for lack of frames in the statistics", func() bool {
			send(t, ea, eb.Local(), []byte("too much"))
			return seen()
		})
		audit(t, eb)
		if got := len(receive(t, eb, 64)); got < 64 {
			t.Errorf("%d datagrams, want the 64 that there was room for", got)
		}
		send(t, ea, eb.Local(), []byte("works again"))
		eventually(t, "the next datagram", func() bool {
			got := receive(t, eb, 1)
			return string(got[len(got)-1].Payload) == "works again"
		})
	})
}

func TestSendAndReceiveDoNotAllocate(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode}), b.open(Config{Mode: mode})
		meet(t, ea, eb)
		nobody := Addr{[4]byte{10, 9, 0, 77}, 1}
		allocations := testing.AllocsPerRun(2000, func() {
			for range ea.Reclaim(4) {
				frame, _ := ea.Take()
				ea.Send(frame, 200, eb.Local())
			}
			if ea.Reclaim(1) == 1 {
				frame, _ := ea.Take()
				ea.Send(frame, 200, nobody)
			}
			ea.Flush()
			echo(eb, 16)
			ea.Receive(16)
			ea.Release()
		})
		if allocations != 0 {
			t.Errorf("%v allocations a round", allocations)
		}
		if ea.Stats().Received == 0 {
			t.Error("nothing came back")
		}
	})
}

func TestAutoOnVethIsGenericAndSaysWhy(t *testing.T) {
	a, _ := newPair(t)
	e := a.open(Config{Mode: ModeAuto})
	if e.Mode() != "generic" || e.ZeroCopy() || !strings.Contains(e.Describe(), "veth has no zero-copy") {
		t.Error(e.Describe())
	}
}

func TestBusyPollingCarriesDatagrams(t *testing.T) {
	inModes(t, func(t *testing.T, mode Mode) {
		a, b := newPair(t)
		ea, eb := a.open(Config{Mode: mode, BusyPollUs: 10}), b.open(Config{Mode: mode, BusyPollUs: 10})
		meet(t, ea, eb)
		send(t, ea, eb.Local(), []byte("polled"))
		if got := receive(t, eb, 1); string(got[0].Payload) != "polled" {
			t.Errorf("%q", got[0].Payload)
		}
		if eb.Receive(1) != 0 || eb.Stats().RxWakeups == 0 {
			t.Error("an idle receive does not run the driver")
		}
	})
}

func TestStatsHaveDistinctNames(t *testing.T) {
	seen := make(map[string]bool)
	(&Stats{}).Each(func(name, help string, _ uint64) {
		if seen[name] || help == "" {
			t.Errorf("%s: twice, or without help", name)
		}
		seen[name] = true
	})
}
