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

// The worlds in which bugs show.
func votes() World {
	return World{Rule: wire.RuleDurable, MaxTerm: 2, MaxRecords: 4, InFlight: 4, Ticks: 2, Crashes: 1, FastVotes: true}
}

func led() World {
	return World{Rule: wire.RuleDurable, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Jumps: 2, Proposals: 1, Crashes: 1,
		FastVotes: true, Begin: Led}
}

func rivals() World {
	return World{Rule: wire.RuleDurable, MaxTerm: 4, MaxRecords: 6, InFlight: 3, Ticks: 2, FastVotes: true, Begin: Rivals}
}

func findables() []findable {
	slowVotes, memory, slow, ghost := votes(), led(), rivals(), rivals()
	slowVotes.FastVotes = false
	fetch := World{Rule: wire.RuleDurable, MaxTerm: 3, MaxRecords: 7, InFlight: 2, Ticks: 2, Jumps: 1, FastVotes: true,
		FastSync: true, Ring: 1, Begin: Behind, CalmEvery: 10}
	memory.Rule = wire.RuleReplicated
	slow.SlowReport = true
	ghost.FastSync, ghost.Proposals, ghost.Crashes = true, 1, 1
	return []findable{
		{bug: ForgetVote, w: votes(), want: "second vote"},
		{bug: ForgetTerm, w: votes(), want: "second vote"},
		{bug: VoteUnstored, w: slowVotes, want: "second vote"},
		{bug: LateDurable, w: slow, want: "not synced at a majority"},
		{bug: GhostTail, w: ghost, want: "terms of a log go down", long: true},
		{bug: MarkLost, w: memory, want: "leader completeness"},
		{bug: FetchHangs, w: fetch, want: "dead end"},
	}
}

// Exploring finds every bug that is planted around the core, and shows the shortest way to it.
func TestPlantedBugsAreFound(t *testing.T) {
	seen := map[Bug]bool{}
	for _, f := range findables() {
		seen[f.bug] = true
		f.w.Name, f.w.Bug = f.bug.String(), f.bug
		f.find(t)
	}
	for b := None + 1; b < numBugs; b++ {
		if !seen[b] {
			t.Errorf("%s is in no world", b)
		}
	}
}

// find explores the world until the bug shows.
func (f *findable) find(t *testing.T) {
	if f.long && mode() != "full" {
		t.Logf("%-26s only by make explore", f.w.Name)
		return
	}
	r := Explore(f.w, progress(t, f.w.Name))
	if !strings.Contains(r.Violation, f.want) || r.Violation == "" {
		t.Errorf("%s: %q after %d states, want %q", f.w.Name, r.Violation, r.States, f.want)
		return
	}
	t.Logf("%-26s %9d states, %2d steps, %5.1f s: %s\n%s", f.w.Name, r.States, len(r.Script)-2, r.Elapsed.Seconds(),
		r.Violation, strings.Join(r.Script, "\n"))
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
