package explore

import (
	"fmt"
	"strings"
	"testing"

	"lockstep/wire"
)

// findable is a world in which a planted bug shows, and a part of what is said about it.
type findable struct {
	bug  Bug
	w    World
	want string
	long bool // only by make explore
}

func findables() []findable {
	d := wire.RuleDurable
	vote := World{Rule: d, MaxTerm: 2, MaxRecords: 4, InFlight: 4, Ticks: 2, Crashes: 1}
	fast := vote
	fast.FastVotes = true
	led := World{Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Jumps: 2, Proposals: 1, Crashes: 1, FastVotes: true,
		Begin: Led}
	restart := led
	restart.Ticks, restart.Jumps = 1, 1
	memory := led
	memory.Rule = wire.RuleReplicated
	rivals := World{Rule: d, MaxTerm: 4, MaxRecords: 6, InFlight: 3, Ticks: 2, FastVotes: true, Begin: Rivals}
	slow, ghost, figure8 := rivals, rivals, rivals
	slow.SlowReport = true
	ghost.FastSync, ghost.Proposals, ghost.Crashes = true, 1, 1
	figure8.FastSync, figure8.MaxTerm, figure8.Ticks = true, 5, 3
	realigned := restart
	realigned.Ticks, realigned.Jumps, realigned.Crashes = 2, 0, 2
	return []findable{
		{bug: ForgetVote, w: fast, want: "second vote"},
		{bug: ForgetTerm, w: fast, want: "second vote"},
		{bug: VoteUnstored, w: vote, want: "second vote"},
		{bug: AckUnsynced, w: rivals, want: "not synced at a majority"},
		{bug: LateDurable, w: slow, want: "not synced at a majority"},
		{bug: GhostTail, w: ghost, want: "terms of a log go down", long: true},
		{bug: MarkLost, w: memory, want: "leader completeness"},
		{bug: StaleStatus, w: restart, want: "not synced at a majority", long: true},
		{bug: OldTermCommit, w: figure8, want: "leader completeness", long: true},
		{bug: StaleAlign, w: realigned, want: "stopped", long: true},
	}
}

// Exploring finds every bug that is planted around the core, and shows the shortest way to it.
func TestPlantedBugsAreFound(t *testing.T) {
	seen := map[Bug]bool{}
	for _, f := range findables() {
		seen[f.bug] = true
		if f.long && mode() != "full" {
			t.Logf("%-16s only by make explore", f.bug)
			continue
		}
		f.w.Name, f.w.Bug = f.bug.String(), f.bug
		r := Explore(f.w, progress(t, f.w.Name))
		if !strings.Contains(r.Violation, f.want) || r.Violation == "" {
			t.Errorf("%s: %q after %d states, want %q", f.bug, r.Violation, r.States, f.want)
			continue
		}
		t.Logf("%-16s %9d states, %2d steps, %5.1f s: %s\n%s", f.bug, r.States, len(r.Script)-2, r.Elapsed.Seconds(),
			r.Violation, strings.Join(r.Script, "\n"))
	}
	for b := None + 1; b < numBugs; b++ {
		if !seen[b] {
			t.Errorf("%s is in no world", b)
		}
	}
}

// A script has a line a step, from the start to what is wrong, and says what happened to whom.
func TestScriptIsReadable(t *testing.T) {
	f := findables()[0]
	f.w.Bug = f.bug
	r := Explore(f.w, nil)
	text := strings.Join(r.Script, "\n")
	for _, want := range []string{"start", "1 tick", "CANVASS t2", "granted", "crash", "t1c1|", "second vote"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for i, line := range r.Script[:len(r.Script)-1] {
		if i > 0 && !strings.HasPrefix(line, fmt.Sprintf("%3d  ", i)) {
			t.Errorf("line %d: %q", i, line)
		}
	}
}
