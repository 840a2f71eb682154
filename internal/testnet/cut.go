package testnet

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Cut stops everything that the member sends and everything sent to it. Its link stays up: it is not told, as when a
// switch fails.
func (m *Member) Cut() error { return m.setCut(true, true) }

// CutSend stops what the member sends; it still receives.
func (m *Member) CutSend() error { return m.setCut(true, false) }

// CutReceive stops what is sent to the member; others still receive from it.
func (m *Member) CutReceive() error { return m.setCut(false, true) }

// Heal undoes every cut of the member.
func (m *Member) Heal() error { return m.setCut(false, false) }

// dropper is a BPF program that drops every packet that it sees.
type dropper struct{ program *ebpf.Program }

func newDropper() (*dropper, error) {
	const shot = 2 // TC_ACT_SHOT
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "drop_all", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, shot), asm.Return()},
	})
	if err != nil {
		return nil, fmt.Errorf("testnet: load the program that drops packets: %w: CAP_BPF is needed", err)
	}
	return &dropper{program: program}, nil
}

func (d *dropper) close() error { return d.program.Close() }

// setCut brings both directions to the wanted state. Seen from the bridge's end of the cable, what the member sends
// comes in and what it receives goes out.
func (m *Member) setCut(send, receive bool) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	if m.net.closed {
		return ErrClosed
	}
	err := errors.Join(
		m.setDrop(&m.noSend, send, netlink.HANDLE_MIN_INGRESS),
		m.setDrop(&m.noReceive, receive, netlink.HANDLE_MIN_EGRESS),
	)
	if err != nil {
		return fmt.Errorf("testnet: cut or heal member %d: %w", m.id, err)
	}
	return nil
}

func (m *Member) setDrop(state *bool, want bool, hook uint32) error {
	if *state == want {
		return nil
	}
	if err := m.prepare(); err != nil {
		return err
	}
	filter := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: m.port.Attrs().Index, Parent: hook, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: m.net.dropper.program.FD(), Name: "drop_all", DirectAction: true,
	}
	change, what := m.net.handle.FilterAdd, "add"
	if !want {
		change, what = m.net.handle.FilterDel, "remove"
	}
	if err := change(filter); err != nil {
		return fmt.Errorf("%s a packet filter (the kernel needs cls_bpf): %w", what, err)
	}
	*state = want
	return nil
}

// prepare gives the member's port a place for filters, once.
func (m *Member) prepare() (err error) {
	if m.port == nil {
		return errors.New("a pair has nothing in between to drop packets at")
	}
	if m.net.dropper == nil {
		if m.net.dropper, err = newDropper(); err != nil {
			return err
		}
	}
	if m.prepared {
		return nil
	}
	qdisc := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: m.port.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	if err := m.net.handle.QdiscAdd(qdisc); err != nil {
		return fmt.Errorf("add a clsact qdisc (the kernel needs sch_ingress): %w", err)
	}
	m.prepared = true
	return nil
}
