package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// baseOf is what a snapshot of log at position says of it.
func baseOf(log []byte, at wire.Position) *Base {
	b := &Base{}
	var r wire.Record
	for b.Chain.Position < at {
		before := b.Chain.Term
		if _, v := b.Chain.Verify(log[b.Chain.Position:], &r); v != wire.VerdictOK {
			panic(fmt.Sprint("test log: ", v))
		}
		if r.Term != before {
			b.Terms = append(b.Terms, wire.TermStart{Start: r.Position, Term: r.Term})
		}
	}
	return b
}

// at returns a copy of the image's disk, changed.
func (im *image) at(change func(m *vfs.Mem)) *vfs.Mem {
	m := im.mem.Crash(vfs.KeepAll)
	if change != nil {
		change(m)
	}
	return m
}

// openFrom opens a directory from a snapshot.
func openFrom(fs vfs.FS, base *Base, install bool) (*Journal, *Recovered, error) {
	o := testOptions(fs)
	o.Base, o.Install = base, install
	return Open(o)
}

// readFrom returns the bytes of every record from the start of what is held to limit, and where that is.
func readFrom(t testing.TB, fs vfs.FS, limit wire.Position) (wire.Position, []byte) {
	t.Helper()
	rd := newReader(t, fs, limit)
	defer rd.Close()
	if err := rd.Seek(rd.Floor()); err != nil {
		t.Fatal(err)
	}
	from := rd.Position()
	var all []byte
	for {
		b, err := rd.NextRaw()
		if errors.Is(err, io.EOF) {
			return from, all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
}

// goOn runs a journal on a directory that begins at a snapshot: it writes, marks, cuts, opens again, and reads it all back.
func goOn(t *testing.T, what string, fs vfs.FS, base *Base, install bool, log []byte, floor wire.Position) {
	t.Helper()
	r := &rig{t: t, fs: fs, options: testOptions(fs), log: bytes.Clone(log)}
	r.options.Base, r.options.Install = base, install
	r.mustOpen()
	if r.j == nil || !r.j.ready || r.rec.Floor != floor {
		t.Fatalf("%s: %v, floor %d, want %d", what, r.rec, r.rec.Floor, floor)
	}
	if at := wire.Position(r.ring.Floor()); at < base.Chain.Position && at != r.chain.Position-wire.Position(r.ring.Size()) {
		t.Fatalf("%s: the ring begins at %d, before the snapshot at %d", what, at, base.Chain.Position)
	}
	end, term := r.chain.Position, r.chain.Term
	for i := range 60 {
		r.append(term+1, i*131%5000)
		r.sync()
	}
	r.cut(end, r.j.Generation()+1)
	for i := range 40 {
		r.append(term+2, i*97%5000)
		r.sync()
	}
	r.mark()
	r.reopen()
	if r.rec.Outcome != OutcomeIntact || r.rec.Floor != floor {
		t.Fatalf("%s: opened again: %v, floor %d", what, r.rec, r.rec.Floor)
	}
	if from, got := readFrom(t, fs, r.chain.Position); from != floor || !bytes.Equal(got, r.log[floor:]) {
		t.Fatalf("%s: read back %d bytes from %d that are not the %d from %d", what, len(got), from, len(r.log)-int(floor), floor)
	}
	r.close()
}

// TestOpenFromASnapshot opens a log from every one of its records: what is found is what opening it whole finds, and what
// lies before is not counted.
func TestOpenFromASnapshot(t *testing.T) {
	im := newImageOf(t, 40)
	var skip [wire.SkipRecordSize]byte
	(&wire.SkipRecord{Position: 64}).Put(skip[:])
	im.appendRecord(1, wire.RecordSkip, skip[:])
	early := im.chain.Position
	for i := range 120 {
		im.append(wire.Term(2+i/50), i*67%4500)
		im.sync()
	}
	im.appendRecord(4, wire.RecordSkip, skip[:])
	im.sync()
	im.mark()
	defer im.close()
	_, j, whole := im.opened(func(*vfs.Mem) {})
	j.Close()
	for i, at := range im.ends {
		m := im.at(nil)
		base := baseOf(im.log, at)
		j, rec, err := openFrom(m, base, i%2 == 0)
		if err != nil {
			t.Fatalf("from %d: %v", at, err)
		}
		if rec.Outcome != OutcomeIntact || rec.Chain != whole.Chain || !slices.Equal(rec.Terms, whole.Terms) ||
			rec.Floor != 0 || rec.Base != at || rec.EndBefore != whole.Chain.Position ||
			rec.Records != whole.Records-uint64(i+1) {
			t.Fatalf("from %d: %v, %+v", at, rec, rec)
		}
		wantSkips := 1
		if at < early {
			wantSkips = 2
		} else if at == im.chain.Position {
			wantSkips = 0
		}
		if len(rec.Skips) != wantSkips {
			t.Fatalf("from %d: skips %v", at, rec.Skips)
		}
		j.Close()
		sum, err := VerifyFrom(m, testDir, base)
		if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != whole.Chain || sum.BadHeader != 0 {
			t.Fatalf("verify from %d: %v, %v", at, &sum.Recovered, err)
		}
		if i%40 == 7 {
			goOn(t, fmt.Sprint("from ", at), m, base, false, im.log, 0)
		}
	}
}

// damages are changes of a disk, by what they do and where.
func (im *image) damages(each func(what string, at wire.Position, change func(m *vfs.Mem))) {
	must := func(err error) {
		if err != nil {
			im.t.Fatal(err)
		}
	}
	for at := wire.Position(3); at < im.chain.Position; at += 3089 {
		file, offset := where(at)
		each(fmt.Sprint("flip at ", at), at, func(m *vfs.Mem) { must(m.Rot(file, offset, 1<<(at%8))) })
		each(fmt.Sprint("unreadable at ", at), at, func(m *vfs.Mem) { must(m.Spoil(file, offset)) })
	}
	for first := wire.Position(0); first <= im.chain.Position; first += MinSegmentBytes {
		file, _ := where(first)
		each(fmt.Sprint("missing ", first), first, func(m *vfs.Mem) { must(m.Remove(file)) })
		each(fmt.Sprint("short ", first), first+5000, func(m *vfs.Mem) {
			f, err := m.OpenFile(file, vfs.Write)
			must(err)
			must(f.Truncate(headerBytes + 5000))
		})
	}
}

// TestP4DamageAroundASnapshot: damage behind a snapshot leads to what it leads to when the log is opened whole; damage
// before it stops nothing.
func TestP4DamageAroundASnapshot(t *testing.T) {
	im := newImage(t)
	im.append(1, 3000) // above the watermark
	im.sync()
	defer im.close()
	forgot := 0
	for _, i := range []int{0, 20, 71, 110, 149} {
		base := baseOf(im.log, im.ends[i])
		p := base.Chain.Position
		im.damages(func(what string, at wire.Position, change func(m *vfs.Mem)) {
			what = fmt.Sprintf("%s, snapshot at %d", what, p)
			j, whole, err := Open(testOptions(im.at(change)))
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			j.Close()
			m := im.at(change)
			j, rec, err := openFrom(m, base, false)
			if err != nil && at < p && p-at < 2*MinSegmentBytes { // the first segment is gone, with the snapshot's end
				if !errors.Is(err, ErrBase) {
					t.Fatalf("%s: %v", what, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			defer j.Close()
			if whole.Chain.Position >= p { // the log breaks behind the snapshot
				if rec.Outcome != whole.Outcome || rec.Chain != whole.Chain || rec.Resumes != whole.Resumes ||
					rec.Segment != whole.Segment || rec.Offset != whole.Offset {
					t.Fatalf("%s: %v, resumes at %d; whole: %v, resumes at %d", what, rec, rec.Resumes, whole, whole.Resumes)
				}
				forgot++
				return
			}
			file, _ := where(at)
			holder, _ := where(p)
			flipped := strings.HasPrefix(what, "flip") || strings.HasPrefix(what, "unreadable")
			if rec.Outcome.Forgot() && at+wire.MaxRecord < p && (flipped || file != holder) { // it reaches beyond the snapshot
				t.Fatalf("%s: %v", what, rec)
			}
			if !rec.Forgot() && rec.Chain != im.chain {
				t.Fatalf("%s: %v", what, rec)
			}
		})
	}
	if forgot == 0 {
		t.Error("nothing was damaged behind a snapshot")
	}
}

// TestP4DamageIsMendedBehindASnapshot: whatever is damaged is whole again with another node's bytes, from the snapshot on.
func TestP4DamageIsMendedBehindASnapshot(t *testing.T) {
	im := newImage(t)
	defer im.close()
	mended := 0
	for _, i := range []int{20, 70, 110} {
		base := baseOf(im.log, im.ends[i])
		im.damages(func(what string, at wire.Position, change func(m *vfs.Mem)) {
			m := im.at(change)
			j, rec, err := openFrom(m, base, false)
			if err != nil {
				return // TestP4DamageAroundASnapshot
			}
			for g, ok := rec.Gap(); ok; g, ok = rec.Gap() {
				if err := j.Mend(im.log[g.From:g.Until]); err != nil {
					t.Fatalf("%s: mend [%d, %d): %v", what, g.From, g.Until, err)
				}
				mended++
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if rec.Outcome == OutcomeRecovering {
				return
			}
			after := m.Crash(vfs.LoseAll)
			j, rec, err = openFrom(after, base, false)
			if err != nil || rec.Outcome != OutcomeIntact || rec.Chain != im.chain {
				t.Fatalf("%s: at the next start: %v, %v", what, rec, err)
			}
			j.Close()
		})
	}
	if mended == 0 {
		t.Error("nothing was mended")
	}
}

// standing is a log that a snapshot's position is met with.
type standing struct {
	name  string
	disk  func() *vfs.Mem
	end   wire.Position // of the log on the disk
	plain Outcome       // without Install
	with  Outcome       // with Install
}

// standings of logs to a snapshot at p of the image's log.
func (im *image) standings(p wire.Position) []standing {
	index := slices.Index(im.ends, p)
	prefix := func(records int, same bool) *image {
		m := vfs.NewMem()
		r := newRig(im.t, m)
		for i := range records {
			r.append(1, i*67%4500)
			r.sync()
		}
		if !same {
			for i := range 30 {
				r.append(2, i*53%4500)
				r.sync()
			}
		}
		r.mark()
		r.close()
		return &image{r, m}
	}
	shorter, longer, other := prefix(index-9, true), im, prefix(index-9, false)
	conflict := prefix(index, false)
	lookalike := &image{newRig(im.t, vfs.NewMem()), nil} // as long a record at the end, but another one
	for i := range index + 20 {
		lookalike.append(wire.Term(1+min(i, index)/index), i*67%4500)
		lookalike.sync()
	}
	lookalike.mark()
	lookalike.close()
	lookalike.mem = lookalike.fs.(*vfs.Mem)
	fresh := vfs.NewMem()
	if err := Format(fresh, testDir, testIdentity); err != nil {
		im.t.Fatal(err)
	}
	drop := func(until wire.Position) func() *vfs.Mem {
		return func() *vfs.Mem {
			return im.at(func(m *vfs.Mem) {
				if _, n, err := DropBelow(m, testDir, until); err != nil || n == 0 {
					im.t.Fatal(n, err)
				}
			})
		}
	}
	list := []standing{
		{"reaches it", func() *vfs.Mem { return longer.at(nil) }, im.chain.Position, OutcomeIntact, OutcomeIntact},
		{"ends before it", func() *vfs.Mem { return shorter.at(nil) }, shorter.chain.Position, OutcomeRecovering, OutcomeReplaced},
		{"is empty", func() *vfs.Mem { return fresh.Crash(vfs.KeepAll) }, 0, OutcomeRecovering, OutcomeReplaced},
		{"is another", func() *vfs.Mem { return other.at(nil) }, other.chain.Position, OutcomeUnfit, OutcomeReplaced},
		{"is another from the last record on", func() *vfs.Mem { return conflict.at(nil) }, conflict.chain.Position,
			OutcomeUnfit, OutcomeReplaced},
		{"has another record there", func() *vfs.Mem { return lookalike.at(nil) }, lookalike.chain.Position,
			OutcomeUnfit, OutcomeReplaced},
	}
	if p < im.chain.Position-2*MinSegmentBytes {
		list = append(list, standing{"begins after it", drop(im.chain.Position), 0, OutcomeUnfit, OutcomeUnfit})
	}
	if p > MinSegmentBytes+wire.MaxRecord {
		list = append(list, standing{"begins shortly before it", drop(p), im.chain.Position, OutcomeIntact, OutcomeIntact})
	}
	return list
}

// TestL13P10HowALogStandsToASnapshot: every way a log can stand to a snapshot, installed or not: what it leads to, and that a
// log which is dropped begins at the snapshot and goes on from there; that nothing is changed when it is not.
func TestL13P10HowALogStandsToASnapshot(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	for _, i := range []int{60, 120, 200, 259} {
		p := im.ends[i]
		base := baseOf(im.log, p)
		for _, s := range im.standings(p) {
			for _, install := range []bool{false, true} {
				want := s.plain
				if install {
					want = s.with
				}
				what := fmt.Sprintf("snapshot at %d, the log %s, install %v", p, s.name, install)
				if s.name == "is another" && s.end <= p {
					continue // it ends before the snapshot as well
				}
				m := s.disk()
				before := digestOf(t, m)
				j, rec, err := openFrom(m, base, install)
				if want == OutcomeUnfit {
					if !errors.Is(err, ErrBase) || digestOf(t, m) != before {
						t.Fatalf("%s: %v, changed %v", what, err, digestOf(t, m) != before)
					}
					continue
				}
				if err != nil || rec.Outcome != want || rec.EndBefore != s.end {
					t.Fatalf("%s: %v, ended at %d, want %v and %d: %v", what, rec, rec.EndBefore, want, s.end, err)
				}
				j.Close()
				switch want {
				case OutcomeIntact:
					goOn(t, what, m, base, install, im.log, rec.Floor)
				case OutcomeReplaced:
					if rec.Chain != base.Chain || rec.Floor != p {
						t.Fatalf("%s: it begins at %d and ends at %v", what, rec.Floor, rec.Chain)
					}
					goOn(t, what, m.Crash(vfs.LoseAll), base, false, im.log, p)
				case OutcomeRecovering:
					if digestOf(t, m) != before {
						t.Fatalf("%s: it was changed", what)
					}
					j, rec, err := openFrom(m, base, install)
					if err = errors.Join(err, j.Discard(), j.Close()); err != nil || rec.Marked == "" {
						t.Fatalf("%s: discarded: %v, %v", what, rec, err)
					}
					goOn(t, what, m.Crash(vfs.LoseAll), base, false, im.log, p)
				}
			}
		}
	}
}

// digestOf sums up every file of a disk, names and bytes.
func digestOf(t *testing.T, m *vfs.Mem) string {
	t.Helper()
	h := fnvSum{}
	for _, name := range m.Files() {
		h.add([]byte(name))
		h.add(contents(t, m, name))
	}
	return fmt.Sprint(uint64(h.sum))
}

type fnvSum struct{ sum uint64 }

func (h *fnvSum) add(b []byte) {
	for _, x := range b {
		h.sum = (h.sum ^ uint64(x)) * 0x100000001b3
	}
}

// TestInstallKeepsPromisesThatStand: if something says that the log had been longer than the snapshot, the node has
// forgotten: it is not dropped before that is marked.
func TestInstallKeepsPromisesThatStand(t *testing.T) {
	im := newImageOf(t, 200)
	defer im.close()
	p := im.ends[150]
	base := baseOf(im.log, p)
	lose := func(m *vfs.Mem, from, until wire.Position) { // all segments that begin there
		for first := from / MinSegmentBytes * MinSegmentBytes; first < until; first += MinSegmentBytes {
			file, _ := where(first)
			if err := m.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
	for name, change := range map[string]func(m *vfs.Mem){
		"the watermark is higher": func(m *vfs.Mem) { lose(m, p-MinSegmentBytes, im.chain.Position+1) },
		"the watermark is unreadable": func(m *vfs.Mem) {
			lose(m, p-MinSegmentBytes, im.chain.Position+1)
			for slot := range int64(watermarkSlots) {
				if err := m.Rot(testDir+"/watermark", slot*vfs.BlockBytes+20, 1); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		m := im.at(change)
		j, rec, err := openFrom(m, base, true)
		if err != nil || rec.Outcome != OutcomeRecovering {
			t.Fatalf("%s: %v, %v", name, rec, err)
		}
		if err := errors.Join(j.Discard(), j.Close()); err != nil || rec.Marked == "" {
			t.Fatalf("%s: %v, %v", name, rec, err)
		}
		goOn(t, name, m, base, false, im.log, p)
	}
	// Good records behind the snapshot: they count, with the bytes that lead there.
	m := im.at(func(m *vfs.Mem) {
		lose(m, p-MinSegmentBytes, p+1)
		if err := StoreWatermark(m, testDir, p-MinSegmentBytes); err != nil {
			t.Fatal(err)
		}
	})
	j, rec, err := openFrom(m, base, true)
	g, ok := rec.Gap()
	if err != nil || rec.Outcome != OutcomeDamaged || !ok || g.From != p {
		t.Fatalf("a gap behind the snapshot: %v, %v, %v", rec, g, err)
	}
	if err := j.Mend(im.log[g.From:g.Until]); err != nil || rec.Outcome != OutcomeIntact || rec.Chain != im.chain {
		t.Fatalf("mended: %v, %v", rec, err)
	}
	j.Close()
}

// TestL6P9InstallCrashPoints cuts the power before every step of dropping a log and having it begin at a snapshot, and opens
// it again as a node does: still with Install, as the file that says so goes last. What is found is the log that was, or
// the one that begins at the snapshot; never a third, and never damage.
func TestL6P9InstallCrashPoints(t *testing.T) {
	im := newImageOf(t, 200)
	defer im.close()
	p := im.ends[150]
	base := baseOf(im.log, p)
	for _, s := range im.standings(p) {
		if s.with != OutcomeReplaced {
			continue
		}
		m := s.disk()
		rng := rand.New(rand.NewPCG(3, 4))
		images := 0
		m.Step = func(op vfs.Op, path string) {
			powerCuts(m, rng, func(name string, after *vfs.Mem) {
				what := fmt.Sprintf("the log %s, %s before %s on %s", s.name, name, op, path)
				again := after.Crash(vfs.KeepAll)
				j, rec, err := openFrom(again, base, true)
				if err != nil || rec.Forgot() || rec.Chain != base.Chain || rec.Floor != p {
					t.Fatalf("%s: %v, %v", what, rec, err)
				}
				j.Close()
				if images++; images%9 == 0 {
					goOn(t, what, again.Crash(vfs.LoseAll), base, false, im.log, p)
				}
			})
		}
		j, _, err := openFrom(m, base, true)
		if err != nil {
			t.Fatal(err)
		}
		m.Step = nil
		j.Close()
		goOn(t, s.name, m.Crash(vfs.LoseAll), base, false, im.log, p)
		t.Logf("the log %s: %d images", s.name, images)
	}
}

// TestP6InstallEveryOperationFailsOnce: whatever fails while a log is dropped for a snapshot, the next start completes it.
func TestP6InstallEveryOperationFailsOnce(t *testing.T) {
	im := newImageOf(t, 200)
	defer im.close()
	p := im.ends[150]
	base := baseOf(im.log, p)
	disk := im.standings(p)[1].disk
	for skip := 0; ; skip++ {
		m := disk()
		f := vfs.NewFailing(m, vfs.Fault{Ops: vfs.OpAll, Skip: skip, Err: syscall.EIO})
		j, _, err := openFrom(f, base, true)
		if err == nil {
			j.Close()
			if f.Ops() <= skip {
				t.Logf("%d operations", skip)
				break
			}
		}
		after := m.Crash(vfs.LoseAll)
		j, rec, err := openFrom(after, base, true)
		if err != nil || rec.Forgot() || rec.Chain != base.Chain {
			t.Fatalf("operation %d failed: %v, %v", skip, rec, err)
		}
		j.Close()
	}
}

// TestOpeningFromASnapshotReadsWhatFollows: the time and the memory of an opening depend on what follows the snapshot, not
// on what lies before it.
func TestOpeningFromASnapshotReadsWhatFollows(t *testing.T) {
	reads := map[int]int{}
	for _, records := range []int{8 << 10, 64 << 10} {
		mem := vfs.NewMem()
		fs := &counting{FS: mem}
		chains := built(t, fs, records, 1<<20, func(int, wire.Position) []byte { return make([]byte, 960) })
		if err := FinishDirectory(fs, testDir, testIdentity, chains[records]); err != nil {
			t.Fatal(err)
		}
		base := &Base{Chain: chains[records-2048]}
		fs.read = 0
		j, rec, err := openFrom(fs, base, false)
		if err != nil || rec.Records != 2048 || rec.Floor != 0 {
			t.Fatalf("%v, %v", rec, err)
		}
		if len(j.segments) > 3 {
			t.Errorf("of %d records, %d segments are remembered", records, len(j.segments))
		}
		j.Close()
		reads[records] = fs.read
		if follows := 2048 * 1024; fs.read > follows*5/4+(2<<20) {
			t.Errorf("of %d records, %d bytes are read for %d that follow the snapshot", records, fs.read, follows)
		}
	}
	if a, b := reads[8<<10], reads[64<<10]; a != b {
		t.Errorf("%d bytes are read in a short log, %d in a long one", a, b)
	}
}

// TestInstallFile: it is there until it is removed, and damage in it shows.
func TestInstallFile(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	if _, asked, err := ReadInstall(m, testDir); asked || err != nil {
		t.Errorf("without a file: %v, %v", asked, err)
	}
	if err := errors.Join(RemoveInstall(m, testDir), WriteInstall(m, testDir, 7992)); err != nil {
		t.Fatal(err)
	}
	after := m.Crash(vfs.LoseAll)
	if at, asked, err := ReadInstall(after, testDir); at != 7992 || !asked || err != nil {
		t.Errorf("after a crash: %d, %v, %v", at, asked, err)
	}
	if err := after.Rot(testDir+"/install", 25, 1); err != nil {
		t.Fatal(err)
	}
	if _, asked, err := ReadInstall(after, testDir); asked || !errors.Is(err, ErrDamagedFile) {
		t.Errorf("damaged: %v, %v", asked, err)
	}
	if err := RemoveInstall(m, testDir); err != nil {
		t.Fatal(err)
	}
	if _, asked, err := ReadInstall(m.Crash(vfs.LoseAll), testDir); asked || err != nil {
		t.Errorf("removed: %v, %v", asked, err)
	}
}

// TestNothingIsCutBelowASnapshot: what a snapshot holds is committed. Who cuts there has lost its way, and the journal
// stops.
func TestNothingIsCutBelowASnapshot(t *testing.T) {
	im := newImageOf(t, 200)
	defer im.close()
	r := &rig{t: t, fs: im.at(nil), options: testOptions(nil), log: im.log}
	r.options.FS, r.options.Base = r.fs, baseOf(im.log, im.ends[150])
	r.mustOpen()
	defer r.j.Close()
	r.port.Cut(im.ends[149], r.j.Generation()+1)
	if err := r.turn(); !errors.Is(err, ErrInvariant) {
		t.Errorf("a cut below the snapshot: %v", err)
	}
}

// TestP4DiskBelowASnapshotFails: segments below the snapshot that the device refuses altogether stop no opening, and
// nothing is preloaded from them.
func TestP4DiskBelowASnapshotFails(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	base := baseOf(im.log, im.ends[250])
	m := im.at(nil)
	f := vfs.NewFailing(m)
	for _, first := range []wire.Position{0, MinSegmentBytes, 2 * MinSegmentBytes} {
		f.Inject(vfs.Fault{Ops: vfs.OpOpen | vfs.OpRead | vfs.OpSync, Path: segmentName(first), Times: -1, Err: syscall.EIO})
	}
	r := &rig{t: t, fs: f, options: testOptions(f), log: im.log}
	r.options.Base = base
	r.mustOpen()
	if r.rec.Outcome != OutcomeIntact || r.rec.Chain != im.chain {
		t.Errorf("%v", r.rec)
	}
	if _, n, err := DropBelow(f, testDir, base.Chain.Position); n < 3 || err != nil {
		t.Errorf("%d can be dropped: %v", n, err)
	}
	r.append(1, 100)
	r.sync()
	r.close()
}

// TestP4NothingBeforeASnapshotIsNeeded: a log that begins at a snapshot, within a block that the device refuses to read, has
// lost what stood behind it, if anything did, and goes on there.
func TestP4NothingBeforeASnapshotIsNeeded(t *testing.T) {
	im := newImageOf(t, 200)
	defer im.close()
	p := im.ends[150]
	if p%vfs.BlockBytes == 0 {
		t.Fatal("the snapshot is at the beginning of a block")
	}
	base := baseOf(im.log, p)
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	j, rec, err := openFrom(m, base, true)
	if err != nil || rec.Chain != base.Chain {
		t.Fatalf("the install: %v, %v", rec, err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Spoil(path.Join(testDir, "journal", segmentName(floorTo(p))), headerBytes); err != nil {
		t.Fatal(err)
	}
	if j, rec, err = openFrom(m, base, false); err != nil || rec.Outcome != OutcomeRecovering {
		t.Fatalf("its block cannot be read: %v, %v", rec, err)
	}
	if err := errors.Join(j.Discard(), j.Close()); err != nil {
		t.Fatal(err)
	}
	goOn(t, "its block cannot be read", m, base, false, im.log, p)
}
