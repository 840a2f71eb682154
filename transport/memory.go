package transport

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Faults are what an in-process network does to datagrams. Loss, Duplicate and Reorder are probabilities, 0 to 1, and
// are drawn for each receiver of a datagram apart. The delay is drawn evenly from [DelayMinNs, DelayMaxNs], in
// nanoseconds of the network's own time, which moves only by SetNow.
type Faults struct {
	Loss       float64
	Duplicate  float64
	Reorder    float64 // let a datagram be overtaken by up to reorderSpan that were sent after it
	DelayMinNs int64
	DelayMaxNs int64
}

const reorderSpan = 8

// MemoryOptions say how NewMemory builds a network. The zero value is a perfect network.
type MemoryOptions struct {
	Seed   uint64
	Faults Faults
	MTU    int // bytes of an IP packet; 0 means 1500
	Slots  int // datagrams that an end point holds unread, and frames that it can acquire; 0 means 1024
	// Alone promises that one goroutine uses the network and all of its end points: then there is no lock.
	Alone bool
}

// MemoryStats count what became of datagrams, all but the last two once for each receiver.
type MemoryStats struct {
	Delivered   uint64 // put into a receiver's queue, duplicates included
	Lost        uint64
	Duplicated  uint64
	Reordered   uint64
	Filtered    uint64 // refused by the filter
	Overrun     uint64 // the receiver's queue was full
	Unreachable uint64 // nobody has that address, or nobody joined that group
	Full        uint64 // times that an Acquire came back with fewer frames than asked for
}

// Filter decides whether a datagram sent from one end point reaches another: to is the receiver's own end point, also
// for multicast. It runs under the network's lock, in the sender's thread.
type Filter func(from, to Addr, payload []byte) bool

// Network is an in-process network for tests: end points join it and send to each other. The same seed and the same
// sequence of calls give the same deliveries. Its own methods may be called from any thread.
type Network struct {
	mu      sync.Mutex
	alone   bool
	rng     *rand.Rand
	faults  Faults
	filter  Filter
	nowNs   int64
	sent    uint64
	stats   MemoryStats
	mtu     int
	slots   int
	perfect bool      // nothing is lost, late or refused
	members []*member // in the order of joining: part of what makes runs repeatable
}

// NewMemory makes a network without anybody on it.
func NewMemory(o MemoryOptions) *Network {
	if o.MTU == 0 {
		o.MTU = loopbackMTU
	}
	if o.Slots == 0 {
		o.Slots = 1024
	}
	n := &Network{rng: rand.New(rand.NewPCG(o.Seed, 0x6c6f636b73746570)), faults: o.Faults, mtu: o.MTU, slots: o.Slots,
		alone: o.Alone}
	n.judge()
	return n
}

// Join adds an end point that also receives the given groups. The address must be free; it is free again after Close.
func (n *Network) Join(local Addr, groups ...Addr) (Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		if m.local == local {
			return nil, fmt.Errorf("transport: %w: %s is on the in-process network already", ErrPortInUse, local)
		}
	}
	m := newMember(n, local, groups)
	n.members = append(n.members, m)
	return m, nil
}

// SetFaults changes what happens to datagrams sent from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
	n.judge()
}

func (n *Network) lock() {
	if !n.alone {
		n.mu.Lock()
	}
}

func (n *Network) unlock() {
	if !n.alone {
		n.mu.Unlock()
	}
}

// judge sees whether datagrams need no looking at.
func (n *Network) judge() { n.perfect = n.faults == Faults{} && n.filter == nil }

// SetFilter installs a filter, nil for none: to cut links, one way or both.
func (n *Network) SetFilter(f Filter) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = f
	n.judge()
}

// SetNow moves the network's time, in nanoseconds; delayed datagrams become due by it. It never goes back.
func (n *Network) SetNow(nowNs int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nowNs = max(n.nowNs, nowNs)
}

// Stats returns the counts so far.
func (n *Network) Stats() MemoryStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// send carries one datagram to everybody it is for. The lock is held.
func (n *Network) send(from *member, to Addr, payload []byte) {
	found := false
	for _, m := range n.members {
		if m == from && to != m.local || !m.hears(to) {
			continue
		}
		found = true
		if n.perfect {
			n.hand(from, m, to, payload, n.nowNs, 0)
		} else {
			n.carry(from, m, to, payload)
		}
	}
	if !found {
		n.stats.Unreachable++
	}
}

// carry does to a datagram for one receiver what the faults say.
func (n *Network) carry(from, receiver *member, to Addr, payload []byte) {
	if n.filter != nil && !n.filter(from.local, receiver.local, payload) {
		n.stats.Filtered++
		return
	}
	if n.hit(n.faults.Loss) {
		n.stats.Lost++
		return
	}
	copies := 1
	if n.hit(n.faults.Duplicate) {
		n.stats.Duplicated++
		copies = 2
	}
	for range copies {
		late := uint64(0)
		if n.hit(n.faults.Reorder) {
			n.stats.Reordered++
			late = 2*(1+n.rng.Uint64N(reorderSpan)) + 1
		}
		dueNs := n.nowNs + n.faults.DelayMinNs
		if spread := n.faults.DelayMaxNs - n.faults.DelayMinNs; spread > 0 {
			dueNs += n.rng.Int64N(spread + 1)
		}
		n.hand(from, receiver, to, payload, dueNs, late)
	}
}

// hand puts a datagram into a receiver's queue, behind those before it by so much.
func (n *Network) hand(from, receiver *member, to Addr, payload []byte, dueNs int64, late uint64) {
	n.sent++
	if receiver.deliver(payload, from.local, to, dueNs, 2*n.sent+late) {
		n.stats.Delivered++
	} else {
		n.stats.Overrun++
	}
}

func (n *Network) hit(probability float64) bool {
	return probability > 0 && n.rng.Float64() < probability
}

func (n *Network) leave(m *member) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = slices.DeleteFunc(n.members, func(other *member) bool { return other == m })
}
