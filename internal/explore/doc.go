// Package explore walks every state that small clusters of production cores can get into.
//
// # Purpose
//
// The consensus core is a pure state machine (package replica): what ships can be walked like a model. A World is three
// nodes and bounds on what may happen to them. Explore walks, breadth first, every order of what may happen next: any
// datagram under way is delivered (or never is), or is delivered and stays under way; a node's time-out passes; the
// state file, the disk or a cut completes; a client record is proposed; a process dies, with any part of what was not synced
// left, and starts again; a leader is told to hand over; a disk is lost. In every state it checks what must always hold
// between nodes, in every step what must always hold of one (check.go, watch.go), and from some states that the cluster
// gets well again when nothing goes wrong any more (calm.go). docs/consensus.md has the figures.
//
// # Diagram
//
//	state: 3 node numbers, message numbers, budget         tables: what the numbers stand for
//
//	layer of states at depth d --expand--> (node, message)  --memo-->  effect: node', messages, or what is wrong
//	        ^                              (node, action)   --edges->     |  found out once, by the production core
//	        |                                                             v
//	layer at depth d+1 <--new?-- visited: hash, least of all renamings <--check: the three nodes against each other
//
// What happens to a node depends on nothing but the node, so that each (node, action) pair is stepped once, however
// many states it occurs in: some ten thousand nodes make some ten million states.
//
// # Thread ownership
//
// Explore runs on the caller's goroutine and shares nothing.
//
// # Failure behaviour
//
// The walk ends at the first thing that is wrong. As it is breadth first, Result.Script is a shortest way there, in
// lines to be read. A world that cannot begin, one with more than 65,536 different messages, and a datagram that no
// world knows are programmer's errors: panics.
//
// # Limits
//
// What is walked is exact, but for this:
//
//   - Bounds. Terms, records, steps of time, faults and datagrams under way are limited by World. What would leave the
//     bounds is counted (Result.Beyond) and not walked. A datagram too many is lost; every choice of which is walked.
//   - A record is 64 bytes and a datagram carries one: the core sees positions only. Ranges that begin or end elsewhere
//     are walked by the random schedules of package replica and by the simulator.
//   - Equal datagrams under way are one. Delivering one twice is an action of its own, with a budget.
//   - A crash and the start after it are one step; a node that is down is one to which nothing happens.
//   - Full and hung disks, clocks that are off, hashes of the service and orders of an operator are not walked.
//   - Clocks. A node's clock stands but for two actions: on to its next deadline, and on by the shortest election
//     time-out with all deadlines passed at once. Clocks of different nodes are never compared, as in the core. All
//     waits are of one to three steps of time, so that random delays draw from few values.
//   - Forgetting. After each action the core is put into its normal form (replica.Core.Normalize): what is too long ago
//     to matter is forgotten, and the random source begins again from (run, incarnation, term).
//   - Names. States that differ by a renaming of the nodes are one: the core has no order of nodes (tests in packages
//     replica and here hold that), but in which server a failed catch-up tries next. A world with catch-ups tells nodes
//     apart (World.Distinct).
//   - Hashes. A state is known by 64 bits, the least of six (one a renaming) where nodes are not told apart. Two of n
//     states have the same with a probability below 3.3 n^2 / 2^65: less than one in 1,000 for 100 million. A state
//     lost so would have to be the only way to something wrong.
package explore
