//go:build simbug

package replica

import (
	"strings"
	"testing"

	"lockstep/internal/simbug"
)

// Random schedules find what is planted about snapshots: what is called verified is held against what a majority came to.
func TestSchedulesFindPlantedBugs(t *testing.T) {
	defer simbug.Plant(simbug.None)
	for bug, want := range map[simbug.Bug]string{
		simbug.VerifyByMinority: "is called verified",
		simbug.CountStalePoint:  "have diverged",
	} {
		simbug.Plant(bug)
		found := ""
		for seed := uint64(0); seed < 200 && found == ""; seed++ {
			found = randomSchedule(seed, 400, silent)
		}
		if !strings.Contains(found, want) {
			t.Errorf("%v: %q, want %q", bug, found, want)
		}
	}
}
