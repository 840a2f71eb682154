// Package match is the matching engine of the order book: what is entered, cancelled and replaced, what executes, and
// what everybody is told of it. It knows nothing of sessions, records or messages; the service around it does.
//
// # Purpose
//
// An Engine is a deterministic state machine over orders of many instruments: price-time priority, auctions, stops,
// icebergs, limits of accounts. The rules are those of docs/orderbook.md. Everything is an integer: prices in ticks,
// quantities in lots, times in ns. Time enters as an argument (the stamp of the record) and nowhere else.
//
// # Thread ownership
//
// An engine belongs to one thread. The events that it appends to its list belong to the engine: they are good until
// Reset.
//
// # Failure behaviour
//
// Nothing that is entered makes it fail: what cannot be done is refused with a Reason. A snapshot that an engine cannot
// have written is refused by Restore.
//
// # Limits
//
// Those of Options. They change what is answered: the same on every node.
package match
