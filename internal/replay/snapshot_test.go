package replay

import (
	"errors"
	"fmt"
	"testing"

	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/service"
	"lockstep/wire"
)

// withSnapshots makes a log with four verified snapshots and some flow behind each.
func withSnapshots(t *testing.T, fs vfs.FS, dir string) (*journaltest.Log, []wire.Chain) {
	return logOf(t, fs, dir, (*journaltest.Taker).Take)
}

func logOf(t *testing.T, fs vfs.FS, dir string, take func(*journaltest.Taker) wire.Chain) (*journaltest.Log, []wire.Chain) {
	l := newLog(t, fs, dir, 3000)
	taker := journaltest.NewTaker(l, production)
	var points []wire.Chain
	for i := range 4 {
		points = append(points, take(taker))
		l.Flow(2, 8000, uint64(i)+10)
	}
	l.Finish()
	return l, points
}

func replay(t *testing.T, o Options) *Player {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestReplayFromASnapshotComesToTheSameState as one from the start: at many places behind it, whichever it begins with,
// and when the log before it is gone.
func TestReplayFromASnapshotComesToTheSameState(t *testing.T) {
	fs := vfs.NewMem()
	l, points := withSnapshots(t, fs, "/node")
	end := l.Chain.Position
	whole := replay(t, Options{FS: fs, Dir: l.Dir, End: end, FromStart: true, Services: production})
	if whole.Start() != (wire.Chain{}) {
		t.Fatalf("from the start: begun at %+v", whole.Start())
	}
	want := map[wire.Position]State{}
	for i, at := range l.Ends {
		s, err := whole.Apply(at)
		if err != nil {
			t.Fatal(err)
		}
		if i%997 == 0 || at == end || at == points[2].Position {
			s.AtPoint = false
			want[at] = s
		}
	}
	check := func(what string, o Options, begun wire.Chain) {
		t.Helper()
		p := replay(t, o)
		if p.Start() != begun || len(p.PassedOver) > 0 {
			t.Fatalf("%s: begun at %+v, %v, want %+v", what, p.Start(), p.PassedOver, begun)
		}
		if s := p.State(); want[begun.Position].Position > 0 && s.Hash != want[begun.Position].Hash {
			t.Errorf("%s: begun with %+v, want %+v", what, s, want[begun.Position])
		}
		compared := 0
		for _, at := range l.Ends {
			if w, ok := want[at]; ok && at > begun.Position && at <= o.End {
				s, err := p.Apply(at)
				s.AtPoint = false
				if s.Point == 0 {
					w.Point, w.PointHash = 0, 0 // none since it began
				}
				if err != nil || s != w {
					t.Errorf("%s: %+v, %v, want %+v", what, s, err, w)
				}
				compared++
			}
		}
		if compared == 0 {
			t.Errorf("%s: nothing compared", what)
		}
	}
	o := Options{FS: fs, Dir: l.Dir, End: end, Services: production}
	check("the newest", o, points[3])
	for i, at := range points {
		o.Covers = func(r *wire.Record) bool { return r.End() <= at.Position+8 }
		check(fmt.Sprint("below ", i), o, points[i])
		o.Covers = func(r *wire.Record) bool { return r.Sequence < at.Sequence }
		if i > 0 {
			check(fmt.Sprint("before ", i), o, points[i-1])
		}
	}
	o.Covers = func(r *wire.Record) bool { return r.Timestamp < points[0].Timestamp }
	check("before all", o, wire.Chain{})
	if floor := l.Drop(points[1].Position); floor <= points[0].Position {
		t.Fatalf("the log begins at %d", floor)
	}
	check("log dropped, before the second snapshot's log", Options{FS: fs, Dir: l.Dir, End: end, Services: production,
		FromStart: true}, points[1])
	if _, err := New(o); !errors.Is(err, ErrNoBeginning) {
		t.Errorf("log dropped, before all: %v", err)
	}
}

// TestReplayPassesOverADamagedSnapshot and begins with the one before; without any other it says what it needs.
func TestReplayPassesOverADamagedSnapshot(t *testing.T) {
	fs := vfs.NewMem()
	l, points := withSnapshots(t, fs, "/node")
	end := l.Chain.Position
	o := Options{FS: fs, Dir: l.Dir, End: end, Services: production}
	want, err := replay(t, o).Apply(end)
	if err != nil {
		t.Fatal(err)
	}
	rot := func(at wire.Chain) {
		if err := fs.Rot(fmt.Sprintf("/node/snapshot/%020d/data", at.Position), 3000, 8); err != nil {
			t.Fatal(err)
		}
	}
	rot(points[3])
	p := replay(t, o)
	if p.Start() != points[2] || len(p.PassedOver) != 1 {
		t.Fatalf("begun at %+v, %v", p.Start(), p.PassedOver)
	}
	if got, err := p.Apply(end); err != nil || got.Hash != want.Hash {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	l.Drop(points[3].Position)
	for _, at := range points[:3] {
		rot(at)
	}
	if _, err := New(o); !errors.Is(err, ErrNoBeginning) || !errors.Is(err, service.ErrSnapshot) {
		t.Errorf("no sound snapshot: %v", err)
	}
}

// TestReplayTakesTheLimitsOfTheLog: they change what is put out; with a snapshot as well.
func TestReplayTakesTheLimitsOfTheLog(t *testing.T) {
	fs := vfs.NewMem()
	var ends [2]State
	for i, limits := range []wire.ConfigLimits{{}, {Sessions: 4, KeptResponses: 16, KeptBytes: 4096}} {
		l := journaltest.New(t, fs, fmt.Sprint("/node", i), identity, 1<<20)
		l.Limits = limits
		l.Lead(1)
		l.Config(1)
		taker := journaltest.NewTaker(l, production)
		l.Flow(3, 20_000, 5) // nothing is acknowledged: a session overflows, or not
		at := taker.Take()
		l.Flow(3, 100, 6)
		l.Finish()
		o := Options{FS: fs, Dir: l.Dir, End: l.Chain.Position, FromStart: true, Services: production}
		var err error
		if ends[i], err = replay(t, o).Apply(o.End); err != nil {
			t.Fatal(err)
		}
		o.FromStart = false
		p := replay(t, o)
		if got, err := p.Apply(o.End); err != nil || got.Hash != ends[i].Hash || p.Start() != at {
			t.Errorf("with a snapshot: %+v, %v, want %+v", got, err, ends[i])
		}
	}
	if ends[0].Hash == ends[1].Hash && ends[0].PointHash == ends[1].PointHash {
		t.Error("limits of the log make no difference")
	}
}

// TestCompareLogsThatBeginElsewhere: one from the start, one from a snapshot on, and where they part.
func TestCompareLogsThatBeginElsewhere(t *testing.T) {
	fs := vfs.NewMem()
	a, points := withSnapshots(t, fs, "/a")
	b, _ := withSnapshots(t, fs, "/b")
	floor := b.Drop(points[2].Position)
	if floor <= points[1].Position {
		t.Fatalf("it begins at %d", floor)
	}
	end := a.Chain.Position
	for _, dirs := range [][2]string{{"/a", "/b"}, {"/b", "/a"}, {"/b", "/b"}} {
		d, err := Compare(fs, dirs[0], dirs[1], end, end, production, production)
		if err != nil || d.Record != nil || d.State != nil || d.Applied != end || d.Records != floor ||
			d.States != points[2].Position || d.A.Hash != d.B.Hash {
			t.Errorf("%v: %+v, %v", dirs, d, err)
		}
	}
	drift := func() ([service.MaxServices]service.Service, error) {
		s, err := production()
		s[service.Echo] = &drifting{fragile: fragile{name: s[service.Echo].Name()}, from: 0}
		return s, err
	}
	if _, err := Compare(fs, "/a", "/b", end, end, drift, production); !errors.Is(err, ErrOtherState) {
		t.Errorf("another state than the verified one: %v", err)
	}
	c, _ := logOf(t, fs, "/c", (*journaltest.Taker).TakeUnverified)
	e, points := logOf(t, fs, "/e", (*journaltest.Taker).TakeUnverified)
	e.Drop(points[2].Position)
	end = c.Chain.Position
	d, err := Compare(fs, c.Dir, e.Dir, end, end, drift, production)
	if err != nil || d.State == nil || d.State.Position >= points[2].Position {
		t.Errorf("another state where the second replay begins: %+v, %v", d, err)
	}
	if _, err := Compare(fs, c.Dir, e.Dir, points[1].Position, end, production, production); !errors.Is(err, ErrApart) {
		t.Errorf("one ends before the other begins: %v", err)
	}
}

// TestPoisonBehindASnapshot: a replay that began with one starts over with one, without the record that is passed over.
func TestPoisonBehindASnapshot(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 3000)
	taker := journaltest.NewTaker(l, withFragile)
	l.Open(0x900, "fragile")
	taker.Take()
	l.Message(0x900, 1, fragileID, 0, []byte("good"))
	newest := taker.Take()
	l.Message(0x900, 2, fragileID, 0, []byte("good"))
	at := l.Chain.Position
	l.Message(0x900, 3, fragileID, 0, []byte("poison"))
	l.Message(0x900, 4, fragileID, 0, []byte("good"))
	var skip [wire.SkipRecordSize]byte
	l.Append(wire.Record{Kind: wire.RecordSkip}, skip[:(&wire.SkipRecord{Position: at}).Put(skip[:])])
	l.Finish()
	o := Options{FS: fs, Dir: l.Dir, End: l.Chain.Position, FromStart: true, Services: withFragile}
	want, err := replay(t, o).Apply(o.End)
	if err != nil {
		t.Fatal(err)
	}
	o.FromStart = false
	p := replay(t, o)
	if got, err := p.Apply(o.End); err != nil || got.Hash != want.Hash || p.Start() != newest || p.Halt() != nil {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
