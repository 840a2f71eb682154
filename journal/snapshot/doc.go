// Package snapshot keeps snapshots on disk: the state of a node's services at a position of the log, each in a directory
// of its own.
//
// # Purpose
//
// A snapshot is a stream of bytes and a manifest that says what it is: of which cluster, at which place of the log, with
// which digest, how long and with which SHA-256. The store writes them aside and publishes them whole, finds them again,
// checks them, and hands them out. What stands in the stream is service's to know; which of them may be relied upon, and
// when one may go, is the node's. docs/journal-format.md has the layout and the argument why a crash leaves nothing half.
//
// # Diagram
//
//	snapshot/<position>.tmp/   Create: written, then Publish: data synced, manifest synced, directory synced, renamed
//	snapshot/<position>.part/  Download: the same, but it outlives a restart and goes on where it was
//	snapshot/<position>/       data, manifest: published
//	snapshot/<position>.bad/   SetAside: damaged, or not what it says; the newest one only
//
// # Thread ownership
//
// Store may be used from any thread. A Writer belongs to one thread at a time: it is handed over from who writes it to who
// publishes it. Write of a Writer that Create made does not wait for the disk; the rest does.
//
// # Failure behaviour
//
// An error while a snapshot is written or published concerns that snapshot alone: nothing speaks of it yet, and Abort
// removes it. It is never tried again on the same file: another snapshot is another file. Damage that Open finds in a
// manifest is set aside and told (Store.Damage); damage in the data is found by whoever reads it, at the latest with the
// last bytes. Arbitrary bytes in any file lead to ErrDamaged or ErrForeign, never to a panic.
//
// # Limits
//
// A manifest is at most 4 KiB. Memory does not depend on the size of a snapshot: a manifest each, and a buffer of 256 KiB
// while one is checked.
package snapshot
