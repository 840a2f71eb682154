package wire

import (
	"hash/crc32"

	"lockstep/wire/fb"
)

// Sizes of records, in bytes.
const (
	RecordHeaderSize = 64
	// MaxMessage is the longest payload a record may have.
	MaxMessage = 64 << 10
	// MaxRecord is the longest record, padding included.
	MaxRecord = RecordHeaderSize + MaxMessage
	// Alignment is what every record's position and padded size is a multiple of.
	Alignment = 8
)

// castagnoli is the polynomial of every checksum in the log and on the network.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RecordKind says what a record is. Its payload follows from it.
type RecordKind uint8

// The record kinds.
const (
	RecordMessage      RecordKind = 1 // a client's message, for Service
	RecordSessionOpen  RecordKind = 2 // a session begins: SessionOpen
	RecordSessionClose RecordKind = 3 // a session ends: Reason
	RecordAcks         RecordKind = 4 // Acked of a session whose client sends nothing else; no payload
	RecordTimer        RecordKind = 5 // a service's timer fires
	RecordTerm         RecordKind = 6 // a leadership begins: TermRecord; the first record of every term
	RecordConfig       RecordKind = 7 // the cluster's voters and limits: Config
	RecordSnapshot     RecordKind = 8 // a snapshot is asked for, or was agreed about: SnapshotRecord
	RecordSkip         RecordKind = 9 // a position that apply must pass over

	numRecordKinds = 10
)

var recordKindNames = [numRecordKinds]string{
	"invalid", "message", "session-open", "session-close", "acks", "timer", "term", "config", "snapshot", "skip",
}

// String is the kind's name.
func (k RecordKind) String() string {
	if int(k) < len(recordKindNames) {
		return recordKindNames[k]
	}
	return "unknown record kind"
}

// Record is a record's header, decoded. The payload stays where it is (Payload).
type Record struct {
	Length       uint32     // bytes: header and payload, without padding
	Checksum     uint32     // CRC-32C of bytes [8, Length)
	Position     Position   // of its first byte in the log
	Sequence     uint64     // record number, dense from 1
	Timestamp    uint64     // ns since the Unix epoch, strictly increasing
	Session      SessionID  // 0 for the cluster's own records
	Correlation  uint64     // the client's number within its session, dense from 1
	Term         Term       // leadership it was appended in
	PrevChecksum uint32     // Checksum of the record before; 0 for the first
	Kind         RecordKind //
	Flags        uint8      // zero in this version
	Service      uint16     // which service it is for
	Acked        uint32     // the client's cumulative response acknowledgement, modulo 2^32
}

// Known says whether this version knows what the record means. A record that verifies and is not known belongs to a
// newer version: it is replicated and kept like any other, and apply stops at it.
func (r *Record) Known() bool {
	return r.Kind >= RecordMessage && r.Kind < numRecordKinds && r.Flags == 0
}

// End is the position of the first byte behind the record and its padding.
func (r *Record) End() Position { return r.Position + Position(Padded(r.Length)) }

// Padded rounds a length up to a multiple of 8. length is at most MaxRecord.
func Padded(length uint32) uint32 { return (length + Alignment - 1) &^ (Alignment - 1) }

// DecodeRecord reads the header at the start of b, which holds at least RecordHeaderSize bytes. It checks nothing:
// it is for bytes that this node has verified.
func DecodeRecord(b []byte, r *Record) {
	var h fb.RecordHeader
	h.Init(b[:RecordHeaderSize], 0)
	r.Length = h.Length()
	r.Checksum = h.Checksum()
	r.Position = Position(h.Position())
	r.Sequence = h.Sequence()
	r.Timestamp = h.Timestamp()
	r.Session = SessionID(h.Session())
	r.Correlation = h.Correlation()
	r.Term = Term(h.Term())
	r.PrevChecksum = h.PrevChecksum()
	r.Kind = RecordKind(h.Kind())
	r.Flags = h.Flags()
	r.Service = h.Service()
	r.Acked = h.Acked()
}

// RecordLength is the length field of the record at the start of b, which holds at least 4 bytes. It checks nothing.
func RecordLength(b []byte) uint32 {
	var h fb.RecordHeader
	h.Init(b, 0)
	return h.Length()
}

// Payload is the payload of the verified record r at the start of b: a view, not a copy.
func Payload(b []byte, r *Record) []byte { return b[RecordHeaderSize:r.Length:r.Length] }

// encodeRecord writes every field of r but the checksum.
func encodeRecord(b []byte, r *Record) {
	var h fb.RecordHeader
	h.Init(b[:RecordHeaderSize], 0)
	h.MutateLength(r.Length)
	h.MutatePosition(uint64(r.Position))
	h.MutateSequence(r.Sequence)
	h.MutateTimestamp(r.Timestamp)
	h.MutateSession(uint64(r.Session))
	h.MutateCorrelation(r.Correlation)
	h.MutateTerm(uint32(r.Term))
	h.MutatePrevChecksum(r.PrevChecksum)
	h.MutateKind(uint8(r.Kind))
	h.MutateFlags(r.Flags)
	h.MutateService(r.Service)
	h.MutateAcked(r.Acked)
}
