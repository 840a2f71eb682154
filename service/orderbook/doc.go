// Package orderbook is the order book service: limit orders and cancels, matched by price and then time.
//
// # Purpose
//
// A message is an OrderRequest of wire/order.fbs; a response is one OrderEvent. A new order is answered by Accepted
// (with what will rest on the book), then one Executed to each party for every execution, the new order's first; or
// by Rejected. A cancel is answered by Canceled or Rejected. What does not verify as a table is Rejected(Malformed).
// An execution happens at the price of the order that was there before. Orders of one session may execute against
// each other. A session that closes has its orders taken off the book.
//
// Everything is an integer (prices in ticks, quantities in lots) and depends on the messages and their order only:
// same log, same book, same responses, byte for byte.
//
// # Layout
//
//	instrument ── levels [price] ── head ──> order <──> order <──> order ── tail      oldest first
//	    │                                      │
//	    ├─ bids, asks: sets of prices          └── every order is also in the list of its session,
//	    │  (three steps of bitmaps)                and in one table (session, client order id) -> order
//
// All orders lie in one array, made at the start, and refer to one another by index. Entering, executing and
// cancelling take a few steps whatever the size of the book, and allocate nothing.
//
// # Thread ownership
//
// A book belongs to the driver's thread. Encoders and decoders belong to whoever owns the builder they are given.
//
// # Failure behaviour
//
// Every message is answered; nothing that a client sends makes it fail. Snapshots that do not restore to the book
// they were written from are refused.
//
// # Limits
//
// Those of Options: instruments, prices, quantities, resting orders (a new order is Rejected(TooManyOrders) while the
// book is full, even if it would execute at once), executions of one new order (what is left then, if it would still
// meet an order, is Canceled). They change answers: the same on every node.
//
// The table is keyed by client order ids, which clients choose, with a hash that is public: a client could choose
// ids that collide and make its own look-ups slow.
package orderbook
