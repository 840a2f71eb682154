// Package match is the matching engine of the order book: what is entered, cancelled and replaced, what executes, and
// what everybody is told of it. It knows nothing of sessions, records or messages; the service around it does.
//
// # Purpose
//
// An Engine is a deterministic state machine over orders of many instruments: price-time priority, auctions, stops,
// icebergs, limits of accounts. The rules are those of docs/orderbook.md. Everything is an integer: prices in ticks,
// quantities in lots, times in ns. Time enters as an argument (the stamp of the record) and nowhere else.
//
// # Layout
//
//	instrument ─┬─ ladders: bids, asks, buy stops, sell stops ── level of a price ── head ─> order <─> order ── tail
//	            ├─ levels for orders without a price: market buys, market sells, elected stops
//	            └─ open orders by number: Day orders, others             every order is also in the list of its account,
//	                                                                    in one table (account, client order id) -> order,
//	                                                                    and if it is GTD in the heap of expiries
//
// Orders lie in one array of two cache lines each, made at the start, and refer to one another by index. A ladder has its
// prices in four steps of bitmaps of 64, of which only what is in use is there, and knows its best. Entering, executing and
// cancelling take a few steps whatever the size of the book, and allocate nothing; only nodes of ladders are made while a
// book spreads to prices as far apart as it never had them. Work that could be long (an auction's price and its end, elections, the
// end of the day, switching all off) stops after a bounded part, and Continue goes on.
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
// Those of Options. They change what is answered: the same on every node. Engine.Work says how much a call has done.
//
// The table is keyed by client order ids, which clients choose, with a hash that is public: a client could choose ids that
// collide and make its own look-ups slow.
package match
