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
// others: a leader that does not step down is no danger but of no use, counting a node that is not admitted hurts only
// when more disks are lost than a world has budget for, and commit within a record is below the grain of a world.
func TestCoreBugsAreFound(t *testing.T) {
	defer simbug.Plant(simbug.None)
	older, figure8, replayed, reuse := led(), rivals(), led(), votes()
	older.Crashes = 0
	figure8.FastSync, figure8.MaxTerm, figure8.Ticks = true, 5, 3
	replayed.Ticks, replayed.Jumps, replayed.Crashes = 2, 0, 2
	reuse.MaxTerm, reuse.InFlight, reuse.Crashes, reuse.Ticks, reuse.Jumps = 3, 2, 0, 3, 1
	finds := map[simbug.Bug]findable{
		simbug.VoteForOlderLog:   {w: older, want: "leader completeness"},
		simbug.AckBeforeSync:     {w: rivals(), want: "not synced at a majority"},
		simbug.ReuseTerm:         {w: reuse, want: "leads a term again"},
		simbug.CommitOldTerm:     {w: figure8, want: "leader completeness", long: true},
		simbug.TakeReplayedAlign: {w: replayed, want: "stopped"},
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
