// Package fb is what the FlatBuffers compiler makes of the schemas in wire: accessors for every layout. All files but
// this one are generated; `go generate lockstep/wire` writes them again.
//
// # Purpose
//
// Package wire puts checked Go structs over the fixed layouts, so that other packages hardly need this one. An
// accessor checks nothing.
package fb
