// Package fb is what the FlatBuffers compiler makes of the schemas in wire: accessors for every layout. All files but
// this one are generated; `go generate lockstep/wire` writes them again.
//
// # Purpose
//
// Package wire puts checked Go structs over the fixed layouts, so that other packages hardly need this one. Order
// entry is used directly: tables are built with a flatbuffers.Builder and read with the accessors here, after
// wire.VerifyOrderRequest or wire.VerifyOrderEvent has passed them. An accessor checks nothing.
package fb
