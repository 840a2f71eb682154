// Package sim runs whole clusters on one goroutine, from one number.
//
// # Purpose
//
// A world is made from a seed: production nodes (node.OpenOn with Machine.Inline), production clients, and around them
// a network, disks and clocks that misbehave as the seed says. The same seed gives the same run, event by event; a
// failure is reproduced by its seed. docs/testing.md describes the faults, the checks and how to use it.
//
// # Thread ownership
//
// A World belongs to one goroutine and shares nothing with others: several may run at once.
//
// # Diagram
//
//	          events, by virtual time
//	packets --------.      |      .-------- faults (nemesis), within a budget
//	                v      v      v
//	clients      agents of each node: replica+service+sequencer | journal | watermark | vote
//	   |                   |                  |
//	   v                   v                  v
//	history            checkers            disks (vfs.Mem, crashable) behind vfs.Failing
//
// Every agent of every process is invoked on its own, at times of its own, so that threads interleave in any order, and
// any of them can hang. Time moves to whatever is due next.
//
// # Failure behaviour
//
// The first broken check ends a run; Result.Failure says what, Result.Trace holds the events before it, one a line.
//
// # Limits
//
// Virtual threads switch between duty cycles, never within one, so that data races are not found here (the race
// detector finds those), and a crash happens between two duty cycles or at an operation that changes a disk.
package sim
