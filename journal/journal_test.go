package journal

import (
	"errors"
	"strings"
	"testing"

	"lockstep/internal/counters"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// fileSystems runs a test on memory, on memory that refuses direct I/O, and on the disk.
func fileSystems(t *testing.T, test func(t *testing.T, fs vfs.FS)) {
	t.Run("memory", func(t *testing.T) { test(t, vfs.NewMem()) })
	t.Run("buffered", func(t *testing.T) {
		m := vfs.NewMem()
		m.RefuseDirect()
		test(t, m)
	})
	t.Run("disk", func(t *testing.T) { test(t, &vfs.Below{Root: t.TempDir()}) })
}

func TestWriteAndReadBack(t *testing.T) {
	fileSystems(t, func(t *testing.T, fs vfs.FS) {
		r := newRig(t, fs)
		if r.rec.Outcome != OutcomeIntact || r.rec.Chain != (wire.Chain{}) {
			t.Fatalf("a new log is %v", r.rec)
		}
		for i := range 400 { // over several segments, with sizes around block and sector bounds
			r.append(wire.Term(1+i/150), i*37%3000)
			if i%7 == 0 {
				r.sync()
			}
		}
		for range 6 {
			r.append(4, wire.MaxMessage)
			r.sync()
		}
		r.check()
		end := r.chain
		r.reopen()
		if r.rec.Outcome != OutcomeIntact || r.rec.Chain != end || r.rec.Watermark != end.Position {
			t.Fatalf("reopened: %v, chain %+v, want %+v", r.rec, r.rec.Chain, end)
		}
		if len(r.rec.Terms) != 4 || r.rec.Terms[0] != (wire.TermStart{Start: 0, Term: 1}) {
			t.Errorf("terms %v", r.rec.Terms)
		}
		for range 50 {
			r.append(4, 100)
		}
		r.sync()
		r.check()
		r.close()
	})
}

// TestEveryBoundary lets records end and begin around segment and batch bounds at every 8-byte step.
func TestEveryBoundary(t *testing.T) {
	for _, last := range []int{0, 8, 16, 56, 64, 72, 128, 4096 - 64, 4096} {
		r := newRig(t, vfs.NewMem())
		for r.chain.Position < MinSegmentBytes-wire.MaxRecord/2 {
			r.append(1, 4000)
		}
		// The next record ends `last` bytes before the segment does (or in the next, for sizes below a header).
		room := MinSegmentBytes - int(r.chain.Position) - last - wire.RecordHeaderSize
		r.append(1, room)
		r.sync()
		r.append(1, 10)
		r.append(1, 5000)
		r.sync()
		r.check()
		end := r.chain
		r.reopen()
		if r.rec.Chain != end || r.rec.Outcome != OutcomeIntact {
			t.Fatalf("room %d: %v", last, r.rec)
		}
		r.append(1, 30)
		r.sync()
		r.check()
		rd, err := NewReader(r.fs, testDir)
		if err != nil {
			t.Fatal(err)
		}
		rd.SetLimit(r.chain.Position)
		for _, at := range append([]wire.Position{0}, r.ends...) {
			if err := rd.Seek(at); err != nil {
				t.Fatalf("room %d: seek to %d: %v", last, at, err)
			}
		}
		if err := rd.Seek(8); !errors.Is(err, ErrNotHeld) {
			t.Errorf("seek inside a record: %v", err)
		}
		r.close()
	}
}

func TestGroupCommitCadence(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	step := func() {
		t.Helper()
		if err := r.turn(); err != nil {
			t.Fatal(err)
		}
	}
	r.append(1, 100)
	r.want(false)
	step()
	if r.durable != 0 {
		t.Fatal("bytes that nobody waits for were synced at once")
	}
	r.now += r.j.options.SyncIntervalNs + 1
	step()
	if r.durable != r.chain.Position {
		t.Fatal("bytes were not synced after the interval")
	}
	first := r.chain.Position
	r.append(1, 100)
	r.port.Want(r.chain.Position, first) // somebody waits, but for what is durable already
	step()
	if r.durable != first {
		t.Fatal("synced for somebody who waits for nothing")
	}
	r.port.Want(r.chain.Position, r.chain.Position)
	step()
	if r.durable != r.chain.Position {
		t.Fatal("not synced at once although somebody waits")
	}
	r.options.SyncBytes = 2000
	r.reopen()
	for range 20 {
		r.append(1, 100)
	}
	r.want(false)
	step()
	if r.durable != r.chain.Position {
		t.Fatal("not synced although SyncBytes were reached")
	}
	r.append(1, 100)
	r.want(false)
	r.port.Stop()
	step()
	if r.durable != r.chain.Position {
		t.Fatal("not synced by Stop")
	}
	r.close()
}

// TestDurablePositionIsCountedFromTheStart: who reads behind the counter must not wait for the first write of a run.
func TestDurablePositionIsCountedFromTheStart(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.append(1, 1000)
	r.sync()
	r.close()
	file, err := counters.Create("", 64)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r.options.Counters = file
	r.mustOpen()
	if got := file.Counter("lockstep_journal_durable_position", "").Load(); got == 0 || wire.Position(got) != r.durable {
		t.Errorf("%d are durable at the start of a run, counted are %d", r.durable, got)
	}
	r.close()
}

func TestCut(t *testing.T) {
	fileSystems(t, func(t *testing.T, fs vfs.FS) {
		r := newRig(t, fs)
		for range 300 {
			r.append(1, 1000)
			r.sync()
		}
		r.mark()
		generation := r.j.Generation()
		for _, back := range []int{1, 5, 140, 0} {
			at := r.ends[len(r.ends)-1-back]
			generation++
			r.cut(at, generation)
			r.ends = r.ends[:len(r.ends)-back]
			if mark, _ := r.j.watermark.Load(); mark > at {
				t.Fatalf("watermark %d after a cut at %d", mark, at)
			}
			r.check()
			for range 3 {
				r.append(wire.Term(generation), 500)
				r.sync()
			}
			r.check()
			r.reopen()
			if r.rec.Outcome != OutcomeIntact || r.rec.Chain != chainAt(r.log, wire.Position(len(r.log))) ||
				r.rec.Generation != generation {
				t.Fatalf("after a cut at %d: %v, generation %d", at, r.rec, r.rec.Generation)
			}
		}
		r.close()
	})
}

// TestCutNotYetWritten cuts what the journal was told of and has not written.
func TestCutNotYetWritten(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	for range 4 {
		r.append(1, 100)
	}
	r.sync()
	middle := r.chain.Position
	r.append(1, 100)
	at := r.chain.Position
	r.append(1, 100)
	r.want(false)
	r.cut(at, 2)
	if r.durable != middle {
		t.Fatalf("durable %d, want %d", r.durable, middle)
	}
	r.append(3, 10)
	r.sync()
	r.check()
	r.cut(0, 3)
	if r.durable != 0 {
		t.Fatalf("durable %d after a cut at 0", r.durable)
	}
	r.append(4, 10)
	r.sync()
	r.check()
	r.close()
}

// TestCutIsGivenInTwoSteps looks between the steps of Port.Cut: the end is lowered, the command has not come.
func TestCutIsGivenInTwoSteps(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.append(1, 100)
	at := r.chain.Position
	r.append(1, 5000)
	r.sync()
	r.port.append.Store(uint64(at))
	if err := r.turn(); err != nil {
		t.Fatal(err)
	}
	if len(r.reports) == 0 || r.durable != r.chain.Position {
		t.Errorf("durable is %d, want %d: nothing is cut yet", r.durable, r.chain.Position)
	}
	r.cut(at, 2)
}

func TestImpossibleCutStops(t *testing.T) {
	for name, cut := range map[string]cutCommand{
		"generation": {64, 1}, "alignment": {63, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			r.append(1, 0)
			r.append(1, 0)
			r.sync()
			r.port.Cut(cut.position, cut.generation)
			if err := r.turn(); !errors.Is(err, ErrInvariant) {
				t.Fatalf("%v", err)
			}
			last := r.reports[len(r.reports)-1]
			if last.Kind != ReportFailed || !errors.Is(last.Err, ErrInvariant) {
				t.Fatalf("last report %+v", last)
			}
		})
	}
}

func TestPreloadHoldsTheTail(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	for range 30 {
		for range 10 {
			r.append(1, 10_000)
		}
		r.sync()
	}
	r.reopen()
	floor, end := r.ring.Floor(), r.ring.Append()
	if end != uint64(r.chain.Position) || end-floor != r.ring.Size() {
		t.Fatalf("the ring holds [%d, %d) of a log of %d", floor, end, r.chain.Position)
	}
	if string(r.ring.View(floor, end)) != string(r.log[floor:end]) {
		t.Fatal("the ring holds other bytes than the log")
	}
	r.close()
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no dir":         func(o *Options) { o.Dir = "" },
		"small segment":  func(o *Options) { o.SegmentBytes = 4096 },
		"crooked":        func(o *Options) { o.SegmentBytes = MinSegmentBytes + 1 },
		"large batch":    func(o *Options) { o.BatchBytes = 2 * MaxBatch },
		"small batch":    func(o *Options) { o.BatchBytes = 4096 },
		"negative retry": func(o *Options) { o.RetryNs = -1 },
	} {
		o := testOptions(vfs.NewMem())
		change(&o)
		if _, _, err := Open(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForeignSegmentIsRefused(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.append(1, 10)
	r.sync()
	r.close()
	r.options.Cluster++
	if err := r.open(); !errors.Is(err, ErrForeign) {
		t.Fatalf("%v", err)
	}
}

func TestDescribe(t *testing.T) {
	m := vfs.NewMem()
	r := newRig(t, m)
	if got := r.j.Describe(); !strings.HasPrefix(got, "O_DIRECT|O_DSYNC") {
		t.Error(got)
	}
	r.close()
	m.RefuseDirect()
	r.mustOpen()
	if got := r.j.Describe(); !strings.HasPrefix(got, "write and fdatasync (the file system refuses") {
		t.Error(got)
	}
	r.close()
}

// TestLongBatchesAreWrittenInPlace writes batches of all sizes around the one from which they are no longer copied, at
// all offsets in a block, and reads them back.
func TestLongBatchesAreWrittenInPlace(t *testing.T) {
	for _, direct := range []bool{true, false} {
		m := vfs.NewMem()
		if !direct {
			m.RefuseDirect()
		}
		r := newRig(t, m)
		for i := range 60 {
			for range 1 + i%9 {
				r.append(1, 3000+i*517%5000)
			}
			r.sync()
		}
		for size := copyBelow - 300; size < copyBelow+300; size += 40 {
			r.append(1, size)
			r.sync()
		}
		r.check()
		r.mark()
		r.reopen()
		if r.rec.Outcome != OutcomeIntact {
			t.Errorf("direct %v: %v", direct, r.rec)
		}
		r.check()
		r.close()
	}
}
