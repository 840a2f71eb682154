package node

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"lockstep/agent"
	"lockstep/internal/counters"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/service"
	"lockstep/wire"
)

const (
	keepEveryNs  = 50_000_000     // the keeper looks this often
	ageEveryNs   = 10_000_000_000 // ... and this often how old the log is, and how far it is archived
	sizeEveryNs  = 1_000_000_000
	checkEveryNs = 600_000_000_000 // ... and reads one of the snapshots again this often, if the log is scrubbed
	maxStaged    = 2               // snapshots that are complete and not published yet
	maxPoints    = 64              // verified points that are remembered
	keeperThread = "keeper"
)

// keeper is the agent that looks after snapshots and the oldest log: it publishes what the driver has written, removes
// what is superfluous, drops log, and gets snapshots from other nodes. It has a thread of its own and may block. What
// the driver's thread and the control plane share with it is behind mu.
type keeper struct {
	n      *Node
	store  *snapshot.Store
	parker *agent.Parker // nil: inline, never blocks
	poked  atomic.Bool
	floor  atomic.Uint64 // where the log begins

	mu       sync.Mutex
	writing  wire.Position // the driver writes a snapshot there; 0: none
	staged   []*staged     // complete, not published
	dropped  []*staged     // given up by the driver
	points   []point       // verified, the newest last
	fetching fetchState

	keepDue, fetchDue, ageDue, sizeDue int64
	checkDue                           int64
	checked                            wire.Position // the snapshot that was read again last
	plan                               keeping
	young, archived                    wire.Position
	triedBelow                         wire.Position // the log was dropped as far as this allows
	behind                             behind
	job                                *fetchJob
	spoilt                             [wire.MaxNodes + 1]wire.Position // by node: a snapshot of which it sent other bytes
	buffer                             []byte
	complaint                          map[string]string // by subject: what was said last
	count                              keeperCounts
}

// point is a position and the state's digest there.
type point struct {
	at     wire.Position
	digest uint64
}

// staged is a snapshot between its last byte and its publication.
type staged struct {
	w *snapshot.Writer
	m snapshot.Manifest
}

type keeperCounts struct {
	published, removed, fetched, installed, fetchBytes, fetchOf, position, held *counters.Counter
	verified, floor, disk, dropped, unshipped                                   *counters.Counter
}

func (n *Node) newKeeper() error {
	c := n.counters.Counter
	k := &keeper{n: n, store: n.store, young: everything, complaint: map[string]string{}, count: keeperCounts{
		held:       c("lockstep_snapshots", "snapshots published on this node"),
		position:   c("lockstep_snapshot_position", "position of the newest of them"),
		verified:   c("lockstep_snapshot_verified_position", "position of the newest of them that a majority has verified"),
		published:  c("lockstep_snapshots_published_total", "snapshots published"),
		removed:    c("lockstep_snapshots_removed_total", "snapshots removed because newer ones are verified"),
		fetched:    c("lockstep_snapshots_fetched_total", "snapshots fetched from other nodes"),
		installed:  c("lockstep_installed_position", "another node's snapshot that this run began at, 0: none"),
		fetchBytes: c("lockstep_snapshot_fetch_bytes", "bytes there of the snapshot that is being fetched"),
		fetchOf:    c("lockstep_snapshot_fetch_of_bytes", "bytes that it has; 0: none is being fetched"),
		floor:      c("lockstep_log_floor_position", "where the log on this node's disk begins"),
		disk:       c("lockstep_log_disk_bytes", "bytes that segment files take"),
		dropped:    c("lockstep_log_dropped_bytes_total", "bytes of log dropped by retention"),
		unshipped:  c("lockstep_log_unarchived_bytes", "bytes of log that are kept only because they are not archived"),
	}}
	if !n.machine.Inline {
		var err error
		if k.parker, err = agent.NewParker(); err != nil {
			return err
		}
		n.closers = append(n.closers, k.parker.Close)
	}
	k.setFloor(n.recovered.Floor)
	k.count.installed.Set(uint64(n.installed))
	for _, x := range n.recovered.Verified {
		n.points = append(n.points, point{x.Verified, x.Digest})
	}
	for _, p := range n.points {
		k.learn(p)
	}
	n.keeper, n.pins.short = k, n.machine.Limits.PinNs
	return nil
}

// Name implements agent.Agent.
func (k *keeper) Name() string { return keeperThread }

// OnStart implements agent.Agent.
func (k *keeper) OnStart(nowNs int64) error {
	k.keepDue, k.fetchDue, k.ageDue, k.sizeDue = nowNs, nowNs, nowNs, nowNs
	k.checkDue = nowNs + k.checkPauseNs()
	if !k.n.machine.Inline {
		behindJournal()
	}
	return nil
}

// behindJournal has the disk serve the calling thread, which is locked to its goroutine, after the journal's, as far as the
// I/O scheduler heeds that: syncing a large snapshot is not to hold up acknowledgements. What the kernel refuses stays as
// it is.
func behindJournal() {
	const whoProcess, bestEffort, lowest = 1, 2 << 13, 7
	_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, 0, bestEffort|lowest)
}

// OnClose implements agent.Agent.
func (k *keeper) OnClose() error {
	k.pauseFetch()
	return nil // what is staged is removed by the next start
}

// Wake implements agent.Waker.
func (k *keeper) Wake() {
	if k.parker != nil {
		k.parker.Wake()
	}
}

// poke has the keeper look soon. Any thread.
func (k *keeper) poke() {
	k.poked.Store(true)
	if k.parker != nil {
		k.parker.WakeIfParked()
	}
}

// DoWork implements agent.Agent. Only an installed snapshot is an error: ErrInstalled.
func (k *keeper) DoWork(nowNs int64) (work int, err error) {
	if k.poked.Swap(false) {
		k.keepDue, k.fetchDue = min(k.keepDue, nowNs), min(k.fetchDue, nowNs)
	}
	if nowNs >= k.keepDue {
		k.keepDue = nowNs + keepEveryNs
		work += k.keep(nowNs)
	}
	if nowNs >= k.fetchDue {
		fetched, err := k.fetch(nowNs)
		work += fetched
		if err != nil {
			return work, err
		}
	}
	if work == 0 {
		k.sleep(min(k.keepDue, k.fetchDue) - nowNs)
	}
	return work, nil
}

func (k *keeper) sleep(ns int64) {
	if k.parker == nil || ns <= 0 {
		return
	}
	k.parker.Announce()
	if k.poked.Load() {
		k.parker.Withdraw()
		return
	}
	k.parker.Block(ns)
}

// keep looks at what there is and carries out what is decided.
func (k *keeper) keep(nowNs int64) (work int) {
	k.discardDropped()
	if at, digest := k.n.progress.Verified(); at > 0 {
		k.mu.Lock()
		k.learn(point{at, digest})
		k.mu.Unlock()
	}
	if nowNs >= k.ageDue {
		k.ageDue = nowNs + ageEveryNs
		k.lookAtAge()
	}
	if nowNs >= k.checkDue {
		k.checkDue = nowNs + k.checkPauseNs()
		work += k.check()
	}
	h := k.holding(nowNs)
	k.plan = decide(&h)
	for _, at := range k.plan.publish {
		k.publish(at)
		work++
	}
	for _, at := range k.plan.remove {
		if err := k.store.Remove(at); k.says("remove", err) {
			k.count.removed.Inc()
			work++
		}
	}
	if below := k.plan.dropBelow; below > k.logFloor() && below > k.triedBelow {
		k.drop(below)
		work++
	}
	k.alarmArchive()
	k.measure(nowNs)
	return work
}

func (k *keeper) checkPauseNs() int64 { return cmp.Or(k.n.machine.Limits.ScrubPauseNs, checkEveryNs) }

// check reads the next of the snapshots again, whole. One that is not what it was is set aside: another node's takes its
// place, if it was the newest.
func (k *keeper) check() (work int) {
	held := k.store.List()
	if len(held) == 0 || k.n.config.Journal.ScrubBytesPerS == 0 {
		return 0
	}
	next := slices.IndexFunc(held, func(m snapshot.Manifest) bool { return m.Position() > k.checked })
	k.checked = held[max(0, next)].Position()
	if err := k.store.Check(k.checked); err != nil {
		k.setAside(k.checked, err)
	}
	return 1
}

// holding is what there is.
func (k *keeper) holding(nowNs int64) holding {
	k.mu.Lock()
	defer k.mu.Unlock()
	verified := wire.Position(0)
	if last := len(k.points) - 1; last >= 0 {
		verified = k.points[last].at
	}
	h := holding{verified: verified, applied: k.n.progress.Applied(), durable: wire.Position(k.n.durable.Load()),
		young: k.young, archived: k.archived, pinned: k.n.pins.logFrom(nowNs), policy: k.n.config.Retention}
	for _, m := range k.store.List() {
		h.held = append(h.held, held{position: m.Position(), verified: k.isVerified(&m),
			pinned: k.n.pins.holds(m.Position(), nowNs)})
	}
	for _, s := range k.staged {
		h.staged = append(h.staged, s.m.Position())
	}
	return h
}

// learn remembers a verified point. With mu held, or alone.
func (k *keeper) learn(p point) {
	at, known := slices.BinarySearchFunc(k.points, p.at, func(x point, at wire.Position) int { return cmp.Compare(x.at, at) })
	if known {
		return
	}
	k.points = slices.Insert(k.points, at, p)
	if len(k.points) > maxPoints {
		k.points = slices.Delete(k.points, 0, 1)
	}
}

// isVerified says whether a majority had the same state. With mu held.
func (k *keeper) isVerified(m *snapshot.Manifest) bool {
	for _, p := range k.points {
		if p.at == m.Position() {
			return p.digest == m.Digest
		}
	}
	return false
}

// offers are the snapshots that are published here. Any thread.
func (k *keeper) offers() (list []Offer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, m := range k.store.List() {
		list = append(list, Offer{Manifest: m, Verified: k.isVerified(&m)})
	}
	return list
}

// publish makes a staged snapshot one that a start may use. What cannot be published is gone; there will be another.
func (k *keeper) publish(at wire.Position) {
	s := k.takeStaged(at)
	m, err := k.store.Publish(s.w)
	if k.says("publish", err) {
		k.count.published.Inc()
		k.n.logf("snapshot: published at position %d: %d bytes", m.Position(), m.Bytes)
	}
}

func (k *keeper) takeStaged(at wire.Position) *staged {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.staged, func(s *staged) bool { return s.m.Position() == at })
	s := k.staged[i]
	k.staged = slices.Delete(k.staged, i, i+1)
	return s
}

func (k *keeper) discardDropped() {
	k.mu.Lock()
	list := k.dropped
	k.mu.Unlock()
	if len(list) == 0 {
		return
	}
	for _, s := range list {
		k.says("drop", s.w.Abort())
	}
	k.mu.Lock()
	k.dropped = k.dropped[len(list):]
	k.mu.Unlock()
}

// drop drops log that lies wholly below a position.
func (k *keeper) drop(below wire.Position) {
	before := k.logFloor()
	floor, removed, err := journal.DropBelow(k.n.machine.FS, k.n.config.Dir, below)
	if floor > before {
		k.setFloor(floor)
		k.count.dropped.Add(uint64(floor - before))
		k.sizeDue = 0
		k.n.logf("retention: dropped %d segments: the log begins at position %d now", removed, floor)
	}
	if k.says("drop log", err) {
		k.triedBelow = below
	}
}

// lookAtAge looks how old the log is, and how far it is archived, as far as that counts.
func (k *keeper) lookAtAge() {
	k.triedBelow = 0 // what could not be dropped then may be now
	policy := &k.n.config.Retention
	if policy.ArchiveWaitBytes > 0 {
		at, _, err := journal.LoadArchived(k.n.machine.FS, k.n.config.Dir)
		if k.says("archived", err) {
			k.archived = at
		}
	}
	if policy.AgeS > 0 {
		at, err := k.youngFrom(uint64(k.n.machine.Clock.WallNs() - policy.AgeS*1e9))
		if !k.says("age", err) {
			at = 0
		}
		k.young = at
	}
}

// youngFrom finds the first record that is not older than a stamp.
func (k *keeper) youngFrom(stamp uint64) (wire.Position, error) {
	r, err := k.n.Reader()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	r.SetLimit(wire.Position(k.n.durable.Load()))
	err = r.SeekTime(stamp)
	return r.Position(), err
}

// alarmArchive complains when the archive is so late that log will go without it.
func (k *keeper) alarmArchive() {
	k.count.unshipped.Set(uint64(k.plan.unshipped))
	if !k.plan.late(&k.n.config.Retention) {
		k.says("archive", nil)
		return
	}
	k.says("archive", fmt.Errorf("retention: the log is archived up to position %d only: of what retention.archive_wait_bytes "+
		"keeps, half or more is used; log goes without an archive when all is: lockstep journal archive", k.archived))
}

// measure publishes what there is.
func (k *keeper) measure(nowNs int64) {
	offers := k.offers()
	k.count.held.Set(uint64(len(offers)))
	for i := range offers {
		at := uint64(offers[i].Manifest.Position())
		k.count.position.Set(at)
		if offers[i].Verified {
			k.count.verified.Set(at)
		}
	}
	if nowNs < k.sizeDue {
		return
	}
	k.sizeDue = nowNs + sizeEveryNs
	bytes, err := journal.DiskBytes(k.n.machine.FS, k.n.config.Dir)
	if k.says("size", err) {
		k.count.disk.Set(uint64(bytes))
	}
}

func (k *keeper) logFloor() wire.Position { return wire.Position(k.floor.Load()) }

func (k *keeper) setFloor(p wire.Position) {
	k.floor.Store(uint64(p))
	k.count.floor.Set(uint64(p))
}

// says tells operators of an error once, until the subject is well again. True: there is none.
func (k *keeper) says(subject string, err error) bool {
	if err == nil {
		delete(k.complaint, subject)
		return true
	}
	if text := err.Error(); k.complaint[subject] != text {
		k.complaint[subject] = text
		k.n.counters.Error(k.n.machine.Clock.WallNs(), text)
		k.n.logf("%s", text)
	}
	return false
}

// Begin implements service.Sink.
func (k *keeper) Begin(h *service.SnapshotHead) (service.SnapshotWriter, error) {
	at := h.Chain.Position
	k.mu.Lock()
	defer k.mu.Unlock()
	if h.Verified > 0 {
		k.learn(point{h.Verified, h.VerifiedDigest})
	}
	if _, err := k.store.Get(at); err == nil || k.busy(at) {
		return nil, nil
	}
	w, err := k.store.Create(at)
	if err != nil {
		return nil, err
	}
	k.writing = at
	return &snapshotWriter{k: k, staged: staged{w: w, m: snapshot.Manifest{Cluster: k.n.identity.Cluster, Chain: h.Chain,
		Digest: h.Digest, Version: h.Version}}}, nil
}

// busy says whether no snapshot is wanted at a position now. With mu held.
func (k *keeper) busy(at wire.Position) bool {
	return k.writing != 0 || len(k.staged) >= maxStaged || k.fetching.At == at || k.underWay(at)
}

// underWay says whether the snapshot at a position is being written or published here. With mu held.
func (k *keeper) underWay(at wire.Position) bool {
	there := func(s *staged) bool { return s.m.Position() == at }
	return k.writing == at || slices.ContainsFunc(k.staged, there) || slices.ContainsFunc(k.dropped, there)
}

// snapshotWriter is a snapshot that the driver writes (service.SnapshotWriter).
type snapshotWriter struct {
	k *keeper
	staged
}

// Write implements io.Writer.
func (x *snapshotWriter) Write(b []byte) (int, error) { return x.w.Write(b) }

// Commit hands the snapshot to the keeper's thread.
func (x *snapshotWriter) Commit() error {
	if err := x.w.Close(x.m); err != nil {
		x.Abort()
		return err
	}
	x.k.mu.Lock()
	x.k.staged = append(x.k.staged, &x.staged)
	x.k.writing = 0
	x.k.mu.Unlock()
	x.k.poke()
	return nil
}

// Abort has the keeper's thread remove what there is: the driver does not wait for the disk.
func (x *snapshotWriter) Abort() {
	x.k.mu.Lock()
	x.k.dropped = append(x.k.dropped, &x.staged)
	x.k.writing = 0
	x.k.mu.Unlock()
	x.k.poke()
}
