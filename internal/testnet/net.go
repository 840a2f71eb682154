package testnet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// MaxMembers is the largest network.
const MaxMembers = 64

const (
	defaultMTU = 1500
	minMTU     = 576
	maxMTU     = 65535
	bridgeName = "hub"
	prefixBits = 24
	readyLimit = 10 * time.Second // far beyond what links need to come up
)

// Options say what New builds.
type Options struct {
	Members int // 1 to MaxMembers
	MTU     int // of every interface, in bytes of an IP packet; 0 means 1500
	// Pair joins two members by one cable, without the bridge between them. They cannot be cut off.
	Pair bool
}

// Net is a running network. Close takes it away.
type Net struct {
	hub     netns.NsHandle
	handle  *netlink.Handle // rtnetlink inside the hub
	members []*Member
	keeper  *Keeper

	mu      sync.Mutex // over what follows and over the links' state
	dropper *dropper   // made by the first cut
	closed  bool
}

// New builds a network and waits until its links are up.
func New(o Options) (*Net, error) {
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	if o.Members < 1 || o.Members > MaxMembers || o.MTU < minMTU || o.MTU > maxMTU {
		return nil, fmt.Errorf("testnet: %d members with an MTU of %d: want 1 to %d members and an MTU of %d to %d",
			o.Members, o.MTU, MaxMembers, minMTU, maxMTU)
	}
	if o.Pair && o.Members != 2 {
		return nil, fmt.Errorf("testnet: a pair of %d members: want 2", o.Members)
	}
	hub, err := newNamespace()
	if err != nil {
		return nil, err
	}
	n := &Net{hub: hub, keeper: NewKeeper()}
	if err := n.build(o); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Net) build(o Options) (err error) {
	if n.handle, err = netlink.NewHandleAt(n.hub); err != nil {
		return fmt.Errorf("testnet: open rtnetlink: %w", err)
	}
	_ = within(n.hub, func() error { quietIPv6(); return nil })
	if o.Pair {
		return n.addPair(o.MTU)
	}
	bridge, err := n.addBridge(o.MTU)
	if err != nil {
		return err
	}
	for i := 1; i <= o.Members; i++ {
		m, err := n.addMember(i, o.MTU, bridge)
		if m != nil {
			n.members = append(n.members, m)
		}
		if err != nil {
			return fmt.Errorf("testnet: member %d: %w", i, err)
		}
	}
	return n.awaitLinks()
}

// addBridge makes the switch. Snooping is off: without a querier it forgets memberships after some minutes.
func (n *Net) addBridge(mtu int) (netlink.Link, error) {
	off := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = bridgeName, mtu
	bridge := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &off}
	if err := n.handle.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("testnet: make a bridge: %w: the kernel needs the bridge module", err)
	}
	_ = within(n.hub, func() error { unhookBridge(); return nil })
	if err := n.handle.LinkSetUp(bridge); err != nil {
		return nil, fmt.Errorf("testnet: bring the bridge up: %w", err)
	}
	return bridge, nil
}

// addPair makes two namespaces and the cable from one to the other.
func (n *Net) addPair(mtu int) error {
	for id := 1; id <= 2; id++ {
		ns, err := newNamespace()
		if err != nil {
			return err
		}
		_ = within(ns, func() error { quietIPv6(); return nil })
		n.members = append(n.members, &Member{net: n, id: id, ns: ns})
	}
	cable := newCable(DeviceName, mtu, n.members[1])
	cable.Namespace, cable.HardwareAddr = netlink.NsFd(n.members[0].ns), n.members[0].hardware()
	if err := n.handle.LinkAdd(cable); err != nil {
		return fmt.Errorf("testnet: make a veth pair: %w: the kernel needs the veth module", err)
	}
	for _, m := range n.members {
		if err := m.configure(); err != nil {
			return fmt.Errorf("testnet: member %d: %w", m.id, err)
		}
	}
	return nil
}

// newCable is a veth pair whose far end is the member's interface.
func newCable(name string, mtu int, m *Member) *netlink.Veth {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = name, mtu
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	cable := netlink.NewVeth(attrs)
	cable.PeerName, cable.PeerNamespace, cable.PeerMTU = DeviceName, netlink.NsFd(m.ns), uint32(mtu)
	cable.PeerNumTxQueues, cable.PeerNumRxQueues = 1, 1
	cable.PeerHardwareAddr = m.hardware()
	return cable
}

// addMember makes a namespace and the cable from it to the bridge. A member is returned once there is something to
// close.
func (n *Net) addMember(id, mtu int, bridge netlink.Link) (*Member, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	m := &Member{net: n, id: id, ns: ns}
	_ = within(ns, func() error { quietIPv6(); return nil })
	cable := newCable(fmt.Sprintf("port%d", id), mtu, m)
	if err := n.handle.LinkAdd(cable); err != nil {
		return m, fmt.Errorf("make a veth pair: %w: the kernel needs the veth module", err)
	}
	m.port = cable
	if err := n.handle.LinkSetMaster(cable, bridge); err != nil {
		return m, fmt.Errorf("plug into the bridge: %w", err)
	}
	if err := m.configure(); err != nil {
		return m, err
	}
	if err := n.handle.LinkSetUp(cable); err != nil {
		return m, fmt.Errorf("bring %s up: %w", cable.Name, err)
	}
	return m, nil
}

// awaitLinks waits until the bridge forwards on every port.
func (n *Net) awaitLinks() error {
	for deadline := time.Now().Add(readyLimit); ; time.Sleep(time.Millisecond) {
		links, err := n.handle.LinkList()
		if err != nil {
			return fmt.Errorf("testnet: list links: %w", err)
		}
		up := 0
		for _, l := range links {
			if a := l.Attrs(); a.MasterIndex != 0 && a.OperState == netlink.OperUp {
				up++
			}
		}
		if up == len(n.members) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("testnet: %d of %d links are up after %v", up, len(n.members), readyLimit)
		}
	}
}

// Len is the number of members.
func (n *Net) Len() int { return len(n.members) }

// Member returns member i, counted from 1 like the last byte of its address; any other i panics.
func (n *Net) Member(i int) *Member { return n.members[i-1] }

// Close kills what was started inside and takes the network away. Sockets that are still open in a member's namespace
// find their interface gone. Closing twice does nothing.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.keeper.Stop()
	var errs []error
	for _, m := range n.members {
		if m.port != nil {
			// Taking one end of the cable away takes both, at once; the namespaces themselves go when the
			// kernel gets round to it.
			if err := n.handle.LinkDel(m.port); err != nil {
				errs = append(errs, fmt.Errorf("testnet: remove the link of member %d: %w", m.id, err))
			}
		}
		errs = append(errs, m.ns.Close())
	}
	if n.dropper != nil {
		errs = append(errs, n.dropper.close())
	}
	if n.handle != nil {
		n.handle.Close()
	}
	errs = append(errs, n.hub.Close())
	return errors.Join(errs...)
}
