package main

import (
	"fmt"
	"strings"
	"time"

	"lockstep/internal/sim"
	"lockstep/internal/simbug"
)

// profiles are what worlds are made of in which a bug shows sooner.
var profiles = map[simbug.Bug]sim.Profile{
	simbug.VoteOneCopy:          sim.ProfileDisk,
	simbug.CountStaleTerm:       sim.ProfileUnrest,
	simbug.IgnoreHigherTerm:     sim.ProfileUnrest,
	simbug.KeepTables:           sim.ProfileUnrest,
	simbug.TakeLateCatchUp:      sim.ProfileBehind,
	simbug.RetryFailedSync:      sim.ProfileDisk,
	simbug.IgnoreFailedSync:     sim.ProfileDisk,
	simbug.MarkCleanUnsynced:    sim.ProfileDisk,
	simbug.RingWithoutReserve:   sim.ProfileBehind,
	simbug.VerifyByMinority:     sim.ProfileStore,
	simbug.CountStalePoint:      sim.ProfileStore,
	simbug.DropTooMuch:          sim.ProfileStore,
	simbug.InstallUnverified:    sim.ProfileStore,
	simbug.PublishEarly:         sim.ProfileStore,
	simbug.ForgetKept:           sim.ProfileStore,
	simbug.ForgetSnapshotTimers: sim.ProfileStore,
	simbug.ForgetRefused:        sim.ProfileStore,
	simbug.RestoreNoHash:        sim.ProfileStore,
	simbug.IgnoreSessions:       sim.ProfileStore,
	simbug.SkipInstallMark:      sim.ProfileStore,
	simbug.IgnorePins:           sim.ProfileStore,
	simbug.IgnoreVersion:        sim.ProfileServices,
	simbug.ApplyHalf:            sim.ProfileServices,
	simbug.LeaseEndsEarly:       sim.ProfileServices,
	simbug.HandTwice:            sim.ProfileServices,
	simbug.KeepDeleted:          sim.ProfileServices,
	simbug.ForgetKeys:           sim.ProfileServices,
	simbug.ForgetLeases:         sim.ProfileServices,
	simbug.GrantTwice:           sim.ProfileServices,
	simbug.ReuseToken:           sim.ProfileServices,
	simbug.RenewInVain:          sim.ProfileServices,
	simbug.TimerDrifts:          sim.ProfileServices,
	simbug.LoseFill:             sim.ProfileServices,
}

// hunt plants one bug after the other and runs worlds until one of them shows it: the exit code says whether every bug
// was caught within the given number of seeds.
func hunt(from uint64, within, workers int, only string) int {
	if !simbug.Enabled {
		fmt.Println("this build has no planted bugs: build with -tags simbug")
		return 1
	}
	begin := time.Now()
	planted, missed := 0, 0
	for bug := simbug.None + 1; bug < simbug.NumBugs; bug++ {
		if only != "" && only != bug.String() {
			continue
		}
		planted++
		simbug.Plant(bug)
		t := sim.Campaign{From: from, Seeds: within, Workers: workers, Profile: profiles[bug]}.Run()
		if len(t.Failed) == 0 {
			missed++
			fmt.Printf("%-26s MISSED in %d seeds, %.1f s\n", bug, t.Seeds, t.Elapsed.Seconds())
			continue
		}
		first := t.Failed[0]
		what, _, _ := strings.Cut(first.Failure.Error(), "\n")
		fmt.Printf("%-26s caught in %3d seeds, %5.1f s, by world %d (%v): %.110s\n", bug, first.Seed-from+1,
			t.Elapsed.Seconds(), first.Seed, first.Options.Profile, what)
	}
	fmt.Printf("%d bugs planted, %d missed, %.1f s\n", planted, missed, time.Since(begin).Seconds())
	if planted == 0 || missed > 0 {
		return 1
	}
	return 0
}
