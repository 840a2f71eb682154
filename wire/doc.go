// Package wire is the binary protocol: the layout of records and datagrams, how they are written, and how they are
// checked before anything looks at them.
//
// # Purpose
//
// Layouts are declared once, as FlatBuffers schemas in wire/*.fbs, from which a client in any language generates its
// own; package fb holds what flatc makes of them for Go. Fixed layouts are FlatBuffers structs, read and written in
// place through the generated accessors: no builder, no allocation. This package puts plain Go structs over them: Put
// writes one, Decode reads one and says whether it is well formed. What services are sent, and must evolve, are tables
// of schemas of their own, which package flat verifies. docs/wire.md describes every layout and the flow of a session;
// docs/journal-format.md has the record on disk.
//
//	schema            Go                            what it is
//	record.fbs        Record, Chain                 the unit of the log, and the hash chain it hangs in
//	                  TermRecord, Config,            payloads of the cluster's own records
//	                  SessionOpen, Reason
//	datagram.fbs      Header, Seal, Validator       every datagram's header, and the one gate it passes
//	                  Log, Status, Nak, Align, ...  bodies between nodes
//	client.fbs        Connect ... Redirect          session set-up
//	                  Messages, Message,            what flows within a session, packed up to the MTU
//	                  Answers, Answer
//
// A datagram's way through this package:
//
//	bytes --Validator.Validate--> Header + body --Decode / NextMessage--> values
//	             | Drop                                 | false
//	             v                                      v
//	        counted by reason                    counted as DropBody
//
// # Thread ownership
//
// Nothing here holds state but Chain, which belongs to whoever appends or verifies. A Validator is read only once it
// is made. Views that Decode, NextMessage, NextAnswer and Payload return belong to whoever owns the bytes.
//
// # Failure behaviour
//
// Bytes from outside never panic and never allocate: a Decode says false, Validate a Drop, Verify a Verdict. After a
// false the struct may be partly filled and is not to be used. Put, Append and Seal panic on a buffer that is too
// small, and Append on a record that cannot be next: programmer errors.
//
// # Limits
//
// MaxNodes voters; a payload of MaxMessage bytes in a record; a datagram of MaxDatagram bytes, in practice the MTU; a
// packed message or answer of MaxPacked bytes; a client name of MaxName bytes.
package wire
