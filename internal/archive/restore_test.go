package archive

import (
	"errors"
	"fmt"
	"testing"

	"lockstep/internal/journaltest"
	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/node"
	"lockstep/service"
	"lockstep/wire"
)

func production() ([service.MaxServices]service.Service, error) {
	return node.NewServices(node.MachineLimits{})
}

// storied is the log of a node with verified snapshots, as nodes take them, in the middle of flow, all of it shipped.
type storied struct {
	fs     *vfs.Mem
	log    *journaltest.Log
	points []wire.Chain
}

func newStoried(t *testing.T, snapshots, messages int) *storied {
	t.Helper()
	s := &storied{fs: vfs.NewMem()}
	s.log = newLog(t, s.fs, nodeDir)
	s.log.Flow(3, messages, 1)
	taker := journaltest.NewTaker(s.log, production)
	for i := range snapshots {
		s.points = append(s.points, taker.Take())
		s.log.Flow(2, messages, uint64(i)+2)
	}
	s.log.Sync()
	ship(t, options(s.fs, s.log.Chain.Position))
	return s
}

// state is the hash of the services' state at a position, replayed from the start of the log in a directory.
func state(t *testing.T, fs vfs.FS, dir string, at wire.Position, fromStart bool) uint64 {
	t.Helper()
	p, err := replay.New(replay.Options{FS: fs, Dir: dir, End: at, FromStart: fromStart, Services: production})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if len(p.PassedOver) > 0 {
		t.Errorf("%s: passed over: %v", dir, p.PassedOver)
	}
	if p.Start().Position == at {
		return p.State().Hash
	}
	s, err := p.Apply(at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Hash
}

// base is what a node's start would have the journal opened with.
func base(t *testing.T, fs vfs.FS, dir string) *journal.Base {
	t.Helper()
	store, err := snapshot.Look(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	list := store.List()
	if len(list) == 0 {
		return nil
	}
	h, err := snapshotHead(store, list[len(list)-1].Position())
	if err != nil {
		t.Fatal(err)
	}
	return &journal.Base{Chain: h.Chain, Terms: h.Terms, Configs: h.Configs, MoreConfigs: h.MoreConfigs}
}

func upTo(at wire.Position) func(*wire.Record) bool {
	return func(r *wire.Record) bool { return r.End() <= at }
}

// TestRestoreBeginsWithTheNewestSnapshot at or below the place asked for, keeps the one before as well, and comes to the state
// that the node had there.
func TestRestoreBeginsWithTheNewestSnapshot(t *testing.T) {
	s := newStoried(t, 3, 2500)
	for i, c := range []struct {
		at        wire.Position
		snapshots []wire.Chain // newest first
		from      wire.Chain
	}{
		{s.points[0].Position - 8, nil, wire.Chain{}},
		{s.points[0].Position, s.points[:1], wire.Chain{}},
		{s.points[1].Position - 8, s.points[:1], wire.Chain{}},
		{s.points[1].Position, []wire.Chain{s.points[1], s.points[0]}, s.points[0]},
		{s.points[2].Position + 5000, []wire.Chain{s.points[2], s.points[1]}, s.points[1]},
		{s.log.Chain.Position, []wire.Chain{s.points[2], s.points[1]}, s.points[1]},
	} {
		o := restoreOptions(s.fs)
		o.To, o.Covers = fmt.Sprint("/restored", i), upTo(c.at)
		r, err := Restore(o)
		if err != nil {
			t.Fatal(i, err)
		}
		if r.From != c.from || len(r.Snapshots) != len(c.snapshots) || len(r.PassedOver) > 0 || !r.Listed {
			t.Fatalf("%d: %+v, want it from %+v with %+v", i, r, c.from, c.snapshots)
		}
		for k := range c.snapshots {
			if r.Snapshots[k] != c.snapshots[k].Position {
				t.Errorf("%d: %v, want %+v", i, r.Snapshots, c.snapshots)
			}
		}
		opens(t, s.fs, o.To, r.End)
		want := state(t, s.fs, nodeDir, r.End.Position, true)
		if a, b := state(t, s.fs, o.To, r.End.Position, false), state(t, s.fs, o.To, r.End.Position, true); a != want || b != want {
			t.Errorf("%d: its state at %d is %016x, from the older snapshot %016x, want %016x", i, r.End.Position, a, b, want)
		}
	}
	o := restoreOptions(s.fs)
	o.To, o.Covers = "/bytime", func(r *wire.Record) bool { return r.Timestamp <= s.points[1].Timestamp }
	if r, err := Restore(o); err != nil || r.End != s.points[1] || len(r.Snapshots) != 2 {
		t.Errorf("by time: %+v, %v", r, err)
	}
}

// TestRestorePassesOverDamagedSnapshots: with the one before, and with none left, from the start of the log.
func TestRestorePassesOverDamagedSnapshots(t *testing.T) {
	s := newStoried(t, 3, 2500)
	want := state(t, s.fs, nodeDir, s.log.Chain.Position, true)
	for i, left := range []wire.Chain{s.points[1], s.points[0], {}} {
		rotten := s.points[2-i]
		name := fmt.Sprintf("%s/snapshot/%020d/data", archDir, rotten.Position)
		if err := s.fs.Rot(name, int64(1000*i)+40, 2); err != nil {
			t.Fatal(err)
		}
		o := restoreOptions(s.fs)
		o.To = fmt.Sprint("/restored", i)
		r, err := Restore(o)
		if err != nil || len(r.PassedOver) != i+1 || !errors.Is(r.PassedOver[0], ErrDamaged) {
			t.Fatalf("%d rotten: %+v, %v", i+1, r, err)
		}
		if left.Position > 0 && r.Snapshots[0] != left.Position || left.Position == 0 && len(r.Snapshots) > 0 {
			t.Errorf("%d rotten: %v, want %d", i+1, r.Snapshots, left.Position)
		}
		opens(t, s.fs, o.To, s.log.Chain)
		if got := state(t, s.fs, o.To, r.End.Position, false); got != want {
			t.Errorf("%d rotten: its state is %016x, want %016x", i+1, got, want)
		}
	}
}

// TestRestoreBehindDamagedLog: the log before the newest snapshot is not needed.
func TestRestoreBehindDamagedLog(t *testing.T) {
	s := newStoried(t, 3, 2500)
	m, err := Load(s.fs, archDir)
	if err != nil {
		t.Fatal(err)
	}
	want := state(t, s.fs, nodeDir, s.log.Chain.Position, true)
	damage := func(at wire.Position) {
		for i := range m.Stretches[0].Segments {
			if e := &m.Stretches[0].Segments[i]; e.First <= at && at < e.End {
				if err := s.fs.Rot(archDir+"/"+e.Name, journal.SegmentHeaderBytes+int64(at-e.First), 4); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, c := range []struct {
		rotten    wire.Position
		upTo      wire.Chain
		snapshots int
	}{
		{s.points[0].Position / 2, s.points[0], 1},   // would begin at position 0
		{s.points[0].Position / 2, s.log.Chain, 2},   // needs none of it
		{s.points[2].Position - 300, s.log.Chain, 1}, // in the segment that the newest is in
	} {
		damage(c.rotten)
		o := restoreOptions(s.fs)
		o.To, o.Covers = fmt.Sprint("/restored", i), upTo(c.upTo.Position)
		r, err := Restore(o)
		if err != nil || r.End != c.upTo || len(r.Snapshots) != c.snapshots || len(r.PassedOver) != 2-c.snapshots {
			t.Fatalf("%d: %+v, %v", i, r, err)
		}
		opens(t, s.fs, o.To, c.upTo)
		if c.upTo == s.log.Chain {
			if got := state(t, s.fs, o.To, c.upTo.Position, false); got != want {
				t.Errorf("%d: its state is %016x, want %016x", i, got, want)
			}
		}
	}
	damage(s.points[2].Position + 4000)
	if r, err := Restore(RestoreOptions{FS: s.fs, From: archDir, To: "/last", Node: 2, Cluster: newID, Incarnation: 9,
		SegmentBytes: segment}); !errors.Is(err, ErrDamaged) || r.End.Position < s.points[2].Position {
		t.Errorf("damaged behind the newest snapshot: %+v, %v", r, err)
	}
}

// TestRestoreFromAnArchiveWithAGap: on either side of it, in it, and where a stretch has log but no snapshot yet.
func TestRestoreFromAnArchiveWithAGap(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	taker := journaltest.NewTaker(l, production)
	l.Flow(3, 2500, 1)
	early := taker.Take()
	l.Flow(1, 50, 2)
	l.Sync()
	end := ship(t, options(fs, l.Chain.Position)).End
	l.Flow(2, 9000, 3)
	late := taker.Take()
	l.Flow(2, 500, 4)
	later := taker.Take()
	l.Flow(2, 500, 5)
	l.Sync()
	floor := l.Drop(late.Position)
	gap := ship(t, options(fs, l.Chain.Position)).Gap
	if gap == nil || gap.From != end || gap.To.Position != floor {
		t.Fatalf("%+v", gap)
	}
	restore := func(at wire.Position) (*Restored, string, error) {
		o := restoreOptions(fs)
		o.To = fmt.Sprint("/restored", at)
		o.Covers = upTo(at)
		r, err := Restore(o)
		return r, o.To, err
	}
	for at, snapshot := range map[wire.Position]wire.Position{
		end.Position: early.Position, end.Position - 100: early.Position, early.Position: early.Position,
		late.Position: late.Position, later.Position - 8: late.Position, later.Position: later.Position,
		l.Chain.Position: later.Position,
	} {
		r, dir, err := restore(at)
		if err != nil || r.Snapshots[0] != snapshot {
			t.Fatalf("up to %d: %+v, %v, want the snapshot at %d", at, r, err, snapshot)
		}
		if _, _, err := journal.Open(journal.Options{FS: fs, Dir: dir, Cluster: newID, SegmentBytes: segment, Inline: true,
			Base: base(t, fs, dir)}); err != nil {
			t.Errorf("up to %d: %v", at, err)
		}
	}
	for at, want := range map[wire.Position]error{
		end.Position + wire.RecordHeaderSize: ErrMissing, gap.To.Position - 8: ErrMissing,
		gap.To.Position: ErrNoState, late.Position - 8: ErrNoState,
	} {
		if r, dir, err := restore(at); !errors.Is(err, want) {
			t.Errorf("up to %d: %+v, %v, want %v", at, r, err, want)
		} else if _, err := journal.LoadIdentity(fs, dir); err == nil {
			t.Errorf("up to %d: a node was made", at)
		}
	}
	o := options(fs, l.Chain.Position)
	o.To = "/begun" // an archive that begins behind position 0
	ship(t, o)
	ro := restoreOptions(fs)
	ro.From, ro.Covers = "/begun", upTo(floor-8)
	if _, err := Restore(ro); !errors.Is(err, ErrBefore) {
		t.Errorf("before all of it: %v", err)
	}
	ro.Covers = nil
	if r, err := Restore(ro); err != nil || r.End != l.Chain || r.From != late {
		t.Errorf("all of it: %+v, %v", r, err)
	}
}

// TestRestoreWithSnapshotsIsInterruptedAnywhere: until it is done nothing runs on the directory, and a restore that is
// begun again completes it.
func TestRestoreWithSnapshotsIsInterruptedAnywhere(t *testing.T) {
	s := newStoried(t, 2, 300)
	images := everyPowerCut(s.fs, func(after *vfs.Mem, when string) {
		if _, err := journal.LoadIdentity(after, newDir); err != nil {
			if _, err := Restore(restoreOptions(after)); err != nil {
				t.Fatalf("again after %s: %v", when, err)
			}
		}
		opens(t, after, newDir, s.log.Chain)
		if store, err := snapshot.Look(after, newDir); err != nil || len(store.List()) != 2 || len(store.Damage()) > 0 ||
			errors.Join(store.Check(s.points[0].Position), store.Check(s.points[1].Position)) != nil {
			t.Fatalf("again after %s: %v, %v", when, store, err)
		}
	})
	if _, err := Restore(restoreOptions(s.fs)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts", *images)
}
