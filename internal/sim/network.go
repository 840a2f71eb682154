package sim

import (
	"math"
	"math/rand/v2"

	"lockstep/transport"
)

// packet is a datagram on its way to one receiver.
type packet struct {
	payload  []byte
	from, to transport.Addr
	link     *link
	sender   int // number of its end point
}

// link is one direction between two end points.
type link struct {
	cut      bool
	clogNs   int64 // nothing arrives before
	lastNs   int64 // when the newest packet arrives: later ones come behind it, unless they are reordered
	inFlight int
}

// kept is a packet that may come again, long after.
type kept struct {
	payload  []byte
	from, to transport.Addr
}

const keptSlots = 48

// network carries packets between end points as the options say.
type network struct {
	w     *World
	rng   *rand.Rand
	o     NetworkOptions // in force; Options.Network as a rule
	ends  []*endpoint    // nodes, then clients
	links [][]link       // [from][to]
	// heardNs is when one end point last received what another had sent, [to][from].
	heardNs [][]int64
	kept    [][]kept // by receiver
	group   transport.Addr
	free    [][]byte
	count   NetworkCounts
	// sift, if set, sees every datagram on its way to a receiver and says whether it goes on; scripts set it.
	sift func(from, to *endpoint, addr transport.Addr, payload []byte) bool
}

// NetworkCounts say what became of datagrams, counted for each receiver.
type NetworkCounts struct {
	Sent, Delivered, Lost, Duplicated, Reordered, Replayed, Corrupted, Cut, Clogged, Overrun uint64
}

func (n *network) add(e *endpoint) {
	e.number = len(n.ends)
	n.ends = append(n.ends, e)
	n.kept = append(n.kept, nil)
	for i := range n.links {
		n.links[i] = append(n.links[i], link{})
	}
	n.links = append(n.links, make([]link, len(n.ends)))
	for i := range n.heardNs {
		n.heardNs[i] = append(n.heardNs[i], 0)
	}
	n.heardNs = append(n.heardNs, make([]int64, len(n.ends)))
}

func (n *network) hit(p float64) bool { return p > 0 && n.rng.Float64() < p }

// send carries a datagram to whoever it is for.
func (n *network) send(from *endpoint, to transport.Addr, payload []byte) {
	for _, e := range n.ends {
		if to == e.local && e.open || to == n.group && e.inGroup && e != from {
			n.carry(from, e, to, payload)
		}
	}
}

func (n *network) carry(from, to *endpoint, addr transport.Addr, payload []byte) {
	n.count.Sent++
	l := &n.links[from.number][to.number]
	n.keep(from, to, addr, payload)
	switch {
	case l.cut || n.sift != nil && !n.sift(from, to, addr, payload):
		n.count.Cut++
		return
	case n.hit(n.o.Loss):
		n.count.Lost++
		return
	case l.inFlight >= n.o.Capacity:
		n.count.Overrun++
		return
	}
	n.deliver(l, from, to, addr, payload)
	if n.hit(n.o.Duplicate) {
		n.count.Duplicated++
		n.deliver(l, from, to, addr, payload)
	}
	if old := n.kept[to.number]; len(old) > 0 && n.hit(n.o.Replay) {
		n.count.Replayed++
		k := &old[n.rng.IntN(len(old))]
		n.put(l, to, k.from, k.to, k.payload, n.delay())
	}
}

// keep has a few packets, of all times, come again later.
func (n *network) keep(from, to *endpoint, addr transport.Addr, payload []byte) {
	if n.o.Replay == 0 || n.rng.IntN(8) != 0 {
		return
	}
	k := kept{append([]byte(nil), payload...), from.local, addr}
	if list := n.kept[to.number]; len(list) < keptSlots {
		n.kept[to.number] = append(list, k)
	} else if i := n.rng.IntN(4 * keptSlots); i < keptSlots {
		list[i] = k
	}
}

func (n *network) delay() int64 {
	return n.o.DelayMinNs + min(int64(-math.Log(1-n.rng.Float64())*float64(n.o.DelayMeanNs)), 50*n.o.DelayMeanNs)
}

// deliver puts a packet on its way, behind those before it as a rule.
func (n *network) deliver(l *link, from, to *endpoint, addr transport.Addr, payload []byte) {
	at := n.w.nowNs + n.delay()
	if l.clogNs > n.w.nowNs {
		n.count.Clogged++
		at = max(at, l.clogNs)
	}
	if n.hit(n.o.Reorder) {
		n.count.Reordered++
		at += n.delay()
	} else {
		at = max(at, l.lastNs+1)
		l.lastNs = at
	}
	n.put(l, to, from.local, addr, payload, at-n.w.nowNs)
}

func (n *network) put(l *link, to *endpoint, from, addr transport.Addr, payload []byte, delayNs int64) {
	var b []byte
	if last := len(n.free) - 1; last >= 0 {
		b, n.free = n.free[last], n.free[:last]
	}
	b = append(b[:0], payload...)
	if n.hit(n.o.Corrupt) && len(b) > 0 {
		n.count.Corrupted++
		b[n.rng.IntN(len(b))] ^= 1 << n.rng.IntN(8)
		if n.rng.IntN(4) == 0 {
			b = b[:n.rng.IntN(len(b))]
		}
	}
	l.inFlight++
	n.w.queue.push(event{atNs: n.w.nowNs + delayNs, kind: eventPacket, who: int32(to.number),
		packet: &packet{payload: b, from: from, to: addr, link: l, sender: n.number(from)}})
}

// number is the end point that has an address.
func (n *network) number(at transport.Addr) int {
	for i, e := range n.ends {
		if e.local == at {
			return i
		}
	}
	return 0
}

// arrive hands a packet to its receiver.
func (n *network) arrive(to *endpoint, p *packet) {
	p.link.inFlight--
	if !to.open || len(to.inbox) >= inboxSlots {
		n.count.Overrun++
		n.free = append(n.free, p.payload)
		return
	}
	n.count.Delivered++
	n.heardNs[to.number][p.sender] = n.w.nowNs
	to.inbox = append(to.inbox, p)
	to.wake()
}

// heal makes a network on which datagrams only take their time.
func (n *network) heal() {
	n.o.Loss, n.o.Duplicate, n.o.Reorder, n.o.Replay, n.o.Corrupt, n.o.Short = 0, 0, 0, 0, 0, 0
	n.o.DelayMeanNs = min(n.o.DelayMeanNs, 200e3)
	n.o.DelayMinNs = min(n.o.DelayMinNs, 100e3)
	n.o.Capacity = inboxSlots
	for i := range n.links {
		for j := range n.links[i] {
			n.links[i][j].cut, n.links[i][j].clogNs = false, 0
		}
	}
}

const (
	inboxSlots = 1024
	frameSlots = 512
)

// endpoint is a transport.Transport on the network.
type endpoint struct {
	w       *World
	number  int
	local   transport.Addr
	inGroup bool
	open    bool
	mtu     int
	wake    func()
	inbox   []*packet
	held    []*packet
	frames  [][]byte
	free    []uint64
}

// reopen is what a new process finds: an empty socket.
func (e *endpoint) reopen() transport.Transport {
	e.inbox, e.held, e.open = e.inbox[:0], e.held[:0], true
	e.free = e.free[:0]
	for i := range e.frames {
		e.free = append(e.free, uint64(i))
	}
	return e
}

// Receive implements transport.Transport.
func (e *endpoint) Receive(rx []transport.Received) int {
	n := min(len(rx), len(e.inbox))
	if n > 1 && e.w.net.hit(e.w.net.o.Short) {
		n = 1 + e.w.net.rng.IntN(n-1)
	}
	for i, p := range e.inbox[:n] {
		rx[i] = transport.Received{Payload: p.payload, From: p.from, To: p.to}
		e.held = append(e.held, p)
	}
	e.inbox = e.inbox[:copy(e.inbox, e.inbox[n:])]
	return n
}

// Release implements transport.Transport. What is given back is spoiled, so that use after that shows.
func (e *endpoint) Release() {
	for _, p := range e.held {
		for i := range p.payload {
			p.payload[i] = 0xcc
		}
		e.w.net.free = append(e.w.net.free, p.payload)
	}
	e.held = e.held[:0]
}

// Acquire implements transport.Transport.
func (e *endpoint) Acquire(tx []transport.Frame) int {
	n := 0
	if e.w.net.hit(e.w.net.o.Short) {
		return 0 // what went before is still on its way out
	}
	for ; n < len(tx); n++ {
		if len(e.free) == 0 {
			if len(e.frames) == frameSlots {
				break
			}
			e.free = append(e.free, uint64(len(e.frames)))
			e.frames = append(e.frames, make([]byte, e.mtu))
		}
		slot := e.free[len(e.free)-1]
		e.free = e.free[:len(e.free)-1]
		tx[n] = transport.Frame{Buf: e.frames[slot], Token: slot}
	}
	return n
}

// Submit implements transport.Transport.
func (e *endpoint) Submit(tx []transport.Frame) {
	for i := range tx {
		f := &tx[i]
		if f.Length > 0 && f.Length <= len(f.Buf) {
			e.w.check.onDatagram(e, f.To, f.Buf[:f.Length])
			e.w.net.send(e, f.To, f.Buf[:f.Length])
		}
		e.free = append(e.free, f.Token)
	}
}

// MaxPayload implements transport.Transport.
func (e *endpoint) MaxPayload() int { return e.mtu }

// Local implements transport.Transport.
func (e *endpoint) Local() transport.Addr { return e.local }

// Fds implements transport.Transport.
func (e *endpoint) Fds() []int { return nil }

// Err implements transport.Transport.
func (e *endpoint) Err() error { return nil }

// Describe implements transport.Transport.
func (e *endpoint) Describe() string { return "simulated network" }

// Close implements transport.Transport.
func (e *endpoint) Close() error {
	e.open = false
	return nil
}
