// Package mixflow draws commands for the key/value store, locks, queues, timers, and transactions of several of them, as random
// clients send them.
//
// # Purpose
//
// A Flow is one client's way with one service: Next draws a command, Heard takes what came back, so that later commands name
// versions, tokens and messages that there are, or were. Names are few and times short, so that clients meet. Load for the
// simulator and the system tests, as package orderflow is for the order book.
//
// # Thread ownership
//
// A Flow belongs to one goroutine. The same seed and the same answers give the same commands.
package mixflow
