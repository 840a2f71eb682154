package sim

import "testing"

// TestLevelsSurviveWhatTheyPromise plays the table of guarantee levels: what is promised stands, and what is not falls now
// and then.
func TestLevelsSurviveWhatTheyPromise(t *testing.T) {
	const workers = 2
	var table LevelTable
	if testing.Short() {
		table.Run(1, 2, workers)
	} else {
		table.Run(1, 6, workers)
		table.Insist(7, 40, workers)
		for _, what := range table.Tame() {
			t.Error(what)
		}
	}
	for _, err := range table.Failed {
		t.Error(err)
	}
	for _, what := range table.Broken() {
		t.Error(what)
	}
	table.Print(t.Output())
}
