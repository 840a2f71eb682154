package client

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"lockstep/transport"
	"lockstep/wire"
)

// ErrClients says that a Mux has as many clients as it may have.
var ErrClients = errors.New("client: the mux has as many clients as it may have")

// MuxOptions say what the clients of a Mux share. Zero fields take the default, where there is one.
type MuxOptions struct {
	// Cluster is the cluster's id, as `lockstep status` prints it.
	Cluster uint64
	// Transport carries the datagrams of all clients; the Mux does not close it. It is to hold as many datagrams
	// unread as may come at once: the answers to a burst of every client.
	Transport transport.Transport
	// Seed gives clients whose Options have none their own: a random number, different for every Mux.
	Seed uint64
	// Clients is how many there may be at once; default 16384.
	Clients int
}

// Mux moves any number of clients along over one transport, on one thread. Every datagram is checked once and goes to
// the one client that it is for; a client without anything to do costs nothing but memory.
type Mux struct {
	o        MuxOptions
	port     *port
	rng      *rand.Rand
	tokens   map[uint64]*Client         // every client that is not closed
	sessions map[wire.SessionID]*Client // those that have a session
	timers   timers                     // every client that is not closed
	ready    []*Client                  // to be looked at by the next Poll, or by this one
	nowNs    int64
	stats    MuxStats
}

// MuxStats count what a Mux met with beside what its clients did.
type MuxStats struct {
	Dropped uint64 // datagrams that were not the cluster's
	Nobody  uint64 // datagrams that were for none of the clients: for one that is closed, as a rule
	Turns   uint64 // times that a client was looked at
}

// NewMux makes a mux without clients. Error: ErrOptions, wrapped.
func NewMux(o MuxOptions) (*Mux, error) {
	if o.Clients == 0 {
		o.Clients = 16384
	}
	switch {
	case o.Transport == nil:
		return nil, fmt.Errorf("%w: a transport is needed", ErrOptions)
	case o.Seed == 0:
		return nil, fmt.Errorf("%w: seed 0: want a random number that no other mux has", ErrOptions)
	case o.Clients < 0:
		return nil, fmt.Errorf("%w: %d clients at once: want at least 1", ErrOptions, o.Clients)
	}
	return &Mux{
		o: o, port: newPort(o.Transport, o.Cluster), rng: rand.New(rand.NewPCG(o.Seed, o.Cluster)),
		tokens: make(map[uint64]*Client), sessions: make(map[wire.SessionID]*Client),
	}, nil
}

// Add makes a client that this mux polls, and that connects by the next Poll. Of its options the cluster and the
// transport are the mux's; without a seed it gets one. When it is closed the mux forgets it: EventClosed is the last
// that is heard of it. Add may be called by a handler. Errors: ErrOptions, wrapped, and ErrClients.
func (m *Mux) Add(o Options, h Handler) (*Client, error) {
	if len(m.tokens) >= m.o.Clients {
		return nil, ErrClients
	}
	switch {
	case o.Transport != nil && o.Transport != m.o.Transport:
		return nil, fmt.Errorf("%w: a client of a mux has the mux's transport", ErrOptions)
	case o.Cluster != 0 && o.Cluster != m.o.Cluster:
		return nil, fmt.Errorf("%w: cluster %x in a mux of cluster %x", ErrOptions, o.Cluster, m.o.Cluster)
	}
	o.Transport, o.Cluster = m.o.Transport, m.o.Cluster
	for o.Seed == 0 {
		o.Seed = m.rng.Uint64()
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	c := newClient(&o, h, m.port)
	for c.token == 0 || m.tokens[c.token] != nil {
		c.token = m.rng.Uint64()
	}
	c.place.mux = m
	m.tokens[c.token] = c
	m.timers.push(c, math.MaxInt64)
	if n := 2 * len(m.tokens); cap(m.ready) < n { // while Poll goes through it a client may be in it twice
		m.ready = slices.Grow(m.ready, 2*n)
	}
	c.mark()
	return c, nil
}

// Poll does whatever is due for every client: it takes what has arrived and calls the handlers for it, sends what is to
// be sent, and looks for the leader where there is none. It never blocks. It returns how many datagrams it took and
// clients it looked at: 0 when there was nothing to do, and there is nothing before DueNs.
func (m *Mux) Poll(nowNs int64) (work int) {
	m.nowNs = nowNs
	work = m.port.receive(m)
	// What the loops themselves make ready is for the next Poll: handlers that send without end starve nobody.
	n := len(m.ready)
	for i := range n {
		c := m.ready[i]
		c.place.ready = false
		m.turn(c)
	}
	m.ready = m.ready[:copy(m.ready, m.ready[n:])]
	for range m.timers.len() {
		c := m.timers.first()
		if c.place.dueNs > nowNs {
			break
		}
		m.timers.move(c, math.MaxInt64)
		m.turn(c)
		n++
	}
	m.port.sender.Flush()
	m.stats.Turns += uint64(n)
	return work + n
}

// turn has a client do what is due, and notes when the next is. A client that was due earlier than it turns out keeps
// its place among the timers: it is looked at once in vain, which is cheaper than to move it at every message.
func (m *Mux) turn(c *Client) {
	c.nowNs = m.nowNs
	c.turn()
	if c.state == stateClosed {
		return
	}
	due := max(c.DueNs(), m.nowNs+1)
	if due < c.place.dueNs {
		m.timers.move(c, due)
	}
}

// forget lets go of a client that is closed: its handler, which is about to hear of it, may add another in its place.
func (m *Mux) forget(c *Client) {
	delete(m.tokens, c.token)
	delete(m.sessions, c.session)
	m.timers.remove(c)
}

// DueNs is when Poll next has something to do of itself, if nothing arrives and no client sends before; it may be past.
// The largest int64 when there is no client.
func (m *Mux) DueNs() int64 {
	switch {
	case len(m.ready) > 0:
		return 0
	case m.timers.len() == 0:
		return math.MaxInt64
	}
	return m.timers.first().place.dueNs
}

// Len is how many clients there are that are not closed.
func (m *Mux) Len() int { return len(m.tokens) }

// Stats returns the counts so far.
func (m *Mux) Stats() MuxStats { return m.stats }

// place is where a client stands in its mux.
type place struct {
	mux   *Mux
	dueNs int64 // by which it is looked at
	index int   // among the timers
	ready bool
}

// mark has the next Poll look at the client.
func (c *Client) mark() {
	if m := c.place.mux; m != nil && !c.place.ready {
		c.place.ready = true
		m.ready = append(m.ready, c)
	}
}
