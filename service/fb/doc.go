// Package fb is what the FlatBuffers compiler makes of the schema in service: transactions. All files but this one are
// generated; `go generate lockstep/service` writes them again.
//
// # Purpose
//
// Package service has functions for whoever sends transactions and reads their responses. An accessor here checks nothing:
// what came from outside is verified before (package flat).
package fb
