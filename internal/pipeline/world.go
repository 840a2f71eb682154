package pipeline

import (
	"errors"
	"fmt"
	"io"
	"runtime"

	"lockstep/agent"
	"lockstep/agent/tsc"
	"lockstep/client"
	"lockstep/node"
	"lockstep/service/orderbook"
	"lockstep/transport"
)

// Bounds of a world.
const (
	clusterID = 1
	maxStepNs = 50_000 // virtual time of one cycle at most
	// othersEveryNs is how often the agents of threads that block have a cycle: a hundred times as often as a journal that
	// nobody waits for has something to write.
	othersEveryNs = 100_000
	slots         = 4096       // datagrams that an end point holds
	patience      = 20_000_000 // cycles until something that was waited for is given up
)

// clock is virtual time, whose stamps are the machine's, for what reading them costs.
type clock struct{ *agent.Virtual }

// StampNs implements agent.Clock.
func (clock) StampNs() int64 { return tsc.Now() }

// world is a cluster of three and its clients on one goroutine.
type world struct {
	clock   clock
	lastNs  int64 // real time of the cycle before
	network *transport.Network
	disks   []*void
	nodes   []*node.Node
	hot     []*agent.Invoker // of the thread that never blocks, of each node
	others  []*agent.Invoker // of those that block when nothing is to be done
	dueNs   int64            // when the others have a cycle again
	mux     *client.Mux
	data    []transport.Addr

	spentNs int64 // real time of the nodes' agents, so far
	cycles  int64 // of each node
	timing  func(counting bool)
}

// newWorld makes a cluster that has seen nothing.
func newWorld(book orderbook.Options) (*world, error) {
	w := &world{clock: clock{agent.NewVirtual(1e9, 1_700_000_000e9)}, lastNs: tsc.Now(), timing: func(bool) {},
		network: transport.NewMemory(transport.MemoryOptions{Slots: slots, Alone: true})}
	config := node.Defaults()
	config.Cluster.Rule = "replicated"
	config.Journal.ScrubBytesPerS, config.Snapshot.EveryBytes, config.Retention.Bytes = 0, 0, 1<<50
	config.Limits.AdmitPerS = 10_000_000
	for i := 1; i <= nodes; i++ {
		config.Cluster.Nodes = append(config.Cluster.Nodes, node.NodeConfig{ID: i,
			Data: fmt.Sprintf("10.0.0.%d:7400", i), Control: fmt.Sprintf("10.0.0.%d:7500", i)})
	}
	for i := 1; i <= nodes; i++ {
		config.Node, config.Dir = i, "/node"
		if err := w.addNode(config, book); err != nil {
			return nil, errors.Join(err, w.close())
		}
	}
	at, err := w.network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 100}, Port: 7600})
	if err == nil {
		w.mux, err = client.NewMux(client.MuxOptions{Cluster: clusterID, Transport: at, Seed: 1})
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// addNode opens a node and starts its agents.
func (w *world) addNode(config node.Config, book orderbook.Options) error {
	local, err := transport.ParseAddr(config.Self().Data)
	if err != nil {
		return err
	}
	group, err := transport.ParseAddr(config.Cluster.Group)
	if err != nil {
		return err
	}
	disk := newVoid()
	machine := node.Real()
	machine.FS, machine.Clock, machine.Inline, machine.MappedRing = disk, w.clock, true, true
	machine.Limits.Book = book
	machine.Transport = func(node.Config) (transport.Transport, error) { return w.network.Join(local, group) }
	if _, err := machine.Format(config.Dir, config.Node, clusterID); err != nil {
		return err
	}
	n, err := node.OpenOn(machine, config, io.Discard)
	if err != nil {
		return err
	}
	w.disks, w.nodes, w.data = append(w.disks, disk), append(w.nodes, n), append(w.data, local)
	for _, a := range n.Agents() {
		i := agent.NewInvoker(a)
		if err := i.Start(w.clock.NowNs()); err != nil {
			return err
		}
		w.others = append(w.others, i)
	}
	last := len(w.others) - 1 // what writes the log comes last
	w.hot, w.others = append(w.hot, w.others[last]), w.others[:last]
	return nil
}

// close gives back what the nodes hold.
func (w *world) close() error {
	var errs []error
	for _, n := range w.nodes {
		errs = append(errs, n.Abandon())
	}
	return errors.Join(errs...)
}

// cycle gives the hot thread of every node one duty cycle, the other agents now and then, and then the clients.
func (w *world) cycle() error {
	startNs := tsc.Now()
	w.clock.Advance(min(max(startNs-w.lastNs, 0), maxStepNs))
	w.lastNs = startNs
	nowNs := w.clock.NowNs()
	w.timing(true)
	if nowNs >= w.dueNs {
		w.dueNs = nowNs + othersEveryNs
		if err := invoke(w.others, nowNs); err != nil {
			return err
		}
	}
	if err := invoke(w.hot, nowNs); err != nil {
		return err
	}
	w.timing(false)
	w.spentNs += tsc.Now() - startNs
	w.cycles++
	w.mux.Poll(nowNs)
	return nil
}

func invoke(agents []*agent.Invoker, nowNs int64) error {
	for _, a := range agents {
		if _, err := a.Invoke(nowNs); err != nil {
			return err
		}
	}
	return nil
}

// until runs cycles until something has happened.
func (w *world) until(what string, happened func() (bool, error)) error {
	for range patience {
		if ok, err := happened(); ok || err != nil {
			return err
		}
		if err := w.cycle(); err != nil {
			return err
		}
	}
	return fmt.Errorf("pipeline: not within %d cycles: %s", patience, what)
}

// logBytes is how long the log is.
func (w *world) logBytes() uint64 { return w.nodes[0].Internals().Ring.Append() }

// journal is how many segments the journals have, and what they take, of one node.
func (w *world) journal() (segments int, bytes int64) { return w.disks[0].segments() }

// heapBytes is what Go's heap holds that is in use.
func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// mallocs is how many times memory was allocated, so far, by anybody.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
