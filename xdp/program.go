package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// program is the loaded XDP program, its maps, and its attachment to an interface. The attachment lasts as long as
// the process holds its descriptor: cilium/ebpf closes what is garbage, so the end point must keep this.
type program struct {
	objects  steerObjects
	attached link.Link
	id       uint32
	cpus     int
	memory   []byte   // the mapping of decisions
	counts   []uint64 // the same: [cpu][decision], written by the kernel
}

// loadProgram loads the program and tells it which end points are ours.
func loadProgram(endpoints []netip.AddrPort) (*program, error) {
	spec, err := loadSteer()
	if err != nil {
		return nil, fmt.Errorf("xdp: read the XDP program in this binary: %w", err)
	}
	p := &program{}
	if p.cpus, err = ebpf.PossibleCPU(); err != nil {
		return nil, fmt.Errorf("xdp: number of CPUs: %w", err)
	}
	spec.Maps[steerMapDecisions].MaxEntries = uint32(p.cpus * decisionSlots)
	if err := spec.LoadAndAssign(&p.objects, nil); err != nil {
		return nil, permission("load the XDP program", err)
	}
	if err := p.setUp(endpoints); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *program) setUp(endpoints []netip.AddrPort) error {
	info, err := p.objects.Steer.Info()
	if err != nil {
		return fmt.Errorf("xdp: id of the XDP program: %w", err)
	}
	if id, ok := info.ID(); ok {
		p.id = uint32(id)
	}
	for _, e := range endpoints {
		if err := p.objects.Endpoints.Put(endpointKey(e), uint32(1)); err != nil {
			return fmt.Errorf("xdp: tell the XDP program of %s: %w", e, err)
		}
	}
	page := unix.Getpagesize()
	bytes := (p.cpus*decisionSlots*8 + page - 1) / page * page
	p.memory, err = unix.Mmap(p.objects.Decisions.FD(), 0, bytes, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("xdp: map the counters of the XDP program: %w", err)
	}
	p.counts = words(p.memory, p.cpus*decisionSlots)
	return nil
}

// endpointKey is struct endpoint of steer.bpf.c: address and port as they are on the wire.
func endpointKey(e netip.AddrPort) steerEndpoint {
	ip := e.Addr().As4()
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], e.Port())
	return steerEndpoint{Addr: binary.NativeEndian.Uint32(ip[:]), Port: binary.NativeEndian.Uint16(port[:])}
}

// serve sends what comes in on a queue to the socket.
func (p *program) serve(queue int, s *socket) error {
	if err := p.objects.Sockets.Put(uint32(queue), uint32(s.fd)); err != nil {
		return fmt.Errorf("xdp: enter the socket of queue %d: %w", queue, err)
	}
	return nil
}

// attach puts the program on the interface, in the driver or in the generic hook.
func (p *program) attach(d *device, native bool) error {
	flags := link.XDPGenericMode
	if native {
		flags = link.XDPDriverMode
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: p.objects.Steer, Interface: d.index, Flags: flags})
	switch {
	case errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EEXIST):
		return attached(d, "one by now")
	case err != nil:
		return permission(fmt.Sprintf("attach the XDP program to %s", d.name), err)
	}
	p.attached = l
	return nil
}

func (p *program) detach() {
	if p.attached != nil {
		p.attached.Close()
		p.attached = nil
	}
}

// decisions sums the counters over the CPUs. No system call.
func (p *program) decisions() (sum [NumDecisions]uint64) {
	for cpu := range p.cpus {
		for d := range sum {
			sum[d] += atomic.LoadUint64(&p.counts[cpu*decisionSlots+d])
		}
	}
	return sum
}

func (p *program) close() {
	p.detach()
	if p.memory != nil {
		unix.Munmap(p.memory)
		p.memory, p.counts = nil, nil
	}
	p.objects.Close()
}
