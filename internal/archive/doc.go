// Package archive keeps a copy of a cluster's log elsewhere, and makes nodes from it.
//
// # Purpose
//
// Ship copies what a node's log has that the archive lacks, and its verified snapshots; Check looks whether the archive is
// whole; Restore builds a node's directory from it, up to a position or a time. An archive is a directory of plain files,
// on any file system that has rename:
//
//	journal/<position>.seg   the log, in segments as a node has them (docs/journal-format.md), sparse behind its end
//	snapshot/<position>/     snapshots, as a node has them
//	watermark                how far it goes, as a node has it: all that reads journals reads archives
//	<position>/              a later stretch of the log: journal, snapshot and watermark of its own
//	MANIFEST                 cluster, how far it goes, the SHA-256 of each segment's log and of each snapshot; JSON, and the
//	                         SHA-256 of that
//	lock                     one process ships at a time
//
// # What is shipped
//
// Every record below the node's watermark (it is synced there) and below commit (the cluster never takes it back):
// a live node cuts only what lies above commit, so what is shipped is never cut. Every record is verified, in the
// chain, as it is read. Snapshots of which a record that may be shipped says that a majority has verified them.
//
// A node keeps a part of its log only. Where the archive ends before that part begins, a new stretch is begun with it, if
// the node has a verified snapshot in it: then the state there is known. Else ErrGap.
//
// # Order
//
// Log bytes are written and synced first, a snapshot is published whole; then the manifest that speaks of them is written
// aside, synced, renamed and the directory synced; then the node is told. An interrupted copy leaves bytes that no
// manifest speaks of, and the next run writes them again. The last segment grows from run to run; what a manifest says of
// it is a prefix of what the file holds.
//
// # Restoring
//
// A node is built from the older of the two newest sound snapshots at or below the place asked for, and gets both: as a node that
// runs keeps them, so that it can fall back. Without two, from position 0, if the log begins there.
//
// # Thread ownership
//
// Everything belongs to the caller's goroutine.
//
// # Failure behaviour
//
// ErrHistory when node and archive hold different records at one place: nothing is written. ErrDamaged when files of
// the archive are not what the manifest says; Ship with Check writes them again from the node, and goes on with the rest
// where the node no longer has them. The node may drop log at any moment. A directory that Restore could not finish has no
// identity, so no node runs on it; Restore goes on with it.
//
// # Limits
//
// Memory: an entry for each segment and snapshot, and buffers of about 2 MiB.
package archive
