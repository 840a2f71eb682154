package node

import (
	"fmt"
	"net/netip"

	"lockstep/transport"
	"lockstep/xdp"
	"lockstep/xdp/nic"
)

// openTransport opens what the config asks for. With "auto" AF_XDP is tried where an interface is given, and why it
// is not to be had is printed.
func (n *Node) openTransport() error {
	if open := n.machine.Transport; open != nil {
		var err error
		n.transport, err = open(n.config)
		return n.transportError(err)
	}
	c := &n.config.Transport
	local, _ := transport.ParseAddr(n.config.Self().Data)
	group, _ := transport.ParseAddr(n.config.Cluster.Group)
	kind, why := c.Kind, ""
	if kind == "auto" && c.Interface == "" {
		kind, why = "udp", "no transport.interface is given"
	}
	var err error
	if kind != "udp" {
		err = n.openXDP(local, group)
		if err == nil || kind == "xdp" {
			return n.transportError(err)
		}
		why = err.Error()
	}
	if why != "" {
		n.logf("transport: kernel UDP, because AF_XDP is not to be had: %s", why)
	}
	udp, err := transport.OpenUDP(transport.UDPOptions{Local: local, Group: group, Counters: n.counters})
	if err == nil {
		n.transport = udp
		n.closers = append(n.closers, udp.Close)
	}
	return n.transportError(err)
}

func (n *Node) transportError(err error) error {
	if err != nil {
		return fmt.Errorf("%w: transport: %w", ErrConfig, err)
	}
	return nil
}

func (n *Node) openXDP(local, group transport.Addr) error {
	c := &n.config.Transport
	mode, err := xdp.ParseMode(c.XDPMode)
	if err != nil {
		return err
	}
	steering, err := nic.ParseSteering(c.Steering)
	if err != nil {
		return err
	}
	config := xdp.Config{
		Interface: c.Interface, Local: local.AddrPort(), Groups: []netip.AddrPort{group.AddrPort()}, Mode: mode,
		Queue: c.Queue, Steering: steering, StateDir: n.config.Dir, FrameBytes: c.FrameBytes, TxBudget: c.TxBudget,
		BusyPollUs: c.BusyPollUs, MulticastTTL: c.MulticastTTL,
	}
	config.Notify = func(sentence string) { n.logf("%s", sentence) }
	for _, peer := range n.config.Cluster.Nodes {
		if addr, _ := transport.ParseAddr(peer.Data); peer.ID != n.config.Node {
			config.Peers = append(config.Peers, addr.AddrPort().Addr())
		}
	}
	t, err := transport.OpenXDP(config, n.counters)
	if err != nil {
		return err
	}
	n.transport = t
	n.closers = append(n.closers, t.Close)
	return nil
}

// giveBack closes the transport that the machine gave to a node that cannot be opened: a start that begins once more asks
// for another. Of a node that was opened it is the machine's to close.
func (n *Node) giveBack() error {
	if n.machine.Transport == nil || n.transport == nil {
		return nil
	}
	return n.transport.Close()
}
