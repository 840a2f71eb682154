package vfs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
)

// both runs a test on the disk and in memory: the second must behave as the first.
func both(t *testing.T, test func(t *testing.T, fs FS, dir string)) {
	t.Run("disk", func(t *testing.T) { test(t, Real{}, t.TempDir()) })
	t.Run("memory", func(t *testing.T) {
		m := NewMem()
		if err := m.MkdirAll("/d"); err != nil {
			t.Fatal(err)
		}
		test(t, m, "/d")
	})
}

func mustOpen(t *testing.T, fs FS, path string, flags Flags) File {
	t.Helper()
	f, err := fs.OpenFile(path, flags)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		name := dir + "/sub/file"
		if _, err := fs.OpenFile(name, Create); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("create in a directory that is not there: %v", err)
		}
		if err := fs.MkdirAll(dir + "/sub"); err != nil {
			t.Fatal(err)
		}
		if _, err := fs.OpenFile(name, ReadOnly); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("open what is not there: %v", err)
		}
		f := mustOpen(t, fs, name, Create)
		if _, err := f.WriteAt([]byte("hello"), 10); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 20)
		if n, err := f.ReadAt(b, 8); n != 7 || err != io.EOF || string(b[:n]) != "\x00\x00hello" {
			t.Errorf("read %d, %v, %q", n, err, b)
		}
		if n, err := f.ReadAt(b, 15); n != 0 || err != io.EOF {
			t.Errorf("read at the end: %d, %v", n, err)
		}
		if err := errors.Join(f.Allocate(12, 8), f.Sync(), f.Truncate(18)); err != nil {
			t.Fatal(err)
		}
		if n, err := f.ReadAt(b[:6], 10); n != 6 || err != nil || string(b[:6]) != "he\x00\x00\x00\x00" {
			t.Errorf("after zeroing: %d, %v, %q", n, err, b[:6])
		}
		size, err := f.Size()
		stat, err2 := fs.Stat(name)
		if size != 18 || stat != 18 || err != nil || err2 != nil {
			t.Errorf("size %d, %d, %v, %v", size, stat, err, err2)
		}
		if _, err := fs.OpenFile(name, Create|Exclusive); !errors.Is(err, os.ErrExist) {
			t.Errorf("create what is there: %v", err)
		}
		if err := errors.Join(f.Close(), fs.Rename(name, dir+"/b"), fs.SyncDir(dir)); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, fs, dir+"/a", Create).Close()
		names, err := fs.ReadDir(dir)
		if err != nil || len(names) != 3 || names[0] != "a" || names[1] != "b" || names[2] != "sub" {
			t.Errorf("names %v, %v", names, err)
		}
		if err := fs.Remove(dir + "/a"); err != nil {
			t.Error(err)
		}
		if err := fs.Remove(dir + "/a"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("remove what is not there: %v", err)
		}
		if free, err := fs.Free(dir); free <= 0 || err != nil {
			t.Errorf("free %d, %v", free, err)
		}
	})
}

func TestDirectFiles(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		f, err := fs.OpenFile(dir+"/f", Create|Direct|Dsync)
		if errors.Is(err, syscall.EINVAL) {
			t.Skip("the file system refuses direct I/O")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Alignment() < SectorBytes || BlockBytes%f.Alignment() != 0 {
			t.Fatalf("alignment %d", f.Alignment())
		}
		if err := f.Allocate(0, 3<<20); err != nil {
			t.Fatal(err)
		}
		b := AlignedBytes(BlockBytes)
		copy(b, "block")
		if _, err := f.WriteAt(b, BlockBytes); err != nil {
			t.Fatal(err)
		}
		got := AlignedBytes(BlockBytes)
		if _, err := f.ReadAt(got, BlockBytes); err != nil || !bytes.Equal(got, b) {
			t.Errorf("read back: %v", err)
		}
		if _, err := f.WriteAt(b[1:101], 7); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("a crooked write: %v", err)
		}
	})
}

func TestLocks(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		held, err := fs.Lock(dir + "/lock")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fs.Lock(dir + "/lock"); !errors.Is(err, ErrLocked) {
			t.Errorf("a second lock: %v", err)
		}
		held.Close()
		if held, err = fs.Lock(dir + "/lock"); err != nil {
			t.Error(err)
		}
		held.Close()
	})
}

func content(t *testing.T, fs FS, name string) string {
	t.Helper()
	f, err := fs.OpenFile(name, ReadOnly)
	if err != nil {
		return err.(*os.PathError).Err.Error()
	}
	b := make([]byte, 1<<16)
	n, err := f.ReadAt(b, 0)
	if err != io.EOF {
		t.Fatal(err)
	}
	return string(b[:n])
}

func write(t *testing.T, f File, s string, at int64) {
	t.Helper()
	if _, err := f.WriteAt([]byte(s), at); err != nil {
		t.Fatal(err)
	}
}

func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	m := NewMem()
	f := mustOpen(t, m, "/f", Create)
	write(t, f, "one", 0)
	if got := content(t, m.Crash(LoseAll), "/f"); got != os.ErrNotExist.Error() {
		t.Errorf("a name that was not synced: %q", got)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	if got := content(t, m.Crash(LoseAll), "/f"); got != "" {
		t.Errorf("bytes that were not synced: %q", got)
	}
	if got := content(t, m.Crash(KeepAll), "/f"); got != "one" {
		t.Errorf("what the kernel held: %q", got)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	write(t, f, "TWO", 0)
	if got := content(t, m.Crash(LoseAll), "/f"); got != "one" {
		t.Errorf("after a sync: %q", got)
	}
	d := mustOpen(t, m, "/f", Write|Dsync)
	write(t, d, "3", 1)
	if got := content(t, m.Crash(LoseAll), "/f"); got != "T3O" {
		t.Errorf("after a synchronous write to the sector: %q", got)
	}
	if err := m.Rename("/f", "/g"); err != nil {
		t.Fatal(err)
	}
	lost, kept := m.Crash(LoseAll), m.Crash(KeepAll)
	if content(t, lost, "/f") != "T3O" || content(t, kept, "/g") != "T3O" ||
		content(t, lost, "/g") != os.ErrNotExist.Error() || content(t, kept, "/f") != os.ErrNotExist.Error() {
		t.Error("a rename is not atomic")
	}
}

// TestCrashTearsAtSectors: of a write that was not synced any sectors may survive, whole.
func TestCrashTearsAtSectors(t *testing.T) {
	m := NewMem()
	f := mustOpen(t, m, "/f", Create)
	write(t, f, string(bytes.Repeat([]byte("a"), 4*SectorBytes)), 0)
	if err := errors.Join(f.Sync(), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	write(t, f, string(bytes.Repeat([]byte("b"), 4*SectorBytes)), 0)
	write(t, f, "c", SectorBytes)
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	for range 400 {
		got := content(t, m.Crash(rng.IntN), "/f")
		shape := ""
		for s := range 4 {
			sector := got[s*SectorBytes : (s+1)*SectorBytes]
			shape += sector[:1]
			if rest := sector[1:]; rest != string(bytes.Repeat([]byte(rest[:1]), len(rest))) {
				t.Fatalf("a torn sector %q", sector)
			}
		}
		seen[shape] = true
	}
	if len(seen) != 2*3*2*2 { // old or new; the second sector has a third version
		t.Errorf("%d shapes: %v", len(seen), seen)
	}
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(10)
	f := mustOpen(t, m, "/f", Create)
	write(t, f, "0123456789", 0)
	if _, err := f.WriteAt([]byte("x"), 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beyond: %v", err)
	}
	if err := f.Allocate(0, 11); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beyond: %v", err)
	}
	write(t, f, "x", 3) // over what is there
	if free, _ := m.Free("/"); free != 0 {
		t.Errorf("free %d", free)
	}
}

func TestRotAndSpoil(t *testing.T) {
	m := NewMem()
	f := mustOpen(t, m, "/f", Create)
	write(t, f, "abc", 0)
	if err := errors.Join(m.Rot("/f", 1, 1), m.Spoil("/f", 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("an unreadable sector: %v", err)
	}
	write(t, f, "A", 0)
	if got := content(t, m, "/f"); got != "Acc" {
		t.Errorf("%q", got)
	}
}

func TestFaults(t *testing.T) {
	m := NewMem()
	fs := NewFailing(m, Fault{Ops: OpSync, Path: "b", Skip: 1, Times: 2, Err: syscall.EIO})
	a, b := mustOpen(t, fs, "/a", Create), mustOpen(t, fs, "/b", Create)
	for i, want := range []error{nil, syscall.EIO, syscall.EIO, nil} {
		if err := a.Sync(); err != nil {
			t.Errorf("another file: %v", err)
		}
		if err := b.Sync(); !errors.Is(err, want) {
			t.Errorf("sync %d: %v, want %v", i, err, want)
		}
	}
	fs.Inject(Fault{Ops: OpWrite, Shift: 4}, Fault{Ops: OpWrite, Lie: true})
	write(t, a, "xy", 0)
	write(t, a, "zz", 0)
	write(t, a, "w", 0)
	if got := content(t, m, "/a"); got != "w\x00\x00\x00xy" {
		t.Errorf("misdirected and lost: %q", got)
	}
	fs.Inject(Fault{Ops: OpWrite, Short: true})
	if n, err := b.WriteAt(make([]byte, 4*BlockBytes), 0); n != 2*BlockBytes || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("short: %d, %v", n, err)
	}
	fs.Inject(Fault{Ops: OpAll, Times: -1, Err: syscall.EIO})
	for _, err := range []error{fs.Remove("/a"), fs.Rename("/a", "/c"), fs.MkdirAll("/d"), fs.SyncDir("/"), a.Truncate(0),
		a.Allocate(0, 1)} {
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
	}
	fs.Heal()
	before := fs.Ops()
	if err := fs.Remove("/a"); err != nil || fs.Ops() != before+1 {
		t.Errorf("healed: %v", err)
	}
	hang := make(chan struct{})
	fs.Inject(Fault{Ops: OpSync, Hang: hang})
	done := make(chan error)
	go func() { done <- b.Sync() }()
	select {
	case err := <-done:
		t.Errorf("did not hang: %v", err)
	default:
	}
	close(hang)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDropLosesWhatTheFailedSyncWasFor(t *testing.T) {
	mem := NewMem()
	fs := NewFailing(mem, Fault{Ops: OpSync, Skip: 1, Err: syscall.EIO, Drop: true})
	f, err := fs.OpenFile("/a", Write|Create)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string, offset int64) {
		t.Helper()
		if _, err := f.WriteAt([]byte(text), offset); err != nil {
			t.Fatal(err)
		}
	}
	write("first", 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	write("other", 0)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	if err := errors.Join(f.Sync(), mem.SyncDir("/")); err != nil {
		t.Fatalf("the sync after it: %v", err)
	}
	b := make([]byte, 5)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "other" {
		t.Fatalf("the page cache has %q, %v", b, err)
	}
	after, err := mem.Crash(KeepAll).OpenFile("/a", ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.ReadAt(b, 0); err != nil || string(b) != "first" {
		t.Fatalf("the disk has %q, %v: a sync that is tried again must not help", b, err)
	}
}

func TestMisdirectPutsABlockWhereItDoesNotBelong(t *testing.T) {
	mem := NewMem()
	f, err := mem.OpenFile("/a", Write|Create)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []byte("abc") {
		if _, err := f.WriteAt(bytes.Repeat([]byte{c}, BlockBytes), int64(i)*BlockBytes); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), mem.Misdirect("/a", 0, 2*BlockBytes)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []byte{0, 'b', 'a'} {
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, int64(i)*BlockBytes); err != nil || b[0] != want {
			t.Errorf("block %d holds %q, %v, not %q", i, b, err, want)
		}
	}
	if mem.Misdirect("/a", 0, 3*BlockBytes) == nil {
		t.Error("a block beyond the file took something")
	}
}

// TestWriteVecIsOneWrite: on disk and in memory the pieces stand behind each other, and a fault hits them as one write.
func TestWriteVecIsOneWrite(t *testing.T) {
	mem := NewMem()
	for name, c := range map[string]struct {
		fs  FS
		dir string
	}{"real": {Real{}, t.TempDir()}, "mem": {mem, ""}, "failing": {NewFailing(NewMem()), ""}} {
		f, err := c.fs.OpenFile(c.dir+"/vec", Create)
		if err != nil {
			t.Fatal(err)
		}
		pieces := [][]byte{[]byte("one"), {}, []byte("two"), []byte("three")}
		if n, err := f.WriteVec(pieces, 5); n != 11 || err != nil {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
		got := make([]byte, 16)
		if _, err := f.ReadAt(got, 0); err != nil || string(got) != "\x00\x00\x00\x00\x00onetwothree" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := mem.OpenFile("/direct", Create|Direct)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteVec([][]byte{AlignedBytes(BlockBytes), make([]byte, 100)}, 0); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("direct I/O of a piece that is not aligned: %v", err)
	}
}
