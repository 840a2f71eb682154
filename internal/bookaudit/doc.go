// Package bookaudit checks what an order book has told its clients against itself.
//
// # Purpose
//
// An auditor reads the JSON lines of `lockstep journal dump --outputs`, of a whole log from its first record on, and
// nothing else: no code of the order book, its schema or its matching engine is used, so that what is wrong there cannot
// be wrong here in the same way. It keeps an account of every open order from the reports alone and says what does not
// add up:
//
//   - every message that enters, changes or cancels an order is answered, once, and the answer fits what was asked
//   - order numbers and execution numbers are dense: none is missing, none comes twice
//   - every execution has two sides, in one record: two orders, opposite sides of one instrument, the same price and
//     quantity, neither beyond its limit; market events say the same of it
//   - of every order, what was accepted is what executed, was canceled and is open; nothing happens to one that is closed
//   - what a session leaves behind when it ends is gone, unless it said that it stays
//
// # Thread ownership
//
// An Auditor belongs to one goroutine.
//
// # Failure behaviour
//
// A line that is no record of a dump is an error. What does not add up is a Finding, with the record's number; the first
// findings are kept, all are counted.
//
// # Limits
//
// Memory is that of the open orders and sessions. Orders in transactions are not compared with what was asked for: a dump
// does not show that.
package bookaudit
