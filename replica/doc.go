// Package replica keeps the log of a cluster of nodes one: it elects a leader, brings the leader's bytes to everybody,
// and says up to where a majority holds them.
//
// # Purpose
//
// Two halves, joined by io.go. The core (Core) is consensus as a pure state machine: Step takes one Input and leaves
// Outputs. It knows the log as positions, terms and checksums, never as bytes. docs/consensus.md states its rules and
// where each is tested. The agent (Agent) is the shell around it: it receives and sends datagrams, writes the log ring
// while following, verifies records, drives journal, state file and catch-up, and tells sequencer and service.
//
//	          Input: LOG, STATUS, votes, records verified, synced, cut, stored, time
//	               |
//	deadlines first, then cells[role][kind]: a handler, or a refusal by name
//	               |
//	          Output: datagrams, store, compare, cut, persist, append, stream, commit, stop
//
//	file          what
//	core*.go      state, Step, dispatch; Clone, Equal, Hash
//	elect.go      canvass, vote, step-down, transfer          (consensus rules 1, 2, 3, 17)
//	align.go      where a follower's log and the leader's part (5)
//	stream.go     the follower: LOG, holes, catch-up          (1, 5, 6)
//	lead.go       the leader: first records, LOG, repair      (3, 4, 6, 17)
//	commit.go     what a majority holds                       (4, 7)
//	diverge.go    whether services have come to the same    (12, 13)
//	snapshot.go   when one is asked for, which is verified  (13)
//	admit.go      identity, incarnations, config records      (8, 14)
//	agent*.go     the shell
//
// # Thread ownership
//
// One thread owns a Core and its Agent. Outputs are views of the core's memory, good until its next Step.
//
// # Memory ordering
//
// The core has none: it is single-threaded. The agent publishes through ringbuf.
//
// # Failure behaviour
//
// What comes from outside is never fatal: it is refused by name and counted (Core.Refused). An invariant that breaks
// leaves OutStop, and the core does nothing from then on. Nothing that carries a term leaves before the state file has
// the term, and no vote before it has the vote.
//
// # Limits
//
// wire.MaxNodes voters; 32 ranges in the reorder window; MaxTerms entries of the term index; 8 config records are
// remembered for cuts; one request to the state file under way. No Step of the stream (InLog, InAppended, InStatus, InDurable)
// allocates.
package replica
