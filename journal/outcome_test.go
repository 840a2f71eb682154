package journal

import "testing"

// TestDecisionTable walks every combination of evidence: exactly one row fits, and the row says what log.md says; for a
// log that reaches the snapshot it is opened from, that ends before it, begins behind it, or holds something else there,
// whether that snapshot was installed or not.
func TestDecisionTable(t *testing.T) {
	used := map[*decision]bool{}
	for e := evidence(0); e < 1<<numEvidence; e++ {
		if !e.possible() {
			continue
		}
		table := decisions
		if e&evStanding != 0 {
			table = standings
		}
		var fits []*decision
		for i := range table {
			if d := &table[i]; e&d.looks == d.are {
				fits = append(fits, d)
			}
		}
		if len(fits) != 1 {
			t.Fatalf("evidence %011b: %d rows fit", e, len(fits))
		}
		d := decide(e)
		used[d] = true
		if want := expectedOutcome(e); d != fits[0] || d.outcome != want {
			t.Errorf("evidence %011b: %v, want %v (%s)", e, d.outcome, want, d.cause)
		}
	}
	for _, table := range [][]decision{decisions, standings} {
		for i := range table {
			if !used[&table[i]] {
				t.Errorf("row %d (%s) is never used", i, table[i].cause)
			}
		}
	}
}

// expectedOutcome is the rule in words: a promise that may be broken is damage, mendable when the log goes on behind. A
// snapshot is such a promise, unless it was installed: then what does not lead to it goes.
func expectedOutcome(e evidence) Outcome {
	has := func(bits evidence) bool { return e&bits != 0 }
	forgot := OutcomeRecovering
	if has(evResumes) {
		forgot = OutcomeDamaged
	}
	switch {
	case has(evLate) || has(evOther) && !has(evInstall):
		return OutcomeUnfit
	case has(evOther):
		return OutcomeReplaced
	case has(evShort) && has(evInstall) && !has(evBelow|evUnreadable|evNoMark|evResumes):
		return OutcomeReplaced
	case has(evShort):
		return forgot
	case has(evBelow | evUnreadable | evSector | evBeyond | evNoMark):
		return forgot
	case has(evFollows):
		return OutcomeTorn
	}
	return OutcomeIntact
}
