// Package ringbuf holds the rings that join threads: SPSC for values of one type, MessageRing for byte messages of
// any length, and LogRing, the single-writer ring that carries the log itself.
//
// # Purpose
//
// Data moves between threads without a lock, an allocation or a system call. Every index has exactly one writer;
// the other side reads it, as seldom as it can, and keeps what it read (the cached peer index). Both sides make
// their progress visible once a batch, not once an element.
//
//	producer                        ring                        consumer
//	Offer, Offer, Offer, Publish -> [ . . 1 2 3 . . . ] -> Peek, Advance, Peek, Advance, Release
//	                                      ^head  ^tail
//
// LogRing is a window of the log's byte stream: position p lives at p modulo the size. Its memory is mapped twice,
// back to back, so that any range up to the size is one slice and never wraps:
//
//	| 0 ........ size | size ...... 2*size |       both halves are the same pages
//	            [a view that never wraps]
//
// # Thread ownership
//
// SPSC and MessageRing: one producing thread, one consuming thread. LogRing: one writing thread; any number of
// reading threads, of which those with a gate hold the writer back, and the others copy what is still there (Copy).
// The thread in either role may change only with a happens-before edge between the two threads.
//
// # Memory ordering
//
// A Cursor is written by an atomic store and read by an atomic load; both are sequentially consistent in Go, so a
// store is more than the release that the rings need: whoever publishes and then looks whether the other side is
// parked (package agent) needs no further fence. Everything written before a Store is seen by whoever Loads it.
// LogRing.Copy relies on the total store order of amd64 when the memory is mapped; on other processors, and on
// memory from the Go heap, it takes a lock instead, so that it is right everywhere and the race detector can judge.
//
// Cursors are kept 128 bytes apart, since processors fetch cache lines in pairs. They live on the Go heap, while
// the bytes may be mapped outside of it: the race detector does not see mapped memory, which is why the
// constructors take their memory, and the tests hand them both kinds.
//
// # Large pages
//
// Map and MapLog take pages of 2 MiB for what is that large: from the pool that the machine has set aside, else those that
// the kernel makes by itself, else small ones; Pages says what it came to and why. All of them are present when Map and MapLog
// return: what the machine cannot give is an error there and no fault later. A page that nobody may touch lies on each side.
//
// # Failure behaviour
//
// A full ring says so (false, nil) and changes nothing. Only misuse by the calling code panics: a size that is not
// a power of two, a message that can never fit, a view longer than the ring, a publication of what was never
// prepared. Mapping memory can fail, with an error that says how much was wanted.
//
// # Limits
//
// Sizes are powers of two. SPSC and MessageRing count from any start and wrap at 2^64. LogRing positions are byte
// offsets of the log and do not wrap. A message is at most half a MessageRing, less its header.
package ringbuf
