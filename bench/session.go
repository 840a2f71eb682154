package bench

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/transport"
	"lockstep/wire"
	"lockstep/xdp"
)

// Target is a cluster to be measured, and from where.
type Target struct {
	Transport string // "xdp" or "udp"
	Interface string // for xdp
	XDPMode   string
	Local     transport.Addr // own end point; port 0 takes any
	Group     transport.Addr // multicast group to receive; none for a client
	Nodes     []transport.Addr
	Cluster   uint64
	Stages    bool // ask the leader where the time of messages goes

	open func() (transport.Transport, error) // of a test: instead of the network
}

// OpenTransport opens the client's transport; mode is what was got ("generic", "native", "kernel").
func (t *Target) OpenTransport() (tr transport.Transport, mode string, err error) {
	if t.open != nil {
		tr, err := t.open()
		return tr, "memory", err
	}
	if t.Transport != "xdp" {
		udp, err := transport.OpenUDP(transport.UDPOptions{Local: t.Local, Group: t.Group})
		if err != nil {
			return nil, "", err
		}
		return udp, "kernel", nil
	}
	want, err := xdp.ParseMode(t.XDPMode)
	if err != nil {
		return nil, "", err
	}
	config := xdp.Config{Interface: t.Interface, Local: t.Local.AddrPort(), Mode: want}
	if t.Group != (transport.Addr{}) {
		config.Groups = []netip.AddrPort{t.Group.AddrPort()}
	}
	for _, n := range t.Nodes {
		if n.IP == t.Local.IP {
			continue
		}
		config.Peers = append(config.Peers, netip.AddrFrom4(n.IP))
	}
	x, err := transport.OpenXDP(config, nil)
	if err != nil {
		return nil, "", err
	}
	return x, x.Mode(), nil
}

// connectLimit bounds the wait for a session.
const connectLimit = 15 * time.Second

// Connect opens a session and waits until it is open.
func (t *Target) Connect(ctx context.Context, tr transport.Transport, name string, window uint32, h client.Handler,
	clock agent.Clock, idle agent.Idle) (*client.Client, error) {
	var seed [8]byte
	_, _ = crand.Read(seed[:]) // never fails (crypto/rand)
	c, err := client.New(client.Options{
		Cluster: t.Cluster, Nodes: t.Nodes, Name: name, Transport: tr, Window: window, Stages: t.Stages,
		Seed: binary.LittleEndian.Uint64(seed[:]) | 1,
	}, h)
	if err != nil {
		return nil, err
	}
	deadline := clock.NowNs() + connectLimit.Nanoseconds()
	for !c.Connected() {
		nowNs := clock.NowNs()
		if nowNs > deadline || ctx.Err() != nil {
			return nil, fmt.Errorf("bench: no node of %v opened a session within %v", t.Nodes, connectLimit)
		}
		idle.Idle(c.Poll(nowNs))
	}
	return c, nil
}

// CloseSession tells the cluster that the session is over, and waits a little for it to say so.
func CloseSession(c *client.Client, clock agent.Clock, idle agent.Idle) {
	c.Close(clock.NowNs())
	for deadline := clock.NowNs() + time.Second.Nanoseconds(); !c.Closed() && clock.NowNs() < deadline; {
		idle.Idle(c.Poll(clock.NowNs()))
	}
}

// LevelNames are the guarantee levels a round trip can be measured at, cheapest first.
var LevelNames = []wire.Level{
	wire.LevelReceived, wire.LevelSequenced, wire.LevelReplicated, wire.LevelDurable, wire.LevelApplied,
}
