package explore

import (
	"fmt"
	"strings"

	"lockstep/wire"
)

// Nodes is how many nodes a world has.
const Nodes = 3

// World is a small cluster and the bounds of what may happen to it. Exploring ends when every state within the bounds
// has been seen.
type World struct {
	Name string
	Rule wire.CommitRule

	MaxTerm    uint8 // no node enters a higher term (at most maxTerm)
	MaxRecords uint8 // no log grows longer (at most maxRecords)
	InFlight   int   // datagrams under way; each one more is a loss, and every choice of what is lost is walked
	MaxDepth   int   // steps from the start; 0: no bound
	MaxStates  int   // 0: no bound

	// How often each may happen in one run, at most 15.
	Ticks     int // a node's clock moves to its next deadline
	Jumps     int // a node is not run for an election time-out, then finds all its deadlines passed
	Proposals int // a leader appends a client record
	Crashes   int // a process dies and starts again; a part of what was not synced may survive
	Dups      int // a datagram is delivered and stays under way
	HandOvers int // a leader is told to let another lead
	Wipes     int // a disk is lost, and the node joins again, knowing that it may have forgotten, or not

	Ring       uint8 // records that a ring holds: what is older is fetched; 0: all of them
	Founding   bool  // the logs are empty: the first leader writes the first config. Else all hold one, of term 1
	SlowReport bool  // a disk that has synced says so later; else at once
	FastVotes  bool  // the state file has what it is given at once
	FastSync   bool  // the disk has what it is given at once

	CalmEvery int // every so many states, see whether the cluster comes to rest from there; 0: never

	Distinct bool // states that differ by the names of nodes alone are different

	Begin Begin
	Bug   Bug // planted; None in earnest
}

// Begin is where a world begins.
type Begin uint8

// The beginnings.
const (
	// Idle: nobody has heard of anybody.
	Idle Begin = iota
	// Led: node 1 leads term 2, and everybody holds all and knows it to be committed.
	Led
	// Behind: node 1 leads term 2; two records more are committed, of which node 3 has heard nothing.
	Behind
	// Rivals: node 1 leads term 2 and node 3 term 3, and nobody else has heard of it but node 2, who voted for both.
	// What is Raft's figure 8 begins so.
	Rivals
)

var beginnings = [...]string{"all idle", "node 1 leads", "node 3 is behind", "two lead"}

// String is the world's bounds in words.
func (w *World) String() string {
	words := []string{beginnings[w.Begin]}
	if w.Founding {
		words[0] = "empty logs"
	}
	for _, b := range [...]struct {
		n    int
		what string
	}{{int(w.MaxTerm), "terms"}, {int(w.MaxRecords), "records"}, {w.InFlight, "datagrams"}, {w.Ticks, "time-outs"},
		{w.Jumps, "jumps"}, {w.Proposals, "proposals"}, {w.Crashes, "crashes"}, {w.Dups, "repetitions"},
		{w.HandOvers, "hand-overs"}, {w.Wipes, "lost disks"}, {int(w.Ring), "records in a ring"}} {
		if b.n > 0 {
			words = append(words, fmt.Sprintf("%s %d", b.what, b.n))
		}
	}
	for _, b := range [...]struct {
		on   bool
		what string
	}{{w.FastVotes, "votes stored at once"}, {w.FastSync, "synced at once"}, {w.SlowReport, "disks report late"},
		{w.Distinct, "nodes told apart"}} {
		if b.on {
			words = append(words, b.what)
		}
	}
	return strings.Join(words, ", ")
}

// The bounds of all worlds.
const (
	maxTerm    = 9
	maxRecords = 12
	maxNet     = 16 // datagrams under way, with those to be lost at once
)

// recordBytes is the length of every record: the core sees positions only.
const recordBytes = 64

// maxMessage and ringBytes are options that never bind, but for World.Ring.
const (
	maxMessage = 16
	ringBytes  = 1 << 16
)

// A budget counts what may still happen: one of the fields of World each, four bits.
type budget uint32

const (
	costTick = iota
	costJump
	costProposal
	costCrash
	costDup
	costHandOver
	costWipe
	costNothing
)

func (w *World) budget() (b budget) {
	for i, n := range [...]int{w.Ticks, w.Jumps, w.Proposals, w.Crashes, w.Dups, w.HandOvers, w.Wipes} {
		b |= budget(n&15) << (4 * i)
	}
	return b
}

// pay takes one of a kind; false when there is none left.
func (b budget) pay(cost uint8) (budget, bool) {
	if cost == costNothing {
		return b, true
	}
	if b>>(4*cost)&15 == 0 {
		return b, false
	}
	return b - 1<<(4*cost), true
}
