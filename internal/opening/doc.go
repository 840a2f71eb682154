// Package opening measures how long a node takes to start, and how large its process is, as its log grows.
//
// # Purpose
//
// An Opening grows the log of one node by orders, has it take snapshots on the way, and then opens the node again and
// again: from each snapshot, and from the beginning. An opening is to cost what follows the snapshot, and memory is not
// to depend on the log at all; `lockstep bench opening` shows both.
//
// # Diagram
//
//	client --(network in memory)--> node.Machine (inline: production agents, real files)    Grow
//	node.OpenOn, again and again                                                            Measure
//
// # Thread ownership
//
// Everything is on the caller's goroutine.
//
// # Failure behaviour
//
// The first error ends it; Close removes what was made.
//
// # Limits
//
// A node keeps its two newest verified snapshots, so there are at most two to open from.
package opening
