package transport

import (
	"fmt"
	"slices"
)

// member is one end point of an in-process network. Its queue is touched under the network's lock; the rest belongs
// to the thread that owns the transport.
type member struct {
	network *Network
	local   Addr
	groups  []Addr
	err     error

	slots []parcel
	spare []uint32 // slots that hold nothing
	queue []uint32 // slots that hold a datagram: a binary heap, the next one to be received first
	held  []uint32 // slots handed out by the last Receive

	frames [][]byte
	free   []uint32
}

// parcel is a datagram on its way to one receiver.
type parcel struct {
	buf      []byte
	length   int
	from, to Addr
	dueNs    int64
	order    uint64
}

func (p *parcel) before(q *parcel) bool {
	if p.dueNs != q.dueNs {
		return p.dueNs < q.dueNs
	}
	return p.order < q.order
}

func newMember(n *Network, local Addr, groups []Addr) *member {
	m := &member{
		network: n, local: local, groups: slices.Clone(groups), slots: make([]parcel, n.slots),
		queue: make([]uint32, 0, n.slots), held: make([]uint32, 0, n.slots),
		frames: cut(n.slots, n.mtu-HeaderBytes),
	}
	for i, b := range cut(n.slots, n.mtu-HeaderBytes) {
		m.slots[i].buf = b
		m.spare = append(m.spare, uint32(i))
		m.free = append(m.free, uint32(n.slots-1-i))
	}
	return m
}

func (m *member) hears(to Addr) bool { return to == m.local || slices.Contains(m.groups, to) }

// deliver queues a datagram; false when the queue is full. The network's lock is held.
func (m *member) deliver(payload []byte, from, to Addr, dueNs int64, order uint64) bool {
	if len(m.spare) == 0 {
		return false
	}
	slot := m.spare[len(m.spare)-1]
	m.spare = m.spare[:len(m.spare)-1]
	p := &m.slots[slot]
	p.length = copy(p.buf, payload)
	p.from, p.to, p.dueNs, p.order = from, to, dueNs, order
	m.push(slot)
	return true
}

func (m *member) push(slot uint32) {
	m.queue = append(m.queue, slot)
	for i := len(m.queue) - 1; i > 0; {
		parent := (i - 1) / 2
		if !m.slots[m.queue[i]].before(&m.slots[m.queue[parent]]) {
			return
		}
		m.queue[i], m.queue[parent] = m.queue[parent], m.queue[i]
		i = parent
	}
}

func (m *member) pop() uint32 {
	top := m.queue[0]
	last := len(m.queue) - 1
	m.queue[0] = m.queue[last]
	m.queue = m.queue[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if m.slots[m.queue[child]].before(&m.slots[m.queue[least]]) {
				least = child
			}
		}
		if least == i {
			return top
		}
		m.queue[i], m.queue[least] = m.queue[least], m.queue[i]
		i = least
	}
}

// Receive implements Transport.
func (m *member) Receive(rx []Received) int {
	if m.err != nil {
		return 0
	}
	m.network.lock()
	n := 0
	for n < len(rx) && len(m.queue) > 0 && m.slots[m.queue[0]].dueNs <= m.network.nowNs {
		slot := m.pop()
		m.held = append(m.held, slot)
		p := &m.slots[slot]
		rx[n] = Received{Payload: p.buf[:p.length], From: p.from, To: p.to}
		n++
	}
	m.network.unlock()
	return n
}

// Release implements Transport.
func (m *member) Release() {
	if len(m.held) == 0 {
		return
	}
	m.network.lock()
	m.spare = append(m.spare, m.held...)
	m.network.unlock()
	m.held = m.held[:0]
}

// Acquire implements Transport.
func (m *member) Acquire(tx []Frame) int {
	if m.err != nil {
		return 0
	}
	n := min(len(tx), len(m.free))
	for i := range n {
		slot := m.free[len(m.free)-1-i]
		tx[i] = Frame{Buf: m.frames[slot], Token: uint64(slot)}
	}
	m.free = m.free[:len(m.free)-n]
	if n < len(tx) {
		m.network.lock()
		defer m.network.unlock()
		m.network.stats.Full++
	}
	return n
}

// Submit implements Transport. Whatever is submitted is with its receivers, or lost, on return.
func (m *member) Submit(tx []Frame) {
	if len(tx) == 0 {
		return
	}
	m.network.lock()
	defer m.network.unlock()
	for i := range tx {
		f := &tx[i]
		if f.Length > 0 && f.Length <= len(f.Buf) && m.err == nil {
			m.network.send(m, f.To, f.Buf[:f.Length])
		}
		m.free = append(m.free, uint32(f.Token))
	}
}

// MaxPayload implements Transport.
func (m *member) MaxPayload() int { return m.network.mtu - HeaderBytes }

// Local implements Transport.
func (m *member) Local() Addr { return m.local }

// Fds implements Transport: there is none, so nobody can block on an in-process network.
func (m *member) Fds() []int { return nil }

// Err implements Transport.
func (m *member) Err() error { return m.err }

// Describe implements Transport.
func (m *member) Describe() string { return fmt.Sprintf("memory %s, in-process network", m.local) }

// Close implements Transport. What was not received is lost.
func (m *member) Close() error {
	if m.err == nil {
		m.network.leave(m)
		m.err = ErrClosed
	}
	return nil
}
