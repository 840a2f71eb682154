package explore

import "lockstep/wire"

// Full is the worlds that are walked to their ends by make explore: each is about one part of the consensus, with room
// for everything else to interfere.
func Full() []World {
	d, r := wire.RuleDurable, wire.RuleReplicated
	worlds := []World{
		{Name: "election", Rule: d, MaxTerm: 3, MaxRecords: 5, InFlight: 3, Ticks: 2, Crashes: 1},
		{Name: "four terms", Rule: d, MaxTerm: 4, MaxRecords: 6, InFlight: 3, Ticks: 3, FastVotes: true, FastSync: true},
		{Name: "founding", Rule: d, MaxTerm: 3, MaxRecords: 5, InFlight: 3, Ticks: 2, Crashes: 1, FastVotes: true,
			FastSync: true, Founding: true},
		{Name: "founding in memory", Rule: r, MaxTerm: 3, MaxRecords: 5, InFlight: 3, Ticks: 2, Crashes: 1, FastVotes: true,
			FastSync: true, Founding: true},
		{Name: "stream", Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Ticks: 1, Jumps: 2, Proposals: 1, FastVotes: true,
			Begin: Led},
		{Name: "stream twice", Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Ticks: 1, Jumps: 2, Proposals: 1,
			Dups: 1, FastVotes: true, FastSync: true, Begin: Led},
		{Name: "crash", Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Jumps: 2, Proposals: 1, Crashes: 1, FastVotes: true,
			Begin: Led},
		{Name: "crash in memory", Rule: r, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Jumps: 2, Proposals: 1, Crashes: 1,
			FastVotes: true, Begin: Led},
		{Name: "rivals", Rule: d, MaxTerm: 5, MaxRecords: 6, InFlight: 4, Ticks: 3, FastVotes: true, FastSync: true,
			Begin: Rivals},
		{Name: "rivals crash", Rule: d, MaxTerm: 4, MaxRecords: 6, InFlight: 4, Ticks: 2, Crashes: 1, FastVotes: true,
			Begin: Rivals},
		{Name: "rivals, slow disks", Rule: d, MaxTerm: 4, MaxRecords: 6, InFlight: 4, Ticks: 2, FastVotes: true,
			SlowReport: true, Begin: Rivals},
		{Name: "hand-over", Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 4, Ticks: 1, Proposals: 1, HandOvers: 1,
			FastVotes: true, Begin: Led},
		{Name: "wiped", Rule: d, MaxTerm: 3, MaxRecords: 6, InFlight: 3, Jumps: 2, Proposals: 1, Wipes: 1, FastVotes: true,
			Begin: Led},
		{Name: "wiped in memory", Rule: r, MaxTerm: 3, MaxRecords: 6, InFlight: 4, Jumps: 2, Proposals: 1, Wipes: 1,
			FastVotes: true, FastSync: true, Begin: Led},
		{Name: "catch-up", Rule: d, MaxTerm: 3, MaxRecords: 7, InFlight: 4, Ticks: 2, Jumps: 1, Crashes: 1, FastVotes: true,
			FastSync: true, Ring: 1, Begin: Behind, Distinct: true},
	}
	for i := range worlds {
		worlds[i].CalmEvery = 500
	}
	return worlds
}

// Short is the same worlds with tighter bounds: what every change can afford.
func Short() []World {
	worlds := Full()
	for i := range worlds {
		w := &worlds[i]
		w.InFlight, w.CalmEvery = 2, 1000
		if w.Wipes == 0 {
			w.Jumps = min(1, w.Jumps)
		}
		if w.Founding {
			w.MaxTerm = 2
		}
	}
	return worlds
}
