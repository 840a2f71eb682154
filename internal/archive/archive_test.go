package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

const (
	nodeDir = "/node"
	archDir = "/archive"
	newDir  = "/restored"
	cluster = 0xc1
	newID   = 0xc2
	segment = 128 << 10
)

var identity = journal.Identity{Cluster: cluster, Node: 2, Incarnation: 22, Run: 3}

// newLog begins a node's log.
func newLog(t *testing.T, fs vfs.FS, dir string) *journaltest.Log {
	l := journaltest.New(t, fs, dir, identity, 256<<10)
	l.Lead(1)
	l.Config(3)
	return l
}

func options(fs vfs.FS, commit wire.Position) Options {
	return Options{FS: fs, From: nodeDir, To: archDir, Commit: commit, SegmentBytes: segment}
}

// shipped is the log of a node, synced, all of it in an archive.
func shipped(t *testing.T, clients, messages int) (*vfs.Mem, *journaltest.Log) {
	t.Helper()
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(clients, messages, 1)
	l.Sync()
	ship(t, options(fs, l.Chain.Position))
	return fs, l
}

// everyPowerCut calls f with what may be left on the disk by a power cut before each step that fs is put to from here on.
func everyPowerCut(fs *vfs.Mem, f func(after *vfs.Mem, when string)) (images *int) {
	rng := rand.New(rand.NewPCG(1, 2))
	images = new(int)
	fs.Step = func(op vfs.Op, name string) {
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll, rng.IntN} {
			*images++
			f(fs.Crash(choose), fmt.Sprintf("a power cut before %s of %s", op, name))
		}
	}
	return images
}

func ship(t *testing.T, o Options) *Report {
	t.Helper()
	r, err := Ship(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is the log in a directory up to a position.
func text(t *testing.T, fs vfs.FS, dir string, until wire.Position) []byte {
	t.Helper()
	r, err := journal.NewReader(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetLimit(until)
	if err := r.SeekFirst(); err != nil {
		t.Fatal(err)
	}
	var all []byte
	for {
		b, err := r.NextRaw()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
}

// whole fails unless the archive in fs is sound and ends at end.
func whole(t *testing.T, fs vfs.FS, end wire.Chain) {
	t.Helper()
	m, err := Check(fs, archDir)
	if err != nil || m.End.chain() != end {
		t.Fatalf("%+v, %v, want the end %+v", m, err, end)
	}
	if sum, err := journal.Verify(fs, archDir); err != nil || sum.Outcome.Forgot() || sum.Chain.Position < end.Position {
		t.Fatalf("journal.Verify: %v, %v", &sum.Recovered, err)
	}
}

// TestShipGoesOnWhereItEnded ships a log that grows, run after run, and only what is committed and synced.
func TestShipGoesOnWhereItEnded(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(3, 2000, 1)
	l.Sync()
	commit := l.Ends[1000]
	r := ship(t, options(fs, commit+8)) // commit is within a record: that one is not shipped
	if r.End.Position != commit || r.Bound != commit+8 {
		t.Fatalf("%+v, want the end %d", r, commit)
	}
	whole(t, fs, r.End)
	if again := ship(t, options(fs, commit)); again.End != r.End || again.From != r.End {
		t.Fatalf("nothing new: %+v", again)
	}
	for round := range 5 {
		l.Flow(2, 700, uint64(round)+10)
		l.Sync()
		at := l.Ends[len(l.Ends)-1-round*3]
		if r = ship(t, options(fs, at)); r.End.Position != at {
			t.Fatalf("%+v, want the end %d", r, at)
		}
		whole(t, fs, r.End)
	}
	l.Sync()
	r = ship(t, options(fs, ^wire.Position(0))) // the watermark bounds it
	if r.End != l.Chain {
		t.Fatalf("%+v, want %+v", r, l.Chain)
	}
	whole(t, fs, l.Chain)
	if !bytes.Equal(text(t, fs, archDir, l.Chain.Position), text(t, fs, nodeDir, l.Chain.Position)) {
		t.Error("the archive is not the log")
	}
}

// TestShipIsInterruptedAnywhere cuts the power before every step of a run, and has every step fail: the archive is
// sound as far as its manifest goes each time, and the next run completes it.
func TestShipIsInterruptedAnywhere(t *testing.T) {
	prepare := func() (*vfs.Mem, *journaltest.Log) {
		fs := vfs.NewMem()
		l := newLog(t, fs, nodeDir)
		l.Flow(2, 600, 1)
		l.Sync()
		ship(t, options(fs, l.Ends[200]))
		l.Flow(2, 3000, 2)
		l.Sync()
		return fs, l
	}
	fs, l := prepare()
	images := everyPowerCut(fs, func(after *vfs.Mem, when string) {
		m, err := Check(after, archDir)
		if err != nil || m.End.Position < l.Ends[200] {
			t.Fatalf("%s: %v", when, err)
		}
		ship(t, options(after, l.Chain.Position))
		whole(t, after, l.Chain)
	})
	ship(t, options(fs, l.Chain.Position))
	fs.Step = nil
	whole(t, fs, l.Chain)
	for skip := 0; ; skip++ {
		mem, l := prepare()
		failing := vfs.NewFailing(mem, vfs.Fault{Ops: vfs.OpWrite | vfs.OpSync | vfs.OpRename | vfs.OpSyncDir, Path: archDir,
			Skip: skip, Err: errors.New("told to fail")})
		if _, err := Ship(options(failing, l.Chain.Position)); err == nil {
			t.Logf("%d power cuts, %d failures", *images, skip)
			return
		}
		if _, err := Check(mem, archDir); err != nil {
			t.Fatalf("after failure %d: %v", skip, err)
		}
		ship(t, options(mem, l.Chain.Position))
		whole(t, mem, l.Chain)
	}
}

// TestShipFromANodeThatCutsItsLog: what is above commit comes and goes; the archive has what is committed, each time.
func TestShipFromANodeThatCutsItsLog(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(1, 20, 1)
	l.Finish()
	live := journaltest.OpenLive(t, fs, nodeDir, cluster, 256<<10)
	for term := wire.Term(2); term < 40; term++ {
		commit := live.Chain
		for i := range 30 {
			live.Append(term, make([]byte, (i*211+int(term)*37)%2500))
			if i%7 == 6 {
				live.Sync()
			}
			if i == 13 {
				commit = live.Chain
			}
			if i%10 == 9 {
				r := ship(t, options(fs, commit.Position))
				if i > 20 && r.End != commit {
					t.Fatalf("%+v, want the end %+v", r, commit)
				}
			}
		}
		if term%2 == 0 {
			live.Cut(commit)
			ship(t, options(fs, commit.Position))
		} else {
			live.Sync()
		}
	}
	r := ship(t, options(fs, live.Chain.Position))
	whole(t, fs, live.Chain)
	if r.End != live.Chain || !bytes.Equal(text(t, fs, archDir, r.End.Position), text(t, fs, nodeDir, r.End.Position)) {
		t.Error("the archive is not the log")
	}
	live.Close()
}

// TestShipRefusesAnotherHistory: another cluster, another log of the same cluster, a log whose beginning is gone, and a
// node that is behind.
func TestShipRefusesAnotherHistory(t *testing.T) {
	fs, l := shipped(t, 2, 4000)

	other := newLog(t, fs, "/other")
	other.Flow(2, 4500, 2)
	other.Finish()
	o := options(fs, other.Chain.Position)
	o.From = "/other"
	if _, err := Ship(o); !errors.Is(err, ErrHistory) {
		t.Errorf("another log: %v", err)
	}
	short := newLog(t, fs, "/short")
	short.Flow(2, 500, 1)
	short.Finish()
	o.From = "/short"
	if r, err := Ship(o); err != nil || r.End != l.Chain {
		t.Errorf("a node that is behind: %+v, %v", r, err)
	}
	foreign := journaltest.New(t, fs, "/foreign", journal.Identity{Cluster: 9, Node: 1, Incarnation: 1}, segment)
	foreign.Lead(1)
	foreign.Finish()
	o.From = "/foreign"
	if _, err := Ship(o); !errors.Is(err, ErrHistory) {
		t.Errorf("another cluster: %v", err)
	}
	if err := fs.Remove(nodeDir + "/" + journal.SegmentName(0)); err != nil {
		t.Fatal(err)
	}
	o = options(fs, l.Chain.Position)
	o.To = "/archive2"
	if _, err := Ship(o); err == nil || !strings.Contains(err.Error(), "begins at position") {
		t.Errorf("the log's beginning is gone: %v", err)
	}
	whole(t, fs, l.Chain)
}

// TestDamagedArchiveIsNamedAndMended: a flipped bit in any file, a missing one: Check names it, Restore does not use
// it, and Ship with Check writes it again.
func TestDamagedArchiveIsNamedAndMended(t *testing.T) {
	fs, l := shipped(t, 3, 6000)
	m, err := Load(fs, archDir)
	if err != nil || len(m.Stretches) != 1 || len(m.Stretches[0].Segments) < 4 {
		t.Fatal(m, err)
	}
	for i, e := range m.Stretches[0].Segments {
		for _, damage := range []string{"rot", "missing"} {
			name := archDir + "/" + e.Name
			if damage == "rot" {
				err = fs.Rot(name, journal.SegmentHeaderBytes+int64(e.End-e.First)/2, 4)
			} else {
				err = fs.Remove(name)
			}
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("segment %d, %s", i, damage)
			if _, err := Check(fs, archDir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), e.Name) {
				t.Fatalf("%s: Check says %v", what, err)
			}
			if _, err := Restore(restoreOptions(fs)); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: Restore says %v", what, err)
			}
			o := options(fs, l.Chain.Position)
			o.Check = true
			if r := ship(t, o); len(r.Mended) != 1 || r.Mended[0] != e.Name {
				t.Fatalf("%s: %+v", what, r)
			}
			whole(t, fs, l.Chain)
		}
	}
	last := &m.Stretches[0].Segments[len(m.Stretches[0].Segments)-1]
	if err := fs.Rot(archDir+"/"+last.Name, journal.SegmentHeaderBytes+8, 4); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(restoreOptions(fs))
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("up to position %d", r.End.Position)) {
		t.Fatalf("a damaged last segment: %+v, %v", r, err)
	}
	before := restoreOptions(fs) // as the message says
	before.Covers = func(rec *wire.Record) bool { return rec.End() <= r.End.Position }
	again, err := Restore(before)
	if err != nil || again.End != r.End {
		t.Fatalf("%+v, %v", again, err)
	}
	opens(t, fs, newDir, r.End)
	if err := fs.Rot(archDir+"/MANIFEST", 100, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := Ship(options(fs, l.Chain.Position)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged manifest: %v", err)
	}
}

func restoreOptions(fs vfs.FS) RestoreOptions {
	return RestoreOptions{FS: fs, From: archDir, To: newDir, Node: 2, Cluster: newID, Incarnation: 99, SegmentBytes: segment}
}

// opens fails unless the restored directory opens as an intact node of the new cluster whose log is the archived one up
// to end.
func opens(t *testing.T, fs vfs.FS, dir string, end wire.Chain) *journal.Recovered {
	t.Helper()
	id, err := journal.LoadIdentity(fs, dir)
	if err != nil || id.Cluster != newID {
		t.Fatalf("%+v, %v", id, err)
	}
	j, rec, err := journal.Open(journal.Options{FS: fs, Dir: dir, Cluster: newID, SegmentBytes: segment, Inline: true,
		Base: base(t, fs, dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if rec.Outcome != journal.OutcomeIntact || rec.Chain != end || rec.Watermark != end.Position {
		t.Fatalf("%v, want the end %+v", rec, end)
	}
	if clean, err := journal.TakeClean(fs, dir, id.Run, end.Position); err != nil || !clean {
		t.Errorf("it did not end cleanly: %v", err)
	}
	if !bytes.HasSuffix(text(t, fs, nodeDir, end.Position), text(t, fs, dir, end.Position)) {
		t.Error("the restored log is not the node's")
	}
	return rec
}

// TestRestore builds nodes from an archive: of all of it, up to a position, up to a time; listed by the log or not.
func TestRestore(t *testing.T) {
	fs, l := shipped(t, 3, 3000)
	o := restoreOptions(fs)
	r, err := Restore(o)
	if err != nil || r.End != l.Chain || !r.Listed || r.Identity.Incarnation != 22 || r.Identity.Run != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if rec := opens(t, fs, newDir, l.Chain); rec.Forgot() || len(rec.Configs) != 1 {
		t.Errorf("%v", rec)
	}
	for i, n := range []int{1, 2, 40, 1500, 2999} { // how many records behind the config's
		o.To = fmt.Sprint("/restored", i)
		at := l.Ends[1+n]
		o.Covers = func(rec *wire.Record) bool { return rec.End() <= at+16 }
		if n%2 == 0 {
			o.Covers = func(rec *wire.Record) bool {
				return rec.Timestamp < journaltest.Epoch+journaltest.Tick*uint64(n+2)+journaltest.Tick/2
			}
			at = l.Ends[1+n]
		}
		r, err := Restore(o)
		if err != nil || r.End.Position != at {
			t.Fatalf("%d records: %+v, %v, want the end %d", n, r, err, at)
		}
		opens(t, fs, o.To, r.End)
	}
	o.To, o.Node, o.Covers = "/node7", 7, nil
	if r, err = Restore(o); err != nil || r.Listed || r.Identity.Incarnation != 99 {
		t.Fatalf("%+v, %v", r, err)
	}
	if rec := opens(t, fs, o.To, l.Chain); !rec.Forgot() {
		t.Error("a node that the log does not list counts at once")
	}
}

func TestRestoreRefuses(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, nodeDir)
	l.Flow(2, 50, 1)
	l.Sync()
	o := restoreOptions(fs)
	if _, err := Restore(o); !errors.Is(err, ErrNoArchive) {
		t.Errorf("no archive: %v", err)
	}
	ship(t, options(fs, l.Chain.Position))
	o.Cluster = cluster
	if _, err := Restore(o); !errors.Is(err, ErrSameCluster) {
		t.Errorf("the archived cluster: %v", err)
	}
	o.Cluster = newID
	o.Covers = func(r *wire.Record) bool { return r.Sequence <= 1 }
	if _, err := Restore(o); !errors.Is(err, ErrTooEarly) {
		t.Errorf("before the config: %v", err)
	}
	o.Covers = nil
	if _, err := Restore(o); err != nil { // what the one before left does not matter
		t.Fatal(err)
	}
	if _, err := Restore(o); !errors.Is(err, ErrOccupied) {
		t.Errorf("a node's directory: %v", err)
	}
}

// TestRestoreIsInterruptedAnywhere cuts the power before every step: until it is done nothing runs on the directory, and
// a restore that is begun again completes it.
func TestRestoreIsInterruptedAnywhere(t *testing.T) {
	fs, l := shipped(t, 2, 1200)
	images := everyPowerCut(fs, func(after *vfs.Mem, when string) {
		if _, err := journal.LoadIdentity(after, newDir); err == nil {
			opens(t, after, newDir, l.Chain)
			return
		}
		if _, err := Restore(restoreOptions(after)); err != nil {
			t.Fatalf("again after %s: %v", when, err)
		}
		opens(t, after, newDir, l.Chain)
	})
	if _, err := Restore(restoreOptions(fs)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d power cuts", *images)
}
