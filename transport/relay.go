package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
)

// RelayOptions say how large the rings of a relay are and how its threads wake each other.
type RelayOptions struct {
	// ReceiveBytes is the size of the ring of received datagrams: a power of two; 0 means 4 MiB.
	ReceiveBytes int
	// Memory is where the bytes of that ring come from; nil: the Go heap.
	Memory func(bytes int) ([]byte, error)
	// Frames is how many transmit frames circulate between the threads: a power of two, less than the transport
	// has; 0 means 256.
	Frames int
	// Batch is how many datagrams one duty cycle of the network thread receives at most; 0 means 256.
	Batch int
	// WakeCore is called by the network thread after it published datagrams; WakeNetwork by the core thread after
	// it published frames or made room that the network thread waits for. They must be cheap when nobody is
	// parked. nil: nobody parks.
	WakeCore, WakeNetwork func()
	// StampNs is the clock that the receiver stamps with: read once a batch on the network thread. nil: it does not say
	// when datagrams arrived.
	StampNs func() int64
	// Counters is where the core thread counts that no empty frame was there; nil counts nowhere.
	Counters *counters.File
}

const relayHeader = 24 // in front of each received datagram in the ring: both end points, padding, when it arrived

// relay is what the two ends share. Received datagrams are copied through a byte ring, so that the network thread
// can receive on while the core thread reads. Transmit frames are the transport's own: empty ones wait in a ring for
// the core thread, filled ones come back through another; nothing is copied.
//
//	core thread                                     network thread
//	RelayCore.Receive  <--- received (bytes) <----  Transport.Receive
//	RelayCore.Acquire  <--- empty (frames)   <----  Transport.Acquire
//	RelayCore.Submit   ---> filled (frames)  ---->  Transport.Submit
type relay struct {
	received *ringbuf.MessageRing
	empty    *ringbuf.SPSC[Frame]
	filled   *ringbuf.SPSC[Frame]
	stalled  atomic.Bool // the network thread has a datagram that does not fit into received
	broken   atomic.Pointer[error]

	wakeCore, wakeNetwork func()
}

// NewRelay puts two rings' worth of distance between a transport and its user, so that they can run on two threads:
// the RelayCore is the Transport that the core thread uses, the RelayNetwork is an agent for the network thread,
// which from now on owns t and closes it in OnClose. Cold.
func NewRelay(t Transport, o RelayOptions) (*RelayCore, *RelayNetwork, error) {
	setDefault(&o.ReceiveBytes, 4<<20)
	setDefault(&o.Frames, 256)
	setDefault(&o.Batch, 256)
	if o.Frames < 1 || o.Frames&(o.Frames-1) != 0 || o.Batch < 1 {
		return nil, nil, fmt.Errorf("transport: a relay of %d frames and batches of %d: "+
			"want a power of two of frames and batches of at least 1", o.Frames, o.Batch)
	}
	longest := relayHeader + t.MaxPayload()
	if o.ReceiveBytes&(o.ReceiveBytes-1) != 0 || o.ReceiveBytes < 4*longest {
		return nil, nil, fmt.Errorf("transport: a relay ring of %d bytes: want a power of two of at least %d",
			o.ReceiveBytes, 4*longest)
	}
	if o.Memory == nil {
		o.Memory = func(bytes int) ([]byte, error) { return make([]byte, bytes), nil }
	}
	memory, err := o.Memory(o.ReceiveBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("transport: the ring of received datagrams: %w", err)
	}
	r := &relay{
		received: ringbuf.NewMessageRing(memory),
		empty:    ringbuf.NewSPSC(make([]Frame, o.Frames)),
		filled:   ringbuf.NewSPSC(make([]Frame, o.Frames)),
		wakeCore: o.WakeCore, wakeNetwork: o.WakeNetwork,
	}
	core := &RelayCore{
		relay: r, maxPayload: t.MaxPayload(), local: t.Local(), description: "relayed " + t.Describe(),
	}
	if o.Counters != nil {
		core.full = o.Counters.Counter("lockstep_relay_full_total",
			"Times that the core thread found too few empty frames.")
	}
	network := &RelayNetwork{
		relay: r, transport: t, frames: make([]Frame, o.Frames), rx: make([]Received, o.Batch),
		stampNs: o.StampNs,
	}
	return core, network, nil
}

func setDefault(v *int, standard int) {
	if *v == 0 {
		*v = standard
	}
}

// RelayCore is the core thread's end of a relay: a Transport.
type RelayCore struct {
	relay       *relay
	holds       bool // datagrams of the last Receive are not released yet
	maxPayload  int
	local       Addr
	description string
	full        *counters.Counter // nil: not counted
	closed      bool
}

var _ Transport = (*RelayCore)(nil)

// Receive implements Transport.
func (c *RelayCore) Receive(rx []Received) int {
	n := 0
	for n < len(rx) {
		m := c.relay.received.Next()
		if m == nil {
			break
		}
		rx[n] = Received{Payload: m[relayHeader:], From: getAddr(m), To: getAddr(m[6:]),
			AtNs: int64(binary.LittleEndian.Uint64(m[16:]))}
		n++
	}
	c.holds = c.holds || n > 0
	return n
}

// Release implements Transport.
func (c *RelayCore) Release() {
	if !c.holds {
		return
	}
	c.holds = false
	c.relay.received.Release()
	if c.relay.stalled.Load() && c.relay.wakeNetwork != nil {
		c.relay.wakeNetwork()
	}
}

// Acquire implements Transport.
func (c *RelayCore) Acquire(tx []Frame) int {
	if c.closed {
		return 0
	}
	n := c.relay.empty.Poll(tx)
	if n < len(tx) && c.full != nil {
		c.full.Inc()
	}
	return n
}

// Submit implements Transport. The frames are with the network thread on return.
func (c *RelayCore) Submit(tx []Frame) {
	if len(tx) == 0 || c.closed {
		return
	}
	for i := range tx {
		c.relay.filled.Offer(&tx[i]) // there is room: no more frames circulate than the ring has slots
	}
	c.relay.filled.Publish()
	if c.relay.wakeNetwork != nil {
		c.relay.wakeNetwork()
	}
}

// MaxPayload implements Transport.
func (c *RelayCore) MaxPayload() int { return c.maxPayload }

// Local implements Transport.
func (c *RelayCore) Local() Addr { return c.local }

// Fds implements Transport. There are none: WakeCore says that something arrived.
func (c *RelayCore) Fds() []int { return nil }

// Err implements Transport: what broke the transport on the network thread's side.
func (c *RelayCore) Err() error {
	if c.closed {
		return ErrClosed
	}
	if err := c.relay.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Describe implements Transport.
func (c *RelayCore) Describe() string { return c.description }

// Close ends this end. The transport itself is closed by the network thread.
func (c *RelayCore) Close() error {
	c.closed = true
	return nil
}

// RelayNetwork is the network thread's end of a relay: an agent that moves datagrams between the transport and the
// rings.
type RelayNetwork struct {
	relay     *relay
	transport Transport
	frames    []Frame    // scratch
	lent      int        // frames acquired from the transport and not submitted yet
	rx        []Received // the last Receive: [taken, got) did not fit into the ring yet
	taken     int
	got       int
	atNs      int64        // when that was
	stampNs   func() int64 // nil: it is not known
}

// Name is the agent's name.
func (n *RelayNetwork) Name() string { return "network" }

// OnStart has frames ready before the core thread asks for them.
func (n *RelayNetwork) OnStart(int64) error {
	n.lend()
	return n.check()
}

// DoWork sends what the core thread filled, lends it empty frames, and passes on what arrived. It allocates nothing
// and does not block. The error is final: the transport is broken.
func (n *RelayNetwork) DoWork(int64) (int, error) {
	work := n.send()
	n.lend()
	work += n.receive()
	return work, n.check()
}

// Fds are the descriptors to block on when idle.
func (n *RelayNetwork) Fds() []int { return n.transport.Fds() }

// OnClose sends what the core thread left and closes the transport. The core thread must have stopped.
func (n *RelayNetwork) OnClose() error {
	n.send()
	n.relay.stop(ErrClosed)
	return n.transport.Close()
}

func (n *RelayNetwork) send() int {
	count := n.relay.filled.Poll(n.frames)
	n.transport.Submit(n.frames[:count])
	n.lent -= count
	return count
}

func (n *RelayNetwork) lend() {
	room := len(n.frames) - n.lent
	if room == 0 {
		return
	}
	count := n.transport.Acquire(n.frames[:room])
	for i := range count {
		n.relay.empty.Offer(&n.frames[i])
	}
	n.relay.empty.Publish()
	n.lent += count
}

// receive passes datagrams on. When the ring is full they stay with the transport, whose own queue is bounded; the
// network thread never drops.
func (n *RelayNetwork) receive() int {
	if n.taken == n.got {
		n.got = n.transport.Receive(n.rx)
		n.taken = 0
		if n.got == 0 {
			return 0
		}
		if n.stampNs != nil {
			n.atNs = n.stampNs()
		}
	}
	count := n.pass()
	if n.taken < n.got {
		n.relay.stalled.Store(true)
		count += n.pass() // once more: room made before the flag could be seen wakes nobody
	}
	if n.taken == n.got {
		n.relay.stalled.Store(false)
		n.transport.Release()
	}
	if count > 0 && n.relay.wakeCore != nil {
		n.relay.wakeCore()
	}
	return count
}

func (n *RelayNetwork) pass() int {
	first := n.taken
	for n.taken < n.got {
		d := &n.rx[n.taken]
		m := n.relay.received.Claim(relayHeader + len(d.Payload))
		if m == nil {
			break
		}
		putAddr(m, d.From)
		putAddr(m[6:], d.To)
		if d.AtNs == 0 {
			d.AtNs = n.atNs
		}
		binary.LittleEndian.PutUint64(m[16:], uint64(d.AtNs))
		copy(m[relayHeader:], d.Payload)
		n.relay.received.Commit()
		n.taken++
	}
	n.relay.received.Publish()
	return n.taken - first
}

func (n *RelayNetwork) check() error {
	err := n.transport.Err()
	if err != nil {
		n.relay.stop(err)
	}
	return err
}

// stop tells the core thread; the first reason stays.
func (r *relay) stop(err error) {
	if r.broken.CompareAndSwap(nil, &err) && r.wakeCore != nil && !errors.Is(err, ErrClosed) {
		r.wakeCore()
	}
}

func putAddr(b []byte, a Addr) {
	copy(b[:4], a.IP[:])
	binary.LittleEndian.PutUint16(b[4:6], a.Port)
}

func getAddr(b []byte) Addr {
	return Addr{IP: [4]byte(b[:4]), Port: binary.LittleEndian.Uint16(b[4:6])}
}
