// Command lockstep-sim runs the deterministic simulator: seeds in a row, one seed again, planted bugs until they are caught,
// or the table of guarantee levels.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"lockstep/internal/sim"
)

func main() {
	var (
		seed    = flag.Uint64("seed", 0, "run this seed alone, twice, and print its trace if it fails")
		from    = flag.Uint64("from", uint64(time.Now().Unix())<<20, "first of the seeds; the default is different every time")
		seeds   = flag.Int("seeds", 2000, "how many; 0: as many as -for allows")
		limit   = flag.Duration("for", 0, "how long; 0: until all seeds are done")
		workers = flag.Int("workers", runtime.NumCPU(), "worlds at once")
		lines   = flag.Int("trace", 60, "events to print of a failure")
		strict  = flag.Bool("sometimes", false, "fail when something that must happen now and then never did")
	)
	var (
		bugs   = flag.Bool("bugs", false, "plant one bug after the other, each until it is caught (build tag simbug)")
		within = flag.Int("within", 1000, "with -bugs: seeds within which a bug must be caught")
		only   = flag.String("only", "", "with -bugs: this bug alone")
	)
	levels := flag.Int("levels", 0, "play so many worlds of each commit rule and fault, and print what acknowledgements were worth")
	profile := flag.String("profile", "any", "worlds of this profile alone: any, unrest, disk, behind, store, services")
	flag.Parse()
	kind, ok := sim.ParseProfile(*profile)
	if !ok {
		fmt.Printf("there is no profile %q\n", *profile)
		os.Exit(2)
	}
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(3 << 30)
	if *seed != 0 {
		os.Exit(again(*seed, kind, *lines))
	}
	if *levels > 0 {
		os.Exit(table(*from, *levels, *workers))
	}
	if *bugs {
		os.Exit(hunt(*from, *within, *workers, *only))
	}
	t := sim.Campaign{From: *from, Seeds: *seeds, For: *limit, Workers: *workers, Failure: 3, Profile: kind}.Run()
	fmt.Printf("seeds from %d\n", *from)
	t.Print(os.Stdout)
	for _, r := range t.Failed {
		report(r, *lines)
	}
	if never := t.Never(); *strict && len(never) > 0 {
		fmt.Printf("never happened: %s\n", strings.Join(never, ", "))
		os.Exit(1)
	}
	if len(t.Failed) > 0 {
		os.Exit(1)
	}
}

// again runs one seed twice: a run that cannot be repeated is a failure of its own.
func again(seed uint64, kind sim.Profile, lines int) int {
	o := sim.DrawAs(seed, kind)
	first, second := sim.RunWith(seed, o), sim.RunWith(seed, o)
	fmt.Printf("%+v\n%+v\nhash %016x\n", first.Options, first.Counts, first.Hash)
	if first.Hash != second.Hash {
		fmt.Printf("seed %d is not deterministic: hash %016x, then %016x\n", seed, first.Hash, second.Hash)
		return 1
	}
	if first.Failure != nil {
		report(first, lines)
		return 1
	}
	return 0
}

// table plays the table of guarantee levels: the exit code says whether everything promised stood, and something that is
// not promised fell in every cell.
func table(from uint64, worlds, workers int) int {
	var t sim.LevelTable
	t.Run(from, worlds, workers)
	fmt.Printf("seeds from %d\n", from)
	t.Print(os.Stdout)
	wrong := append(t.Broken(), t.Tame()...)
	for _, err := range t.Failed {
		wrong = append(wrong, err.Error())
	}
	for _, what := range wrong {
		fmt.Println(what)
	}
	return min(len(wrong), 1)
}

func report(r *sim.Result, lines int) {
	r.Trace(os.Stdout, lines)
	fmt.Printf("FAIL seed %d: %v\nreproduce: make sim SEED=%d\n", r.Seed, r.Failure, r.Seed)
}
