package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/journal"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// keepers is a cluster that takes a snapshot every 256 KiB and keeps no log beyond what a start needs. Its nodes fetch from
// one another.
type keepers struct {
	*cluster
	deaf   map[int]bool // nodes that answer nobody
	served map[int]int  // pieces of snapshots, by server
	spoil  map[int]bool // nodes whose pieces are not what they were
	sent   int          // messages
}

func newKeepers(t *testing.T, nodes int, edit func(*Config)) *keepers {
	t.Helper()
	k := &keepers{deaf: map[int]bool{}, spoil: map[int]bool{}, served: map[int]int{}}
	alter := func(_ int, m *Machine) { k.join(m) }
	k.cluster = newClusterOf(t, nodes, "durable", memoryDir(t), alter, func(c *Config) {
		c.Snapshot.EveryBytes, c.Retention.Bytes = 256<<10, 0
		c.Journal.SegmentBytes = 128 << 10
		if edit != nil {
			edit(c)
		}
	})
	k.until("a session", 100_000, 50_000, func() bool { return k.client.Connected() })
	return k
}

// memoryDir is a directory in memory, if there can be one: thousands of syncs take their time on a disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "lockstep-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

var errDeaf = errors.New("no answer")

// peer is another node that answers.
func (k *keepers) peer(id wire.NodeID) (*Node, error) {
	if i := int(id) - 1; !k.down[i] && !k.deaf[i] {
		return k.nodes[i], nil
	}
	return nil, errDeaf
}

// join has a machine fetch from the other nodes.
func (k *keepers) join(m *Machine) {
	m.Fetch = func(_ context.Context, server wire.NodeID, term wire.Term, from, until wire.Position, sink func([]byte) error) error {
		s, err := k.peer(server)
		if err != nil {
			return err
		}
		body, err := s.LogFor(0, term, from, until)
		if err == nil && len(body) == 0 {
			err = errDeaf
		}
		for err == nil && len(body) > 0 {
			piece := body[:min(len(body), 16<<10)]
			body = body[len(piece):]
			err = sink(piece)
		}
		return err
	}
	m.Snapshots = func(_ context.Context, server wire.NodeID) (Listing, error) {
		s, err := k.peer(server)
		if err != nil {
			return Listing{}, err
		}
		return s.Listing(), nil
	}
	m.SnapshotData = func(_ context.Context, server wire.NodeID, r SnapshotRange, b []byte) (int, error) {
		s, err := k.peer(server)
		if err != nil {
			return 0, err
		}
		n, err := s.SnapshotBytes(0, r, b)
		k.served[int(server)-1]++
		if k.spoil[int(server)-1] && n > 0 {
			b[0]++
		}
		return n, err
	}
}

// grow sends messages until the log of the leader has grown by so much and all is answered.
func (k *keepers) grow(bytes int) {
	k.t.Helper()
	k.until("somebody leads", 1_000_000, 10_000, func() bool { return k.leaderOfRunning() >= 0 })
	end := k.nodes[k.leaderOfRunning()].ring.Append() + uint64(bytes)
	k.until("the log grows", 20_000, 500_000, func() bool {
		leader := k.leaderOfRunning()
		if k.client.Open() < 32 && leader >= 0 && k.nodes[leader].ring.Append() < end {
			k.sent++
			_, _ = k.client.Send(k.clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), make([]byte, 1000))
		}
		return leader >= 0 && k.nodes[leader].ring.Append() >= end && k.client.Open() == 0
	})
}

// agree waits until all nodes that run have the same state.
func (k *keepers) agree() {
	k.t.Helper()
	k.until("all nodes have the same state", 1_000_000, 100_000, k.sameState)
}

// reopen opens a node again whose agents have ended with ErrInstalled, as Serve does.
func (k *keepers) reopen(i int) {
	k.t.Helper()
	if err := k.ended[i]; !errors.Is(err, ErrInstalled) {
		k.t.Fatalf("node %d has ended with %v", i+1, err)
	}
	for _, a := range k.agentsOf(i) {
		_ = a.Close()
	}
	if err := k.nodes[i].Finish(); err != nil {
		k.t.Fatalf("node %d does not end in order: %v", i+1, err)
	}
	k.restart(i)
}

// TestLogIsDroppedOnEveryNode: a log many times the cadence takes no more than what a start needs, on the leader as well, which
// fetches the snapshots that the others take; and a start begins with one. A lone voter takes its own.
func TestLogIsDroppedOnEveryNode(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			k := newKeepers(t, nodes, nil)
			trimmed := func() bool {
				for _, n := range k.nodes {
					if n.keeper.logFloor() < 1<<20 {
						return false
					}
				}
				return true
			}
			for k.nodes[0].ring.Append() < 1<<24 && !trimmed() {
				k.grow(512 << 10)
			}
			for i, n := range k.nodes {
				s := n.Status()
				if s.LogFloor == 0 || s.NewestVerified() == 0 || len(s.Snapshots) < 2 || len(s.Snapshots) > 2+maxUnverified {
					t.Errorf("node %d: log from %d, %+v", i+1, s.LogFloor, s.Snapshots)
				}
				if i == k.leaderOfRunning() && nodes > 1 && n.gauge("lockstep_snapshots_fetched_total") == 0 {
					t.Error("the leader has snapshots without having fetched any")
				}
				if _, err := n.LogFor(0, 0, 0, 1000); !errors.As(err, new(*BelowFloorError)) {
					t.Errorf("node %d asked for log that it has dropped: %v", i+1, err)
				}
			}
			for i := range k.nodes {
				k.restart(i)
				if k.nodes[i].base == 0 || !strings.Contains(k.logs[i].String(), "starting from the snapshot at position") {
					t.Errorf("node %d does not start from a snapshot: %s", i+1, k.logs[i])
				}
			}
			k.grow(64 << 10)
			k.agree()
		})
	}
}

// away has the follower miss more log than anybody keeps, and brings it back.
func (k *keepers) away() (i int) {
	k.t.Helper()
	k.grow(512 << 10)
	i = (k.leaderOfRunning() + 1) % len(k.nodes)
	end := wire.Position(k.nodes[i].ring.Append())
	k.stop(i)
	for n := 0; ; n++ {
		k.grow(512 << 10)
		k.until("pins end", 100_000_000, 50, func() bool { k.cycle(100_000_000); return true })
		dropped := 0
		for j, other := range k.nodes {
			if j != i && other.keeper.logFloor() > end {
				dropped++
			}
		}
		if dropped == len(k.nodes)-1 {
			k.mayEnd = true
			return i
		}
		if n > 20 {
			k.t.Fatal("the others drop no log")
		}
	}
}

// TestFollowerBehindTheLogInstallsASnapshot, from the one node that answers when the other does not, and goes on where it was
// when that one stops to answer.
func TestL13FollowerBehindTheLogInstallsASnapshot(t *testing.T) {
	k := newKeepers(t, 3, nil)
	i := k.away()
	k.restart(i) // it was down
	incarnation := k.nodes[i].identity
	k.until("the snapshot comes", 1_000_000, 10_000, func() bool { return k.nodes[i].keeper.fetchState().Bytes > 0 || k.down[i] })
	first := int(k.nodes[i].keeper.fetchState().From) - 1
	if !k.down[i] {
		k.deaf[first] = true
		if s := k.nodes[i].Status(); s.Fetch == nil || !s.Fetch.Install || s.Fetch.Of == 0 {
			t.Errorf("the status says nothing of the install: %+v", s.Fetch)
		}
	}
	k.until("it is installed", 1_000_000, 10_000, func() bool { return k.down[i] })
	k.deaf[first] = false
	before := k.nodes[i].recovered.Chain.Position
	k.reopen(i)
	n := k.nodes[i]
	if n.installed == 0 || n.recovered.Floor != n.installed || n.installed <= before || n.recovering != "" {
		t.Errorf("installed at %d, the log begins at %d, recovering %q", n.installed, n.recovered.Floor, n.recovering)
	}
	if n.identity.Incarnation != incarnation.Incarnation || n.identity.Run != incarnation.Run+1 {
		t.Errorf("it was %+v and is %+v", incarnation, n.identity)
	}
	if _, asked, err := journal.ReadInstall(n.machine.FS, n.config.Dir); asked || err != nil {
		t.Errorf("what was done is still asked for: %v", err)
	}
	k.grow(64 << 10)
	k.agree()
}

// TestDamagedCopyIsNotInstalled: what comes is not what the manifest says. Another node has what is.
func TestDamagedCopyIsNotInstalled(t *testing.T) {
	k := newKeepers(t, 3, nil)
	i := k.away()
	for j := range k.nodes {
		k.spoil[j] = true
	}
	k.restart(i)
	refused := -1
	k.until("it is refused", 1_000_000, 20_000, func() bool {
		for j := range k.nodes {
			if strings.Contains(k.logs[i].String(), fmt.Sprintf("of node %d is not what its manifest says", j+1)) {
				refused = j
			}
		}
		return refused >= 0
	})
	clear(k.spoil)
	k.spoil[refused] = true
	for _, m := range k.nodes[i].store.List() {
		if m.Position() > wire.Position(k.nodes[i].ring.Append()) {
			t.Error("a damaged copy was published")
		}
	}
	k.until("it is installed", 1_000_000, 20_000, func() bool { return k.down[i] })
	k.reopen(i)
	k.agree()
}

// TestCrashAtAnyPointOfAnInstall leaves a node that starts, with its own log or the snapshot's.
func TestCrashAtAnyPointOfAnInstall(t *testing.T) {
	for _, point := range []string{"file, no snapshot", "damaged file", "snapshot published", "snapshot damaged"} {
		t.Run(point, func(t *testing.T) {
			k := newKeepers(t, 3, nil)
			i := k.away()
			k.restart(i)
			k.until("it is installed", 1_000_000, 10_000, func() bool { return k.down[i] })
			n := k.nodes[i]
			held := n.store.List()
			at := held[len(held)-1].Position()
			dir := filepath.Join(n.config.Dir, "snapshot", fmt.Sprintf("%020d", at))
			wantBase := at
			switch point {
			case "file, no snapshot":
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				wantBase = 0
			case "damaged file": // nothing says why the log does not reach the snapshot: it may have lost something
				if err := os.WriteFile(filepath.Join(n.config.Dir, "install"), []byte("x"), 0o644); err != nil {
					t.Fatal(err)
				}
			case "snapshot damaged":
				turn(t, filepath.Join(dir, "data"))
				wantBase = 0
			}
			k.restart(i)
			if n = k.nodes[i]; n.base == at != (wantBase == at) {
				t.Errorf("it starts at %d, want %d: %s", n.base, wantBase, k.logs[i])
			}
			if (n.recovering != "") != (point == "damaged file") {
				t.Errorf("recovering: %q", n.recovering)
			}
			k.until("it has the state of the others", 1_000_000, 50_000, func() bool {
				if k.down[i] {
					k.reopen(i)
				}
				return k.sameState()
			})
		})
	}
}

// turn turns a bit in the middle of a file.
func turn(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 8
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedSnapshotIsSetAside: a start takes the one before; without any it refuses and says what to do. However often it
// begins anew, the run rises once.
func TestDamagedSnapshotIsSetAside(t *testing.T) {
	k := newKeepers(t, 3, nil)
	for range 4 {
		k.grow(512 << 10)
	}
	i := (k.leaderOfRunning() + 1) % 3
	k.until("it holds two", 1_000_000, 10_000, func() bool {
		return len(k.nodes[i].store.List()) == 2 && k.nodes[i].keeper.logFloor() > 0
	})
	n := k.nodes[i]
	held := n.store.List()
	data := func(j int) string {
		return filepath.Join(n.config.Dir, "snapshot", fmt.Sprintf("%020d", held[j].Position()), "data")
	}
	turn(t, data(1))
	run := n.identity.Run
	k.restart(i)
	if n = k.nodes[i]; n.base != held[0].Position() || n.identity.Run != run+1 ||
		n.gauge("lockstep_snapshots_set_aside_total") != 1 || !strings.Contains(k.logs[i].String(), "set aside") {
		t.Fatalf("it starts at %d in run %d, want %d in run %d: %s", n.base, n.identity.Run, held[0].Position(), run+1, k.logs[i])
	}
	k.agree()
	k.stop(i)
	_ = k.nodes[i].transport.Close()
	_ = k.nodes[i].Abandon()
	for _, m := range k.nodes[i].store.List() {
		turn(t, filepath.Join(n.config.Dir, "snapshot", fmt.Sprintf("%020d", m.Position()), "data"))
	}
	_, err := k.tryOpen(i)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "lockstep reseed") || !strings.Contains(err.Error(), "no snapshot") {
		t.Errorf("without a snapshot: %v", err)
	}
}

// TestSnapshotThatRotsIsReplaced: a running node reads its snapshots again. One that has rotted is set aside, and another
// node's copy takes its place.
func TestSnapshotThatRotsIsReplaced(t *testing.T) {
	k := newKeepers(t, 3, nil)
	for range 4 {
		k.grow(512 << 10)
	}
	i := (k.leaderOfRunning() + 1) % 3
	n := k.nodes[i]
	k.until("it holds two", 1_000_000, 10_000, func() bool { return len(n.store.List()) == 2 })
	at := n.store.List()[1].Position()
	n.machine.Limits.ScrubPauseNs, n.keeper.checkDue = 100_000_000, 0
	turn(t, filepath.Join(n.config.Dir, "snapshot", fmt.Sprintf("%020d", at), "data"))
	k.until("it is set aside", 1_000_000, 10_000, func() bool { return n.gauge("lockstep_snapshots_set_aside_total") == 1 })
	k.until("there is another", 1_000_000, 10_000, func() bool {
		_, err := n.store.Get(at)
		return err == nil && n.store.Check(at) == nil
	})
	if !strings.Contains(k.logs[i].String(), "set aside") {
		t.Errorf("nobody was told: %s", k.logs[i])
	}
}

// tryOpen opens a node's directory again and returns what comes of it.
func (k *keepers) tryOpen(i int) (*Node, error) {
	machine := Real()
	machine.Clock, machine.Inline = k.clock, true
	k.join(&machine)
	apart := transport.NewMemory(transport.MemoryOptions{})
	machine.Transport = func(config Config) (transport.Transport, error) {
		local, _ := transport.ParseAddr(config.Self().Data)
		return apart.Join(local)
	}
	return OpenOn(machine, k.configs[i], io.Discard)
}

// TestLogWaitsForTheArchive as long as the config says, and operators hear of it in time.
func TestLogWaitsForTheArchive(t *testing.T) {
	k := newKeepers(t, 1, func(c *Config) { c.Retention.ArchiveWaitBytes = 1 << 20 })
	n := k.nodes[0]
	for n.keeper.plan.unshipped < 700<<10 {
		k.grow(128 << 10)
	}
	if n.keeper.logFloor() != 0 || !strings.Contains(k.logs[0].String(), "lockstep journal archive") {
		t.Errorf("the log begins at %d, and nobody was told: %s", n.keeper.logFloor(), k.logs[0])
	}
	if err := journal.StoreArchived(n.machine.FS, n.config.Dir, 600<<10); err != nil {
		t.Fatal(err)
	}
	k.until("what is archived goes", 1e9, 100, func() bool { return n.keeper.logFloor() > 400<<10 })
	if floor := n.keeper.logFloor(); floor > 600<<10 {
		t.Errorf("the log is archived up to %d and begins at %d", 600<<10, floor)
	}
	for range 8 {
		k.grow(512 << 10)
	}
	k.until("log goes without an archive", 1e9, 100, func() bool { return n.keeper.logFloor() > 2<<20 })
}

// TestYoungLogStays.
func TestYoungLogStays(t *testing.T) {
	k := newKeepers(t, 1, func(c *Config) { c.Retention.AgeS = 3600 })
	n := k.nodes[0]
	for range 4 {
		k.grow(512 << 10)
	}
	k.until("the keeper looks", 1e9, 30, func() bool { k.cycle(20e9); return true })
	if floor := n.keeper.logFloor(); floor != 0 || len(n.store.List()) < 2 {
		t.Errorf("the log of an hour is to be kept, and begins at %d", floor)
	}
	k.clock.Advance(3600e9)
	k.until("old log goes", 1e9, 100, func() bool { return n.keeper.logFloor() > 1<<20 })
	if end := n.ring.Append(); !bytes.Contains(k.logs[0].Bytes(), []byte("retention: dropped")) || uint64(n.keeper.logFloor()) >= end {
		t.Errorf("the log begins at %d and ends at %d: %s", n.keeper.logFloor(), end, k.logs[0])
	}
}
