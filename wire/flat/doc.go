// Package flat verifies FlatBuffers tables that came from outside, and puts down fields of those that are made.
//
// # Purpose
//
// The Go FlatBuffers runtime follows offsets without looking whether they stay inside the buffer. So whoever is sent a
// table verifies it first, once; after that no accessor of it, generated or not, can leave the buffer. A Table says
// what a table's fields are, in the order of its schema:
//
//	table Put  { queue: string; payload: [ubyte]; delay: uint64; }
//	table Stop { name: string; }
//	union Command { Put, Stop }
//	table Request { command: Command; }
//
//	var request = flat.Table{flat.UnionType, flat.Union(
//		flat.Table{flat.String, flat.Bytes, flat.U64},
//		flat.Table{flat.String},
//	)}
//	if !flat.Verify(payload, request) { ... }
//	fb.GetRootAsRequest(payload, 0)
//
// What is verified: that root, tables, vtables, vectors and strings lie inside the buffer and are aligned as their
// types demand; that a union's value is there and its type known; that a string ends with a zero byte. What is not:
// values. A number may be out of its range, a string may be empty or no UTF-8, and a field that the sender left out is
// at its default (a union excepted): those are for the service to judge.
//
// PutString, PutBytes and PutTables are for who encodes such tables: what is empty takes no room in a buffer, and is
// read as empty from a table that leaves it out. PutVector puts down what is empty, too.
//
// Where a table is one union, as Request above is, Open verifies it and leads to the union's value, and Finish makes one:
//
//	var of flatbuffers.Table
//	kind, ok := flat.Open(payload, request, &of)
//
// # Thread ownership
//
// A Table is written once and read by anybody. Verify keeps nothing. A builder is that of its caller.
//
// # Failure behaviour
//
// Verify never panics, whatever the bytes.
//
// # Limits
//
// MaxTables tables in a buffer, counted each time one is reached: a buffer whose offsets lead to the same table again
// and again does not cost more. Vectors of tables within vectors of tables count for each. No allocation.
package flat
