package service_test

import (
	"errors"
	"strings"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

var poison = []byte{0xff}

// poisonedLog is a log with a poisoned message in it, some that follow, and a skip record for it behind them.
func poisonedLog(r *rig) (at, skip wire.Position) {
	r.open(1)
	r.message(1, 1, service.Echo, []byte("before"))
	at = r.chain.Position
	r.message(1, 2, scriptedID, poison)
	r.message(1, 3, service.Echo, []byte("behind"))
	skip = r.skip(at)
	r.message(1, 4, scriptedID, respond(1, 2))
	return at, skip
}

// outcome is all that a driver has to say about a log, for comparing drivers.
func (r *rig) outcome() [4]uint64 {
	s := r.driver.Status()
	at, state := r.progress.StateHash()
	return [4]uint64{uint64(s.Applied), uint64(at), state, r.driver.ChainedHash()}
}

// A halted node finds the skip record further on in the committed log, goes on without the record it names, and its
// client learns that. What the failing service left behind is gone: a node that never gave it the record is in the same
// state.
func TestSkipIsReadAheadOfApply(t *testing.T) {
	r := newRig(t, rigOptions{batch: 2})
	r.lead()
	at, skip := poisonedLog(r)
	r.progress.SetCommit(skip - 8)
	r.run()
	if h := r.driver.Status().Halt; h == nil || h.Position() != at || r.progress.Applied() != at {
		t.Fatalf("halt %v, applied %d; the poison is at %d", h, r.progress.Applied(), at)
	}
	expect(t, "before the skip is committed", r.received(),
		`opened s=1 token=1001 window=16 "client"`,
		`response s=1 c=1 n=1 last=true "before"`)
	r.do()
	expect(t, "once it is", r.received(),
		`applied s=1 c=2 code=skipped`,
		`response s=1 c=3 n=2 last=true "behind"`,
		`response s=1 c=4 n=3 last=true "aa"`)
	if s := r.driver.Status(); s.Halt != nil || s.Applied != r.chain.Position {
		t.Fatalf("status %+v, the log ends at %d", s, r.chain.Position)
	}
	other := newRig(t, rigOptions{skips: []wire.SkipAt{{Position: at, End: skip}}})
	at0 := other.append(wire.Record{Kind: wire.RecordTerm, Term: 1}, nil)
	other.command(service.Command{Kind: service.CommandLead, Term: 1, Position: at0})
	poisonedLog(other)
	other.do()
	if got, want := r.outcome(), other.outcome(); got != want {
		t.Errorf("%v where a node that never tried has %v", got, want)
	}
	if r.scripted.applied != 1 {
		t.Errorf("the service was given %d messages, want 1", r.scripted.applied)
	}
}

// Started again, even in a version that would bear the record, a node passes over it: it knows of the skip record when
// it opens its log.
func TestSkipHoldsAcrossARestart(t *testing.T) {
	r := newRig(t, rigOptions{})
	at, skip := poisonedLog(r)
	r.do()
	for _, healthy := range []bool{false, true} {
		again := newRig(t, rigOptions{healthy: healthy, batch: 1, skips: []wire.SkipAt{{Position: at, End: skip}}})
		poisonedLog(again)
		halts := 0
		for again.progress.Applied() < again.chain.Position {
			// Commit comes as it may: piece by piece.
			again.progress.SetCommit(min(again.chain.Position, again.progress.Commit()+8))
			again.run()
			if again.driver.Status().Halt != nil {
				halts++
			}
		}
		if got, want := again.outcome(), r.outcome(); got != want || halts > 0 {
			t.Errorf("healthy %v: %v after the restart, %v before; halts %d", healthy, got, want, halts)
		}
	}
}

// A skip record that the opened log held and that was cut, or replaced, does not count; nobody waits for it.
func TestSkipThatWasCutDoesNotCount(t *testing.T) {
	t.Run("cut", func(t *testing.T) {
		r := newRig(t, rigOptions{healthy: true})
		r.open(1)
		at := r.chain.Position
		r.message(1, 1, scriptedID, poison)
		r.driverWithHints(wire.SkipAt{Position: at, End: r.chain.Position + 72})
		r.do()
		if r.progress.Applied() != r.chain.Position || r.scripted.applied != 1 {
			t.Errorf("applied %d of %d", r.progress.Applied(), r.chain.Position)
		}
	})
	t.Run("replaced", func(t *testing.T) {
		r := newRig(t, rigOptions{healthy: true})
		r.open(1)
		at := r.chain.Position
		r.message(1, 1, scriptedID, poison)
		hint := wire.SkipAt{Position: at, End: r.chain.Position + 72}
		r.driverWithHints(hint)
		r.commit()
		r.append(wire.Record{Kind: wire.RecordTerm, Term: 2}, make([]byte, wire.TermRecordSize))
		r.run()
		if r.progress.Applied() != at {
			t.Fatalf("applied %d before it is known what stands behind %d", r.progress.Applied(), at)
		}
		r.do()
		if r.progress.Applied() != r.chain.Position || r.scripted.applied != 1 {
			t.Errorf("applied %d of %d", r.progress.Applied(), r.chain.Position)
		}
	})
}

// A node that has applied what the others pass over stops, by name, whether it comes to the skip record or finds it
// ahead.
func TestSkipOfWhatIsAppliedStopsTheNode(t *testing.T) {
	r := newRig(t, rigOptions{healthy: true})
	poisonedLog(r)
	r.commit()
	_, err := r.driver.DoWork(0)
	if !errors.Is(err, service.ErrPassedOver) || !strings.Contains(err.Error(), "start the node again") {
		t.Errorf("in its turn: %v", err)
	}
	r = newRig(t, rigOptions{})
	r.open(1)
	at := r.chain.Position
	r.message(1, 1, service.Echo, []byte("fine here"))
	r.message(1, 2, scriptedID, poison)
	r.skip(at)
	r.commit()
	err = nil
	for i := 0; err == nil && i < 10; i++ {
		_, err = r.driver.DoWork(0)
	}
	if !errors.Is(err, service.ErrPassedOver) {
		t.Errorf("ahead: %v", err)
	}
}

// What every kind that can be passed over does without the services.
func TestWhatIsPassedOverHasNoEffectOnServices(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.scripted.onClose = poisoned
	r.open(1)
	at := r.chain.Position
	r.open(poisoned)
	r.message(poisoned, 1, service.Echo, []byte("of nobody"))
	r.skip(at)
	r.message(1, 1, service.Echo, []byte("goes on"))
	r.do()
	expect(t, "session-open", r.received(),
		`opened s=1 token=1001 window=16 "client"`,
		`closed s=666 token=1666 code=skipped c=0 n=0`,
		`response s=1 c=1 n=1 last=true "goes on"`)

	r = newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.do()
	r.received()
	at = r.chain.Position
	r.message(1, 2, scriptedID, poison) // not the next: changes nothing, and no service is given it
	r.message(1, 1, scriptedID, poison)
	second := r.chain.Position
	r.message(1, 2, scriptedID, poison)
	r.skip(at + 72)
	r.skip(second)
	r.skip(second) // twice is once
	r.skip(r.chain.Position + 1000)
	r.message(1, 3, service.Echo, []byte("goes on"))
	r.do()
	expect(t, "messages", r.received(),
		`applied s=1 c=1 code=skipped`,
		`applied s=1 c=2 code=skipped`,
		`response s=1 c=3 n=1 last=true "goes on"`)
}

// A leader that starts over goes on telling its ingress where it stopped, and replays wait until it is there again.
func TestStartingOverIsNotSeenFromOutside(t *testing.T) {
	r := newRig(t, rigOptions{batch: 1})
	r.lead()
	r.open(1)
	r.message(1, 1, service.Echo, []byte("x"))
	at := r.chain.Position
	r.message(1, 2, scriptedID, poison)
	r.do()
	r.received()
	r.skip(at)
	r.commit()
	for r.driver.Status().Halt != nil {
		if _, err := r.driver.DoWork(0); err != nil {
			t.Fatal(err)
		}
	}
	r.command(service.Command{Kind: service.CommandReplay, Session: 1, Response: 1})
	for applied := at; applied < r.chain.Position; applied = r.progress.Applied() {
		if r.progress.Applied() < applied {
			t.Fatalf("applied went from %d to %d", applied, r.progress.Applied())
		}
		if _, err := r.driver.DoWork(0); err != nil {
			t.Fatal(err)
		}
	}
	r.run()
	expect(t, "egress", r.received(),
		`response s=1 c=1 n=1 last=true "x"`,
		`applied s=1 c=2 code=skipped`)
}

// Without services made anew, and where the log's beginning is gone, the node says what to do.
func TestStartingOverThatCannotBe(t *testing.T) {
	r := newRig(t, rigOptions{stale: true})
	poisonedLog(r)
	r.commit()
	var err error
	for i := 0; err == nil && i < 10; i++ {
		_, err = r.driver.DoWork(0)
	}
	if !errors.Is(err, service.ErrNotFresh) {
		t.Errorf("%v", err)
	}
}

// An unknown kind is never passed over: not even by a skip record that names it.
func TestUnknownKindsAreNotSkipped(t *testing.T) {
	r := newRig(t, rigOptions{})
	at := r.append(wire.Record{Kind: wire.RecordTerm}, nil)
	end := r.append(wire.Record{Kind: 77}, nil)
	_ = end
	r.skip(at)
	r.do()
	h := r.driver.Status().Halt
	if h == nil || h.Reason != service.HaltUnknownKind || r.progress.Applied() != at || h.Skippable() {
		t.Errorf("halt %v, applied %d", h, r.progress.Applied())
	}
	again := newRig(t, rigOptions{skips: []wire.SkipAt{{Position: at, End: r.chain.Position}}})
	again.append(wire.Record{Kind: wire.RecordTerm}, nil)
	again.append(wire.Record{Kind: 77}, nil)
	again.skip(at)
	again.do()
	if h := again.driver.Status().Halt; h == nil || h.Reason != service.HaltUnknownKind || again.progress.Applied() != at {
		t.Errorf("after a restart: halt %v, applied %d", h, again.progress.Applied())
	}
}
