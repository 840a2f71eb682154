package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/replica"
	"lockstep/ringbuf"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/service/lock"
	"lockstep/service/orderbook"
	"lockstep/service/queue"
	"lockstep/service/timer"
	"lockstep/transport"
	"lockstep/wire"
)

// Machine is what a node runs on: the real one, or one that a test or a simulator makes up, where one goroutine drives
// every agent of every node under a virtual clock.
type Machine struct {
	FS     vfs.FS
	Clock  agent.Clock
	Random io.Reader // seeds, secrets, session ids
	// Transport opens what the config asks for; nil: kernel UDP or AF_XDP.
	Transport func(Config) (transport.Transport, error)
	// Fetch fetches log bytes of other nodes; nil: over HTTP.
	Fetch replica.Fetch
	// Snapshots asks another node what it offers (Node.Listing), SnapshotData copies bytes of a snapshot that it offers
	// into b (its Node.SnapshotBytes). nil: over HTTP; inline: nobody offers anything.
	Snapshots    func(ctx context.Context, server wire.NodeID) (Listing, error)
	SnapshotData func(ctx context.Context, server wire.NodeID, r SnapshotRange, b []byte) (int, error)
	// Services adds services to those of the build, or replaces them: made anew at every call. nil: none.
	Services func(*[service.MaxServices]service.Service)
	// Inline starts no thread and no control plane, and no agent blocks: whoever made the machine invokes
	// Node.Agents. Counters are then in memory.
	Inline bool
	// MappedRing has an inline node's log ring mapped twice, as that of a node with threads is; else it is on the heap, and both
	// halves are written.
	MappedRing bool
	// Unstamped leaves out when messages reached which stage: what is measured against it is what stamping costs.
	Unstamped bool
	// Limits, where they are not zero, stand in for the build's: a simulator's small worlds are to reach them. They
	// change outputs: the same on every node of a cluster.
	Limits MachineLimits
}

// MachineLimits are what a build fixes for all nodes.
type MachineLimits struct {
	Book      orderbook.Options
	KV        kv.Options
	Lock      lock.Options
	Queue     queue.Options
	Timer     timer.Options
	Service   service.Limits
	Sequencer sequencer.Limits
	Version   uint32 // highest behaviour version that the build has
	// ScrubPauseNs is the time between two passes of the scrub, and between two snapshots that are read again.
	ScrubPauseNs int64
	// PinNs is for how long what another node reads here stays after its last request.
	PinNs int64
}

// Real is the machine that this process runs on.
func Real() Machine {
	return Machine{FS: vfs.Real{}, Clock: agent.System{}, Random: rand.Reader}
}

// stampNs is the clock that stages are stamped with; nil: they are not.
func (m *Machine) stampNs() func() int64 {
	if m.Unstamped {
		return nil
	}
	return m.Clock.StampNs
}

// bits64 draws 64 bits, not 0.
func (m *Machine) bits64() uint64 {
	var b [8]byte
	for {
		m.fill(b[:])
		if v := binary.LittleEndian.Uint64(b[:]); v != 0 {
			return v
		}
	}
}

// fill fills b with random bytes.
func (m *Machine) fill(b []byte) {
	if _, err := io.ReadFull(m.Random, b); err != nil {
		panic("node: no random numbers: " + err.Error()) // crypto/rand never fails
	}
}

// Agents returns the agents in the order in which one thread is to start and invoke them. Machine.Inline only.
func (n *Node) Agents() []agent.Agent {
	var agents []agent.Agent
	for i := len(n.threads) - 1; i >= 0; i-- {
		agents = append(agents, n.threads[i].agent)
	}
	return agents
}

// Reader returns a reader of this node's journal, past the agents that write it.
func (n *Node) Reader() (*journal.Reader, error) {
	r, err := journal.NewReader(n.machine.FS, n.config.Dir)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return r, nil
}

// Internals are the parts of a node that a simulator looks at between two invocations. Machine.Inline only.
type Internals struct {
	Core     *replica.Core
	Ring     *ringbuf.LogRing
	Progress *service.Progress
	Driver   *service.Driver
	Counters *counters.File
	Identity journal.Identity
	Operator *replica.Operator
	Store    *snapshot.Store
}

// Internals returns the parts of a node that is open.
func (n *Node) Internals() Internals {
	return Internals{Core: n.core, Ring: n.ring, Progress: &n.progress, Driver: n.driver, Counters: n.counters,
		Identity: n.identity, Operator: n.operator, Store: n.store}
}

// Finish ends a node whose agents are closed as a process that was told to stop does: the log is marked clean if all of
// it is synced. Machine.Inline only.
func (n *Node) Finish() error { return errors.Join(n.stop(), n.close()) }

// Abandon gives back what the process holds and leaves the directory as it is, as a crash does. Machine.Inline only.
func (n *Node) Abandon() error { return n.close() }
