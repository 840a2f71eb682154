package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"testing"

	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/journal/snapshot"
	"lockstep/wire"
)

// verified has the log ask for a snapshot, puts one into the directory, and has the log say that it is verified.
func verified(l *journaltest.Log, seed uint64) wire.Chain {
	at := l.Ask()
	l.Flow(1, 20, seed)
	publish(l, at)
	l.Verify(at.Position, digestAt(at.Position))
	return at
}

func digestAt(at wire.Position) uint64 { return uint64(at) * 31 }

// publish puts a snapshot into the directory whose data means nothing.
func publish(l *journaltest.Log, at wire.Chain) {
	data := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, uint64(at.Position)), 20_000)
	l.Publish(snapshot.Manifest{Chain: at, Digest: digestAt(at.Position), Version: 1}, data)
}

// sound fails unless the archive is what its manifest says.
func sound(t *testing.T, fs vfs.FS, what any) *Manifest {
	t.Helper()
	m, err := Check(fs, archDir)
	if err != nil {
		t.Fatalf("%v: %v", what, err)
	}
	for _, dir := range m.Dirs(archDir) {
		if sum, err := journal.Verify(fs, dir); err != nil || sum.Outcome.Forgot() {
			t.Fatalf("%v: %s: %v, %v", what, dir, &sum.Recovered, err)
		}
	}
	return m
}

// TestShipTakesVerifiedSnapshotsAlong, once, and none that is not verified, or verified with another digest.
func TestShipTakesVerifiedSnapshotsAlong(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(2, 500, 1)
	first := verified(l, 2)
	unverified := l.Ask()
	publish(l, unverified)
	other := l.Ask()
	publish(l, other)
	l.Verify(other.Position, 4711)
	beyond := l.Ask()
	publish(l, beyond)
	l.Sync()
	commit := l.Chain.Position
	l.Verify(beyond.Position, digestAt(beyond.Position)) // not committed yet
	l.Sync()
	r, err := Ship(options(fs, commit))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%016x", 4711)) || r.End.Position != commit {
		t.Fatalf("another digest than the verified one: %+v, %v", r, err)
	}
	m := sound(t, fs, "shipped")
	if list := m.Stretches[0].Snapshots; len(list) != 1 || list[0].Place != placeOf(first) || len(r.Snapshots) != 1 {
		t.Fatalf("%+v, want the one at %d", list, first.Position)
	}
	if r, _ := Ship(options(fs, commit)); len(r.Snapshots) != 0 {
		t.Errorf("again: %+v", r)
	}
	l.Verify(unverified.Position, digestAt(unverified.Position))
	l.Sync()
	if r, err = Ship(options(fs, l.Chain.Position)); err == nil {
		t.Error("the other digest is forgotten")
	}
	m = sound(t, fs, "shipped more")
	if list := m.Stretches[0].Snapshots; len(list) != 3 || list[1].Place != placeOf(unverified) ||
		list[2].Place != placeOf(beyond) || len(r.Snapshots) != 2 {
		t.Fatalf("%+v", list)
	}
	at, known, err := journal.LoadArchived(fs, nodeDir)
	if err != nil || !known || at != l.Chain.Position {
		t.Errorf("the node is told of %d, %v, %v, want %d", at, known, err, l.Chain.Position)
	}
}

// TestShipGoesOnBehindAGap: a node that has dropped log which the archive lacks, and one that begins an archive so.
func TestShipGoesOnBehindAGap(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(3, 3000, 1)
	l.Sync()
	before := ship(t, options(fs, l.Chain.Position)).End
	l.Flow(3, 6000, 2)
	l.Sync()
	below := l.Chain
	l.Flow(3, 1000, 3)
	l.Sync()
	floor := l.Drop(below.Position)
	if floor <= before.Position {
		t.Fatalf("the log begins at %d, the archive ends at %d", floor, before.Position)
	}
	for _, o := range []Options{options(fs, l.Chain.Position), {FS: fs, From: nodeDir, To: "/begun", Commit: l.Chain.Position}} {
		if _, err := Ship(o); !errors.Is(err, ErrGap) {
			t.Fatalf("no snapshot: %v", err)
		}
	}
	if m := sound(t, fs, "nothing shipped"); m.End.chain() != before {
		t.Fatalf("%+v", m)
	}
	at := verified(l, 4)
	l.Sync()
	if _, err := Ship(options(fs, at.Position)); !errors.Is(err, ErrGap) {
		t.Fatalf("the verification is not committed: %v", err)
	}
	r := ship(t, options(fs, l.Chain.Position))
	if r.Gap == nil || r.Gap.From != before || r.Gap.To.Position != floor || r.End != l.Chain ||
		r.Records != l.Chain.Sequence-r.Gap.To.Sequence || len(r.Snapshots) != 1 {
		t.Fatalf("%+v", r)
	}
	m := sound(t, fs, "behind the gap")
	if len(m.Stretches) != 2 || m.Stretches[1].Dir != fmt.Sprintf("%020d", floor) || len(m.Stretches[1].Snapshots) != 1 {
		t.Fatalf("%+v", m)
	}
	for round := range 4 { // and on and on, over segments
		l.Flow(2, 900, uint64(round)+9)
		l.Sync()
		if r := ship(t, options(fs, l.Chain.Position)); r.Gap != nil || r.End != l.Chain {
			t.Fatalf("%+v", r)
		}
		sound(t, fs, round)
	}
	if a, b := text(t, fs, path.Join(archDir, m.Stretches[1].Dir), l.Chain.Position),
		text(t, fs, nodeDir, l.Chain.Position); !bytes.Equal(a, b) {
		t.Error("the archive is not the log")
	}
	o := options(fs, l.Chain.Position)
	o.To = "/begun"
	if r := ship(t, o); r.Gap != nil || r.From != (wire.Chain{}) || r.End != l.Chain {
		t.Errorf("begun with a log that begins at %d: %+v", floor, r)
	}
}

// TestShipIsInterruptedBehindAGap cuts the power before every step of a run that begins a stretch and ships a snapshot,
// while the node drops more log before the next run.
func TestShipIsInterruptedBehindAGap(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(2, 600, 1)
	l.Sync()
	ship(t, options(fs, l.Chain.Position))
	l.Flow(2, 4000, 2)
	verified(l, 3)
	l.Flow(2, 3000, 3)
	newest := verified(l, 4)
	l.Sync()
	l.Drop(l.Ends[2000])
	rng := rand.New(rand.NewPCG(5, 6))
	images := 0
	fs.Step = func(op vfs.Op, name string) {
		if images++; images%3 != 0 {
			return
		}
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll, rng.IntN} {
			after := fs.Crash(choose)
			if _, err := Check(after, archDir); err != nil {
				t.Fatalf("a power cut before %s of %s: %v", op, name, err)
			}
			if images%2 == 0 {
				if _, _, err := journal.DropBelow(after, nodeDir, newest.Position); err != nil {
					t.Fatal(err)
				}
			}
			r := ship(t, options(after, l.Chain.Position))
			m := sound(t, after, name)
			if r.End != l.Chain || len(m.newest().Snapshots) == 0 {
				t.Fatalf("again after a power cut before %s of %s: %+v, %+v", op, name, r, m)
			}
		}
	}
	ship(t, options(fs, l.Chain.Position))
	t.Logf("%d steps", images)
}

// dropping is a file system in which log is dropped when a file is opened for the n-th time.
type dropping struct {
	*vfs.Mem
	opens, at int
	below     wire.Position
}

func (d *dropping) OpenFile(name string, flags vfs.Flags) (vfs.File, error) {
	if d.opens++; d.opens == d.at {
		if _, _, err := journal.DropBelow(d.Mem, nodeDir, d.below); err != nil {
			return nil, err
		}
	}
	return d.Mem.OpenFile(name, flags)
}

// TestShipBesideRetention: the node drops log at any moment of a run: what is shipped is sound, with a gap or without.
func TestShipBesideRetention(t *testing.T) {
	gaps := 0
	for at := 1; ; at++ { // an open
		mem := vfs.NewMem()
		l := newLog(t, mem, nodeDir)
		l.Flow(2, 300, 1)
		l.Sync()
		ship(t, options(mem, l.Chain.Position))
		l.Flow(2, 4000, 1)
		verified(l, 2)
		l.Flow(2, 5000, 1)
		point := verified(l, 2)
		l.Flow(2, 2000, 3)
		l.Sync()
		fs := &dropping{Mem: mem, at: at, below: point.Position}
		r, err := Ship(options(fs, l.Chain.Position))
		if err != nil || r.End != l.Chain {
			t.Fatalf("dropped at open %d: %+v, %v", at, r, err)
		}
		sound(t, mem, at)
		if r.Gap != nil {
			gaps++
		}
		if fs.opens < at {
			if gaps == 0 || gaps == at {
				t.Errorf("%d gaps at %d moments", gaps, at)
			}
			return
		}
	}
}

// TestDamagedSnapshotIsNamedAndMended: in the archive, where the node still has it; on the node it is not shipped.
func TestDamagedSnapshotIsNamedAndMended(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(2, 500, 1)
	at := verified(l, 2)
	second := verified(l, 3)
	l.Sync()
	data := func(dir string, at wire.Position) string { return fmt.Sprintf("%s/snapshot/%020d/data", dir, at) }
	if err := fs.Rot(data(nodeDir, second.Position), 5000, 4); err != nil {
		t.Fatal(err)
	}
	if r, err := Ship(options(fs, l.Chain.Position)); !errors.Is(err, snapshot.ErrDamaged) || len(r.Snapshots) != 1 ||
		r.End != l.Chain {
		t.Fatalf("a damaged one: %+v, %v", r, err)
	}
	m := sound(t, fs, "the sound one is shipped")
	for _, damage := range []func() error{
		func() error { return fs.Rot(data(archDir, at.Position), 70, 1) },
		func() error { return fs.Remove(data(archDir, at.Position)) },
		func() error { return fs.Remove(path.Join(path.Dir(data(archDir, at.Position)), "manifest")) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if _, err := Check(fs, archDir); !errors.Is(err, ErrDamaged) {
			t.Errorf("it is not noticed: %v", err)
		}
		o := options(fs, l.Chain.Position)
		o.Check = true
		if r, _ := Ship(o); len(r.Mended) != 1 || r.Mended[0] != m.Stretches[0].Snapshots[0].name() {
			t.Errorf("%+v", r)
		}
		sound(t, fs, "mended")
	}
	if err := errors.Join(fs.Rot(data(archDir, at.Position), 70, 1), fs.Remove(data(nodeDir, at.Position))); err != nil {
		t.Fatal(err)
	}
	l.Flow(1, 100, 5)
	l.Sync()
	o := options(fs, l.Chain.Position)
	o.Check = true
	if r, err := Ship(o); !errors.Is(err, ErrDamaged) || r.End != l.Chain {
		t.Errorf("the node has it no longer: %+v, %v", r, err)
	}
}

// TestShipNotIntoANode: a slip of the hand does not cost a node.
func TestShipNotIntoANode(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(1, 50, 1)
	l.Sync()
	other := newLog(t, fs, "/other")
	other.Sync()
	o := options(fs, l.Chain.Position)
	o.To = "/other"
	if _, err := Ship(o); !errors.Is(err, ErrNode) {
		t.Errorf("%v", err)
	}
	if _, err := fs.Stat("/other/MANIFEST"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
