package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"lockstep/internal/simbug"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/service"
	"lockstep/wire"
)

// ErrInstalled says that a snapshot of another node was put into this node's directory, because the log before it was to
// be had nowhere: the node ends, and goes on from there when it is opened again.
var ErrInstalled = errors.New("a snapshot was installed: the node is to be opened again")

const (
	// fetchChunk is what one request for a snapshot's data asks for.
	fetchChunk       = 1 << 20
	fetchChunkInline = 2 << 10
	// backgroundBytesPerS is how fast a snapshot is fetched by a node that can do without for a while.
	backgroundBytesPerS = 32 << 20
	fetchRetryNs        = 1_000_000_000
	fetchAskNs          = 200_000_000 // nobody offers it yet: those who took it sync it first
	fetchTellNs         = 2_000_000_000
	askSnapshotLimit    = 2 * time.Second
)

// fetchJob is the download of a snapshot. It goes on after a failure, from another node, and after a restart.
type fetchJob struct {
	choice
	w       *snapshot.Writer
	install bool
	beganNs int64
	toldNs  int64
}

// fetchState is what others may know of a download.
type fetchState struct {
	From    wire.NodeID
	At      wire.Position
	Bytes   int64
	Of      int64
	Install bool
}

// refused notes that a node does not keep the log that this one wants.
func (k *keeper) refused(from wire.Position) {
	nowNs := k.n.machine.Clock.NowNs()
	k.mu.Lock()
	first := !k.behind.lately(nowNs)
	k.behind.refused(from, nowNs)
	k.mu.Unlock()
	if first {
		k.poke()
	}
}

// fetchLog fetches log of another node, and notes when that node does not keep it any more (replica.Fetch).
func (n *Node) fetchLog(ctx context.Context, server wire.NodeID, term wire.Term, from, until wire.Position,
	sink func([]byte) error) error {
	fetch := n.machine.Fetch
	if fetch == nil {
		fetch = n.fetch
	}
	err := fetch(ctx, server, term, from, until, func(b []byte) error {
		from += wire.Position(len(b))
		return sink(b)
	})
	if below := (*BelowFloorError)(nil); errors.As(err, &below) {
		n.keeper.refused(from)
	}
	return err
}

// fetch goes on with a download, or begins one that is needed. The error is ErrInstalled.
func (k *keeper) fetch(nowNs int64) (work int, err error) {
	if k.job == nil {
		k.fetchDue = nowNs + keepEveryNs
		k.mu.Lock()
		b := &k.behind
		b.is = b.is && wire.Position(k.n.ring.Append()) <= b.from // what came and fits is progress; nothing else is
		lacks := *b
		k.mu.Unlock()
		switch {
		case lacks.lately(nowNs):
			k.beginInstall(&lacks, nowNs)
		case k.plan.fetch:
			k.beginNewer(nowNs)
		default:
			return 0, nil
		}
		return 1, nil
	}
	return 1, k.goOn(nowNs)
}

// beginInstall looks for a snapshot that takes the place of log that is to be had nowhere.
func (k *keeper) beginInstall(b *behind, nowNs int64) {
	k.fetchDue = nowNs + fetchRetryNs
	c, ok, why := chooseInstall(k.askAll(), b, wire.Position(k.n.ring.Append()), nowNs)
	if !ok {
		k.says("install", fmt.Errorf("install: the log from position %d on is not kept any more where it was asked for; %s",
			b.from, why))
		return
	}
	k.says("install", nil)
	k.begin(c, true, nowNs)
}

// beginNewer looks for the newest verified snapshot, which this node did not take.
func (k *keeper) beginNewer(nowNs int64) {
	k.fetchDue = nowNs + fetchAskNs
	h := k.holding(nowNs)
	held := wire.Position(0)
	if last := len(h.held) - 1; last >= 0 {
		held = h.held[last].position
	}
	c, ok := chooseNewer(k.askAll(), held, min(h.applied, h.durable))
	if !ok {
		return
	}
	k.begin(c, false, nowNs)
}

// begin begins a download.
func (k *keeper) begin(c choice, install bool, nowNs int64) {
	if _, err := k.store.Get(c.m.Position()); err == nil { // the log does not reach it, and it was not installed
		k.setAside(c.m.Position(), errors.New("the log does not lead there"))
	}
	k.mu.Lock()
	busy := k.underWay(c.m.Position())
	if !busy {
		k.fetching = fetchState{From: c.server, At: c.m.Position(), Of: c.m.Bytes, Install: install}
	}
	k.mu.Unlock()
	if busy {
		return // it is being written or published here
	}
	w, err := k.store.Download(c.m)
	if !k.says("fetch", err) {
		k.endFetch()
		return
	}
	k.job = &fetchJob{choice: c, w: w, install: install, beganNs: nowNs, toldNs: nowNs}
	k.fetchDue = nowNs
	k.n.logf("%s: fetching the snapshot at position %d from node %d: %d bytes, %d of them are here", k.job.word(),
		c.m.Position(), c.server, c.m.Bytes, w.Offset())
}

func (j *fetchJob) word() string {
	if j.install {
		return "install"
	}
	return "snapshot"
}

// goOn fetches the next bytes.
func (k *keeper) goOn(nowNs int64) error {
	j := k.job
	size := fetchChunk
	if k.n.machine.Inline {
		size = fetchChunkInline
	}
	if k.buffer == nil {
		k.buffer = make([]byte, size)
	}
	b := k.buffer[:min(int64(size), j.m.Bytes-j.w.Offset())]
	got, err := 0, error(nil)
	if len(b) > 0 {
		got, err = k.data(j.server, SnapshotRange{j.m.Position(), j.w.Offset(), j.install}, b)
	}
	if got < len(b) {
		k.elsewhere(nowNs, err)
		return nil
	}
	if _, err := j.w.Write(b); !k.says("fetch", err) {
		k.giveUp(nowNs)
		return nil
	}
	k.tell(nowNs)
	if j.w.Offset() == j.m.Bytes {
		return k.complete(nowNs)
	}
	if !j.install {
		k.fetchDue = nowNs + int64(got)*1e9/backgroundBytesPerS
	}
	return nil
}

// elsewhere goes on with another node that has the same snapshot; if there is none, later.
func (k *keeper) elsewhere(nowNs int64, err error) {
	j := k.job
	server, ok := sameElsewhere(k.askAll(), &j.choice)
	k.n.logf("%s: node %d does not send the snapshot at position %d from offset %d on: %v", j.word(), j.server,
		j.m.Position(), j.w.Offset(), err)
	if !ok {
		k.pauseFetch()
		k.fetchDue = nowNs + fetchRetryNs
		return
	}
	j.server = server
	k.fetchDue = nowNs + keepEveryNs
}

// tell says how far a download is.
func (k *keeper) tell(nowNs int64) {
	j := k.job
	done := j.w.Offset()
	k.mu.Lock()
	k.fetching.From, k.fetching.Bytes = j.server, done
	k.mu.Unlock()
	k.count.fetchBytes.Set(uint64(done))
	k.count.fetchOf.Set(uint64(j.m.Bytes))
	if nowNs-j.toldNs >= fetchTellNs {
		j.toldNs = nowNs
		k.n.logf("%s: %d of %d bytes (%d %%) of the snapshot at position %d", j.word(), done, j.m.Bytes, done*100/max(1, j.m.Bytes),
			j.m.Position())
	}
}

// complete does with a snapshot that is there what it was fetched for.
func (k *keeper) complete(nowNs int64) error {
	j := k.job
	if err := j.w.Close(j.m); !k.says("fetch", err) {
		k.n.logf("%s: the snapshot at position %d of node %d is not what its manifest says: its disk may be damaged there", j.word(),
			j.m.Position(), j.server)
		k.spoilt[j.server] = j.m.Position()
		k.giveUp(nowNs)
		return nil
	}
	k.count.fetched.Inc()
	k.n.logf("%s: fetched the snapshot at position %d in %d ms: %d bytes", j.word(), j.m.Position(),
		(nowNs-j.beganNs)/1e6, j.m.Bytes)
	if !j.install {
		k.mu.Lock()
		k.staged = append(k.staged, &staged{w: j.w, m: j.m})
		k.learn(point{j.m.Position(), j.m.Digest})
		k.mu.Unlock()
		k.job, k.keepDue = nil, nowNs
		k.endFetch()
		return nil
	}
	if end := wire.Position(k.n.ring.Append()); end >= j.m.Position() {
		k.n.logf("install: not needed any more: the log is here up to position %d", end)
		k.giveUp(nowNs)
		return nil
	}
	// The file comes first: a snapshot that the log does not reach is here by an install, or the log has lost something.
	err := error(nil)
	if !simbug.On(simbug.SkipInstallMark) {
		err = journal.WriteInstall(k.n.machine.FS, k.n.config.Dir, j.m.Position())
	}
	if !k.says("install", err) {
		k.pauseFetch()
		k.fetchDue = nowNs + fetchRetryNs
		return nil
	}
	_, err = k.store.Publish(j.w)
	k.job = nil
	k.endFetch()
	if err == nil {
		if _, err = headOf(k.store, &j.m); err != nil {
			k.setAside(j.m.Position(), err)
		}
	}
	if !k.says("publish", err) {
		k.says("install", journal.RemoveInstall(k.n.machine.FS, k.n.config.Dir))
		k.fetchDue = nowNs + fetchRetryNs
		return nil
	}
	k.n.logf("install: the log of this node goes on at position %d, behind record %d, from a snapshot: the node opens again",
		j.m.Position(), j.m.Chain.Sequence)
	return fmt.Errorf("node: %w", ErrInstalled)
}

// giveUp ends a download and removes what there is.
func (k *keeper) giveUp(nowNs int64) {
	k.says("drop", k.job.w.Abort())
	k.job = nil
	k.endFetch()
	k.fetchDue = nowNs + fetchRetryNs
}

// pauseFetch ends a download; the next one of the same snapshot goes on where it was.
func (k *keeper) pauseFetch() {
	if k.job == nil {
		return
	}
	k.says("drop", k.job.w.Pause())
	k.job = nil
	k.endFetch()
}

func (k *keeper) endFetch() {
	k.mu.Lock()
	k.fetching = fetchState{}
	k.mu.Unlock()
	k.count.fetchBytes.Set(0)
	k.count.fetchOf.Set(0)
}

// fetchState is how far a download is. Any thread.
func (k *keeper) fetchState() fetchState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fetching
}

// askAll asks the other nodes what they offer. Who does not answer offers nothing.
func (k *keeper) askAll() (answers []answer) {
	ask := k.n.machine.Snapshots
	if ask == nil {
		if k.n.machine.Inline {
			return nil
		}
		ask = k.n.askOffers
	}
	defer func() { believe(answers, &k.spoilt) }()
	for _, peer := range k.n.config.Cluster.Nodes {
		if peer.ID == k.n.config.Node || k.n.fetches.Err() != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(k.n.fetches, askSnapshotLimit)
		if l, err := ask(ctx, wire.NodeID(peer.ID)); err == nil {
			answers = append(answers, answer{wire.NodeID(peer.ID), l})
		}
		cancel()
	}
	return answers
}

// data fetches bytes of a snapshot.
func (k *keeper) data(server wire.NodeID, r SnapshotRange, b []byte) (int, error) {
	ask := k.n.machine.SnapshotData
	if ask == nil {
		ask = k.n.askData
	}
	ctx, cancel := context.WithTimeout(k.n.fetches, fetchLimit)
	defer cancel()
	got, err := ask(ctx, server, r, b)
	if errors.Is(err, io.EOF) && got == len(b) {
		err = nil
	}
	return got, err
}

// setAside takes a snapshot away from those that a start may use.
func (k *keeper) setAside(at wire.Position, why error) {
	k.says("set aside", k.n.dropSnapshot(at, why))
}

// headOf reads what a snapshot says of itself, and holds it against its manifest.
func headOf(store *snapshot.Store, m *snapshot.Manifest) (*service.SnapshotHead, error) {
	r, err := store.OpenData(m.Position())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	h, err := service.ReadSnapshotHead(r)
	if err != nil {
		return nil, err
	}
	if h.Chain != m.Chain || h.Digest != m.Digest || h.Version != m.Version {
		return nil, fmt.Errorf("%w: its data says %+v, its manifest %+v", snapshot.ErrDamaged, h.Chain, m.Chain)
	}
	return h, nil
}
