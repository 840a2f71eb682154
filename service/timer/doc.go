// Package timer is the timer service: timers with names, that fire once or again and again, and tell who wants to know.
//
// # Purpose
//
// A message is a Request of timer.fbs, a response a Response. docs/services.md says what each command means. A timer
// belongs to the session that started it, and ends with it, or is kept. When it falls due, by a record, its session and
// every session that has subscribed to its name are told, each once: the owner first, then the others in the order of
// their numbers.
//
//	Start ──> timers by name ──> service.Deadlines ──> record ──> Fired ──> owner, subscribers
//	              ^                                                  │
//	              └──── periodic: due + interval, not now ───────────┘
//
// A periodic timer does not drift: it is due at its first deadline plus whole intervals, whenever the records came.
// Periods that ended while there was no record (no leader, say) are not made up for: one firing stands for all, and
// says how many were skipped.
//
// # Thread ownership
//
// A Service belongs to the driver's thread. Encoders and decoders belong to whoever owns what they are given.
//
// # Failure behaviour
//
// Every message is answered; nothing that a client sends makes it fail, and a request that is refused changes nothing.
//
// # Limits
//
// Options, and the constants beside them; all memory is allocated when the service is made. How often all periodic
// timers together may fire in a second is bounded (Options.Firings): else a few thousand that are kept, of 1 ms each,
// would have log and apply busy for ever. What each counts for follows from its interval alone. How many timers one
// record fires is bounded (512 timers, 512 KiB of responses, 16384 looks at subscriptions); the rest follows with the
// next. Names are found by hashes that are public: a client could choose names that collide, and make look-ups slow.
package timer
