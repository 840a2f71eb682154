package journal

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

func newReader(t testing.TB, fs vfs.FS, limit wire.Position) *Reader {
	t.Helper()
	rd, err := NewReader(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	rd.SetLimit(limit)
	return rd
}

// TestReadRangeGoesOnInSegmentsMadeSince reads raw bytes behind a writer, from record to record: a record may begin in
// the last segment that the reader knows and end in one that was made since.
func TestReadRangeGoesOnInSegmentsMadeSince(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	rd := newReader(t, r.fs, 0)
	defer rd.Close()
	at := wire.Position(0)
	buf := make([]byte, wire.MaxRecord)
	for range 100 {
		r.append(1, 5000)
		r.sync()
		for at < r.durable {
			rd.SetLimit(r.durable)
			n, err := rd.ReadRange(at, buf)
			if err != nil {
				t.Fatal(err)
			}
			var rec wire.Record
			if n < wire.RecordHeaderSize {
				t.Fatalf("%d bytes at %d of %d: not even a header", n, at, r.durable)
			}
			wire.DecodeRecord(buf[:n], &rec)
			if n < int(wire.Padded(rec.Length)) {
				t.Fatalf("%d bytes at %d of %d: the record is %d long", n, at, r.durable, rec.Length)
			}
			at = rec.End()
		}
	}
	if at < 2*MinSegmentBytes {
		t.Fatalf("read up to %d: no segment ended", at)
	}
	r.close()
}

// TestReaderFollowsTheWriter reads behind a writer over segment bounds and a cut, and stops at its limit.
func TestReaderFollowsTheWriter(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	rd := newReader(t, r.fs, 0)
	defer rd.Close()
	if err := rd.Seek(0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rd.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("an empty log: %v", err)
	}
	next := uint64(1)
	drain := func() {
		t.Helper()
		for {
			rec, payload, err := rd.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			end := rec.Position + wire.Position(rec.Length)
			if rec.Sequence != next || !bytes.Equal(payload, r.log[rec.Position+wire.RecordHeaderSize:end]) {
				t.Fatalf("record %d at %d, want record %d", rec.Sequence, rec.Position, next)
			}
			next++
		}
	}
	for i := range 100 {
		r.append(1, i*53%6000)
		limit := r.durable
		r.sync()
		rd.SetLimit(limit) // one record behind
		drain()
		if rd.Position() != limit {
			t.Fatalf("read up to %d, limit %d", rd.Position(), limit)
		}
	}
	at := rd.Position()
	r.cut(at, 2)
	for range 40 {
		r.append(2, 4000)
		r.sync()
	}
	rd.SetLimit(r.durable)
	drain()
	if rd.Position() != r.chain.Position {
		t.Fatalf("read up to %d of %d", rd.Position(), r.chain.Position)
	}
	rd.SetLimit(at)
	if err := rd.Seek(at + 8); !errors.Is(err, ErrNotHeld) {
		t.Errorf("seek beyond the limit: %v", err)
	}
	r.close()
}

func TestReadRange(t *testing.T) {
	im := newImage(t)
	defer im.close()
	rd := newReader(t, im.mem, im.chain.Position)
	defer rd.Close()
	for _, from := range []wire.Position{0, 8, 4095, 4096, MinSegmentBytes - 3, im.chain.Position - 1} {
		for _, size := range []int{1, 100, 9000, 300_000} {
			b := make([]byte, size)
			n, err := rd.ReadRange(from, b)
			if err != nil || n == 0 || !bytes.Equal(b[:n], im.log[from:int(from)+n]) {
				t.Fatalf("%d bytes from %d: %d, %v", size, from, n, err)
			}
		}
	}
	if _, err := rd.ReadRange(im.chain.Position, make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("at the limit: %v", err)
	}
	rd.SetLimit(1 << 40)
	if _, err := rd.ReadRange(1<<30, make([]byte, 1)); !errors.Is(err, ErrNotHeld) {
		t.Errorf("where there is no segment: %v", err)
	}
}

func TestReaderFindsDamage(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[20]
	file, offset := where(at + 80)
	if err := im.mem.Rot(file, offset, 1); err != nil {
		t.Fatal(err)
	}
	rd := newReader(t, im.mem, im.chain.Position)
	defer rd.Close()
	if err := rd.Seek(at); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rd.Next(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if err := rd.Seek(im.chain.Position - 8000); !errors.Is(err, ErrNotHeld) && !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if err := rd.Seek(im.ends[len(im.ends)-2]); err != nil { // another segment: its header begins the chain anew
		t.Errorf("%v", err)
	}
}

func TestVerify(t *testing.T) {
	im := newImage(t)
	defer im.close()
	sum, err := Verify(im.mem, testDir)
	if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != im.chain || sum.Records != 150 ||
		sum.Cluster != testCluster || sum.Segments != 4 || sum.BadHeader != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	before := im.mem.Crash(vfs.KeepAll)
	file, offset := where(im.ends[3])
	if err := im.mem.Rot(file, offset, 1); err != nil {
		t.Fatal(err)
	}
	if sum, err = Verify(im.mem, testDir); err != nil || sum.Outcome != OutcomeDamaged || sum.Offset != offset {
		t.Fatalf("%+v, %v", sum, err)
	}
	if err := im.mem.Rot(file, offset, 1); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, im.mem, im.chain.Position); !bytes.Equal(got, readAll(t, before, im.chain.Position)) {
		t.Error("Verify changed the log")
	}
}

func TestDiff(t *testing.T) {
	im := newImage(t)
	defer im.close()
	const other = "/other"
	d, err := Diff(im.mem, testDir, testDir)
	if err != nil || d.Differs || d.Position != im.chain.Position {
		t.Fatalf("with itself: %+v, %v", d, err)
	}
	o := newRig(t, vfs.NewMem())
	for i := range 150 {
		size := i * 67 % 4500
		if i == 99 {
			size++
		}
		o.append(1, size)
		o.sync()
	}
	both := &twoDirs{a: im.mem, b: o.fs}
	if d, err = Diff(both, testDir, other); err != nil || !d.Differs || d.Sequence != 100 || d.Position != im.ends[98] ||
		d.A.Length+1 != d.B.Length {
		t.Fatalf("%+v, %v", d, err)
	}
	o.cut(o.ends[49], 2)
	d, err = Diff(both, testDir, other)
	if err != nil || d.Differs || d.Position != o.ends[49] || d.EndA != im.chain.Position {
		t.Fatalf("one shorter: %+v, %v", d, err)
	}
	o.close()
}

// twoDirs shows the directory of b as /other beside a's.
type twoDirs struct {
	a, b vfs.FS
	vfs.FS
}

func (d *twoDirs) at(path string) (vfs.FS, string) {
	if rest, ok := bytes.CutPrefix([]byte(path), []byte("/other")); ok {
		return d.b, testDir + string(rest)
	}
	return d.a, path
}

func (d *twoDirs) OpenFile(p string, f vfs.Flags) (vfs.File, error) {
	fs, p := d.at(p)
	return fs.OpenFile(p, f)
}

func (d *twoDirs) ReadDir(p string) ([]string, error) {
	fs, p := d.at(p)
	return fs.ReadDir(p)
}

func (d *twoDirs) Stat(p string) (int64, error) {
	fs, p := d.at(p)
	return fs.Stat(p)
}

func TestLock(t *testing.T) {
	fileSystems(t, func(t *testing.T, fs vfs.FS) {
		if err := fs.MkdirAll(testDir); err != nil {
			t.Fatal(err)
		}
		held, err := Lock(fs, testDir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Lock(fs, testDir); !errors.Is(err, vfs.ErrLocked) {
			t.Errorf("a second lock: %v", err)
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
		if held, err = Lock(fs, testDir); err != nil {
			t.Fatal(err)
		}
		held.Close()
	})
}
