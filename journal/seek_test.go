package journal

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// built is a log that a Builder has made, with its record ends.
func built(t testing.TB, fs vfs.FS, records int, segment int64, payload func(i int, at wire.Position) []byte) []wire.Chain {
	t.Helper()
	if err := fs.MkdirAll(segmentDir(testDir)); err != nil {
		t.Fatal(err)
	}
	b, err := NewBuilder(BuilderOptions{FS: fs, Dir: testDir, Cluster: testCluster, SegmentBytes: segment}, wire.Chain{})
	if err != nil {
		t.Fatal(err)
	}
	var chain wire.Chain
	chains := []wire.Chain{chain}
	buf := make([]byte, wire.MaxRecord)
	for i := range records {
		r := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: chain.Timestamp + 10, Session: 5, Service: 1}
		n := chain.Append(buf, &r, payload(i, chain.Position))
		if err := b.Append(buf[:n], chain); err != nil {
			t.Fatal(err)
		}
		chains = append(chains, chain)
	}
	if err := errors.Join(b.Sync(), b.Close(), FinishDirectory(fs, testDir, testIdentity, chain)); err != nil {
		t.Fatal(err)
	}
	return chains
}

// sizes are payloads of many lengths, now and then one that holds a sound record image that claims to stand where it
// stands.
func sizes(i int, at wire.Position) []byte {
	b := make([]byte, i*53%4000)
	if i%5 != 0 {
		return b
	}
	b = make([]byte, 4096)
	fake := wire.Chain{Position: at + wire.RecordHeaderSize + 64, Sequence: 1 << 40, Timestamp: 1 << 60, Term: 1}
	for n := 64; n+200 < len(b); {
		r := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: fake.Timestamp + 1}
		n += fake.Append(b[n:], &r, make([]byte, 100))
	}
	return b
}

// TestSeek looks for every record in three ways, and for what lies between and around them, in a log of several
// segments whose payloads hold images of records.
func TestSeek(t *testing.T) {
	fs := vfs.NewMem()
	chains := built(t, fs, 3000, 2<<20, sizes)
	rd := newReader(t, fs, ^wire.Position(0))
	defer rd.Close()
	last := len(chains) - 1
	next := func(what string, err error, want int) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
		rec, _, err := rd.Next()
		if want >= last {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, io.EOF) {
				t.Fatalf("%s: record %d, %v, want the end", what, rec.Sequence, err)
			}
			return
		}
		if err != nil || rec.Sequence != chains[want+1].Sequence || rec.Position != chains[want].Position {
			t.Fatalf("%s: record %d at %d, %v, want %d", what, rec.Sequence, rec.Position, err, chains[want+1].Sequence)
		}
	}
	for i := 0; i <= last; i += 1 + i%11 {
		c := chains[i]
		next("at", rd.SeekFrom(c.Position), i)
		next("behind", rd.SeekFrom(c.Position+1), i+1)
		next("number", rd.SeekSequence(c.Sequence+1), i)
		next("stamp", rd.SeekTime(c.Timestamp+10), i)
		next("between stamps", rd.SeekTime(c.Timestamp+1), i)
	}
	next("before everything", rd.SeekTime(0), 0)
	next("number 0", rd.SeekSequence(0), 0)
	if err := rd.SeekFirst(); err != nil || rd.Position() != 0 {
		t.Fatal(rd.Position(), err)
	}
}

// TestSeekReadsLittle: finding one record of a log of 64 MiB in segments of 16 reads a small part of one segment.
func TestSeekReadsLittle(t *testing.T) {
	fs := &counting{FS: vfs.NewMem()}
	chains := built(t, fs, 64<<10, 16<<20, func(int, wire.Position) []byte { return make([]byte, 960) })
	rd := newReader(t, fs, ^wire.Position(0))
	defer rd.Close()
	for _, sequence := range []uint64{1, 1000, 17_000, 50_001, 65_536} {
		fs.read = 0
		if err := rd.SeekSequence(sequence); err != nil {
			t.Fatal(err)
		}
		if rec, _, err := rd.Next(); err != nil || rec.Sequence != sequence {
			t.Fatal(rec.Sequence, err)
		}
		if fs.read > 6<<20 {
			t.Errorf("record %d of %d: read %d bytes", sequence, len(chains)-1, fs.read)
		}
	}
}

// counting counts what is read.
type counting struct {
	vfs.FS
	read int
}

func (c *counting) OpenFile(p string, f vfs.Flags) (vfs.File, error) {
	file, err := c.FS.OpenFile(p, f)
	return &countingFile{file, c}, err
}

type countingFile struct {
	vfs.File
	c *counting
}

func (f *countingFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	f.c.read += n
	return n, err
}

// TestSeekOverDamage: a damaged header, and damaged records away from what is sought, do not keep it from being found.
func TestSeekOverDamage(t *testing.T) {
	fs := vfs.NewMem()
	chains := built(t, fs, 3000, 2<<20, sizes)
	rot := func(position wire.Position) {
		t.Helper()
		first := position / (2 << 20) * (2 << 20)
		if err := fs.Rot(segmentDir(testDir)+"/"+segmentName(first), headerBytes+int64(position-first), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.Rot(segmentDir(testDir)+"/"+segmentName(2<<20), 30, 1); err != nil {
		t.Fatal(err)
	}
	rot(chains[100].Position + 70)
	rd := newReader(t, fs, ^wire.Position(0))
	defer rd.Close()
	for _, i := range []int{50, 2000, 2900} {
		if err := rd.SeekSequence(chains[i].Sequence); err != nil {
			t.Fatal(err)
		}
		if rec, _, err := rd.Next(); err != nil || rec.Sequence != chains[i].Sequence {
			t.Errorf("record %d: %d, %v", i, rec.Sequence, err)
		}
	}
	if err := rd.SeekSequence(chains[101].Sequence); err != nil {
		t.Fatal(err)
	}
	if _, _, err := rd.Next(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the damaged record: %v", err)
	}
}

// TestSegmentsAndEnding: what the tools are told of a log while it is whole, while a batch is torn, and once it is
// damaged.
func TestSegmentsAndEnding(t *testing.T) {
	im := newImage(t)
	defer im.close()
	list, err := Segments(im.mem, testDir)
	if err != nil || len(list) < 4 || list[0].State != SegmentUsed || list[1].Start.Sequence == 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	if s := list[len(list)-1]; s.State == SegmentPrepared && s.First < im.chain.Position {
		t.Errorf("prepared: %+v", s)
	}
	middle := chainAt(im.log, im.ends[70])
	for _, from := range []wire.Chain{{}, middle, im.chain} {
		if end, err := Ending(im.mem, testDir, from); err != nil || end.Outcome != OutcomeIntact || end.Chain != im.chain {
			t.Errorf("from %d: %v, %v", from.Position, end, err)
		}
	}
	file, offset := where(im.ends[100] + 80)
	if err := im.mem.Rot(file, offset, 1); err != nil {
		t.Fatal(err)
	}
	end, err := Ending(im.mem, testDir, middle)
	if err != nil || end.Outcome != OutcomeDamaged || end.Chain.Position != im.ends[100] {
		t.Errorf("%v, %v", end, err)
	}
}

// TestBuilderMakesWhatANodeOpens: a log that is built, in one go or in several, is opened by a journal as intact, goes
// on there, and is byte for byte the log it was built from.
func TestBuilderMakesWhatANodeOpens(t *testing.T) {
	source := newRig(t, vfs.NewMem())
	for i := range 300 {
		source.append(1, i*97%5000)
		source.sync()
	}
	fs := vfs.NewMem()
	if err := fs.MkdirAll(segmentDir(testDir)); err != nil {
		t.Fatal(err)
	}
	var chain wire.Chain
	for _, until := range []int{1, 20, 21, 150, 300} {
		o := BuilderOptions{FS: fs, Dir: testDir, Cluster: testCluster, SegmentBytes: MinSegmentBytes, Reserve: true}
		b, err := NewBuilder(o, chain)
		if err != nil {
			t.Fatal(err)
		}
		var rec wire.Record
		for chain.Sequence < uint64(until) {
			at := chain.Position
			n, v := chain.Verify(source.log[at:], &rec)
			if v != wire.VerdictOK {
				t.Fatal(v)
			}
			if err := b.Append(source.log[at:at+wire.Position(n)], chain); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(b.Sync(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := FinishDirectory(fs, testDir, testIdentity, chain); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, options: testOptions(fs), log: source.log}
	r.mustOpen()
	if r.rec.Outcome != OutcomeIntact || r.rec.Chain != source.chain || r.rec.Watermark != chain.Position {
		t.Fatalf("%v", r.rec)
	}
	for range 30 {
		r.append(2, 4000)
		r.sync()
	}
	r.check()
	r.close()
	source.close()
	votes, err := OpenVote(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	if term, voted := votes.Load(); term != chain.Term || voted != 0 {
		t.Errorf("vote %d, %d", term, voted)
	}
	votes.Close()
	if got := binary.LittleEndian.Uint64(r.log[8:]); got != 0 {
		t.Errorf("the first record is at %d", got)
	}
}
