// Package lock is the lock service: exclusive locks with fencing tokens, and announcements by which programs find each
// other.
//
// # Purpose
//
// A message is a Request of lock.fbs. A lock has a name, at most one holder, a value that the holder chose (where it
// is to be reached, say), and sessions that wait for it in the order in which they came. Whoever is refused is told
// who holds it. Under the same name any number of announcements can stand, which exclude nobody. Sessions subscribe to
// the changes of a name, or of all names that begin alike.
//
// The token of a lock is the number of the record that granted it: of two holders of the same lock the later one
// always has the greater token, so that what it protects can turn away whoever was one before (fencing). A holder is
// named by name and token.
//
// # Life of a hold
//
//	Acquire ──> waits ──> holds ──> gone: Release by token | time to live over | session ended (not if kept)
//	              └─────> gone: Release by token | waited long enough | session ended
//	Announce ───────────> stands ─> gone: as a lock
//
// What runs out does so by a record: not before its time, and until that record is applied it is held, can be renewed,
// and is named in refusals. The holds of a session that ends are released with the record that ends it, in the order
// in which they came about, as far as what that causes fits into one record; the rest follow at once, with records of
// timers.
//
// # Layout
//
//	tree (internal/btree) ── name ──> lock ── holder, waiting, announced ──> holds
//	owners, a tree by session ──────> the holds that end with it
//	deadlines (service.Deadlines) ──> the hold that runs out first
//
// Holds lie in one array and stand in lists: of their lock, of their session, and of all in the order in which they
// came about, which is that of snapshots.
//
// # Thread ownership
//
// A Table belongs to the driver's thread. Encoders and decoders belong to whoever owns the builder they are given.
//
// # Failure behaviour
//
// Every message is answered; nothing that a client sends makes it fail. A refusal changes nothing. Snapshots that do
// not restore to the table they were written from are refused.
//
// # Limits
//
// Those of Options, and MaxName, MaxValue, MaxTimeMs. One change causes one event for each session that subscribed:
// with the value if that is no more than 96 KiB for all of them, else without. A record ends and grants locks until it
// has caused that much, then leaves the rest to the next. Memory is allocated when there are more holds than ever
// before; in a steady state none is.
package lock
