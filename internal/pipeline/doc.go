// Package pipeline measures what a message costs the processors of a cluster, with no kernel in it.
//
// # Purpose
//
// Run makes whole clusters of a leader and two followers on one goroutine: the production agents of every node, over a
// network in memory, on disks that keep nothing, driven one duty cycle after the other; those of threads that block while nothing
// is to be done (journal, watermark, vote, snapshots) every othersEveryNs. What is measured is the time of the
// nodes' agents alone, not that of the client, for each message and node; how many allocations a message takes; and, where the
// kernel gives hardware counters, how many instructions. `lockstep bench pipeline` prints it.
//
// Rows of four scenarios: batches of messages; many sessions in turn; a long journal; many open orders in the book. All but
// the first say whether the cost stays the same: each is measured in turn with the first of its kind, and has the ratio.
//
// # Diagram
//
//	client.Mux --(transport.Network)--> node 1, 2, 3: node.Machine (inline; void instead of a disk)
//	  turn():  send a batch, then until it is answered: every agent of every node once (timed), the clients once (not timed)
//
// # Thread ownership
//
// Everything is on the caller's goroutine, which is locked to its thread: hardware counters are a thread's.
//
// # Failure behaviour
//
// The first error ends it: an agent's, a session that is closed, a message that is not answered within many cycles.
//
// # Limits
//
// One goroutine shares one core's caches among three nodes, and a message costs no wake-up, no system call, no interrupt: it is
// what the code costs, not what a cluster costs. Time is virtual: it moves by what has passed, at most by maxStepNs a cycle,
// so that a process that was stopped does not elect another leader.
package pipeline
