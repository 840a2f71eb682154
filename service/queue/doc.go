// Package queue is the work queue service: messages are put into queues by name, and leased to consumers that do the
// work.
//
// # Purpose
//
// A message is a Request of queue.fbs, a response a Response. docs/services.md says what each command means. In short:
//
//	                  put, no delay                  lease                      delete
//	               ┌────────────────>  ready  ────────────────>  leased  ──────────────────> gone
//	               │                   ^  ^  <────────────────     │                          ^
//	put ───────────┤        delay over │  │   lease over, release  │                          │
//	               └──────> delayed ───┘  └── at most once: ───────┼── gone with its lease ───┤
//	                           ^              past its deadline    │                          │
//	                           └──── release with a delay ─────────┤                          │
//	                                      all attempts used up ────┴──> dead-letter queue, ───┘
//	                                                                    ready there           or dropped
//
// Whoever finds nothing ready may wait: his request is parked and answered when a message is there, first come, first
// served. Nobody waits while a message is ready. A message's id is the sequence of the record that put it; a lease's
// token that of the record that gave it.
//
// # Thread ownership
//
// A Service belongs to the driver's thread. Encoders and decoders belong to whoever owns what they are given.
//
// # Failure behaviour
//
// Every message is answered; nothing that a client sends makes it fail, and a request that is refused changes nothing.
// A session that ends leaves its leases as they are, until their time is over; what it waits for is forgotten.
//
// # Limits
//
// Options, and the constants beside them; all memory is allocated when the service is made. What falls due is bounded
// for each record (512 things, 512 KiB of responses); the rest follows with the next. Names, keys and ids are found by
// hashes that are public: a client could choose names or keys that collide, and make look-ups slow.
package queue
