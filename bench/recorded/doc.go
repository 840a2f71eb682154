// Package recorded reads order flow that somebody recorded, and plays it to the order book.
//
// # Purpose
//
//	CSV ──┐                            ┌── Definitions: the instruments, to be defined first
//	      ├─> Read ── Flow (in memory) ┤
//	ITCH ─┘                            └── Player (one for each session): encoded requests, and when each is due
//
// A CSV file says what users asked for: orders, cancels, replacements. An ITCH 5.0-style file says what a venue published:
// orders that came to rest, what executed of them, what was taken off. From both come the same requests of the order
// book; what is no order entry, or about an order that the file does not have, is left out and counted by name.
// docs/recorded-flows.md says it field by field. Sample makes up a recording from the seeded flow of package orderflow, in either form.
//
// # Thread ownership
//
// A Flow is not changed once it is read: any thread may use it. A Player belongs to one thread, and Next does not allocate
// once its builder has grown.
//
// # Failure behaviour
//
// A file that cannot be read as what it says it is gets an error with the line or the byte, what is wrong there, and what is
// wanted. No file makes it panic.
//
// # Limits
//
// MaxMessages requests, MaxInstruments instruments, MaxUsers users, lines of MaxLine bytes, MaxBytes of the file (of what
// it unpacks to, when it is compressed). A flow takes about 100 bytes of memory a message.
package recorded
