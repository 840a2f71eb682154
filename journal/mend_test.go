package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// mend opens what is on the disk after a change and mends it with the bytes that stood there, gap by gap.
func (im *image) mend(change func(m *vfs.Mem)) (m *vfs.Mem, j *Journal, rec *Recovered, gaps int) {
	im.t.Helper()
	m, j, rec = im.opened(change)
	for {
		g, ok := rec.Gap()
		if !ok {
			return m, j, rec, gaps
		}
		if err := j.Mend(im.log[g.From:g.Until]); err != nil {
			im.t.Fatalf("mend [%d, %d): %v", g.From, g.Until, err)
		}
		gaps++
	}
}

// whole wants a log to be all there, and to be so again at the next start.
func (im *image) whole(what string, m *vfs.Mem, j *Journal, rec *Recovered) {
	im.t.Helper()
	if rec.Forgot() || rec.Chain != im.chain || !j.ready {
		im.t.Fatalf("%s: %v", what, rec)
	}
	if err := j.Close(); err != nil {
		im.t.Fatal(err)
	}
	if !bytes.Equal(readAll(im.t, m, im.chain.Position), im.log) {
		im.t.Fatalf("%s: the log has other bytes", what)
	}
	sum, err := Verify(m.Crash(vfs.LoseAll), testDir)
	if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != im.chain || sum.BadHeader != 0 {
		im.t.Fatalf("%s: at the next start: %v, %v", what, sum, err)
	}
}

// TestP4FlippedBitIsMended flips bits all over the synced log: whatever can be mended is whole again with a peer's bytes.
func TestP4FlippedBitIsMended(t *testing.T) {
	im := newImage(t)
	defer im.close()
	mended, stride := 0, wire.Position(thin(1709))
	for at := wire.Position(5); at < im.chain.Position; at += stride {
		m, j, rec, gaps := im.mend(func(m *vfs.Mem) {
			file, offset := where(at)
			if err := m.Rot(file, offset, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
		})
		if last := im.ends[len(im.ends)-2]; gaps == 0 && at >= last {
			j.Close() // the last record: nothing stands behind it
			continue
		}
		if gaps != 1 || rec.MendedBytes == 0 {
			t.Fatalf("bit flipped at %d: %d gaps, %v", at, gaps, rec)
		}
		im.whole(fmt.Sprintf("bit flipped at %d", at), m, j, rec)
		mended++
	}
	if mended < 150*1709/int(stride) {
		t.Errorf("%d mended", mended)
	}
}

// TestP4DamageIsMended: what the device refuses to read, files that are gone or short, several damages at once.
func TestP4DamageIsMended(t *testing.T) {
	im := newImage(t)
	defer im.close()
	middle := testDir + "/journal/" + segmentName(MinSegmentBytes)
	rot := func(m *vfs.Mem, at wire.Position) {
		file, offset := where(at)
		if err := m.Rot(file, offset, 0x40); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(m *vfs.Mem, at wire.Position) {
		file, offset := where(at)
		if err := m.Spoil(file, offset); err != nil {
			t.Fatal(err)
		}
	}
	short := func(size int64) func(m *vfs.Mem) {
		return func(m *vfs.Mem) {
			f, err := m.OpenFile(middle, vfs.Write)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Truncate(size), f.Sync()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		gaps   int
		damage func(m *vfs.Mem)
	}{
		"unreadable sector":        {1, func(m *vfs.Mem) { spoil(m, 70_000) }},
		"unreadable at a bound":    {1, func(m *vfs.Mem) { spoil(m, MinSegmentBytes) }},
		"three flipped bits":       {3, func(m *vfs.Mem) { rot(m, 9_000); rot(m, 140_000); rot(m, 250_000) }},
		"neighbours":               {1, func(m *vfs.Mem) { rot(m, im.ends[40]+9); rot(m, im.ends[41]+9) }},
		"flipped and unreadable":   {2, func(m *vfs.Mem) { rot(m, 30_000); spoil(m, 200_000) }},
		"missing segment":          {1, func(m *vfs.Mem) { errNone(t, m.Remove(middle)) }},
		"empty segment":            {1, short(0)},
		"segment without a log":    {1, short(headerBytes)},
		"segment cut in the block": {1, short(headerBytes + 5000)},
	} {
		m, j, rec, gaps := im.mend(c.damage)
		if gaps != c.gaps {
			t.Errorf("%s: %d gaps, want %d: %v", name, gaps, c.gaps, rec)
		}
		im.whole(name, m, j, rec)
	}
}

func errNone(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMendRefusesOtherBytes: bytes that do not fit from both ends change nothing.
func TestMendRefusesOtherBytes(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[70]
	m, j, rec := im.opened(func(m *vfs.Mem) {
		file, offset := where(at + 70)
		errNone(t, m.Rot(file, offset, 0x10))
	})
	defer j.Close()
	g, ok := rec.Gap()
	if !ok || g.From != at || g.Until != im.ends[71] {
		t.Fatalf("gap %v, %v", g, ok)
	}
	right := im.log[g.From:g.Until]
	flipped := bytes.Clone(right)
	flipped[90] ^= 1
	// A record of the same length that follows what stands before, but which the one behind does not follow.
	other := make([]byte, len(right))
	chain := chainAt(im.log, g.From)
	var like wire.Record
	wire.DecodeRecord(right, &like)
	chain.Append(other, &wire.Record{Kind: like.Kind, Term: like.Term, Timestamp: like.Timestamp, Session: like.Session,
		Service: like.Service}, bytes.Repeat([]byte{9}, int(like.Length)-wire.RecordHeaderSize))
	if chain.Position != g.Until {
		t.Fatalf("the other record ends at %d, want %d", chain.Position, g.Until)
	}
	before := m.Crash(vfs.KeepAll)
	for name, b := range map[string][]byte{"short": right[:len(right)-8], "long": im.log[g.From : g.Until+8], "none": nil,
		"flipped": flipped, "another history": other, "zeros": make([]byte, len(right))} {
		if err := j.Mend(b); !errors.Is(err, ErrMend) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range before.Files() {
		if !bytes.Equal(contents(t, m, file), contents(t, before, file)) {
			t.Errorf("%s was changed", file)
		}
	}
	if err := j.Mend(right); err != nil || rec.Forgot() {
		t.Errorf("the right bytes after all: %v, %v", err, rec)
	}
	if err := j.Mend(right); !errors.Is(err, ErrMend) {
		t.Errorf("a log that is whole: %v", err)
	}
}

func contents(t *testing.T, m *vfs.Mem, file string) []byte {
	t.Helper()
	size, err := m.Stat(file)
	errNone(t, err)
	f, err := m.OpenFile(file, vfs.ReadOnly)
	errNone(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	errNone(t, err)
	return b
}

// TestMendIsCrashSafe cuts the power at every step of Mend. What is half mended is damage still, even where only the
// distance to later records gave the damage away: never is the log silently shorter.
func TestMendIsCrashSafe(t *testing.T) {
	for _, above := range []bool{false, true} {
		im := newImage(t)
		at := im.ends[len(im.ends)/3]
		bad := []wire.Position{at + 70, at + 900}
		if above { // nothing below the watermark, and the good records that tell begin just one batch behind
			at = im.chain.Position
			for im.chain.Position < at+MaxBatch+120_000 {
				im.append(1, 50_000)
				im.sync()
			}
			bad = nil
			for p := at + 100; p < at+MaxBatch; p += 40_000 {
				bad = append(bad, p)
			}
		}
		after, j, rec := im.opened(func(m *vfs.Mem) {
			for _, p := range bad {
				file, offset := where(p)
				errNone(t, m.Rot(file, offset, 0x10))
			}
		})
		g, ok := rec.Gap()
		if !ok || g.From != at {
			t.Fatalf("above %v: %v", above, rec)
		}
		rng := rand.New(rand.NewPCG(11, 12))
		after.Step = func(op vfs.Op, path string) {
			powerCuts(after, rng, func(name string, m *vfs.Mem) {
				o := im.options
				o.FS = m
				again, rec, err := Open(o)
				errNone(t, err)
				again.Close()
				if !rec.Forgot() && rec.Chain != im.chain {
					t.Fatalf("above %v, %s before %s on %s: %v", above, name, op, path, rec)
				}
			})
		}
		errNone(t, j.Mend(im.log[g.From:g.Until]))
		after.Step = nil
		im.whole("mended after all", after, j, rec)
		im.close()
	}
}

// TestMendStopsAtADiskThatFails: an error of a write is final, and a disk that keeps nothing is found out.
func TestMendStopsAtADiskThatFails(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[70]
	for name, c := range map[string]struct {
		fault vfs.Fault
		want  error
	}{
		"write": {vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Err: syscall.EIO}, syscall.EIO},
		"lie":   {vfs.Fault{Ops: vfs.OpWrite, Path: ".seg", Lie: true}, nil},
	} {
		m := im.mem.Crash(vfs.KeepAll)
		file, offset := where(at + 70)
		errNone(t, m.Rot(file, offset, 0x10))
		failing := vfs.NewFailing(m)
		o := im.options
		o.FS = failing
		j, rec, err := Open(o)
		errNone(t, err)
		g, _ := rec.Gap()
		failing.Inject(c.fault)
		err = j.Mend(im.log[g.From:g.Until])
		if err == nil || errors.Is(err, ErrMend) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		j.Close()
	}
}

// TestMendEveryOperationFailsOnce: whatever operation fails while a log is opened and mended, the log is whole afterwards
// or as damaged as before, never shorter and well.
func TestMendEveryOperationFailsOnce(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[60]
	failed := 0
	for _, short := range []bool{false, true} {
		for i := 0; ; i++ {
			m := im.mem.Crash(vfs.KeepAll)
			file, offset := where(at + 70)
			errNone(t, m.Rot(file, offset, 0x10))
			f := vfs.NewFailing(m, vfs.Fault{Ops: vfs.OpAll, Skip: i, Err: syscall.EIO, Short: short})
			j, rec, err := Open(optionsOn(im.options, f))
			if err == nil {
				if g, ok := rec.Gap(); ok {
					err = j.Mend(im.log[g.From:g.Until])
				}
				j.Close()
			}
			if err != nil {
				failed++
			}
			done := f.Ops() <= i
			j, rec, err = Open(optionsOn(im.options, m.Crash(vfs.LoseAll)))
			errNone(t, err)
			if rec.Chain != im.chain && (!rec.Forgot() || rec.Chain.Position != at) {
				t.Fatalf("operation %d: %v", i, rec)
			}
			j.Close()
			if done {
				break
			}
		}
	}
	if failed < 20 {
		t.Errorf("%d failures", failed)
	}
}
