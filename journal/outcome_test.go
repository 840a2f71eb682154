package journal

import "testing"

// TestDecisionTable walks every combination of evidence: exactly one row fits, and the row says what log.md says.
func TestDecisionTable(t *testing.T) {
	used := make([]bool, len(decisions))
	for e := evidence(0); e < 1<<numEvidence; e++ {
		if !e.possible() {
			continue
		}
		row := -1
		for i, d := range decisions {
			if e&d.looks != d.are {
				continue
			}
			if row >= 0 {
				t.Fatalf("evidence %07b: rows %d and %d", e, row, i)
			}
			row = i
		}
		if row < 0 {
			t.Fatalf("evidence %07b: no row", e)
		}
		used[row] = true
		if got, want := decide(e).outcome, expectedOutcome(e); got != want {
			t.Errorf("evidence %07b: %v, want %v (row %d)", e, got, want, row)
		}
	}
	for i, u := range used {
		if !u {
			t.Errorf("row %d (%s) is never used", i, decisions[i].cause)
		}
	}
}

// expectedOutcome is the rule in words: a promise that may be broken is damage, mendable when the log goes on behind.
func expectedOutcome(e evidence) Outcome {
	has := func(bits evidence) bool { return e&bits != 0 }
	switch {
	case has(evBelow | evUnreadable | evSector | evBeyond | evNoMark):
		if has(evResumes) {
			return OutcomeDamaged
		}
		return OutcomeRecovering
	case has(evFollows):
		return OutcomeTorn
	}
	return OutcomeIntact
}
