package node

import (
	"errors"
	"fmt"
	"io"

	"lockstep/internal/counters"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/service"
	"lockstep/wire"
)

// errSetAside says that the snapshot that this start relied upon was set aside: it is to begin once more.
var errSetAside = errors.New("node: the snapshot to start from is unusable")

// begun is what a start has found that it finds only once: it is handed on when it begins once more.
type begun struct {
	looked   bool             // the two that follow are known
	run      uint32           // the run before
	clean    bool             // that one ended in order
	bumped   bool             // the next is known
	identity journal.Identity // with the run of this start
	aside    uint64           // snapshots set aside so far
	preflown bool             // the host is fit enough
}

// openSnapshots finds the snapshots in the directory, and what is known of them.
func (n *Node) openSnapshots(cluster uint64) error {
	var err error
	if n.store, err = snapshot.Open(n.machine.FS, n.config.Dir, cluster); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	n.store.Reserve(2 * n.config.Journal.SegmentBytes)
	n.countAside().Set(n.begun.aside)
	for _, damage := range n.store.Damage() {
		n.setAside(damage)
	}
	return nil
}

func (n *Node) countAside() *counters.Counter {
	return n.counters.Counter("lockstep_snapshots_set_aside_total", "snapshots that were damaged, or not what they said")
}

// setAside counts a snapshot that is set aside, and says so.
func (n *Node) setAside(what string) {
	n.begun.aside++
	n.countAside().Inc()
	n.counters.Error(n.machine.Clock.WallNs(), what)
	n.logf("snapshot: set aside: %s", what)
}

// openLog opens the journal behind the newest snapshot that is whole and fits it; without any, from its beginning.
func (n *Node) openLog(o journal.Options) error {
	install, err := n.checkInstall()
	if err != nil {
		return err
	}
	held := n.store.List()
	for i := len(held) - 1; i >= 0; i-- {
		m := &held[i]
		head, err := headOf(n.store, m)
		if err != nil {
			if err := n.dropSnapshot(m.Position(), err); err != nil {
				return err
			}
			continue
		}
		if head.Verified > 0 {
			n.points = append(n.points, point{head.Verified, head.VerifiedDigest})
		}
		if n.base != 0 {
			continue // only what it says is of interest
		}
		o.Base = &journal.Base{Chain: head.Chain, Terms: head.Terms, Configs: head.Configs, MoreConfigs: head.MoreConfigs}
		o.Install = install == m.Position()
		n.journal, n.recovered, err = journal.Open(o)
		switch {
		case errors.Is(err, journal.ErrBase):
			n.logf("snapshot: passed over: the one at position %d: %v", m.Position(), err)
		case err != nil:
			return fmt.Errorf("%w: %w", ErrConfig, err)
		default:
			n.baseChain = head.Chain
			if n.base = m.Position(); o.Install {
				n.installed = n.base
			}
			n.logf("starting from the snapshot at position %d, behind record %d: %d bytes", n.base, m.Chain.Sequence, m.Bytes)
		}
	}
	if install != 0 {
		if err := journal.RemoveInstall(n.machine.FS, n.config.Dir); err != nil {
			return fmt.Errorf("node: %w", err)
		}
	}
	if n.base != 0 {
		return nil
	}
	o.Base, o.Install = nil, false
	if n.journal, n.recovered, err = journal.Open(o); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return nil
}

// checkInstall returns the position of a snapshot that was put here for the log to begin at, if it is whole; else 0.
func (n *Node) checkInstall() (wire.Position, error) {
	fs, dir := n.machine.FS, n.config.Dir
	at, asked, err := journal.ReadInstall(fs, dir)
	if errors.Is(err, journal.ErrDamagedFile) {
		n.logf("%v: what it asked for is not done", err)
		asked, err = false, journal.RemoveInstall(fs, dir)
	}
	if err != nil || !asked {
		return 0, err
	}
	err = n.store.Check(at)
	if err == nil {
		return at, nil
	}
	n.logf("install: not done: the snapshot at position %d: %v", at, err)
	if !errors.Is(err, snapshot.ErrNotHeld) {
		if err := n.dropSnapshot(at, err); err != nil {
			return 0, err
		}
	}
	if err := journal.RemoveInstall(fs, dir); err != nil {
		return 0, fmt.Errorf("node: %w", err)
	}
	return 0, nil
}

// dropSnapshot sets one aside.
func (n *Node) dropSnapshot(at wire.Position, why error) error {
	n.setAside(fmt.Sprintf("the snapshot at position %d: %v", at, why))
	if err := n.store.SetAside(at); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	return nil
}

// openBase opens the newest snapshot at or below a position from which the log here goes on; nil when the log begins at
// 0 and is to be applied from there (service.Options.Base). On the driver's thread, and while the node is opened.
func (n *Node) openBase(limit wire.Position) (io.ReadCloser, error) {
	floor, from := n.recovered.Floor, n.base
	if n.keeper != nil {
		floor = n.keeper.logFloor()
	}
	if limit < from {
		from = 0
		for _, m := range n.store.List() {
			if at := m.Position(); at >= floor && at <= limit {
				from = at
			}
		}
	}
	switch {
	case from != 0:
		return n.store.OpenData(from)
	case floor == 0:
		return nil, nil
	}
	return nil, fmt.Errorf("node: the log is kept from position %d on, and there is no snapshot between there and %d: "+
		"make this node anew with lockstep reseed", floor, limit)
}

// unusable says whether a driver could not be made because of the snapshot that it was to begin from; it is set aside
// then, and the start begins once more.
func (n *Node) unusable(err error) error {
	switch {
	case errors.Is(err, service.ErrUnsuited):
		return fmt.Errorf("%w: %w", ErrConfig, err)
	case n.base == 0 || !errors.Is(err, service.ErrSnapshot) && !errors.Is(err, snapshot.ErrDamaged):
		return err
	}
	if err := n.dropSnapshot(n.base, err); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errSetAside, err)
}
