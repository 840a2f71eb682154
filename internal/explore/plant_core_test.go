//go:build simbug

package explore

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lockstep/internal/simbug"
)

// Exploring finds the bugs that are planted in the core itself, where a world can show them. The simulator finds the
// others: counting a node that is not admitted hurts only when more disks are lost than a world has budget for, late
// bytes of a catch-up are the right ones in small worlds, and commit within a record is below their grain.
func TestCoreBugsAreFound(t *testing.T) {
	defer simbug.Plant(simbug.None)
	older, figure8, replayed, reuse := led(), rivals(), led(), votes()
	older.Crashes = 0
	figure8.FastSync, figure8.MaxTerm, figure8.Ticks = true, 5, 3
	replayed.Ticks, replayed.Jumps, replayed.Crashes = 2, 0, 2
	reuse.MaxTerm, reuse.InFlight, reuse.Crashes, reuse.Ticks, reuse.Jumps = 3, 2, 0, 3, 1
	unaligned, stale, foreign, peace := rivals(), led(), led(), led()
	unaligned.InFlight, unaligned.Ticks, unaligned.FastSync = 2, 3, true
	stale.Ticks, stale.Jumps = 1, 1
	foreign.Crashes, foreign.Wipes = 0, 1
	peace.Ticks, peace.Crashes, peace.CalmEvery = 1, 0, 10
	const unsynced, incomplete = "not synced at a majority", "leader completeness"
	finds := map[simbug.Bug]findable{
		simbug.ReuseTerm:               {w: reuse, want: "leads a term again"},
		simbug.VoteTwice:               {w: votes(), want: "second vote"},
		simbug.SendUnstored:            {w: votes(), want: "before it is stored"},
		simbug.VoteForOlderLog:         {w: older, want: incomplete},
		simbug.IgnoreHigherTerm:        {w: peace, want: "dead end"},
		simbug.SkipStepDown:            {w: peace, want: "a deadline was left behind"},
		simbug.CommitOldTerm:           {w: figure8, want: incomplete, long: true},
		simbug.CommitByMinority:        {w: rivals(), want: unsynced},
		simbug.CommitUnaligned:         {w: unaligned, want: "different records"},
		simbug.AckBeforeSync:           {w: rivals(), want: unsynced},
		simbug.CountStaleTerm:          {w: stale, want: unsynced, long: true},
		simbug.CountBeforeCut:          {w: rivals(), want: unsynced},
		simbug.KeepDurableOverCut:      {w: rivals(), want: "takes for synced what is not"},
		simbug.TakeReplayedAlign:       {w: replayed, want: "stopped"},
		simbug.IgnoreNak:               {w: peace, want: "dead end"},
		simbug.CountForeignIncarnation: {w: foreign, want: incomplete},
	}
	document, err := os.ReadFile("../../docs/consensus.md")
	if err != nil {
		t.Fatal(err)
	}
	for bug := simbug.None + 1; bug < simbug.NumBugs; bug++ {
		f, there := finds[bug]
		if !there {
			continue
		}
		simbug.Plant(bug)
		f.w.Name = bug.String()
		f.find(t)
		if !strings.Contains(string(document), fmt.Sprintf("| `%s` |", bug)) {
			t.Errorf("docs/consensus.md does not name the planted bug %s", bug)
		}
	}
}
