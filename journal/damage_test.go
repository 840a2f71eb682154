package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// image is a log on a disk, at rest: everything synced and below the watermark, unless a test goes on.
type image struct {
	*rig
	mem *vfs.Mem
}

// newImage makes a log of small and large records over three segments.
func newImage(t testing.TB) *image { return newImageOf(t, 150) }

func newImageOf(t testing.TB, records int) *image {
	m := vfs.NewMem()
	r := newRig(t, m)
	for i := range records {
		r.append(1, i*67%4500)
		r.sync()
	}
	r.mark()
	return &image{r, m}
}

// opened opens a copy of what is on the disk, after change.
func (im *image) opened(change func(m *vfs.Mem)) (*vfs.Mem, *Journal, *Recovered) {
	im.t.Helper()
	after := im.mem.Crash(vfs.KeepAll)
	change(after)
	o := im.options
	o.FS = after
	j, rec, err := Open(o)
	if err != nil {
		im.t.Fatal(err)
	}
	if good := readAll(im.t, after, rec.Chain.Position); !bytes.HasPrefix(im.log, good) {
		im.t.Fatalf("recovered bytes that were never written: %v", rec)
	}
	return after, j, rec
}

// where is the file and offset of a position, all segments being of one size.
func where(at wire.Position) (string, int64) {
	first := at / MinSegmentBytes * MinSegmentBytes
	return testDir + "/journal/" + segmentName(first), headerBytes + int64(at-first)
}

// put has the disk hold other bytes from position on, within one segment.
func (im *image) put(m *vfs.Mem, at wire.Position, b []byte) {
	im.t.Helper()
	file, offset := where(at)
	f, err := m.OpenFile(file, vfs.Write)
	if err != nil {
		im.t.Fatal(err)
	}
	if _, err := f.WriteAt(b, offset); err != nil {
		im.t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		im.t.Fatal(err)
	}
}

// TestP4FlippedBitBelowTheWatermark flips bits all over the synced log: never is the log silently shorter, and never
// does a flipped record pass.
func TestP4FlippedBitBelowTheWatermark(t *testing.T) {
	im := newImage(t)
	defer im.close()
	outcomes := map[Outcome]int{}
	for at := wire.Position(3); at < im.chain.Position; at += wire.Position(thin(631)) {
		_, j, rec := im.opened(func(m *vfs.Mem) {
			file, offset := where(at)
			if err := m.Rot(file, offset, 1<<(at%8)); err != nil {
				t.Fatal(err)
			}
		})
		outcomes[rec.Outcome]++
		if !rec.Forgot() || rec.Chain.Position > at || rec.Cause == "" {
			t.Fatalf("bit flipped at %d: %v", at, rec)
		}
		if file, _ := where(rec.Chain.Position); !strings.HasSuffix(file, rec.Segment) {
			t.Fatalf("bit flipped at %d: blamed %s", at, rec.Segment)
		}
		j.Close()
	}
	if outcomes[OutcomeDamaged] == 0 {
		t.Errorf("outcomes %v: none is mendable", outcomes)
	}
}

// TestP4FlippedBitInAHeader flips bits in segment headers: what they say is known from the segment before.
func TestP4FlippedBitInAHeader(t *testing.T) {
	im := newImage(t)
	defer im.close()
	for _, first := range []wire.Position{0, MinSegmentBytes, 2 * MinSegmentBytes} {
		for offset := int64(0); offset < headerBytes; offset += int64(thin(61)) {
			if offset >= 8 && offset < 12 {
				continue // another format version: refused
			}
			after, j, rec := im.opened(func(m *vfs.Mem) {
				file, _ := where(first)
				if err := m.Rot(file, offset, 4); err != nil {
					t.Fatal(err)
				}
			})
			if rec.Forgot() || rec.Chain != im.chain || rec.MendedHeaders != 1 {
				t.Fatalf("header of %d, offset %d: %v, %d mended", first, offset, rec, rec.MendedHeaders)
			}
			j.Close()
			if sum, err := Verify(after, testDir); err != nil || sum.BadHeader != 0 {
				t.Fatalf("header of %d, offset %d: not mended: %+v %v", first, offset, sum, err)
			}
		}
	}
}

// TestP4FlippedBitAboveTheWatermark flips bits in the last batch, which the watermark has not reached: cut off or
// damage, but never a record that is not the one written.
func TestP4FlippedBitAboveTheWatermark(t *testing.T) {
	im := newImage(t)
	defer im.close()
	start := im.chain.Position
	for range 10 {
		im.append(1, 150)
	}
	im.sync()
	for at := start; at < im.chain.Position; at += wire.Position(thin(7)) {
		_, j, rec := im.opened(func(m *vfs.Mem) {
			file, offset := where(at)
			if err := m.Rot(file, offset, 0x10); err != nil {
				t.Fatal(err)
			}
		})
		if rec.Outcome == OutcomeIntact || rec.Chain.Position > at || rec.Chain.Position < start {
			t.Fatalf("bit flipped at %d: %v", at, rec)
		}
		j.Close()
	}
}

// TestP4DamagedBatchBeforeAnother: the watermark has not come so far, but good records stand more than a batch behind
// the damage, so it was synced.
func TestP4DamagedBatchBeforeAnother(t *testing.T) {
	im := newImage(t)
	defer im.close()
	damaged := im.chain.Position
	for im.chain.Position < damaged+MaxBatch+200_000 {
		im.append(1, 50_000)
		im.sync()
	}
	_, j, rec := im.opened(func(m *vfs.Mem) {
		file, offset := where(damaged + 100)
		if err := m.Rot(file, offset, 0x10); err != nil {
			t.Fatal(err)
		}
	})
	defer j.Close()
	if rec.Outcome != OutcomeDamaged || rec.Chain.Position != damaged || rec.Resumes <= damaged {
		t.Fatalf("%v, resumes at %d", rec, rec.Resumes)
	}
	if _, err := j.Agent(nil, nil); !errors.Is(err, ErrForgot) {
		t.Errorf("a damaged journal starts: %v", err)
	}
}

// TestDiscard goes on as a recovering node behind damage, and stays one until it is told otherwise.
func TestDiscard(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[len(im.ends)/2]
	after, j, rec := im.opened(func(m *vfs.Mem) {
		file, offset := where(at + 70)
		if err := m.Rot(file, offset, 0x10); err != nil {
			t.Fatal(err)
		}
	})
	if err := j.Discard(); err != nil {
		t.Fatal(err)
	}
	if rec.Chain.Position != at || rec.Generation != im.j.Generation()+1 {
		t.Fatalf("%v, generation %d", rec, rec.Generation)
	}
	r := &rig{t: t, fs: after, options: j.options, j: j, rec: rec, log: bytes.Clone(im.log)}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	r.append(2, 1000)
	r.sync()
	r.check()
	r.reopen()
	if r.rec.Outcome != OutcomeIntact || !r.rec.Forgot() || !strings.Contains(r.rec.Marked, "watermark") {
		t.Fatalf("after the next start: %v", r.rec)
	}
	if err := ClearRecovering(after, testDir); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	if r.rec.Forgot() {
		t.Fatalf("still recovering: %v", r.rec)
	}
	r.close()
}

// TestDiscardIsCrashSafe cuts the power at every step of Discard: the next start is a recovering one in any case.
func TestDiscardIsCrashSafe(t *testing.T) {
	im := newImage(t)
	defer im.close()
	at := im.ends[len(im.ends)/3]
	after, j, _ := im.opened(func(m *vfs.Mem) {
		file, offset := where(at + 70)
		if err := m.Rot(file, offset, 0x10); err != nil {
			t.Fatal(err)
		}
	})
	defer j.Close()
	rng := rand.New(rand.NewPCG(7, 8))
	after.Step = func(op vfs.Op, path string) {
		powerCuts(after, rng, func(name string, m *vfs.Mem) {
			o := im.options
			o.FS = m
			again, rec, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
			if !rec.Forgot() || rec.Chain.Position != at {
				t.Fatalf("%s before %s on %s: %v", name, op, path, rec)
			}
		})
	}
	if err := j.Discard(); err != nil {
		t.Fatal(err)
	}
	after.Step = nil
}

func TestP7LostSyncIsDamage(t *testing.T) {
	im := newImage(t)
	defer im.close()
	lost := im.ends[len(im.ends)-5]
	_, j, rec := im.opened(func(m *vfs.Mem) { // a disk that lied: the last records, though synced, are zeros
		im.put(m, lost, make([]byte, im.chain.Position-lost))
	})
	j.Close()
	if rec.Outcome != OutcomeRecovering || rec.Chain.Position != lost {
		t.Fatalf("%v", rec)
	}
}

func TestP4UnreadableSector(t *testing.T) {
	im := newImage(t)
	defer im.close()
	for _, at := range []wire.Position{700, im.chain.Position / 2, im.chain.Position - 1, im.chain.Position + 3000} {
		_, j, rec := im.opened(func(m *vfs.Mem) {
			file, offset := where(at)
			if err := m.Spoil(file, offset); err != nil {
				t.Fatal(err)
			}
		})
		if !rec.Forgot() || rec.Chain.Position > at {
			t.Fatalf("unreadable at %d: %v", at, rec)
		}
		if err := j.Discard(); err != nil {
			t.Fatal(err)
		}
		j.Close()
	}
}

func TestP10MissingAndShortSegments(t *testing.T) {
	im := newImage(t)
	defer im.close()
	middle := testDir + "/journal/" + segmentName(MinSegmentBytes)
	_, j, rec := im.opened(func(m *vfs.Mem) {
		if err := m.Remove(middle); err != nil {
			t.Fatal(err)
		}
	})
	j.Close()
	if rec.Outcome != OutcomeDamaged || rec.Chain.Position > MinSegmentBytes {
		t.Errorf("missing: %v", rec)
	}
	for _, size := range []int64{0, 100, headerBytes, headerBytes + 5000} {
		_, j, rec = im.opened(func(m *vfs.Mem) {
			f, err := m.OpenFile(middle, vfs.Write)
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
		})
		if !rec.Forgot() || rec.Chain.Position >= 2*MinSegmentBytes {
			t.Errorf("cut to %d bytes: %v", size, rec)
		}
		if err := j.Discard(); err != nil {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
		j.Close()
	}
}

func TestP10DamagedWatermark(t *testing.T) {
	im := newImage(t)
	defer im.close()
	file := testDir + "/watermark"
	im.append(1, 100)
	im.sync()
	older, _ := im.j.watermark.Load()
	im.mark()
	newest := int64(im.j.watermark.writes % watermarkSlots * vfs.BlockBytes)
	rot := func(m *vfs.Mem, offset int64) {
		if err := m.Rot(file, offset, 1); err != nil {
			t.Fatal(err)
		}
	}
	_, j, rec := im.opened(func(m *vfs.Mem) { rot(m, newest+20) })
	j.Close()
	if rec.Outcome != OutcomeIntact || rec.Watermark != older {
		t.Errorf("newest slot: %v, watermark %d, want %d", rec, rec.Watermark, older)
	}
	_, j, rec = im.opened(func(m *vfs.Mem) { rot(m, 20); rot(m, vfs.BlockBytes+20) })
	j.Close()
	if rec.Outcome != OutcomeRecovering || rec.Chain != im.chain {
		t.Errorf("both slots: %v", rec)
	}
}

// TestP3TornTail ends the last batch at every byte: at sector bounds, where a power cut ends writes, the tail is cut
// off; in any case what is found is the records before.
func TestP3TornTail(t *testing.T) {
	im := newImageOf(t, 3)
	defer im.close()
	start := im.chain.Position
	for _, size := range []int{0, 30, 700, 8, 0, 1500, 300} {
		im.append(2, size)
	}
	im.sync()
	end := im.chain.Position
	for tear := start; tear <= end; tear += wire.Position(thin(1)) {
		_, j, rec := im.opened(func(m *vfs.Mem) { im.put(m, tear, make([]byte, end-tear)) })
		j.Close()
		want := start
		for _, e := range im.ends {
			if e > start && e <= tear {
				want = e
			}
		}
		if rec.Chain.Position < want || rec.Chain.Position > want && !allZero(im.log[tear:rec.Chain.Position]) {
			t.Fatalf("torn at %d: the log ends at %d, want %d", tear, rec.Chain.Position, want)
		}
		if tear%vfs.SectorBytes == 0 && rec.Outcome.Forgot() {
			t.Fatalf("torn at the sector bound %d: %v", tear, rec)
		}
	}
}

// TestP3TornTailAnySectors leaves any of the last batch's sectors unwritten.
func TestP3TornTailAnySectors(t *testing.T) {
	im := newImage(t)
	defer im.close()
	start := im.chain.Position
	for i := range 30 {
		im.append(2, i*41%900)
	}
	im.sync()
	rng := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		_, j, rec := im.opened(func(m *vfs.Mem) {
			for sector := start / vfs.SectorBytes; sector*vfs.SectorBytes < im.chain.Position; sector++ {
				if rng.IntN(3) > 0 {
					continue
				}
				from := max(start, sector*vfs.SectorBytes)
				im.put(m, from, make([]byte, (sector+1)*vfs.SectorBytes-from))
			}
		})
		j.Close()
		if rec.Outcome.Forgot() || rec.Chain.Position < start {
			t.Fatalf("%v", rec)
		}
	}
}

// TestP3StaleBytesBehindTheEnd: records of an older term and other positions behind the end are leftovers, whatever
// their checksums say.
func TestP3StaleBytesBehindTheEnd(t *testing.T) {
	im := newImage(t)
	defer im.close()
	im.append(5, 300)
	im.sync()
	end := im.chain.Position
	for name, r := range map[string]wire.Record{
		"older term":     {Kind: wire.RecordMessage, Term: 4, Timestamp: 1 << 40},
		"other position": {Kind: wire.RecordMessage, Term: 5, Timestamp: 1 << 40},
	} {
		b := make([]byte, 4096)
		stale := wire.Chain{Position: ceilTo(end) + 8192, Sequence: 1 << 20, Term: 3}
		if name == "other position" {
			stale.Position += 1 << 20
		}
		n := stale.Append(b, &r, make([]byte, 400))
		after, j, rec := im.opened(func(m *vfs.Mem) { im.put(m, ceilTo(end)+8192, b[:n]) })
		j.Close()
		if rec.Outcome != OutcomeTorn || rec.Chain != im.chain {
			t.Errorf("%s: %v", name, rec)
		}
		if sum, err := Verify(after, testDir); err != nil || sum.Outcome != OutcomeIntact {
			t.Errorf("%s: not cleared away: %v %v", name, sum.Outcome, err)
		}
	}
}

// TestP1VoteCopies: one copy may rot, not both; votes of two minds are refused.
func TestP1VoteCopies(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	v, err := OpenVote(m, testDir)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Store(7, 3); err != nil {
		t.Fatal(err)
	}
	file := testDir + "/vote"
	for copyAt := range int64(voteCopies) {
		for offset := int64(0); offset < 32; offset++ {
			after := m.Crash(vfs.KeepAll)
			if err := after.Rot(file, copyAt*vfs.BlockBytes+offset, 1); err != nil {
				t.Fatal(err)
			}
			v, err := OpenVote(after, testDir)
			if err != nil {
				t.Fatal(err)
			}
			if term, voted := v.Load(); term != 7 || voted != 3 {
				t.Fatalf("copy %d, offset %d: %d, %d", copyAt, offset, term, voted)
			}
			if err := after.Rot(file, (1-copyAt)*vfs.BlockBytes+offset, 1); err != nil {
				t.Fatal(err)
			}
			if v, err := OpenVote(after, testDir); err != nil {
				t.Fatalf("the other copy was not rewritten: %v", err)
			} else if term, voted := v.Load(); term != 7 || voted != 3 {
				t.Fatalf("%d, %d", term, voted)
			}
		}
	}
	both := m.Crash(vfs.KeepAll)
	if err := errors.Join(both.Rot(file, 18, 1), both.Rot(file, vfs.BlockBytes+18, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVote(both, testDir); !errors.Is(err, ErrVote) {
		t.Errorf("both copies: %v", err)
	}
	other := vfs.AlignedBytes(vfs.BlockBytes)
	putVote(other, 7, 2)
	f, err := m.OpenFile(file, vfs.Write)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(other, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenVote(m, testDir); !errors.Is(err, ErrVote) {
		t.Errorf("two votes in one term: %v", err)
	}
}

func TestP10DamagedSmallFiles(t *testing.T) {
	m := vfs.NewMem()
	if err := Format(m, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(WriteClean(m, testDir, 3, 99), MarkRecovering(m, testDir, "a test")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"identity", "clean", "recovering"} {
		size, err := m.Stat(testDir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for offset := range size {
			after := m.Crash(vfs.KeepAll)
			if err := after.Rot(testDir+"/"+name, offset, 2); err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%s, offset %d", name, offset)
			switch name {
			case "identity":
				if _, err := LoadIdentity(after, testDir); !errors.Is(err, ErrDamagedFile) {
					t.Errorf("%s: %v", what, err)
				}
			case "clean":
				if found, err := TakeClean(after, testDir, 3, 99); found || err != nil {
					t.Errorf("%s: %v %v", what, found, err)
				}
			case "recovering":
				if _, marked, err := IsRecovering(after, testDir); !marked || err != nil {
					t.Errorf("%s: %v %v", what, marked, err)
				}
			}
		}
	}
	for _, other := range []cutCommand{{3, 98}, {2, 99}} {
		after := m.Crash(vfs.KeepAll)
		if found, _ := TakeClean(after, testDir, uint32(other.position), wire.Position(other.generation)); found {
			t.Errorf("a clean marker of another run or end counts: %v", other)
		}
	}
	if cause, marked, _ := IsRecovering(m, testDir); !marked || cause != "a test" {
		t.Errorf("%q %v", cause, marked)
	}
}

// FuzzOpen opens arbitrary segment bytes: it never panics, and never finds a record that does not verify.
func FuzzOpen(f *testing.F) {
	r := newRig(f, vfs.NewMem())
	for i := range 20 {
		r.append(wire.Term(1+i/10), i*50)
	}
	r.sync()
	r.close()
	seed := make([]byte, headerBytes+16384)
	file, err := r.fs.OpenFile(testDir+"/journal/"+segmentName(0), vfs.ReadOnly)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := file.ReadAt(seed, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(seed, []byte{}, uint64(0), true)
	f.Add(seed[:5000], seed[:200], uint64(1), true)
	broken := bytes.Clone(seed)
	binary.LittleEndian.PutUint64(broken[32:], 1<<31)
	sealBlock(broken, magicSegment)
	f.Add(broken, seed, uint64(40), false)
	f.Fuzz(func(t *testing.T, first, second []byte, blocks uint64, seal bool) {
		m := vfs.NewMem()
		m.SetCapacity(4 << 20)
		if err := Format(m, testDir, testIdentity); err != nil {
			t.Fatal(err)
		}
		putSegment(t, m, 0, first, seal)
		putSegment(t, m, wire.Position(blocks%1024)*vfs.BlockBytes, second, seal)
		o := testOptions(m)
		o.Cluster = 0
		j, rec, err := Open(o)
		if err != nil {
			return
		}
		if rec.Forgot() {
			if err := j.Discard(); err != nil {
				return
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, found, err := Open(o)
		if err != nil {
			t.Fatalf("opened once as %v, then not: %v", rec, err)
		}
		again.Close()
		if found.Outcome != OutcomeIntact || found.Chain != rec.Chain {
			t.Fatalf("opened as %v, then as %v", rec, found)
		}
	})
}
