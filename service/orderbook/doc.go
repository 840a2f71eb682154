// Package orderbook is the order book service: orders of many kinds, matched by price and then time.
//
// # Purpose
//
// A message is an OrderRequest of order.fbs; a response is one OrderEvent. What orders do is the matter of package
// match, the engine; this package is what stands between it and the log:
//
//	message ── DecodeRequest ──> Book ── account of the session ──> match.Engine
//	                              │                                     │ events, in order
//	 response to each party <─────┤ <── private: to the session bound to the account
//	 response to subscribers <────┘ <── public: one response a record and subscriber, numbered
//	 timer records ──> OnTimer ──> Engine.Continue, Engine.Expire
//
// Every message is answered: by what the engine reports, or by Rejected with a reason. What does not verify as a
// table is Rejected(Malformed). docs/orderbook.md says what every order, state and limit does; docs/wire.md (Order
// entry) has the tables.
//
// # Accounts and sessions
//
// Orders belong to accounts. A session acts for one: from its opening for an account of its own, made of its id, and
// after Login for the one that it named. Reports go to the session that logged in to the account last; the one before
// is told LoggedOut, and acts for its own account from then on. When a session ends, or logs in elsewhere, the orders
// of its account are canceled (Disconnected), unless it said at its login that they stay. Nobody is told what happens
// to the orders of an account without a session: those responses go to session 0, nowhere, and who replays a log sees
// them. Any session may log in to any account, and send the commands about instruments, limits and the kill switch:
// there is no authorisation.
//
// # Timers
//
// Two deadlines: the earliest expiry of all open orders, and "now" while the engine has work left that did not fit
// into one record. Each record does a bounded part.
//
// # Thread ownership
//
// A Book belongs to the driver's thread. Encoders and decoders belong to whoever owns the builder they are given.
//
// # Failure behaviour
//
// Nothing that a client sends makes it fail. In a transaction, Check refuses what Apply would refuse, and what is
// about instruments, limits and the kill switch. Snapshots that do not restore to the book they were written from are
// refused.
//
// # Limits
//
// Those of Options, MaxSubscribers, MaxListed, MaxDepth; MaxBytes of answers to one record: market events beyond
// that, or beyond MaxMarket in a response, are left out and counted, and the subscriber asks for the depth. They
// change answers: the same on every node. Memory is allocated when the book is made, and when more sessions are open
// than ever before.
package orderbook
