package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// floors are the positions at which the image's log may begin.
func (im *image) floors() map[wire.Position]bool {
	list, err := Segments(im.mem, testDir)
	if err != nil {
		im.t.Fatal(err)
	}
	floors := map[wire.Position]bool{}
	for i := range list {
		if list[i].State == SegmentUsed {
			floors[list[i].Start.Position] = true
		}
	}
	return floors
}

// TestDropBelow: what goes is what lies wholly below the position, and the log begins where the first record does that is
// wholly there; readers find that, and what is below is not held.
func TestDropBelow(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	for _, i := range []int{0, 30, 58, 59, 60, 61, 100, 130, 180, 240, 259} {
		p := im.ends[i]
		m := im.at(nil)
		floor, removed, err := DropBelow(m, testDir, p)
		if err != nil {
			t.Fatal(err)
		}
		if again, n, err := DropBelow(m, testDir, p); again != floor || n != 0 || err != nil {
			t.Fatalf("below %d, again: %d, %d, %v", p, again, n, err)
		}
		if want := int(p / MinSegmentBytes); removed != want || floor > p || floor+MinSegmentBytes+wire.MaxRecord < p {
			t.Fatalf("below %d: %d removed, want %d; the log begins at %d", p, removed, want, floor)
		}
		if from, got := readFrom(t, m, im.chain.Position); from != floor || !bytes.Equal(got, im.log[floor:]) {
			t.Fatalf("below %d: reading begins at %d, want %d: %d bytes", p, from, floor, len(got))
		}
		if at, err := logFloor(m, testDir); at != floor || err != nil {
			t.Fatalf("below %d: the floor is %d, %v", p, at, err)
		}
		im.readAround(m, floor, p)
		sum, err := Verify(m.Crash(vfs.LoseAll), testDir)
		if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != im.chain || sum.Floor != floor {
			t.Fatalf("below %d: %v, %v", p, &sum.Recovered, err)
		}
		goOn(t, fmt.Sprint("below ", p), m, baseOf(im.log, p), false, im.log, floor)
	}
}

// readAround reads and seeks in a log that begins at floor.
func (im *image) readAround(m *vfs.Mem, floor, p wire.Position) {
	im.t.Helper()
	rd := newReader(im.t, m, im.chain.Position)
	defer rd.Close()
	if err := rd.Seek(p); err != nil || rd.Chain() != chainAt(im.log, p) {
		im.t.Fatalf("floor %d: seek %d: %v, %v", floor, p, rd.Chain(), err)
	}
	if err := rd.Seek(floor); err != nil || rd.Chain() != chainAt(im.log, floor) || rd.Floor() != floor {
		im.t.Fatalf("floor %d: %v, %v, floor %d", floor, rd.Chain(), err, rd.Floor())
	}
	b := make([]byte, 5000)
	if n, err := rd.ReadRange(floor, b); err != nil || n == 0 || !bytes.Equal(b[:n], im.log[floor:int(floor)+n]) {
		im.t.Fatalf("floor %d: read %d, %v", floor, n, err)
	}
	if floor == 0 {
		return
	}
	first := floor / MinSegmentBytes * MinSegmentBytes
	if _, err := rd.ReadRange(first-8, b); !errors.Is(err, ErrNotHeld) {
		im.t.Fatalf("floor %d: read below: %v", floor, err)
	}
	if err := rd.Seek(im.ends[0]); !errors.Is(err, ErrNotHeld) {
		im.t.Fatalf("floor %d: seek below: %v", floor, err)
	}
	for name, seek := range map[string]func() error{
		"position": func() error { return rd.SeekFrom(64) },
		"number":   func() error { return rd.SeekSequence(1) },
		"stamp":    func() error { return rd.SeekTime(1) },
	} {
		if err := seek(); err != nil || rd.Position() != floor {
			im.t.Fatalf("floor %d: seek by %s: %d, %v", floor, name, rd.Position(), err)
		}
	}
}

// TestP9DropCrashPoints cuts the power before every step of a drop: the log opens from the snapshot, begins where one of
// its segments does, and is whole.
func TestP9DropCrashPoints(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	p := im.ends[250]
	base, floors := baseOf(im.log, p), im.floors()
	m := im.at(nil)
	rng := rand.New(rand.NewPCG(9, 1))
	images := 0
	m.Step = func(op vfs.Op, path string) {
		powerCuts(m, rng, func(name string, after *vfs.Mem) {
			images++
			what := fmt.Sprintf("%s before %s on %s", name, op, path)
			j, rec, err := openFrom(after, base, false)
			if err != nil || rec.Outcome != OutcomeIntact || rec.Chain != im.chain || !floors[rec.Floor] {
				t.Fatalf("%s: %v, floor %d, %v", what, rec, rec.Floor, err)
			}
			j.Close()
			if from, got := readFrom(t, after, im.chain.Position); from != rec.Floor || !bytes.Equal(got, im.log[from:]) {
				t.Fatalf("%s: read back %d bytes from %d", what, len(got), from)
			}
			goOn(t, what, after, base, false, im.log, rec.Floor)
		})
	}
	if _, n, err := DropBelow(m, testDir, p); n < 3 || err != nil {
		t.Fatal(n, err)
	}
	m.Step = nil
	t.Logf("%d images", images)
}

// TestP6DropEveryOperationFailsOnce: what fails ends a drop, and another one goes on with it.
func TestP6DropEveryOperationFailsOnce(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	p := im.ends[250]
	want, _, err := DropBelow(im.at(nil), testDir, p)
	if err != nil {
		t.Fatal(err)
	}
	for skip := 0; ; skip++ {
		m := im.at(nil)
		f := vfs.NewFailing(m, vfs.Fault{Ops: vfs.OpAll, Skip: skip, Err: syscall.EIO})
		floor, _, err := DropBelow(f, testDir, p)
		if err == nil && f.Ops() <= skip {
			t.Logf("%d operations", skip)
			return
		}
		if err == nil && floor > want {
			t.Fatalf("operation %d failed: the log begins at %d, not %d", skip, floor, want)
		}
		j, rec, err := openFrom(m.Crash(vfs.LoseAll), baseOf(im.log, p), false)
		if err != nil || rec.Outcome != OutcomeIntact {
			t.Fatalf("operation %d failed: %v, %v", skip, rec, err)
		}
		j.Close()
		if floor, _, err := DropBelow(m, testDir, p); floor != want || err != nil {
			t.Fatalf("operation %d failed: then the log begins at %d, %v", skip, floor, err)
		}
	}
}

// TestDropKeepsWhatTellsWhereTheLogBegins: what is left begins with a sound header. As long as that of the segment which
// would be the first is damaged, the one before stays; damaged headers before that one keep nothing.
func TestDropKeepsWhatTellsWhereTheLogBegins(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	p := im.ends[250]
	last := p / MinSegmentBytes
	for damaged := range last + 1 {
		m := im.at(func(m *vfs.Mem) {
			file, _ := where(damaged * MinSegmentBytes)
			if err := m.Rot(file, 50, 1); err != nil {
				t.Fatal(err)
			}
		})
		want := int(last)
		if damaged == last {
			want--
		}
		floor, removed, err := DropBelow(m, testDir, p)
		if err != nil || removed != want || floor/MinSegmentBytes != wire.Position(want) {
			t.Errorf("segment %d: %d removed, the log begins at %d, %v", damaged, removed, floor, err)
		}
		if sum, err := Verify(m, testDir); err != nil || sum.Outcome != OutcomeIntact || sum.Floor != floor {
			t.Errorf("segment %d: %v, %v", damaged, &sum.Recovered, err)
		}
	}
}

// TestLeftoversOfADropAreNoDamage: segments that stand before a hole below the snapshot do not belong to the log: it opens,
// begins behind them, is served and scrubbed from there, and the next drop takes them.
func TestLeftoversOfADropAreNoDamage(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	p := im.ends[250]
	base := baseOf(im.log, p)
	m := im.at(func(m *vfs.Mem) {
		file, _ := where(MinSegmentBytes)
		if err := m.Remove(file); err != nil {
			t.Fatal(err)
		}
	})
	want := chainOfSegment(t, m, 2*MinSegmentBytes).Position
	j, rec, err := openFrom(m, base, false)
	if err != nil || rec.Outcome != OutcomeIntact || rec.Chain != im.chain || rec.Floor != want {
		t.Fatalf("%v, floor %d, want %d: %v", rec, rec.Floor, want, err)
	}
	j.Close()
	goOn(t, "a hole below the snapshot", m.Crash(vfs.KeepAll), base, false, im.log, want)
	if at, err := logFloor(m, testDir); at != want || err != nil {
		t.Errorf("the log begins at %d, want %d: %v", at, want, err)
	}
	s := &scrubbed{image: &image{&rig{t: t, fs: m, options: testOptions(m), log: im.log}, m}, limit: im.chain.Position}
	s.options.Base = base
	s.mustOpen()
	s.start()
	if err := s.pass(); err != nil || len(s.alarms) > 0 || s.scrub.errors.Load() > 0 {
		t.Errorf("scrub: %v, %v", err, s.alarms)
	}
	errNone(t, s.invoker.Close())
	s.close()
	if floor, removed, err := DropBelow(m, testDir, want); floor != want || removed != 1 || err != nil {
		t.Errorf("the next drop: %d, %d, %v", floor, removed, err)
	}
}

func chainOfSegment(t *testing.T, fs vfs.FS, first wire.Position) wire.Chain {
	t.Helper()
	list, err := Segments(fs, testDir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].First == first {
			return list[i].Start
		}
	}
	t.Fatalf("no segment begins at %d", first)
	return wire.Chain{}
}

// TestScrubBesideADrop drops the log from under a scrub, at every step of its pass: no alarm, no error, and the next pass
// reads what is left. Damage in what is dropped while others are asked for it is none any more.
func TestScrubBesideADrop(t *testing.T) {
	for at := wire.Position(1); ; at += 64 << 10 {
		s := newScrubbed(t)
		p := s.ends[len(s.ends)-10]
		s.rot(MinSegmentBytes+20_000, 1)
		drop := func() {
			if _, n, err := DropBelow(s.fs, testDir, p); err != nil || n == 0 {
				t.Fatal(n, err)
			}
		}
		dropped := false
		s.bytes = func(Gap) ([]byte, error) {
			dropped = true
			drop()
			return nil, os.ErrNotExist
		}
		for s.scrub.chain.Position < at && s.scrub.passes.Load() == 0 && !dropped {
			if _, err := s.invoker.Invoke(s.now); err != nil {
				t.Fatal(err)
			}
			s.now += 50_000_000
		}
		if s.scrub.passes.Load() > 0 {
			return
		}
		if !dropped {
			drop()
		}
		if err := s.pass(); err != nil || len(s.alarms) > 0 {
			t.Fatalf("dropped at %d: %v, %v", at, err, s.alarms)
		}
		passed := s.scrub.bytes.Load()
		if err := s.pass(); err != nil || len(s.alarms) > 0 || s.scrub.bytes.Load() == passed {
			t.Fatalf("the pass after: %v, %v, %d bytes", err, s.alarms, s.scrub.bytes.Load()-passed)
		}
	}
}

// TestScrubMendsFromTheFloor: in a log that begins at a snapshot, damage behind the first header is found and mended; the
// first header itself is told.
func TestScrubMendsFromTheFloor(t *testing.T) {
	s := newScrubbed(t)
	p := s.ends[len(s.ends)-10]
	floor, _, err := DropBelow(s.fs, testDir, s.ends[130])
	if err != nil || floor == 0 {
		t.Fatal(floor, err)
	}
	errNone(t, s.invoker.Close())
	s.options.Base = baseOf(s.log, p)
	s.reopen()
	s.start()
	s.rot(floor+9000, 4) // below the snapshot
	s.rot(3*MinSegmentBytes+700, 2)
	if err := s.pass(); err != nil {
		t.Fatal(err)
	}
	sum, err := Verify(s.mem, testDir)
	if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != s.chain || s.scrub.errors.Load() != 2 {
		t.Fatalf("%v, %v, %v", &sum.Recovered, err, s.alarms)
	}
	file, _ := where(floor)
	if err := s.mem.Rot(file, 40, 1); err != nil {
		t.Fatal(err)
	}
	s.alarms = nil
	if err := s.pass(); err != nil || len(s.scrub.Damage()) != 1 || !strings.Contains(s.scrub.Damage()[0], "header") {
		t.Errorf("a damaged first header: %v, %v", err, s.scrub.Damage())
	}
	s.rot(3*MinSegmentBytes-9000, 2) // behind it
	s.alarms = nil
	if err := s.pass(); err != nil || !strings.Contains(strings.Join(s.alarms, "\n"), "mended") {
		t.Errorf("behind a damaged first header: %v, %v", err, s.alarms)
	}
}

// TestReadersBesideADrop: a reader that is in the middle of the log when its beginning goes either goes on or is told that
// what it wants is not held; one further on does not notice.
func TestReadersBesideADrop(t *testing.T) {
	im := newImageOf(t, 260)
	defer im.close()
	p := im.ends[200]
	for i := 0; i < len(im.ends); i += 13 {
		m := im.at(nil)
		rd, catchUp := newReader(t, m, im.chain.Position), newReader(t, m, im.chain.Position)
		at := im.ends[i]
		if err := rd.Seek(at); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3000)
		n, err := catchUp.ReadRange(at, b)
		if err != nil && at < im.chain.Position {
			t.Fatal(err)
		}
		if _, _, err := DropBelow(m, testDir, p); err != nil {
			t.Fatal(err)
		}
		for from := at + wire.Position(n); from < im.chain.Position; from += wire.Position(n) {
			n, err = catchUp.ReadRange(from, b)
			if err != nil {
				if !errors.Is(err, ErrNotHeld) || at >= p {
					t.Fatalf("from %d, at %d: %v", at, from, err)
				}
				break
			}
			if !bytes.Equal(b[:n], im.log[from:int(from)+n]) {
				t.Fatalf("from %d, at %d: other bytes", at, from)
			}
		}
		for err = nil; err == nil; {
			_, err = rd.NextRaw()
		}
		if !errors.Is(err, io.EOF) && (!errors.Is(err, ErrNotHeld) || at >= p) {
			t.Fatalf("from %d: %v at %d", at, err, rd.Position())
		}
		rd.Close()
		catchUp.Close()
	}
}

// TestDropBesideARunningJournal has the log written, cut at its end, read and dropped at its beginning at once, on threads.
func TestDropBesideARunningJournal(t *testing.T) {
	fs := vfs.NewMem()
	if err := Format(fs, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	c := startCore(t, fs)
	var wait sync.WaitGroup
	stop := make(chan struct{})
	safe := make(chan wire.Position, 1) // below which nothing is cut
	wait.Go(func() {
		for p := range safe {
			if _, _, err := DropBelow(fs, testDir, p); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			floor, err := logFloor(fs, testDir)
			if err != nil {
				t.Error(err)
				return
			}
			rd := newReader(t, fs, floor+50_000)
			if err := rd.Seek(floor); err != nil && !errors.Is(err, ErrNotHeld) {
				t.Error(err)
			}
			rd.Close()
		}
	})
	for i := range 900 {
		c.append(3000 + i*37%2000)
		c.await(c.chain.Position)
		before := c.chain
		if i%20 == 19 {
			select {
			case safe <- c.chain.Position:
			default:
			}
			c.append(5000)
			c.await(c.chain.Position)
			c.cutTo(before)
		}
		if t.Failed() {
			break
		}
	}
	close(safe)
	close(stop)
	wait.Wait()
	end := c.chain
	c.stop()
	floor, err := logFloor(fs, testDir)
	if err != nil || floor < end.Position/2 {
		t.Errorf("the log begins at %d of %d, %v", floor, end.Position, err)
	}
	sum, err := Verify(fs, testDir)
	if err != nil || sum.Outcome != OutcomeIntact || sum.Chain != end || sum.Floor != floor {
		t.Errorf("%v, %v", &sum.Recovered, err)
	}
}
