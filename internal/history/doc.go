// Package history decides whether what clients saw is linearizable.
//
// # Purpose
//
// A replicated log reveals the order of its operations: every one that took effect has a sequence number. What is left
// to check is that this order respects real time, that no two operations have one place, and that nothing which was
// acknowledged is missing. That takes n log n steps, not the exponential search that a history without such numbers
// needs.
//
// CheckWindows has the search done as well, by porcupine, on parts of the history: the two must agree.
//
// What services promise beyond that is here as well, without any service: the key/value store's (ReplayKV by sequences, SearchKV by
// porcupine without them), Locks, Queues, Timers. They are told of answers in the order of the log, and say which cannot be.
//
// # Thread ownership
//
// Pure functions.
//
// # Failure behaviour
//
// Check returns the first contradiction it finds, with both operations in it.
package history
