// Package transport is the seam between Lockstep and the network: datagrams in, datagrams out, in batches.
//
// # Purpose
//
// Everything above speaks to a Transport and does not know which one it has:
//
//	          replica, sequencer, client
//	                 |      ^
//	   Sender.Next, Commit, |  Receive, Release
//	          Flush  |      |
//	                 v      |
//	   +--------- Transport ----------+
//	   |          |         |         |
//	OpenUDP    OpenXDP   NewRelay   NewMemory
//	kernel     AF_XDP    rings to   in-process network
//	sockets              a network  for tests, seeded
//	                     thread     loss and delay
//
// A transport carries bytes. Whether they are one of our datagrams is decided above it, by the one function that
// validates datagrams for all of them. What a transport does promise: no datagram is delivered in part, and the
// multicast that a transport sends does not come back to itself.
//
// # Thread ownership
//
// A transport belongs to one thread at a time; no method may be called from two threads at once. A Sender belongs to
// the thread of its transport. A Relay has two ends, each owned by its own thread. The in-process network may be used
// from any number of threads, each end point from one.
//
// # Memory ordering
//
// Only the relay hands data between threads, and only through the rings of package ringbuf: what is written before a
// Publish is seen after the Poll or Next that takes it.
//
// # Failure behaviour
//
// Datagrams get lost; that is not an error but a count, by reason (Counters). Addresses that cannot be reached are
// counted and forgotten. Err is set only when the transport will never work again (its descriptor is gone); the owner
// then stops. Opening fails with one sentence that names the address or the port and says what to do.
//
// # Limits
//
// IPv4 only. A datagram is never fragmented: MaxPayload is the interface's MTU less 28 bytes of headers, the MTU is
// taken as 9000 at most, and as 1500 on loopback unless configured. Multicast does not leave the local network (TTL 1).
// Queues are bounded; a full one is counted, never waited for.
package transport
