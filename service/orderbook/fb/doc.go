// Package fb is what the FlatBuffers compiler makes of the schema of the order book: accessors for every table. All files
// but this one are generated; `go generate lockstep/service/orderbook` writes them again.
//
// # Purpose
//
// Package orderbook puts plain Go structs over the tables, so that other packages hardly need this one: for the names of
// numbers, as String gives them. An accessor checks nothing.
package fb
