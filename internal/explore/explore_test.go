package explore

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"testing"

	"lockstep/wire"
)

// mode is what LOCKSTEP_EXPLORE asks for: full (make explore), short (make explore-short), or nothing.
func mode() string { return os.Getenv("LOCKSTEP_EXPLORE") }

// Nothing that must never be happens in any state of any world.
func TestWorlds(t *testing.T) {
	var worlds []World
	switch mode() {
	case "full":
		worlds = Full()
	case "short":
		worlds = Short()
	default:
		t.Skip("LOCKSTEP_EXPLORE is not set: make explore-short and make explore walk the worlds")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	var sum Result
	for _, w := range worlds {
		r := Explore(w, progress(t, w.Name))
		logFigures(t, &r)
		if r.Violation != "" {
			t.Errorf("world %q: %s\n%s", w.Name, r.Violation, strings.Join(r.Script, "\n"))
			continue
		}
		if !r.Complete || r.Overflowed > 0 {
			t.Errorf("world %q: not walked to its end", w.Name)
		}
		if r.Calmed == 0 || r.Unknown > 0 && w.Rule == wire.RuleDurable {
			t.Errorf("world %q: from %d states it came to rest, from %d it is not known", w.Name, r.Calmed, r.Unknown)
		}
		sum.States, sum.Transitions, sum.Elapsed = sum.States+r.States, sum.Transitions+r.Transitions, sum.Elapsed+r.Elapsed
		sum.Calmed, sum.Unknown = sum.Calmed+r.Calmed, sum.Unknown+r.Unknown
		sum.Depth = max(sum.Depth, r.Depth)
		for e := range r.Seen {
			sum.Seen[e] += r.Seen[e]
		}
	}
	sum.World = "all"
	logFigures(t, &sum)
	for e, n := range sum.Seen {
		t.Logf("%-14s %8d", Event(e), n)
		if n == 0 {
			t.Errorf("%s: never", Event(e))
		}
	}
	if mode() == "full" && sum.States < 100_000_000 {
		t.Errorf("%d states, want 100 million at least", sum.States)
	}
}

// The document has a row for every world, with its bounds, and for every planted bug.
func TestDocumentNamesWorldsAndBugs(t *testing.T) {
	text, err := os.ReadFile("../../docs/consensus.md")
	if err != nil {
		t.Fatal(err)
	}
	document := string(text)
	for _, w := range Full() {
		if row := fmt.Sprintf("| %s | %s | %s |", w.Name, w.Rule, &w); !strings.Contains(document, row) {
			t.Errorf("docs/consensus.md has no row that begins %s", row)
		}
	}
	for b := None + 1; b < numBugs; b++ {
		if !strings.Contains(document, fmt.Sprintf("| `%s` |", b)) {
			t.Errorf("docs/consensus.md does not name the planted bug %s", b)
		}
	}
}

// logFigures logs one line of figures, and begins to look for the next peak of memory.
func logFigures(t *testing.T, r *Result) {
	t.Logf("%-20s %11d states %12d transitions, depth %2d, %6d nodes, %5d messages, %6d calmed, %d unknown, "+
		"%6.1f s, peak %s",
		r.World, r.States, r.Transitions, r.Depth, r.Nodes, r.Messages, r.Calmed, r.Unknown, r.Elapsed.Seconds(), peak())
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // the peak begins anew, where it may
}

// progress logs a long walk now and then.
func progress(t *testing.T, name string) func(*Result) {
	const often = 10_000_000
	next := often
	return func(r *Result) {
		if r.States >= next {
			t.Logf("%-20s %11d states, depth %2d, %.0f s", name, r.States, r.Depth, r.Elapsed.Seconds())
			next = r.States + often
		}
	}
}

// peak is the most memory that this process had since it was last begun anew.
func peak() string {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return fmt.Sprintf("%.1f GiB", float64(kib)/(1<<20))
		}
	}
	return "unknown"
}

// Nodes that are told apart are told apart needlessly: walked both ways, a world has the same states up to renaming,
// and less than six times as many without.
func TestRenamingLosesNothing(t *testing.T) {
	w := World{Name: "small", Rule: wire.RuleDurable, MaxTerm: 2, MaxRecords: 4, InFlight: 3, Ticks: 2, Crashes: 1,
		FastVotes: true, FastSync: true}
	once := Explore(w, nil)
	w.Distinct = true
	apart := Explore(w, nil)
	if !once.Complete || !apart.Complete || once.Violation+apart.Violation != "" {
		t.Fatalf("%+v, %+v", once, apart)
	}
	if apart.UpToNames != once.States {
		t.Errorf("%d states up to renaming, want the %d of %d that were walked", once.States, apart.UpToNames, apart.States)
	}
	if apart.States <= once.States || apart.States > 6*once.States {
		t.Errorf("%d states, %d when nodes are told apart", once.States, apart.States)
	}
}

// A walk is the same every time.
func TestExploringIsDeterministic(t *testing.T) {
	w := Short()[0]
	w.MaxDepth = 14
	a, b := Explore(w, nil), Explore(w, nil)
	a.Elapsed, b.Elapsed = 0, 0
	if fmt.Sprint(a) != fmt.Sprint(b) || a.Complete {
		t.Errorf("%+v, then %+v", a, b)
	}
}

func TestVisitedIsASet(t *testing.T) {
	v, want := newVisited(), map[uint64]bool{}
	for i := range uint64(300_000) {
		h := mix(i % 200_000)
		if v.add(h) == want[h] {
			t.Fatalf("hash %x: new or not, the other way round", h)
		}
		want[h] = true
	}
}

func TestMemoKeepsEveryPair(t *testing.T) {
	m := newMemo()
	for i := range uint64(200_000) {
		*m.slot(i << 20) = uint32(i + 1)
	}
	for i := range uint64(200_000) {
		if got := *m.slot(i << 20); got != uint32(i+1) {
			t.Fatalf("pair %d: %d", i, got)
		}
	}
}
