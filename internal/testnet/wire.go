package testnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Weather is what happens to UDP datagrams on a network that is disturbed: probabilities for each of them and receiver.
type Weather struct {
	Drop, Duplicate, Reorder, Corrupt float64
	Replay                            float64 // one of the last thousands comes again
	Seed                              uint64
}

// WeatherCounts say what happened.
type WeatherCounts struct {
	Carried, Dropped, Duplicated, Reordered, Corrupted, Replayed uint64
}

// Disturbed is a network under weather, until Stop.
type Disturbed struct {
	net     *Net
	weather Weather
	ports   []*tap
	program *ebpf.Program
	filters []*netlink.BpfFilter
	quit    atomic.Bool
	running sync.WaitGroup
	mu      sync.Mutex // over what follows
	count   WeatherCounts
}

// tap is the bridge's end of a member's cable.
type tap struct {
	index int
	mac   [6]byte
	fd    int
}

// Disturb takes all UDP datagrams off the bridge and carries them to their receivers as the weather says; what else
// there is (ARP, the control plane's TCP) goes on over the bridge. One network has one weather at a time.
func (n *Net) Disturb(w Weather) (*Disturbed, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, ErrClosed
	}
	d := &Disturbed{net: n, weather: w}
	if err := d.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("testnet: disturb the network: %w", err), d.close())
	}
	for i, p := range d.ports {
		d.running.Go(func() { d.carry(p, rand.New(rand.NewPCG(w.Seed, uint64(i)))) })
	}
	return d, nil
}

// Stop brings fair weather back and returns what happened.
func (d *Disturbed) Stop() (WeatherCounts, error) {
	d.quit.Store(true)
	d.running.Wait()
	d.net.mu.Lock()
	defer d.net.mu.Unlock()
	return d.count, d.close()
}

func (d *Disturbed) open() (err error) {
	if d.program, err = newUDPDropper(); err != nil {
		return err
	}
	for _, m := range d.net.members {
		if err := m.prepare(); err != nil {
			return err
		}
		p := &tap{index: m.port.Attrs().Index, mac: [6]byte{0x02, 'L', 'S', 0, 0, byte(m.id)}, fd: -1}
		d.ports = append(d.ports, p)
		if err := within(d.net.hub, func() error { return p.open() }); err != nil {
			return err
		}
	}
	for _, p := range d.ports {
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: p.index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Priority: 2, Protocol: unix.ETH_P_ALL,
			},
			Fd: d.program.FD(), Name: "take_udp", DirectAction: true,
		}
		if err := d.net.handle.FilterAdd(filter); err != nil {
			return fmt.Errorf("add a packet filter (the kernel needs cls_bpf): %w", err)
		}
		d.filters = append(d.filters, filter)
	}
	return nil
}

func (d *Disturbed) close() error {
	var errs []error
	if !d.net.closed {
		for _, f := range d.filters {
			errs = append(errs, d.net.handle.FilterDel(f))
		}
	}
	for _, p := range d.ports {
		if p.fd >= 0 {
			errs = append(errs, unix.Close(p.fd))
		}
	}
	if d.program != nil {
		errs = append(errs, d.program.Close())
	}
	return errors.Join(errs...)
}

// newUDPDropper loads a program that drops UDP over IPv4, and nothing else. Packet sockets see it all the same.
func newUDPDropper() (*ebpf.Program, error) {
	const shot, unspec = 2, -1 // TC_ACT_SHOT, TC_ACT_UNSPEC: the next filter, then the bridge
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "drop_udp", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadAbs(12, asm.Half),
			asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "pass"),
			asm.LoadAbs(23, asm.Byte),
			asm.JNE.Imm(asm.R0, unix.IPPROTO_UDP, "pass"),
			asm.Mov.Imm(asm.R0, shot),
			asm.Return(),
			asm.Mov.Imm(asm.R0, unspec).WithSymbol("pass"),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("load the program that takes datagrams: %w: CAP_BPF is needed", err)
	}
	return program, nil
}

// open makes the packet socket of a port; in the hub's namespace.
func (p *tap) open() (err error) {
	if p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL))); err != nil {
		return fmt.Errorf("packet socket: %w: CAP_NET_RAW is needed", err)
	}
	_ = unix.SetsockoptInt(p.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	tick := unix.NsecToTimeval(heldLimit.Nanoseconds())
	if err := unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tick); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: p.index}); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	return nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

const (
	heldLimit  = time.Millisecond // for how long a datagram that is overtaken waits at most
	keptFrames = 4096
	udpHeader  = 14 + 20 + 8
)

// carry carries what one member sends.
func (d *Disturbed) carry(p *tap, rng *rand.Rand) {
	var count WeatherCounts
	var held, kept [][]byte
	hit := func(probability float64) bool { return probability > 0 && rng.Float64() < probability }
	buffer := make([]byte, maxMTU+64)
	flush := func() {
		for _, f := range held {
			d.deliver(p, f)
		}
		held = held[:0]
	}
	for !d.quit.Load() {
		n, from, err := unix.Recvfrom(p.fd, buffer, 0)
		if err != nil {
			flush() // the time is up, or the port is gone: then there is nothing to flush it to
			continue
		}
		if a, ok := from.(*unix.SockaddrLinklayer); !ok || a.Pkttype == unix.PACKET_OUTGOING || !isUDP(buffer[:n]) {
			continue
		}
		frame := append([]byte(nil), buffer[:n]...)
		binary.BigEndian.PutUint16(frame[40:], 0) // no UDP checksum: senders leave it to hardware that is not there
		if len(kept) < keptFrames {
			kept = append(kept, frame)
		} else {
			kept[rng.IntN(keptFrames)] = frame
		}
		switch {
		case hit(d.weather.Drop):
			count.Dropped++
			continue
		case hit(d.weather.Reorder) && len(held) < 8:
			count.Reordered++
			held = append(held, frame)
			continue
		case hit(d.weather.Corrupt) && n > udpHeader:
			count.Corrupted++
			frame = append([]byte(nil), frame...)
			frame[udpHeader+rng.IntN(n-udpHeader)] ^= 1 << rng.IntN(8)
		}
		count.Carried++
		d.deliver(p, frame)
		if hit(d.weather.Duplicate) {
			count.Duplicated++
			d.deliver(p, frame)
		}
		if hit(d.weather.Replay) {
			count.Replayed++
			d.deliver(p, kept[rng.IntN(len(kept))])
		}
		if len(held) > 0 && rng.IntN(3) == 0 {
			flush()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count.Carried += count.Carried
	d.count.Dropped += count.Dropped
	d.count.Duplicated += count.Duplicated
	d.count.Reordered += count.Reordered
	d.count.Corrupted += count.Corrupted
	d.count.Replayed += count.Replayed
}

// isUDP says whether a frame is what the program drops: an IPv4 header without options is all that is sent here.
func isUDP(f []byte) bool {
	return len(f) >= udpHeader && f[12] == 8 && f[13] == 0 && f[14] == 0x45 && f[23] == unix.IPPROTO_UDP
}

// deliver puts a frame on the cable of whom it is for: of everybody else when it is multicast.
func (d *Disturbed) deliver(from *tap, frame []byte) {
	for _, p := range d.ports {
		if p != from && (frame[0]&1 == 1 || [6]byte(frame[:6]) == p.mac) {
			_, _ = unix.Write(p.fd, frame) // a full queue drops it, as a switch would
		}
	}
}
