package service_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// below is a log with a snapshot before a poisoned message and one behind it, taken by a node whose service bears the poison,
// and then a skip record for it.
func below(t *testing.T) (r *rig, s *shelf, at wire.Position, skip wire.SkipAt) {
	s = newShelf()
	r = newRig(t, rigOptions{sink: s, healthy: true})
	r.open(1)
	r.snapshot(take)
	at = r.chain.Position
	r.message(1, 1, scriptedID, poison)
	r.message(1, 2, service.Echo, []byte("behind"))
	r.snapshot(take)
	r.do()
	skip = wire.SkipAt{Position: at, End: r.skip(at)}
	r.message(1, 3, service.Echo, []byte("goes on"))
	return r, s, at, skip
}

// A node that has applied what the cluster passes over stops. Started again it begins from the snapshot before.
func TestSkipBelowTheSnapshotIsPassedOverFromAnOlderOne(t *testing.T) {
	r, shelf, at, skip := below(t)
	r.commit()
	if _, err := r.driver.DoWork(0); !errors.Is(err, service.ErrPassedOver) {
		t.Fatalf("%v", err)
	}
	plain := newRig(t, rigOptions{healthy: true, skips: []wire.SkipAt{skip}, log: r})
	plain.commit()
	plain.run()
	again := newRig(t, rigOptions{healthy: true, skips: []wire.SkipAt{skip}, log: r, base: shelf.base})
	if began := again.progress.Applied(); began == 0 || began > at {
		t.Fatalf("it begins at position %d, the record is at %d", began, at)
	}
	again.commit()
	again.run()
	if x, y := plain.outcome(), again.outcome(); x != y || again.progress.Applied() != r.chain.Position {
		t.Errorf("%v from position 0, %v from the snapshot", x, y)
	}
	// Not knowing of the skip record it begins from the newest, and stops when it comes to it.
	ignorant := newRig(t, rigOptions{healthy: true, log: r, base: shelf.base})
	ignorant.commit()
	if _, err := ignorant.driver.DoWork(0); !errors.Is(err, service.ErrPassedOver) {
		t.Errorf("%v", err)
	}
}

// One that has no older snapshot, and whose log does not reach back, says that it must be made anew; but only once the skip
// record is committed: it may be cut.
func TestSkipBelowTheOnlySnapshotStopsTheNode(t *testing.T) {
	r, shelf, _, skip := below(t)
	newest := shelf.positions()[1]
	only := newShelf()
	only.done[newest] = shelf.done[newest]
	only.baseErr = errors.New("the log begins behind it")
	again := newRig(t, rigOptions{healthy: true, skips: []wire.SkipAt{skip}, log: r, base: only.base})
	again.progress.SetCommit(skip.End - 72)
	again.run()
	if again.progress.Applied() != skip.End-72 {
		t.Fatalf("applied %d", again.progress.Applied())
	}
	again.commit()
	_, err := again.driver.DoWork(0)
	if !errors.Is(err, service.ErrPassedOver) || !strings.Contains(err.Error(), "lockstep reseed") ||
		!strings.Contains(err.Error(), "the log begins behind it") {
		t.Errorf("%v", err)
	}
}

// A log that is opened at the newest snapshot does not hold the skip records before it: that snapshot says what they named, also
// when the driver has to begin from an older one.
func TestOlderSnapshotKnowsWhatTheNewestPassedOver(t *testing.T) {
	s := newShelf()
	r := newRig(t, rigOptions{sink: s, base: s.base})
	r.open(1)
	oldest := r.snapshot(take)
	first := r.chain.Position
	r.message(1, 1, scriptedID, poison)
	firstSkip := wire.SkipAt{Position: first, End: r.skip(first)}
	r.do()
	r.scripted.healthy = true
	second := r.chain.Position
	r.message(1, 2, scriptedID, poison)
	newest := r.snapshot(take)
	r.do()
	secondSkip := wire.SkipAt{Position: second, End: r.skip(second)}
	plain := newRig(t, rigOptions{healthy: true, skips: []wire.SkipAt{firstSkip, secondSkip}, log: r})
	plain.commit()
	plain.run()
	again := newRig(t, rigOptions{healthy: true, skips: []wire.SkipAt{secondSkip}, log: r, base: s.base})
	if s.done[newest] == nil || again.progress.Applied() != oldest {
		t.Fatalf("it begins at %d, want %d", again.progress.Applied(), oldest)
	}
	again.commit()
	again.run()
	if x, y := plain.outcome(), again.outcome(); x != y {
		t.Errorf("%v from position 0, %v from the snapshot", x, y)
	}
}

// A snapshot between a record that was passed over and the skip record that names it is as good as any.
func TestSnapshotBetweenARecordPassedOverAndItsSkip(t *testing.T) {
	s := newShelf()
	r := newRig(t, rigOptions{sink: s, base: s.base})
	r.open(1)
	at := r.chain.Position
	r.message(1, 1, scriptedID, poison)
	between := r.snapshot(take)
	skip := wire.SkipAt{Position: at, End: r.skip(at)}
	r.skip(at)
	r.message(1, 2, service.Echo, []byte("goes on"))
	r.do()
	if s.done[between] == nil {
		t.Fatal("no snapshot")
	}
	h := s.heads[between]
	if !slices.Equal(h.Passed, []wire.Position{at}) {
		t.Errorf("passed over: %v", h.Passed)
	}
	for _, hints := range [][]wire.SkipAt{nil, {skip}} {
		again := newRig(t, rigOptions{healthy: true, skips: hints, log: r, base: s.base})
		if again.progress.Applied() != between {
			t.Errorf("it begins at position %d", again.progress.Applied())
		}
		again.commit()
		again.run()
		if x, y := r.outcome(), again.outcome(); x != y {
			t.Errorf("%v, and %v after restoring", x, y)
		}
	}
}

// A halted node starts over from its newest snapshot before the failure, and tells nobody twice.
func TestStartingOverBeginsFromASnapshot(t *testing.T) {
	s := newShelf()
	r := newRig(t, rigOptions{sink: s, base: s.base})
	r.lead()
	r.open(1)
	r.message(1, 1, service.Echo, []byte("x"))
	r.snapshot(wire.SnapshotRecord{Take: true, Leader: true})
	r.message(1, 2, service.Echo, []byte("y"))
	r.do()
	s.busy = true
	r.snapshot(wire.SnapshotRecord{Take: true, Leader: true})
	at := r.chain.Position
	r.message(1, 3, scriptedID, poison)
	r.do()
	s.busy = false
	expect(t, "before", r.received(), `opened s=1 token=1001 window=16 "client"`,
		`response s=1 c=1 n=1 last=true "x"`, `response s=1 c=2 n=2 last=true "y"`)
	old := r.scripted
	r.skip(at)
	r.do()
	expect(t, "behind", r.received(), `applied s=1 c=3 code=skipped`)
	if len(s.done) != 1 || s.opened != 2 || s.closed != 1 || r.scripted == old {
		t.Errorf("snapshots %v, begun %d, read %d", s.positions(), s.opened, s.closed)
	}
	whole := newRig(t, rigOptions{log: r, skips: []wire.SkipAt{{Position: at, End: r.chain.Position}}})
	whole.commit()
	whole.run()
	if x, y := r.outcome(), whole.outcome(); x != y {
		t.Errorf("%v, and %v from position 0", x, y)
	}
}

func TestStartingOverNeedsASnapshotBeforeTheFailure(t *testing.T) {
	wrong := errors.New("nothing before")
	for name, base := range map[string]func(s *shelf) func(wire.Position) (io.ReadCloser, error){
		"none": func(*shelf) func(wire.Position) (io.ReadCloser, error) {
			return func(limit wire.Position) (io.ReadCloser, error) {
				if limit == ^wire.Position(0) {
					return nil, nil
				}
				return nil, wrong
			}
		},
		"a later one": func(s *shelf) func(wire.Position) (io.ReadCloser, error) {
			return func(limit wire.Position) (io.ReadCloser, error) {
				if limit == ^wire.Position(0) {
					return nil, nil
				}
				return s.base(^wire.Position(0))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, later, _, _ := below(t)
			r := newRig(t, rigOptions{base: base(later)})
			r.open(1)
			at := r.chain.Position
			r.message(1, 1, scriptedID, poison)
			r.skip(at)
			r.commit()
			var err error
			for range 10 {
				if _, err = r.driver.DoWork(0); err != nil {
					break
				}
			}
			if !errors.Is(err, wrong) && !errors.Is(err, service.ErrSnapshot) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A snapshot that does not fit the log that follows is noticed with the first record, in the ring and in the journal.
func TestSnapshotOfAnotherLogIsNoticed(t *testing.T) {
	_, shelf, at := stocked(t, rigOptions{})
	other := newRig(t, rigOptions{rich: true, limits: smallLimits})
	other.chain.Timestamp = 7
	other.stock()
	if end := other.snapshot(take); end != at {
		t.Fatalf("it ends at %d, the other at %d", end, at)
	}
	other.open(3)
	fromJournal := newRig(t, rigOptions{rich: true, limits: smallLimits, log: other, base: shelf.base})
	fromJournal.commit()
	if _, err := fromJournal.driver.DoWork(0); !errors.Is(err, service.ErrLog) {
		t.Errorf("from the journal: %v", err)
	}
	fromRing := newRig(t, rigOptions{rich: true, limits: smallLimits, base: shelf.base})
	fromRing.chain.Timestamp = 7
	fromRing.stock()
	fromRing.snapshot(take)
	fromRing.open(3)
	fromRing.commit()
	if _, err := fromRing.driver.DoWork(0); !errors.Is(err, service.ErrLog) {
		t.Errorf("from the ring: %v", err)
	}
}
