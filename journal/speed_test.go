package journal

import (
	"testing"

	"lockstep/agent"
	"lockstep/internal/vfs"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// steady is a journal in its steady state on a mapped ring, driven inline.
type steady struct {
	j      *Journal
	ring   *ringbuf.LogRing
	port   *Port
	writer *agent.Invoker
	chain  wire.Chain
	now    int64
	out    [4]Report
}

func newSteady(tb testing.TB, fs vfs.FS, segment int64) *steady {
	tb.Helper()
	if err := Format(fs, testDir, testIdentity); err != nil {
		tb.Fatal(err)
	}
	o := testOptions(fs)
	o.SegmentBytes = segment
	j, _, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	const size = 1 << 20
	mapping, err := ringbuf.MapLog(size)
	if err != nil {
		tb.Fatal(err)
	}
	s := &steady{j: j, port: NewPort(), ring: ringbuf.NewLogRing(mapping.Bytes(), size, true)}
	w, err := j.Agent(s.ring, s.port)
	if err != nil {
		tb.Fatal(err)
	}
	if err := j.Preload(s.ring); err != nil {
		tb.Fatal(err)
	}
	s.writer = agent.NewInvoker(w)
	if err := s.writer.Start(0); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.writer.Close(); err != nil {
			tb.Error(err)
		}
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
		if err := mapping.Close(); err != nil {
			tb.Error(err)
		}
	})
	for range segment / prepareStep * 3 { // until the next segment is ready
		s.turn(tb)
	}
	return s
}

func (s *steady) turn(tb testing.TB) {
	s.now++
	if _, err := s.writer.Invoke(s.now); err != nil {
		tb.Fatal(err)
	}
	s.port.Poll(s.out[:])
}

// batch makes count records of size payload bytes durable.
func (s *steady) batch(tb testing.TB, payload []byte, count int) {
	var r wire.Record
	for range count {
		n := uint64(wire.Padded(uint32(wire.RecordHeaderSize + len(payload))))
		from := uint64(s.chain.Position)
		s.ring.Prepare(from + n)
		r = wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: s.chain.Timestamp + 1}
		s.chain.Append(s.ring.View(from, from+n), &r, payload)
	}
	s.ring.Publish(uint64(s.chain.Position))
	s.port.Want(s.chain.Position, s.chain.Position)
	s.turn(tb)
	if s.j.written != s.chain.Position {
		tb.Fatalf("written %d of %d", s.j.written, s.chain.Position)
	}
}

// TestSteadyStateDoesNotAllocate: a batch, from the wish to the report, on the real file system.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	s := newSteady(t, &vfs.Below{Root: t.TempDir()}, 8<<20)
	payload := make([]byte, 200)
	for _, count := range []int{8, 300} { // copied; straight from the ring
		if n := testing.AllocsPerRun(50, func() { s.batch(t, payload, count) }); n != 0 {
			t.Errorf("%v allocations for a batch of %d", n, count)
		}
	}
}

// BenchmarkDurable is one batch from the wish to the report; the sub-benchmarks named bare are a write of the same
// size with the same flags, without a journal.
func BenchmarkDurable(b *testing.B) {
	for _, c := range []struct {
		name  string
		count int
	}{{"1x256B", 1}, {"16x256B", 16}, {"256x256B", 256}} {
		payload := make([]byte, 192)
		b.Run("journal/"+c.name, func(b *testing.B) {
			s := newSteady(b, &vfs.Below{Root: b.TempDir()}, 64<<20)
			b.SetBytes(int64(256 * c.count))
			b.ReportAllocs()
			for b.Loop() {
				s.batch(b, payload, c.count)
			}
		})
		b.Run("bare/"+c.name, func(b *testing.B) { benchmarkBare(b, 256*c.count) })
	}
}

// benchmarkBare writes blocks one after the other into a prepared file, as a journal of batches of that size does: the
// block that the last batch ended in is written again.
func benchmarkBare(b *testing.B, size int) {
	const total = 64 << 20
	p := &preparer{fs: vfs.Real{}, dir: b.TempDir(), direct: true}
	p.start(0, total)
	if err := p.all(); err != nil {
		b.Skip(err)
	}
	f, err := vfs.Real{}.OpenFile(p.dir+"/"+segmentName(0), vfs.Write|vfs.Direct|vfs.Dsync)
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	buf := vfs.AlignedBytes(size + 2*vfs.BlockBytes)
	b.SetBytes(int64(size))
	at := 0
	for b.Loop() {
		first := at &^ (vfs.BlockBytes - 1)
		end := (at + size + vfs.BlockBytes - 1) &^ (vfs.BlockBytes - 1)
		if _, err := f.WriteAt(buf[:end-first], headerBytes+int64(first)); err != nil {
			b.Fatal(err)
		}
		if at += size; at > total-2*size {
			at = 0
		}
	}
}

// BenchmarkWalk is the part of a batch that is not the disk: finding records, copying them, and the bookkeeping.
func BenchmarkWalk(b *testing.B) {
	var c wire.Chain
	buf := make([]byte, 64<<10)
	n := 0
	for range 200 {
		r := wire.Record{Kind: wire.RecordMessage, Term: 1, Timestamp: c.Timestamp + 1}
		n += c.Append(buf[n:], &r, make([]byte, 192))
	}
	b.ReportAllocs()
	for b.Loop() {
		if got, err := walkBatch(buf[:n], 0, 1<<40); err != nil || got.bytes != n {
			b.Fatal(got, err)
		}
	}
}
