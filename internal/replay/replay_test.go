package replay

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/journaltest"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/node"
	"lockstep/service"
	"lockstep/wire"
)

var identity = journal.Identity{Cluster: 7, Node: 1, Incarnation: 11, Run: 1}

func production() ([service.MaxServices]service.Service, error) {
	return node.NewServices(node.MachineLimits{})
}

func newLog(t *testing.T, fs vfs.FS, dir string, messages int) *journaltest.Log {
	l := journaltest.New(t, fs, dir, identity, 1<<20)
	l.Lead(1)
	l.Config(1)
	l.Flow(3, messages, 5)
	return l
}

func player(t *testing.T, fs vfs.FS, l *journaltest.Log, services Services) *Player {
	t.Helper()
	p, err := New(Options{FS: fs, Dir: l.Dir, End: l.Chain.Position, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestReplayIsTheSameHoweverItIsCut: the state at a position does not depend on where the replay stopped before.
func TestReplayIsTheSameHoweverItIsCut(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 20_000)
	l.Finish()
	byRecord := map[wire.Position]State{}
	p := player(t, fs, l, production)
	points, last := 0, State{}
	for i, end := range l.Ends {
		s, err := p.Apply(end)
		if err != nil || s.Position != end {
			t.Fatal(s, err)
		}
		if s.AtPoint {
			points++
			if s.Point != end || s.PointHash == last.PointHash {
				t.Errorf("a point at %d is %+v", end, s)
			}
			last = s
		}
		if i%1000 == 7 {
			byRecord[end] = s
		}
	}
	if points == 0 || points != int(l.Chain.Position>>20) {
		t.Errorf("%d points in a log of %d bytes", points, l.Chain.Position)
	}
	hashes := map[uint64]bool{}
	for end, want := range byRecord {
		got, err := player(t, fs, l, production).Apply(end)
		got.AtPoint = want.AtPoint
		if err != nil || got != want {
			t.Errorf("at %d at once: %+v, %v, want %+v", end, got, err, want)
		}
		hashes[got.Hash] = true
	}
	if len(hashes) < len(byRecord)/2 {
		t.Errorf("%d states at %d positions", len(hashes), len(byRecord))
	}
}

// TestOutputsAreThoseOfTheRecords: each response once, under the record that caused it, whether the replay takes the
// records one by one or all at once.
func TestOutputsAreThoseOfTheRecords(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 500)
	l.Finish()
	run := func(ends []wire.Position) (list []string) {
		p, err := New(Options{FS: fs, Dir: l.Dir, End: l.Chain.Position, Services: production,
			Output: func(h *service.Egress, payload []byte) {
				list = append(list, fmt.Sprintf("%d %d %x %d %x", h.Position, h.Sequence, h.Session, h.Response, payload))
			}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		for _, end := range ends {
			before := len(list)
			if _, err := p.Apply(end); err != nil {
				t.Fatal(err)
			}
			if len(ends) > 1 && len(list) > before && !strings.HasPrefix(list[before], fmt.Sprint(begins(l, end), " ")) {
				t.Fatalf("the record that ends at %d put out %s", end, list[before])
			}
		}
		return list
	}
	one, all := run(l.Ends), run(l.Ends[len(l.Ends)-1:])
	if !slices.Equal(one, all) || len(one) < 500 {
		t.Errorf("%d responses one by one, %d at once", len(one), len(all))
	}
}

// begins is where the record begins that ends at end.
func begins(l *journaltest.Log, end wire.Position) wire.Position {
	i := slices.Index(l.Ends, end)
	if i == 0 {
		return 0
	}
	return l.Ends[i-1]
}

// fragile panics on a message that says so.
type fragile struct {
	applied uint64
	name    string
}

func (f *fragile) Name() string { return cmp.Or(f.name, "fragile") }
func (f *fragile) Apply(_ *service.Context, _ *wire.Record, payload []byte) {
	if string(payload) == "poison" {
		panic("told to")
	}
	f.applied++
}
func (f *fragile) OnSession(*service.Context, wire.SessionID, bool) {}
func (f *fragile) Snapshot(w io.Writer) error {
	return binary.Write(w, binary.LittleEndian, f.applied)
}
func (f *fragile) Restore(r io.Reader) error { return binary.Read(r, binary.LittleEndian, &f.applied) }
func (f *fragile) Hash() uint64              { return f.applied }

const fragileID = 5

func withFragile() ([service.MaxServices]service.Service, error) {
	s, err := production()
	s[fragileID] = &fragile{}
	return s, err
}

// TestPoisonPanicsAgainAtItsPlace: the record, the service and what it panicked with; and a log that names the record in
// a skip record is replayed without it, as on a node.
func TestPoisonPanicsAgainAtItsPlace(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 100)
	l.Open(0x900, "fragile")
	l.Message(0x900, 1, fragileID, 0, []byte("good"))
	at, poison := l.Chain.Position, l.Chain.Sequence+1
	l.Message(0x900, 2, fragileID, 0, []byte("poison"))
	l.Message(0x900, 3, fragileID, 0, []byte("good"))
	l.Sync()
	p := player(t, fs, l, withFragile)
	s, err := p.Apply(l.Chain.Position)
	if !errors.Is(err, ErrHalted) || s.Position != at {
		t.Fatalf("%+v, %v, want a halt at %d", s, err, at)
	}
	h := p.Halt()
	if h == nil || h.Position() != at || h.Record.Sequence != poison || h.Service != "fragile" || h.Message != "told to" ||
		!strings.Contains(h.Stack, "fragile") {
		t.Fatalf("%+v", h)
	}
	var skip [wire.SkipRecordSize]byte
	l.Append(wire.Record{Kind: wire.RecordSkip}, skip[:(&wire.SkipRecord{Position: at}).Put(skip[:])])
	l.Finish()
	p = player(t, fs, l, withFragile)
	if s, err = p.Apply(l.Chain.Position); err != nil || s.Position != l.Chain.Position || p.Halt() != nil {
		t.Fatalf("with a skip record: %+v, %v", s, err)
	}
}

// drifting is a service whose state does not depend on the log alone.
type drifting struct {
	fragile
	from uint64
}

func (d *drifting) Hash() uint64 {
	if d.applied >= d.from {
		return d.applied + 1
	}
	return d.applied
}

func TestCompare(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 2000)
	l.Open(0x900, "fragile")
	for i := range uint64(20) {
		l.Message(0x900, i+1, fragileID, 0, binary.LittleEndian.AppendUint64(nil, i))
	}
	l.Finish()
	longer := newLog(t, fs, "/longer", 2500)
	longer.Finish()
	end := l.Chain.Position
	d, err := Compare(fs, l.Dir, l.Dir, end, end, withFragile, withFragile)
	if err != nil || d.Record != nil || d.State != nil || d.Applied != end {
		t.Fatalf("with itself: %+v, %v", d, err)
	}
	drift := func() ([service.MaxServices]service.Service, error) {
		s, err := production()
		s[fragileID] = &drifting{from: 8}
		return s, err
	}
	// Of 20 messages the 8th is the first behind which the states differ: 12 records stand behind it.
	want := l.Ends[len(l.Ends)-1-13]
	d, err = Compare(fs, l.Dir, l.Dir, end, end, withFragile, drift)
	if err != nil || d.Record != nil || d.State == nil || d.State.Position != want {
		t.Fatalf("a service that drifts: %+v, %v, want %d", d, err, want)
	}
	d, err = Compare(fs, l.Dir, longer.Dir, end, longer.Chain.Position, withFragile, withFragile)
	if err != nil || d.Record == nil || d.Record.Sequence != uint64(2+3+2000+1) {
		t.Fatalf("another log: %+v, %v", d, err)
	}
}

func TestReplayNeedsTheBeginning(t *testing.T) {
	fs := vfs.NewMem()
	l := newLog(t, fs, "/node", 20_000)
	l.Finish()
	if err := fs.Remove("/node/" + journal.SegmentName(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{FS: fs, Dir: l.Dir, End: l.Chain.Position, Services: production}); !errors.Is(err, ErrNoBeginning) {
		t.Errorf("%v", err)
	}
}
