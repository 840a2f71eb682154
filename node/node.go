package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/internal/simbug"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/replica"
	"lockstep/ringbuf"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/tuning"
	"lockstep/wire"
)

// Revision is the source revision of this build, set by the linker.
var Revision = "unknown"

// Node is a node: opened, then run once.
type Node struct {
	config     Config
	machine    Machine
	out        io.Writer
	outMu      sync.Mutex
	counters   *counters.File
	begun      *begun
	identity   journal.Identity
	store      *snapshot.Store
	baseChain  wire.Chain    // where the log goes on behind base
	base       wire.Position // of the snapshot that this start began from; 0: none
	installed  wire.Position // of a snapshot of another node that this start put in the place of the log; 0: none
	points     []point       // verified ones that the snapshots speak of
	pins       pins
	keeper     *keeper
	journal    *journal.Journal
	recovered  *journal.Recovered
	recovering string // why this node may have forgotten something, as found at start; "": it has not
	votes      *journal.VoteFile
	ring       *ringbuf.LogRing
	transport  transport.Transport
	progress   service.Progress
	driver     *service.Driver
	known      [service.MaxServices]bool // numbers of the services that this build runs

	serviceNames [service.MaxServices]string // by number; empty: there is none
	core         *replica.Core
	replica      *replica.Agent
	port         *journal.Port
	votePort     *replica.VotePort
	operator     *replica.Operator
	sequencer    *sequencer.Sequencer // the core thread's
	durable      *counters.Counter
	idle         agent.IdleKind
	idleWhy      string
	findings     []tuning.Finding
	threads      []thread
	journalAt    int // index in threads of the journal's; those before it write the log
	parkers      parkers
	closers      []func() error
	http         *http.Server
	client       *http.Client
	scrub        *journal.Scrubber
	fetches      context.Context    // of whatever is fetched from other nodes while this one runs
	cancel       context.CancelFunc // ends fetches
	startedAt    time.Time
	watch        *watch                 // over the process, while it runs
	manager      *manager               // of services, which is told how the node is; nil: nobody is
	mapped       []mapped               // memory that hot threads use
	locked       atomic.Pointer[string] // whether memory is, and why not

	mayHaveForgotten atomic.Bool
	markMu           sync.Mutex // over the file that says so, and
	toldRecovering   bool       // whether operators were told that it is so
}

// Open takes everything a node needs: directory, journal, transport, agents. On an error nothing stays taken. What it
// prints on out is for operators.
func Open(config Config, out io.Writer) (*Node, error) { return OpenOn(Real(), config, out) }

// OpenOn is Open on a machine of the caller's.
func OpenOn(machine Machine, config Config, out io.Writer) (*Node, error) {
	b := &begun{}
	for {
		n, err := openOnce(machine, config, out, b)
		if !errors.Is(err, errSetAside) {
			return n, err
		}
	}
}

// openOnce opens a node from the newest snapshot. errSetAside: it was unusable, and is out of the way.
func openOnce(machine Machine, config Config, out io.Writer, b *begun) (*Node, error) {
	n := &Node{machine: machine, config: config, out: out, begun: b, client: &http.Client{Timeout: fetchLimit},
		startedAt: time.Now()}
	steps := []func() error{n.lockDirectory, n.identify, n.openCounters, n.openDirectory, n.openRing, n.openTransport}
	if machine.Inline {
		steps = append(steps, n.assemble, n.fillRing)
	} else {
		steps = append(steps, n.askPeers, n.preflight, n.assemble, n.fillRing, n.startControl)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, n.giveBack(), n.close())
		}
	}
	return n, nil
}

// fillRing puts the end of the log into the ring, where followers and the service find it.
func (n *Node) fillRing() error {
	if err := n.journal.Preload(n.ring); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// Serve opens a node and runs it until ctx ends or it fails. One that had a snapshot installed is opened again; in between,
// nothing of it is taken. A service manager that started the process for it is told how the node is.
func Serve(ctx context.Context, machine Machine, config Config, out io.Writer) (err error) {
	m := newManager(out)
	defer func() { m.close(err) }()
	for {
		n, err := OpenOn(machine, config, out)
		if err != nil {
			return err
		}
		n.manager = m
		err = n.Run(ctx)
		if !errors.Is(err, ErrInstalled) {
			return err
		}
		if ctx.Err() != nil { // the next start begins where this one would
			return nil
		}
	}
}

// Run starts the threads and waits until ctx ends or a thread fails; then it stops them all, syncs what there is, and
// marks a clean end. ErrInstalled is no failure: the node is to be opened again.
func (n *Node) Run(ctx context.Context) error {
	err := n.start()
	if err == nil {
		n.logf("node %d of cluster %s runs: %s", n.config.Node, ClusterString(n.identity.Cluster), n.transport.Describe())
		n.manager.runs(n)
		err = n.supervise(ctx)
		n.manager.opens() // if it does
	}
	if stopErr := n.stop(); err == nil || errors.Is(err, ErrInstalled) && stopErr != nil {
		err = stopErr
	}
	if err != nil && !errors.Is(err, ErrInstalled) {
		n.Ended(err)
		n.counters.Error(n.machine.Clock.WallNs(), err.Error())
	}
	return errors.Join(err, n.close())
}

// supervise waits for the end: asked for, or a thread's.
func (n *Node) supervise(ctx context.Context) error {
	ended := make(chan error, len(n.threads))
	for i := range n.threads {
		go func(t *thread) {
			<-t.runner.Done()
			ended <- t.runner.Err()
		}(&n.threads[i])
	}
	select {
	case <-ctx.Done():
		n.logf("stopping")
		n.manager.stops("")
		n.handOverAtEnd()
		return nil
	case err := <-ended:
		switch {
		case errors.Is(err, ErrInstalled): // the keeper has told
			return err
		case err == nil:
			err = errors.New("node: a thread ended without being told to")
		}
		n.logf("%v", err)
		return err
	}
}

// stop stops the threads, the writers of the log first and the journal behind them, once it has synced all there is, and
// marks a clean end.
func (n *Node) stop() error {
	if n.cancel != nil {
		n.cancel()
	}
	if n.http != nil {
		_ = n.http.Close() // open connections of followers that catch up are theirs to repeat
	}
	var errs []error
	for i := range n.threads {
		if !n.threads[i].started {
			continue
		}
		if i == n.journalAt {
			n.syncRest(n.threads[i].runner.Done())
		}
		if err := n.threads[i].runner.Stop(); !errors.Is(err, ErrInstalled) { // that one is no failure
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	end := wire.Position(n.ring.Append())
	if durable := wire.Position(n.durable.Load()); durable != end && !simbug.On(simbug.MarkCleanUnsynced) {
		return fmt.Errorf("node: %d of %d bytes of the log are synced at the end: not marked clean", durable, end)
	}
	return n.markClean(end)
}

// syncLimit bounds the wait for the last bytes to be synced: a full disk may never take them.
const syncLimit = 5 * time.Second

// syncRest has the journal store everything that is in the ring, and waits for that. Nobody appends any more.
func (n *Node) syncRest(ended <-chan struct{}) {
	n.port.Stop()
	limit := time.After(syncLimit)
	for n.durable.Load() < n.ring.Append() {
		select {
		case <-time.After(time.Millisecond):
		case <-ended:
			return
		case <-limit:
			return
		}
	}
}

// logf prints one line for operators. Cold.
func (n *Node) logf(format string, args ...any) {
	n.outMu.Lock()
	defer n.outMu.Unlock()
	fmt.Fprintf(n.out, "%s node %d: %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), n.config.Node,
		fmt.Sprintf(format, args...))
}

// controlOf is a node's control address.
func (n *Node) controlOf(id wire.NodeID) string {
	for _, peer := range n.config.Cluster.Nodes {
		if peer.ID == int(id) {
			return peer.Control
		}
	}
	return ""
}
