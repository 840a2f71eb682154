package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// FuzzOpenFromASnapshot: arbitrary bytes in any two segments, around a snapshot at any place: an outcome or an error; what
// opened once opens again, with nothing wrong and with the same end.
func FuzzOpenFromASnapshot(f *testing.F) {
	r := newRig(f, vfs.NewMem())
	for i := range 80 {
		r.append(wire.Term(1+i/40), i*67%4500)
		r.sync()
	}
	r.close()
	log := bytes.Clone(r.log)
	seed := func(first wire.Position) []byte {
		b := make([]byte, headerBytes+16384)
		file, err := r.fs.OpenFile(testDir+"/journal/"+segmentName(first), vfs.ReadOnly)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := file.ReadAt(b, 0); err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(seed(0), seed(MinSegmentBytes), uint64(32), uint(5), uint64(0), true, false)
	f.Add(seed(MinSegmentBytes), []byte{}, uint64(0), uint(70), uint64(1<<16), true, true)
	f.Add([]byte{}, seed(MinSegmentBytes), uint64(32), uint(60), uint64(1<<20), false, true)
	broken := seed(MinSegmentBytes)
	binary.LittleEndian.PutUint64(broken[48:], MinSegmentBytes+64)
	f.Add(seed(0), broken, uint64(32), uint(79), uint64(1<<20), true, true)
	f.Fuzz(func(t *testing.T, first, second []byte, blocks uint64, at uint, mark uint64, seal, install bool) {
		m := vfs.NewMem()
		m.SetCapacity(4 << 20)
		if err := Format(m, testDir, testIdentity); err != nil {
			t.Fatal(err)
		}
		if err := StoreWatermark(m, testDir, wire.Position(mark)); err != nil {
			t.Fatal(err)
		}
		putSegment(t, m, 0, first, seal)
		putSegment(t, m, wire.Position(blocks%1024)*vfs.BlockBytes, second, seal)
		base := baseOf(log, r.ends[at%uint(len(r.ends))])
		j, rec, err := openFrom(m, base, install)
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
		if rec.Chain.Position < base.Chain.Position || rec.Floor > base.Chain.Position {
			t.Fatalf("%v: it begins at %d", rec, rec.Floor)
		}
		again, found, err := openFrom(m, base, false)
		if err != nil {
			t.Fatalf("opened once as %v, then not: %v", rec, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		if found.Outcome != OutcomeIntact || found.Chain != rec.Chain {
			t.Fatalf("opened as %v, then as %v", rec, found)
		}
		if _, _, err := DropBelow(m, testDir, base.Chain.Position); err != nil {
			t.Fatal(err)
		}
		if again, found, err = openFrom(m, base, false); err != nil || found.Outcome != OutcomeIntact || found.Chain != rec.Chain {
			t.Fatalf("opened as %v, then, with its beginning dropped, as %v: %v", rec, found, err)
		}
		if err := errors.Join(again.Close()); err != nil {
			t.Fatal(err)
		}
	})
}

// putSegment makes a segment of arbitrary bytes, if there are any; seal has its header pass the checksum.
func putSegment(t *testing.T, m *vfs.Mem, first wire.Position, b []byte, seal bool) {
	t.Helper()
	if len(b) == 0 {
		return
	}
	if seal && len(b) >= headerBytes {
		b = bytes.Clone(b)
		sealBlock(b, magicSegment)
	}
	f, err := m.OpenFile(testDir+"/journal/"+segmentName(first), vfs.Create)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}
