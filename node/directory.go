package node

import (
	"context"
	"errors"
	"fmt"

	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// Format makes a node's directory for a new cluster, or for another node of one. With cluster 0 it makes up the
// cluster's id. It refuses when a peer answers with a log: then the cluster exists, and `lockstep reseed` joins it.
func Format(ctx context.Context, dir string, id int, cluster uint64, peers []string) (journal.Identity, error) {
	for _, control := range peers {
		if s, err := FetchStatus(ctx, control); err == nil && s.Append > 0 {
			return journal.Identity{}, fmt.Errorf("%w: node %d at %s has a log of %d bytes in cluster %s: "+
				"a node of a running cluster is made by lockstep reseed", ErrConfig, s.Node, control, s.Append, s.Cluster)
		}
	}
	machine := Real()
	if cluster == 0 {
		cluster = machine.bits64()
	}
	return machine.Format(dir, id, cluster)
}

// Reseed makes a directory for a node whose own is lost: it joins an existing cluster as recovering, and neither votes
// nor counts before the cluster has admitted it.
func Reseed(dir string, id int, cluster uint64) (journal.Identity, error) {
	if cluster == 0 {
		return journal.Identity{}, fmt.Errorf("%w: reseed joins an existing cluster: give its id (lockstep status shows it)",
			ErrConfig)
	}
	machine := Real()
	return machine.Reseed(dir, id, cluster)
}

// Reseed makes the directory of a node that has lost its own, on this machine.
func (m *Machine) Reseed(dir string, id int, cluster uint64) (journal.Identity, error) {
	// The mark comes first: a directory that is interrupted half-way must not look like a new cluster's. But what is a
	// node's already is left alone.
	if _, err := journal.LoadIdentity(m.FS, dir); wire.NodeID(id).Valid() && errors.Is(err, journal.ErrNotFormatted) {
		if err := journal.MarkRecovering(m.FS, dir, "reseeded: the directory of this node was made anew"); err != nil {
			return journal.Identity{}, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return m.Format(dir, id, cluster)
}

// Format makes a node's directory on this machine, asking nobody.
func (m *Machine) Format(dir string, id int, cluster uint64) (journal.Identity, error) {
	if id < 1 || id > wire.MaxNodes {
		return journal.Identity{}, fmt.Errorf("%w: node id %d: want 1 to %d", ErrConfig, id, wire.MaxNodes)
	}
	identity := journal.Identity{Cluster: cluster, Node: wire.NodeID(id), Incarnation: m.bits64()}
	if err := journal.Format(m.FS, dir, identity); err != nil {
		return identity, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return identity, nil
}

// lockDirectory takes the directory for this process alone.
func (n *Node) lockDirectory() error {
	lock, err := journal.Lock(n.machine.FS, n.config.Dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	n.closers = append(n.closers, lock.Close)
	return nil
}

// identify reads whose directory it is.
func (n *Node) identify() (err error) {
	if n.identity, err = journal.LoadIdentity(n.machine.FS, n.config.Dir); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if int(n.identity.Node) != n.config.Node {
		return fmt.Errorf("%w: directory %s belongs to node %d, the config says node = %d",
			ErrConfig, n.config.Dir, n.identity.Node, n.config.Node)
	}
	return nil
}

// openDirectory reads the directory: journal, clean marker, votes, in that order, and raises the run.
func (n *Node) openDirectory() (err error) {
	fs, dir := n.machine.FS, n.config.Dir
	if err := n.openJournal(n.identity); err != nil {
		return err
	}
	if n.votes, err = journal.OpenVote(fs, dir); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	n.closers = append(n.closers, n.votes.Close)
	if !n.begun.bumped {
		if n.begun.identity, err = journal.BumpRun(fs, dir); err != nil {
			return fmt.Errorf("node: %w", err)
		}
		n.begun.bumped = true
	}
	n.identity = n.begun.identity
	return nil
}

// openJournal recovers the log and decides whether this node may have forgotten something (consensus rule 8).
func (n *Node) openJournal(identity journal.Identity) error {
	fs, dir := n.machine.FS, n.config.Dir
	if err := n.openSnapshots(identity.Cluster); err != nil {
		return err
	}
	err := n.openLog(journal.Options{
		FS: fs, Dir: dir, Cluster: identity.Cluster,
		SegmentBytes: n.config.Journal.SegmentBytes, SyncBytes: n.config.Journal.SyncBytes,
		SyncIntervalNs: n.config.Journal.SyncIntervalUs * 1000,
		Memory:         n.memory("journal"), Inline: n.machine.Inline, Counters: n.counters, NowNs: n.machine.Clock.NowNs,
		Log: func(msg string) { n.logf("%s", msg) },
	})
	if err != nil {
		return err
	}
	n.closers = append(n.closers, n.journal.Close)
	if n.recovered.Floor > 0 && n.base == 0 {
		return fmt.Errorf("%w: the log in %s begins at position %d, and no snapshot in %s/%s is usable and goes on there "+
			"(%d are held): move the directory away and make the node anew with lockstep reseed", ErrConfig, dir,
			n.recovered.Floor, dir, snapshot.Dir, len(n.store.List()))
	}
	if n.identity = identity; len(n.config.Cluster.Nodes) > 1 {
		if err := n.mendJournal(); err != nil {
			return err
		}
	}
	b := n.begun
	if !b.looked {
		if b.clean, err = journal.TakeClean(fs, dir, identity.Run, n.recovered.EndBefore); err != nil {
			return fmt.Errorf("node: %w", err)
		}
		b.run, b.looked = identity.Run, true
	}
	return n.decideRecovering(b.run, b.clean)
}

func (n *Node) decideRecovering(run uint32, clean bool) error {
	learner := n.config.Self().Learner // nothing of it counts: it takes from the others what it may have forgotten
	alone := n.config.voters() == 1 && !learner
	if n.recovered.Outcome.Forgot() {
		if alone {
			return fmt.Errorf("%w: %s; this node is alone, so nobody has the bytes: lockstep journal verify %s shows "+
				"what is left", ErrConfig, n.recovered, n.config.Dir)
		}
		n.recovering = "synced records are damaged or gone: " + n.recovered.Cause
		if err := n.journal.Discard(); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	rule, _ := n.config.Rule()
	switch {
	case n.recovering != "":
	case n.recovered.Marked != "":
		n.recovering = n.recovered.Marked
	case rule == wire.RuleReplicated && run > 0 && !clean && !alone && !learner:
		n.recovering = "this node did not end cleanly, and under rule replicated it may have held more than its disk has"
		if err := journal.MarkRecovering(n.machine.FS, n.config.Dir, n.recovering); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	return nil
}

// onRecovering has the directory say whether this node may have forgotten something. The replica's thread calls it;
// the file is written elsewhere.
func (n *Node) onRecovering(recovering bool) {
	n.mayHaveForgotten.Store(recovering)
	if n.machine.Inline {
		n.markRecovering()
		return
	}
	go n.markRecovering()
}

// whyRecovering says why this node may have forgotten something, when it may.
func (n *Node) whyRecovering() string {
	if n.recovering == "" {
		return "the cluster's config record does not list this node's directory"
	}
	return n.recovering
}

// markRecovering writes what is true by now, one writer at a time.
func (n *Node) markRecovering() {
	n.markMu.Lock()
	defer n.markMu.Unlock()
	recovering := n.mayHaveForgotten.Load()
	n.tellRecovering(recovering)
	var err error
	if recovering {
		err = journal.MarkRecovering(n.machine.FS, n.config.Dir, n.whyRecovering())
	} else {
		err = journal.ClearRecovering(n.machine.FS, n.config.Dir)
	}
	if err != nil {
		n.logf("%v", err)
	}
}

// tellRecovering tells operators that this node may have forgotten something, or no longer: each once.
func (n *Node) tellRecovering(recovering bool) {
	switch {
	case recovering == n.toldRecovering:
	case recovering:
		n.logf("recovering: %s; this node neither votes nor counts until the cluster has admitted it", n.whyRecovering())
	default:
		n.logf("admitted by the cluster: this node votes and counts again")
	}
	n.toldRecovering = recovering
}

// markClean says that this run ended with everything synced. Only after every thread has stopped.
func (n *Node) markClean(end wire.Position) error {
	if err := journal.WriteClean(n.machine.FS, n.config.Dir, n.identity.Run, end); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// close gives everything back, last taken first.
func (n *Node) close() error {
	var errs []error
	for i := len(n.closers) - 1; i >= 0; i-- {
		errs = append(errs, n.closers[i]())
	}
	n.closers = nil
	return errors.Join(errs...)
}
