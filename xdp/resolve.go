package xdp

import (
	"encoding/binary"
	"errors"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// want is a destination that the watcher was told of, by configuration or by a sender that did not know it.
type want struct {
	fixed   bool   // a configured peer: never forgotten
	via     uint32 // next hop, the destination itself on the own network; 0 if there is no way to it
	routed  bool   // via is known
	idle    int    // ticks without use or answer
	answers bool   // in the table
}

// nudUsable are the states in which a neighbour's Ethernet address may be used.
const nudUsable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE |
	netlink.NUD_PERMANENT | netlink.NUD_NOARP

// refresh takes in what senders asked for, reads the kernel's neighbours, publishes a new table, and makes the kernel
// ask for those that are missing. With reroute, the way to every destination is looked up anew.
func (w *watcher) refresh(reroute bool) {
	w.takeAsked()
	for ip, d := range w.wanted {
		if reroute || !d.routed {
			d.via, d.routed = w.nextHop(ip), true
		}
	}
	known, err := w.readNeighbours()
	if err != nil {
		w.netlinkErrors.add(1)
		return
	}
	w.publish(known)
	for ip, d := range w.wanted {
		state := stateOf(known[d.via])
		d.answers = state&nudUsable != 0
		silent := !d.answers && state&netlink.NUD_INCOMPLETE == 0 // nobody is asking
		if d.via != 0 && (silent || d.fixed && state&netlink.NUD_STALE != 0) {
			w.probe(d.via)
		}
		if d.answers && d.via == ip && !d.fixed {
			delete(w.wanted, ip) // from here on the kernel's own table tells
		}
	}
}

// takeAsked moves what senders asked for into wanted.
func (w *watcher) takeAsked() {
	for i := range w.endpoint.neighbours.asked {
		ip := w.endpoint.neighbours.asked[i].Load()
		if ip == 0 {
			continue
		}
		if d := w.wanted[ip]; d != nil {
			d.idle = 0
		} else if len(w.wanted) < wantedMax {
			w.wanted[ip] = &want{}
		}
	}
}

// nextHop asks the kernel which neighbour a destination is reached through on our interface; 0 for none, such as our
// own host, which AF_XDP cannot reach.
func (w *watcher) nextHop(ip uint32) uint32 {
	routes, err := w.handle.RouteGetWithOptions(netIP(ip),
		&netlink.RouteGetOptions{OifIndex: w.endpoint.device.index})
	if err != nil || len(routes) == 0 || routes[0].Type != unix.RTN_UNICAST {
		return 0
	}
	if gateway := routes[0].Gw.To4(); gateway != nil && !gateway.IsUnspecified() {
		return binary.BigEndian.Uint32(gateway)
	}
	return ip
}

// readNeighbours lists the IPv4 neighbours on our interface.
func (w *watcher) readNeighbours() (map[uint32]*netlink.Neigh, error) {
	list, err := w.handle.NeighList(w.endpoint.device.index, netlink.FAMILY_V4)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	known := make(map[uint32]*netlink.Neigh, len(list)+1)
	for i := range list {
		if ip := list[i].IP.To4(); ip != nil {
			known[binary.BigEndian.Uint32(ip)] = &list[i]
		}
	}
	return known, nil
}

// stateOf is a neighbour's state, none if the kernel does not have it.
func stateOf(n *netlink.Neigh) int {
	if n == nil {
		return netlink.NUD_NONE
	}
	return n.State
}

// publish makes the table of all that can be reached: neighbours, and destinations through them.
func (w *watcher) publish(known map[uint32]*netlink.Neigh) {
	shared := &w.endpoint.neighbours
	old := shared.table.Load()
	t := newNeighbourTable(len(known) + len(w.wanted))
	add := func(ip uint32, n *netlink.Neigh) {
		if n == nil || n.State&nudUsable == 0 || len(n.HardwareAddr) != 6 {
			return
		}
		before := old.find(ip)
		t.add(ip, n.HardwareAddr, before != nil && before.used.Load())
	}
	for ip, d := range w.wanted {
		if d.via != ip {
			add(ip, known[d.via])
		}
	}
	for ip, n := range known {
		add(ip, n)
	}
	shared.table.Store(t)
}

// age looks which entries were in use since the last time: the kernel, which does not see our datagrams, is made to
// check those it holds for stale; destinations that nobody wants any more are forgotten.
func (w *watcher) age() {
	t := w.endpoint.neighbours.table.Load()
	known, err := w.readNeighbours()
	if err != nil {
		w.netlinkErrors.add(1)
		return
	}
	for i := range t.entries {
		e := &t.entries[i]
		if e.ip == 0 || !e.used.Swap(false) {
			continue
		}
		via := e.ip
		if d := w.wanted[e.ip]; d != nil {
			d.idle = 0
			via = d.via
		}
		if stateOf(known[via])&netlink.NUD_STALE != 0 {
			w.probe(via)
		}
	}
	for ip, d := range w.wanted {
		d.idle += refreshTicks
		if !d.fixed && (d.idle > forgetTicks || !d.answers && d.idle > askTicks) {
			delete(w.wanted, ip)
		}
	}
}

// unresolved says whether some destination is still missing.
func (w *watcher) unresolved() bool {
	for _, d := range w.wanted {
		if !d.answers {
			return true
		}
	}
	return false
}

// probe makes the kernel resolve a neighbour, or check one that is stale.
func (w *watcher) probe(ip uint32) {
	err := w.handle.NeighSet(&netlink.Neigh{
		LinkIndex: w.endpoint.device.index, Family: netlink.FAMILY_V4, IP: netIP(ip), Flags: netlink.NTF_USE,
	})
	if err != nil {
		w.netlinkErrors.add(1)
	}
}

func netIP(ip uint32) net.IP {
	b := make(net.IP, 4)
	binary.BigEndian.PutUint32(b, ip)
	return b
}
