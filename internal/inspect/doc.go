// Package inspect reads journals for people and scripts: selections of records, records as JSON, statistics, following
// a log that is being written, comparing two.
//
// # Purpose
//
// What `lockstep journal` shows, snapshots too: which there are, what the log says of them, whether they are sound.
// A log may begin anywhere: what comes before its first record is gone. Everything works on the directory of a node,
// running or stopped, or on an archive:
// nothing is changed, no lock is taken.
//
// # A log that is being written
//
// A reader beside the writer sees the log up to where its records end at that moment: part of a batch may be there.
// That is no damage, and the end says so. What a node has synced but the cluster has not committed may be taken back
// by a cut: a walk that this happens to is told (ErrCut), Follow goes back by itself.
//
// # Thread ownership
//
// A Log belongs to one goroutine, any.
//
// # Failure behaviour
//
// journal.ErrCorrupt where synced records are damaged or gone; what comes before them is shown. ErrCut as above.
//
// # Limits
//
// Memory does not depend on the size of the log: a window of 512 KiB, an entry for each segment, and what Follow
// remembers of the last records to find its way back after a cut.
package inspect
