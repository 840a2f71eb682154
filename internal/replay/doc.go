// Package replay runs a log through the services, offline, as a node does.
//
// # Purpose
//
// A Player is the service driver of a node without the rest of it: records of a journal go in one by one, and after each
// the state of the services can be asked for. What a live node reports (the state hash at a position, the chained hash
// of the outputs at fixed points, the record at which apply halted) is found again from its journal, or from an archive.
// Compare plays two logs side by side. A replay begins at position 0 or with a snapshot of the directory, and comes to the
// same state either way. Limits that change what services put out are those of the log.
//
//	journal.Reader ── verified records ──> Player ── service.Driver ──> services
//	                                         └── State after each record
//
// # Thread ownership
//
// Everything belongs to the caller's goroutine.
//
// # Failure behaviour
//
// A record at which apply halts (a service that panics, a kind that this build does not know) ends a replay with
// ErrHalted; where the log names such a record in a skip record, it is passed over as on a node. Where the state comes out
// otherwise than the log says that a majority had it: ErrOtherState. A log that does not begin at position 0 is replayed
// from a snapshot; one that is damaged is passed over, and without any: ErrNoBeginning.
//
// # Limits
//
// Memory is that of a node's services and sessions, and windows of the log; it does not depend on the size of the log.
package replay
