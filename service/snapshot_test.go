package service_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/counters"
	"lockstep/service"
	"lockstep/wire"
)

var take = wire.SnapshotRecord{Take: true}

// stocked is a follower's driver with something of everything in its state, its shelf, and where it took a snapshot.
func stocked(t testing.TB, o rigOptions) (*rig, *shelf, wire.Position) {
	s := newShelf()
	o.rich, o.limits = true, smallLimits
	if o.sink == nil {
		o.sink = s
	}
	r := newRig(t, o)
	r.stock()
	at := r.snapshot(take)
	r.do()
	return r, s, at
}

func (r *rig) stock() {
	r.append(wire.Record{Kind: wire.RecordTerm, Term: 3}, nil)
	r.config(1)
	r.open(1)
	r.open(2)
	r.message(1, 1, service.Echo, bytes.Repeat([]byte("kept"), 40))
	r.message(1, 2, service.None, nil)
	r.message(1, 3, service.Echo, []byte("kept, too"))
	r.acks(1, 1)
	r.message(1, 4, service.Echo, bytes.Repeat([]byte("wraps"), 25))
	r.message(2, 1, scriptedID, respond(1, 3))
	for id := range uint64(3) {
		r.message(2, 2+id, alarmID, setting(id, 1000-id, 1))
	}
}

func TestFollowersTakeSnapshotsAndTheLeaderWhenToldTo(t *testing.T) {
	follower, shelf, _ := stocked(t, rigOptions{})
	leading := newShelf()
	leader := newRig(t, rigOptions{rich: true, limits: smallLimits, sink: leading})
	leader.stock()
	leader.command(service.Command{Kind: service.CommandLead, Term: 3, Position: 64})
	leader.snapshot(take)
	leader.do()
	at, digest := leader.progress.Snapshot()
	if x, y := follower.progress.Snapshot(); at != x || digest != y || at != leader.chain.Position {
		t.Errorf("the leader has digest %x at %d, the follower %x at %d", digest, at, y, x)
	}
	if len(shelf.done) != 1 || leading.opened != 0 || len(leader.aborted) != 0 {
		t.Errorf("the follower has %v, the leader began %d (%v)", shelf.positions(), leading.opened, leader.aborted)
	}
	for _, r := range []*rig{leader, follower} {
		r.snapshot(wire.SnapshotRecord{Take: true, Leader: true})
		r.do()
	}
	last := leader.chain.Position
	if !bytes.Equal(shelf.done[last], leading.done[last]) || len(leading.done[last]) == 0 {
		t.Errorf("two nodes in the same state write %d and %d bytes", len(shelf.done[last]), len(leading.done[last]))
	}
}

// A record that asks for nothing, or for what cannot be, changes nothing; one that is malformed halts apply.
func TestSnapshotRecordsThatAskForNothing(t *testing.T) {
	r, shelf, at := stocked(t, rigOptions{})
	before, _ := r.progress.Snapshot()
	r.snapshot(wire.SnapshotRecord{})
	r.snapshot(wire.SnapshotRecord{Leader: true})
	r.snapshot(wire.SnapshotRecord{Verified: 1 << 40, Digest: 5})
	r.do()
	if now, _ := r.progress.Snapshot(); now != before || now != at || shelf.opened != 1 {
		t.Errorf("a digest at %d, snapshots begun: %d", now, shelf.opened)
	}
	if v, _ := r.progress.Verified(); v != 0 {
		t.Errorf("position %d counts as verified", v)
	}
	stop := r.chain.Position
	r.append(wire.Record{Kind: wire.RecordSnapshot}, make([]byte, wire.SnapshotRecordSize-1))
	r.do()
	if h := r.driver.Status().Halt; h == nil || h.Position() != stop || h.Reason != service.HaltUnknownKind {
		t.Errorf("halt %v", h)
	}
}

func TestVerifiedPointsAreCompared(t *testing.T) {
	r, _, at := stocked(t, rigOptions{})
	_, digest := r.progress.Snapshot()
	verified := func(want wire.Position, wantDigest uint64) {
		t.Helper()
		r.do()
		if v, d := r.progress.Verified(); v != want || d != wantDigest {
			t.Fatalf("verified: %x at %d, want %x at %d", d, v, wantDigest, want)
		}
	}
	verified(0, 0)
	r.snapshot(wire.SnapshotRecord{Verified: at, Digest: digest})
	verified(at, digest)
	second := r.snapshot(take)
	r.do()
	_, digest2 := r.progress.Snapshot()
	r.snapshot(wire.SnapshotRecord{Verified: second, Digest: digest2, Take: true})
	verified(second, digest2)
	r.snapshot(wire.SnapshotRecord{Verified: at, Digest: digest})
	verified(second, digest2)
	r.snapshot(wire.SnapshotRecord{Verified: at, Digest: digest ^ 1})
	r.commit()
	_, err := r.driver.DoWork(0)
	if !errors.Is(err, service.ErrVerified) || !strings.Contains(err.Error(), "lockstep reseed") {
		t.Errorf("another digest than the verified one: %v", err)
	}
}

// A node that began from a snapshot compares that, too.
func TestVerifiedPointIsComparedWithTheSnapshotBegunFrom(t *testing.T) {
	a, shelf, at := stocked(t, rigOptions{})
	a.snapshot(wire.SnapshotRecord{Verified: at, Digest: 1})
	b := newRig(t, rigOptions{rich: true, limits: smallLimits, base: shelf.base, log: a})
	b.commit()
	if _, err := b.driver.DoWork(0); !errors.Is(err, service.ErrVerified) {
		t.Errorf("%v", err)
	}
}

func TestSnapshotGivesWayToLeading(t *testing.T) {
	for name, test := range map[string]struct{ early, within bool }{
		"before it is begun": {early: true}, "while it is written": {within: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, shelf, _ := stocked(t, rigOptions{})
			own := r.chain.Position
			lead := func() {
				if shelf.onWrite = nil; r.commands.Free() == r.commands.Cap() {
					r.command(service.Command{Kind: service.CommandLead, Term: 9, Position: own})
				}
			}
			r.snapshot(take)
			own = r.append(wire.Record{Kind: wire.RecordTerm, Term: 9}, nil)
			if test.within {
				shelf.onWrite = lead
			}
			r.commit()
			if _, err := r.driver.DoWork(0); err != nil {
				t.Fatal(err)
			}
			if test.early {
				lead()
			}
			r.run()
			if got := r.received(); len(got) == 0 || got[len(got)-1].Kind != service.EgressReady {
				t.Errorf("it does not lead: %v", got)
			}
			if len(shelf.done) != 1 || shelf.open != 0 || len(r.aborted) != 1 {
				t.Errorf("snapshots %v, open %d, aborted %v", shelf.positions(), shelf.open, r.aborted)
			}
			if at, _ := r.progress.Snapshot(); at != own-64 {
				t.Errorf("the digest is of position %d", at)
			}
		})
	}
}

// bulky has a rig's service write much. Its snapshots take many calls.
func bulky(r *rig) {
	r.scripted.more = bytes.Repeat([]byte("state"), 100_000)
}

// A large state is written a chunk in each call: whoever shares the thread goes on. Nothing is applied in between, and what is
// written is what is written at once.
func TestLargeSnapshotIsWrittenInPieces(t *testing.T) {
	r, shelf, first := stocked(t, rigOptions{})
	bulky(r)
	at := r.snapshot(take)
	r.message(1, 5, service.Echo, []byte("behind it"))
	r.commit()
	pieces := 0
	for shelf.done[at] == nil {
		before := r.progress.Applied()
		if work, err := r.driver.DoWork(0); err != nil || work == 0 {
			t.Fatal(work, err)
		}
		if shelf.open == 1 {
			if pieces++; pieces > 1 && r.progress.Applied() != before {
				t.Fatalf("applied up to %d while a snapshot at %d is written", r.progress.Applied(), at)
			}
		}
	}
	if want := len(r.scripted.more) / (64 << 10); pieces < want || pieces > want+2 {
		t.Errorf("written in %d pieces, want %d", pieces, want)
	}
	r.do()
	if r.progress.Applied() != r.chain.Position {
		t.Error("apply does not go on")
	}
	if len(shelf.done[at]) < len(r.scripted.more) || shelf.done[first] == nil {
		t.Errorf("%d bytes are written", len(shelf.done[at]))
	}
}

// A snapshot that is half written ends when the node is to lead, and when the driver is closed.
func TestLargeSnapshotGivesWay(t *testing.T) {
	for _, end := range []string{"lead", "close"} {
		t.Run(end, func(t *testing.T) {
			r, shelf, _ := stocked(t, rigOptions{})
			bulky(r)
			at := r.snapshot(take)
			own := r.append(wire.Record{Kind: wire.RecordTerm, Term: 9}, nil)
			r.commit()
			for shelf.open == 0 {
				if _, err := r.driver.DoWork(0); err != nil {
					t.Fatal(err)
				}
			}
			if end == "lead" {
				r.command(service.Command{Kind: service.CommandLead, Term: 9, Position: own})
				r.run()
				if got := r.received(); len(got) == 0 || got[len(got)-1].Kind != service.EgressReady {
					t.Errorf("it does not lead: %v", got)
				}
			} else if err := r.driver.OnClose(); err != nil {
				t.Fatal(err)
			}
			if shelf.open != 0 || shelf.done[at] != nil || len(r.aborted) != 1 {
				t.Errorf("snapshots %v, open %d, aborted %v", shelf.positions(), shelf.open, r.aborted)
			}
		})
	}
}

// What goes wrong with a snapshot ends the snapshot, is counted and told, and apply goes on.
func TestFailingSnapshotIsNothingButThat(t *testing.T) {
	wrong := errors.New("told to fail")
	for name, set := range map[string]func(*rig, *shelf){
		"begin":  func(_ *rig, s *shelf) { s.beginErr = wrong },
		"commit": func(_ *rig, s *shelf) { s.commitErr = wrong },
		"first":  func(_ *rig, s *shelf) { s.writeErr = wrong },
		"later":  func(_ *rig, s *shelf) { s.writeErr, s.room = wrong, 400 },
		"panic":  func(r *rig, _ *shelf) { r.scripted.onSnapshot = func() { panic(wrong) } },
		"busy":   func(_ *rig, s *shelf) { s.busy = true },
	} {
		t.Run(name, func(t *testing.T) {
			r, shelf, first := stocked(t, rigOptions{})
			set(r, shelf)
			at := r.snapshot(take)
			r.message(1, 5, service.Echo, nil)
			r.do()
			if r.progress.Applied() != r.chain.Position || r.driver.Status().Halt != nil {
				t.Fatalf("applied %d of %d", r.progress.Applied(), r.chain.Position)
			}
			if p, _ := r.progress.Snapshot(); p != at || len(shelf.done) != 1 || shelf.done[first] == nil || shelf.open != 0 {
				t.Errorf("digest of %d, snapshots %v, open %d", p, shelf.positions(), shelf.open)
			}
			told := len(r.aborted) == 1 && strings.Contains(r.aborted[0].Error(), "told to fail")
			if name == "busy" {
				told = len(r.aborted) == 0
			}
			if !told {
				t.Errorf("told %v", r.aborted)
			}
			*shelf = *newShelf()
			r.scripted.onSnapshot = nil
			again := r.snapshot(take)
			r.do()
			if shelf.done[again] == nil {
				t.Error("the next one is not written")
			}
		})
	}
}

func TestSnapshotsAreCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	file, err := counters.Create(path, 64)
	if err != nil {
		t.Fatal(err)
	}
	shelf := newShelf()
	r := newRig(t, rigOptions{sink: shelf, counters: file})
	now := int64(0)
	for i, pause := range []int64{40, 700, 50, 60} {
		if i == 3 {
			shelf.beginErr = io.ErrClosedPipe
		}
		if i == 2 {
			shelf.writeErr = io.ErrClosedPipe
		}
		r.snapshot(take)
		r.commit()
		for range 3 {
			if _, err := r.driver.DoWork(now); err != nil {
				t.Fatal(err)
			}
			now += pause
		}
	}
	view, err := counters.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	want := map[string]uint64{
		"lockstep_snapshots_total": 2, "lockstep_snapshots_aborted_total": 2,
		"lockstep_snapshot_bytes":               uint64(len(shelf.done[shelf.positions()[1]])),
		`lockstep_snapshot_pause_ns{of="last"}`: 50, `lockstep_snapshot_pause_ns{of="max"}`: 700,
	}
	view.Each(func(name, _ string, value uint64) {
		if w, ok := want[name]; ok && value != w {
			t.Errorf("%s is %d, want %d", name, value, w)
		}
		delete(want, name)
	})
	if len(want) > 0 {
		t.Errorf("not there: %v", want)
	}
}

func TestSnapshotHeadSaysWhereItWasTaken(t *testing.T) {
	r, shelf, at := stocked(t, rigOptions{})
	_, digest := r.progress.Snapshot()
	r.snapshot(wire.SnapshotRecord{Verified: at, Digest: digest})
	for range 9 {
		r.config(1)
	}
	r.append(wire.Record{Kind: wire.RecordTerm, Term: 7}, nil)
	end := r.snapshot(take)
	r.do()
	from := bytes.NewReader(shelf.done[end])
	h, err := service.ReadSnapshotHead(from)
	if err != nil {
		t.Fatal(err)
	}
	_, now := r.progress.Snapshot()
	if h.Chain != r.chain || h.Hash != r.driver.ChainedHash() || h.Digest != now || h.Version != 1 || h.Verified != at ||
		h.VerifiedDigest != digest || !h.MoreConfigs || len(h.Configs) != service.MaxConfigs || len(h.Passed) != 0 {
		t.Errorf("%+v", h)
	}
	terms := []wire.TermStart{{Start: 0, Term: 3}, {Start: end - 88 - 64, Term: 7}}
	if !slices.Equal(h.Terms, terms) || h.Configs[7].End != end-88-64 || h.Services[alarmID] != "alarm" ||
		h.Limits.KeptBytes != smallLimits.KeptBytes {
		t.Errorf("%+v", h)
	}
	rest, _ := io.ReadAll(from)
	if len(rest) < 100 || rest[8] != 2 {
		t.Error("it has read on into the next section")
	}
	whole := shelf.heads[end]
	if !slices.Equal(whole.Terms, h.Terms) || whole.Digest != h.Digest {
		t.Errorf("the sink was told %+v", whole)
	}
}
