// Package bookmodel is an order book as one would explain it, made to be compared with the engine.
//
// # Purpose
//
// A Model does what docs/orderbook.md says, and what service/orderbook/match does: it is one list of open orders, searched
// for everything, written from those rules and not from the engine. A Flow makes up calls of every kind, hostile ones
// among them; a Duel gives them to both and compares all they return, put out and show. A flow at whose end they differ is
// made as short as can be found.
//
//	Source ──> Flow ── Op ──> Duel ──┬──> match.Engine ──┐
//	(random, or a fuzzer)            └──> Model ─────────┴──> the same, or a Difference
//
// The tests that run it are those of service/orderbook/match; `make book-long` has them make ten million calls.
//
// # Thread ownership
//
// Everything belongs to the caller's goroutine.
//
// # Failure behaviour
//
// A difference is returned with the flow that leads to it.
//
// # Limits
//
// A model takes time in proportion to what is open for every call: worlds hold some hundreds of orders at most.
package bookmodel
