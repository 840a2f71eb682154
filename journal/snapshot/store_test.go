package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

const (
	nodeDir = "/node"
	cluster = 0xc1a57e2
)

func newNode(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll(nodeDir); err != nil {
		t.Fatal(err)
	}
	return m
}

func mustOpen(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(fs, nodeDir, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stateAt is the data of the snapshot at a position: several writes long.
func stateAt(at wire.Position) []byte {
	b := make([]byte, 9000+int(at)%1000)
	for i := range b {
		b[i] = byte(i*7 + int(at)/8 + i>>8)
	}
	return b
}

// manifestOf is what a driver says of the snapshot at a position.
func manifestOf(at wire.Position) Manifest {
	return Manifest{Cluster: cluster, Digest: uint64(at) * 0x9e3779b97f4a7c15, Version: 3,
		Chain: wire.Chain{Position: at, Sequence: uint64(at) / 80, Timestamp: 1e18 + uint64(at), Checksum: 1 << 31, Term: 4}}
}

// take writes and publishes a snapshot.
func take(s *Store, at wire.Position) error {
	w, err := s.Create(at)
	if err != nil {
		return err
	}
	for b := stateAt(at); len(b) > 0; b = b[min(len(b), 4000):] {
		if _, err := w.Write(b[:min(len(b), 4000)]); err != nil {
			return errors.Join(err, w.Abort())
		}
	}
	if err := w.Close(manifestOf(at)); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = s.Publish(w)
	return err
}

func mustTake(t testing.TB, s *Store, at ...wire.Position) {
	t.Helper()
	for _, p := range at {
		if err := take(s, p); err != nil {
			t.Fatal(err)
		}
	}
}

func positions(s *Store) (list []wire.Position) {
	for _, m := range s.List() {
		list = append(list, m.Position())
	}
	return list
}

// sound complains unless every snapshot of the store is what was written.
func sound(s *Store) error {
	for _, m := range s.List() {
		r, err := s.OpenData(m.Position())
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close(), s.Check(m.Position())); err != nil {
			return err
		}
		want := manifestOf(m.Position())
		want.Bytes, want.SHA256 = m.Bytes, m.SHA256
		if !bytes.Equal(b, stateAt(m.Position())) || m != want {
			return fmt.Errorf("the snapshot at %d is not what was written", m.Position())
		}
	}
	return nil
}

func TestSnapshotsAreFoundAgain(t *testing.T) {
	fs := newNode(t)
	s := mustOpen(t, fs)
	mustTake(t, s, 1600, 800, 2400)
	if err := take(s, 800); !errors.Is(err, ErrHeld) {
		t.Errorf("taking one that is there: %v", err)
	}
	if err := s.Remove(1600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Remove(1600), s.SetAside(1600)); !errors.Is(err, ErrNotHeld) {
		t.Errorf("removing one that is not there: %v", err)
	}
	for _, s := range []*Store{s, mustOpen(t, fs)} {
		if got := positions(s); !slices.Equal(got, []wire.Position{800, 2400}) || len(s.Damage()) > 0 {
			t.Errorf("held are %v, damaged %v", got, s.Damage())
		}
		if err := sound(s); err != nil {
			t.Error(err)
		}
	}
	look, err := Look(fs, nodeDir)
	if err != nil || !slices.Equal(positions(look), []wire.Position{800, 2400}) {
		t.Errorf("a look finds %v, %v", positions(look), err)
	}
	if err := errors.Join(look.Remove(800), take(look, 80)); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a look changes something: %v", err)
	}
	if look, err := Look(fs, "/elsewhere"); err != nil || len(look.List()) > 0 {
		t.Errorf("a look where nothing is: %v, %v", positions(look), err)
	}
	if _, err := Open(fs, nodeDir, cluster+1); !errors.Is(err, ErrForeign) {
		t.Errorf("snapshots of another cluster: %v", err)
	}
}

// TestReadersOutliveASnapshot: who reads a snapshot gets all of it although it is removed meanwhile.
func TestReadersOutliveASnapshot(t *testing.T) {
	s := mustOpen(t, newNode(t))
	mustTake(t, s, 800)
	d, err := s.OpenAt(800)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := s.Remove(800); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(d, 0, d.Manifest().Bytes))
	if err != nil || !bytes.Equal(b, stateAt(800)) {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
}

// life is a store under work, and what it has promised so far.
type life struct {
	fs               vfs.FS
	s                *Store
	must, may, never map[wire.Position]bool
}

func newLife(fs vfs.FS) *life {
	return &life{fs: fs, must: map[wire.Position]bool{}, may: map[wire.Position]bool{}, never: map[wire.Position]bool{}}
}

// run does everything that a store does; the first error ends it.
func (l *life) run() (err error) {
	if l.s, err = Open(l.fs, nodeDir, cluster); err != nil {
		return err
	}
	for _, at := range []wire.Position{800, 1600, 2400} {
		l.may[at] = true
		if err := take(l.s, at); err != nil {
			return err
		}
		l.must[at] = true
	}
	if err := l.going(1600, l.s.SetAside); err != nil {
		return err
	}
	if err := l.going(800, l.s.Remove); err != nil {
		return err
	}
	l.may[3200] = true
	if err := l.download(3200); err != nil {
		return err
	}
	l.must[3200] = true
	w, err := l.s.Create(4000)
	if err != nil {
		return err
	}
	l.never[4000] = true
	_, err = w.Write(stateAt(4000))
	return errors.Join(err, w.Abort())
}

func (l *life) going(at wire.Position, do func(wire.Position) error) error {
	delete(l.must, at)
	if err := do(at); err != nil {
		return err
	}
	delete(l.may, at)
	return nil
}

// download copies a snapshot in two goes; what an earlier go left may be unreadable, then it begins once more.
func (l *life) download(at wire.Position) error {
	m := whole(at)
	for range 3 {
		w, err := l.s.Download(m)
		if err != nil {
			return err
		}
		rest := stateAt(at)[w.Offset():]
		if w.Offset() == 0 {
			if _, err := w.Write(rest[:5000]); err != nil {
				return err
			}
			if err := w.Pause(); err != nil {
				return err
			}
			continue
		}
		if _, err := w.Write(rest); err != nil {
			return err
		}
		if err := w.Close(m); err != nil {
			return errors.Join(err, w.Abort())
		}
		_, err = l.s.Publish(w)
		return err
	}
	return errors.New("a download did not go on where it was")
}

// whole is the manifest of the snapshot at a position as another node has it.
func whole(at wire.Position) Manifest {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(nodeDir); err != nil {
		panic(err)
	}
	s, err := Open(fs, nodeDir, cluster)
	if err == nil {
		err = take(s, at)
	}
	if err != nil {
		panic(err)
	}
	return s.List()[0]
}

// verify opens what is left: what was promised is there, nothing that is not whole, and no leftovers.
func (l *life) verify(fs vfs.FS) error {
	s, err := Open(fs, nodeDir, cluster)
	if err != nil {
		return err
	}
	if len(s.Damage()) > 0 {
		return fmt.Errorf("damaged: %v", s.Damage())
	}
	if err := sound(s); err != nil {
		return err
	}
	held := positions(s)
	for at := range l.must {
		if !slices.Contains(held, at) {
			return fmt.Errorf("the snapshot at %d is gone: held are %v", at, held)
		}
	}
	for _, at := range held {
		if !l.may[at] || l.never[at] {
			return fmt.Errorf("there is a snapshot at %d", at)
		}
	}
	names, err := fs.ReadDir(nodeDir + "/" + Dir)
	for _, name := range names {
		if len(name) == 24 && name[20:] == asideSuffix {
			return fmt.Errorf("a leftover: %s", name)
		}
	}
	if err != nil {
		return err
	}
	for _, at := range []wire.Position{8000, 3200} { // the store goes on
		if err := take(s, at); err != nil && !errors.Is(err, ErrHeld) {
			return err
		}
	}
	return sound(s)
}

// TestP9SnapshotCrashPoints cuts the power before every step of publishing, removing, setting aside and downloading, and
// before every step of the opening that follows.
func TestP9SnapshotCrashPoints(t *testing.T) {
	m := newNode(t)
	l := newLife(m)
	rng := rand.New(rand.NewPCG(7, 8))
	images := 0
	m.Step = func(op vfs.Op, path string) {
		for i, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll, rng.IntN, rng.IntN, rng.IntN} {
			after := m.Crash(choose)
			deep := after.Crash(vfs.KeepAll)
			deep.Step = func(op2 vfs.Op, path2 string) {
				again := deep.Crash(rng.IntN)
				if err := l.verify(again); err != nil {
					t.Fatalf("crash %d before %s of %s, again before %s of %s: %v", i, op, path, op2, path2, err)
				}
				images++
			}
			if s, err := Open(deep, nodeDir, cluster); err != nil {
				t.Fatalf("crash %d before %s of %s: %v in %v", i, op, path, err, s)
			}
			if err := l.verify(after); err != nil {
				t.Fatalf("crash %d before %s of %s: %v", i, op, path, err)
			}
			images++
		}
	}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	m.Step = nil
	if err := l.verify(m); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d images", images)
}

// TestP6SnapshotEveryOperationFailsOnce: whatever fails, what was published stays whole, and the next start is in order.
func TestP6SnapshotEveryOperationFailsOnce(t *testing.T) {
	for skip := 0; ; skip++ {
		m := newNode(t)
		f := vfs.NewFailing(m, vfs.Fault{Ops: vfs.OpAll &^ vfs.OpStat, Skip: skip, Err: syscall.EIO})
		l := newLife(f)
		err := l.run()
		if err == nil && f.Ops() <= skip {
			t.Logf("%d operations", skip)
			return
		}
		if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, ErrDamaged) && !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("operation %d: %v", skip, err)
		}
		for _, choose := range []vfs.Choose{vfs.LoseAll, vfs.KeepAll} {
			if err := l.verify(m.Crash(choose)); err != nil {
				t.Fatalf("operation %d fails: %v", skip, err)
			}
		}
	}
}

// TestP8SnapshotDiskFull: a full disk ends a snapshot, gives its space back, and hurts no other.
func TestP8SnapshotDiskFull(t *testing.T) {
	m := newNode(t)
	s := mustOpen(t, m)
	mustTake(t, s, 800)
	free := int64(1 << 20)
	m.SetCapacity(used(t, m) + free)
	for at := wire.Position(1600); ; at += 800 {
		before := used(t, m)
		err := take(s, at)
		if err == nil {
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if after := used(t, m); after != before {
			t.Errorf("%d bytes are not given back", after-before)
		}
		break
	}
	if err := errors.Join(sound(s), s.Remove(800), take(s, 1<<20)); err != nil {
		t.Error(err)
	}
}

// TestP8SnapshotsLeaveTheReserveFree: the log's share of the disk is not taken, whether a snapshot is long or there are
// many.
func TestP8SnapshotsLeaveTheReserveFree(t *testing.T) {
	m := newNode(t)
	s := mustOpen(t, m)
	const reserve = 4 << 20
	m.SetCapacity(12 << 20)
	s.Reserve(reserve)
	least := int64(12 << 20)
	m.Step = func(vfs.Op, string) {
		free, err := m.Free(nodeDir)
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, free)
	}
	w, err := s.Create(800)
	for b := make([]byte, 300<<10); err == nil; {
		_, err = w.Write(b)
	}
	if !errors.Is(err, syscall.ENOSPC) || w.Offset() < 5<<20 {
		t.Errorf("a long snapshot: %v at %d", err, w.Offset())
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	for at := wire.Position(800); err == nil || at == 800; at += 8 {
		err = take(s, at)
	}
	if !errors.Is(err, syscall.ENOSPC) || len(s.List()) < 100 {
		t.Errorf("many snapshots: %v after %d", err, len(s.List()))
	}
	if least < reserve {
		t.Errorf("%d bytes were free at some time, the reserve is %d", least, reserve)
	}
}

func used(t *testing.T, m *vfs.Mem) (bytes int64) {
	t.Helper()
	for _, name := range m.Files() {
		size, err := m.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += size
	}
	return bytes
}

// TestP10DamagedManifest flips every byte of a manifest, and takes files away: the snapshot is set aside, told, and the
// other one stands.
func TestP10DamagedManifest(t *testing.T) {
	m := newNode(t)
	mustTake(t, mustOpen(t, m), 800, 1600)
	of := func(name string) string { return fmt.Sprintf("%s/%s/%020d/%s", nodeDir, Dir, 1600, name) }
	size, err := m.Stat(of(manifestName))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, fs *vfs.Mem) {
		t.Helper()
		s := mustOpen(t, fs)
		if got := positions(s); !slices.Equal(got, []wire.Position{800}) || len(s.Damage()) != 1 {
			t.Fatalf("%s: held are %v, damaged %v", what, got, s.Damage())
		}
		if _, err := fs.ReadDir(fmt.Sprintf("%s/%s/%020d.bad", nodeDir, Dir, 1600)); err != nil {
			t.Fatalf("%s: it is not set aside: %v", what, err)
		}
		if s := mustOpen(t, fs); len(s.Damage()) > 0 {
			t.Fatalf("%s: told again: %v", what, s.Damage())
		}
		if err := errors.Join(take(s, 1600), sound(s)); err != nil { // it may be made anew
			t.Fatalf("%s: %v", what, err)
		}
	}
	for at := range size {
		after := m.Crash(vfs.KeepAll)
		if err := after.Rot(of(manifestName), at, 1<<(at%8)); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprint("byte ", at), after)
	}
	for _, name := range []string{manifestName, dataName} {
		after := m.Crash(vfs.KeepAll)
		if err := after.Remove(of(name)); err != nil {
			t.Fatal(err)
		}
		check("without "+name, after)
		after = m.Crash(vfs.KeepAll)
		f, err := after.OpenFile(of(name), vfs.Write)
		if err == nil {
			err = f.Truncate(100)
		}
		if err != nil {
			t.Fatal(err)
		}
		check("a short "+name, after)
	}
	after := m.Crash(vfs.KeepAll)
	if err := after.Spoil(of(manifestName), 0); err != nil {
		t.Fatal(err)
	}
	check("unreadable", after)
}

// TestP4DamagedData: a flipped bit or an unreadable sector anywhere in the data shows, at the latest instead of the last
// bytes; a look and a check say so; the snapshot can be set aside, and only the newest of those is kept.
func TestP4DamagedData(t *testing.T) {
	m := newNode(t)
	mustTake(t, mustOpen(t, m), 800, 1600, 2400)
	name := fmt.Sprintf("%s/%s/%020d/%s", nodeDir, Dir, 2400, dataName)
	size := int64(len(stateAt(2400)))
	damaged := func(what string, fs *vfs.Mem) {
		t.Helper()
		s := mustOpen(t, fs)
		if err := s.Check(2400); !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s: %v", what, err)
		}
		r, err := s.OpenData(2400)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if !errors.Is(err, ErrDamaged) || int64(len(got)) >= size {
			t.Fatalf("%s: %d of %d bytes are read, %v", what, len(got), size, err)
		}
	}
	for at := int64(0); at < size; at += 97 {
		after := m.Crash(vfs.KeepAll)
		if err := after.Rot(name, at, 1<<(at%8)); err != nil {
			t.Fatal(err)
		}
		damaged(fmt.Sprint("byte ", at), after)
	}
	for at := int64(0); at < size; at += vfs.SectorBytes {
		after := m.Crash(vfs.KeepAll)
		if err := after.Spoil(name, at); err != nil {
			t.Fatal(err)
		}
		damaged(fmt.Sprint("sector at ", at), after)
	}
	s := mustOpen(t, m)
	if err := errors.Join(s.SetAside(2400), s.SetAside(1600)); err != nil {
		t.Fatal(err)
	}
	names, err := m.ReadDir(nodeDir + "/" + Dir)
	if want := []string{fmt.Sprintf("%020d", 800), fmt.Sprintf("%020d.bad", 1600)}; err != nil || !slices.Equal(names, want) {
		t.Errorf("left are %v, %v; want %v", names, err, want)
	}
}

// TestDownloadResumes: a download goes on behind what is there, also after a restart; what arrived wrong, or another
// snapshot, begins anew.
func TestDownloadResumes(t *testing.T) {
	fs := newNode(t)
	s := mustOpen(t, fs)
	m, data := whole(2400), stateAt(2400)
	begin := func(s *Store, want int64) *Writer {
		t.Helper()
		w, err := s.Download(m)
		if err != nil || w.Offset() != want {
			t.Fatalf("the download begins at %d, %v; want %d", w.Offset(), err, want)
		}
		return w
	}
	put := func(w *Writer, b []byte) {
		t.Helper()
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	w := begin(s, 0)
	put(w, data[:3000])
	if err := w.Close(m); !errors.Is(err, ErrDamaged) {
		t.Errorf("closed too early: %v", err)
	}
	if err := w.Pause(); err != nil {
		t.Fatal(err)
	}
	w = begin(mustOpen(t, fs), 3000) // another run
	put(w, bytes.Repeat([]byte{1}, 1000))
	if err := w.Pause(); err != nil {
		t.Fatal(err)
	}
	w = begin(mustOpen(t, fs), 4000)
	put(w, data[4000:])
	if err := w.Close(m); !errors.Is(err, ErrDamaged) {
		t.Errorf("wrong bytes are taken: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	w = begin(s, 0)
	put(w, data)
	if err := w.Close(m); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Publish(w); err != nil || got != m {
		t.Fatalf("published %+v, %v", got, err)
	}
	if _, err := s.Download(m); !errors.Is(err, ErrHeld) {
		t.Errorf("a download of what is here: %v", err)
	}
	m, data = whole(3200), stateAt(3200)
	put(begin(s, 0), data[:2000])
	if w, err := mustOpen(t, fs).Download(m); err != nil || w.Offset() != 2000 {
		t.Errorf("a download of a newer one does not go on after a restart: %v", err)
	}
	mustTake(t, s, 3208)
	if mustOpen(t, fs); len(parts(t, fs)) > 0 {
		t.Errorf("a download of an older one than what is here is left: %v", parts(t, fs))
	}
	m = whole(4000)
	begin(s, 0)
	m = whole(3200)
	begin(s, 0) // the other one took its place
	m.Cluster++
	if _, err := s.Download(m); !errors.Is(err, ErrForeign) {
		t.Errorf("a snapshot of another cluster: %v", err)
	}
}

// parts are the downloads that have begun.
func parts(t *testing.T, fs vfs.FS) (list []string) {
	t.Helper()
	names, err := fs.ReadDir(nodeDir + "/" + Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, partSuffix) {
			list = append(list, name)
		}
	}
	return list
}

// TestIncompleteIsNotPublished: what was not closed, failed, or is for another place is refused.
func TestIncompleteIsNotPublished(t *testing.T) {
	fs := newNode(t)
	s := mustOpen(t, fs)
	w, err := s.Create(800)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(w); err == nil || len(s.List()) > 0 {
		t.Errorf("published what is not complete: %v", err)
	}
	if w, err = s.Create(800); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(manifestOf(1600)); err == nil {
		t.Error("a manifest of another position is taken")
	}
	if _, err := s.Publish(w); err == nil || len(s.List()) > 0 {
		t.Errorf("published what failed: %v", err)
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("written behind an abort")
	}
	if names, _ := fs.ReadDir(nodeDir + "/" + Dir); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// FuzzManifest: arbitrary bytes are damage or foreign, and what is taken is what was encoded.
func FuzzManifest(f *testing.F) {
	m := whole(800)
	f.Add(m.Encode())
	f.Add(AppendSum([]byte("{}\n")))
	f.Add(otherFormat(&m))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m, again Manifest
		if err := m.Decode(text); err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrForeign) {
				t.Fatal(err)
			}
			return
		}
		if err := again.Decode(m.Encode()); err != nil || again != m {
			t.Fatalf("%+v becomes %+v, %v", m, again, err)
		}
	})
}

func TestManifestOfAnotherFormatIsRefused(t *testing.T) {
	m := whole(800)
	if err := m.Decode(otherFormat(&m)); !errors.Is(err, ErrForeign) {
		t.Errorf("another format: %v", err)
	}
}

// otherFormat is a manifest as whole as m, of a format that is to come.
func otherFormat(m *Manifest) []byte {
	lines, _ := CutSum(m.Encode())
	return AppendSum(bytes.Replace(lines, []byte("snapshot 1"), []byte("snapshot 2"), 1))
}

// TestSumIsOfAllLinesBefore: whatever is added, missing or changed, the last line does not fit.
func TestSumIsOfAllLinesBefore(t *testing.T) {
	for _, text := range []string{"", "\n", "a\n", "a\n\nb\n"} {
		summed := AppendSum([]byte(text))
		if lines, ok := CutSum(summed); !ok || string(lines) != text {
			t.Errorf("%q comes back as %q, %v", text, lines, ok)
		}
		for i := range summed {
			changed := bytes.Clone(summed)
			changed[i] ^= 1
			if _, ok := CutSum(changed); ok {
				t.Errorf("%q with byte %d changed fits", text, i)
			}
			if _, ok := CutSum(summed[:i]); ok {
				t.Errorf("the first %d bytes of %q fit", i, summed)
			}
		}
		if _, ok := CutSum(append(summed, '\n')); ok {
			t.Errorf("%q with a line behind its sum fits", text)
		}
	}
}
