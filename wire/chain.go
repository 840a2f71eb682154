package wire

import (
	"hash/crc32"

	"lockstep/wire/fb"
)

// Chain is the end of a log: what the next record must fit. The zero value is the empty log. It is a value: a copy is
// a mark that can be gone back to.
type Chain struct {
	Position  Position // end of the last record: where the next one begins
	Sequence  uint64   // of the last record
	Timestamp uint64   // of the last record
	Checksum  uint32   // of the last record
	Term      Term     // of the last record
}

// Verdict says whether bytes are the next record of a chain, and if not, what is wrong first.
type Verdict uint8

// The verdicts, in the order they are looked at.
const (
	VerdictOK        Verdict = iota
	VerdictLength            // the length is below the header's or beyond MaxRecord: these bytes are no record
	VerdictShort             // more bytes are needed to tell
	VerdictChecksum          // the checksum is not that of the bytes
	VerdictPadding           // the padding is not zero
	VerdictKind              // the kind is 0, which no version writes
	VerdictPosition          // it says that it belongs elsewhere in the log
	VerdictSequence          // its number is not the next
	VerdictChain             // it does not follow the record before
	VerdictTimestamp         // its stamp is not above the one before
	VerdictTerm              // its term is below the one before

	NumVerdicts = 11
)

var verdictNames = [NumVerdicts]string{
	"ok", "length", "short", "checksum", "padding", "kind", "position", "sequence", "chain", "timestamp", "term",
}

// String is the verdict's name.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "unknown verdict"
}

// Append encodes the next record into the start of dst, zeroes its padding, and advances the chain. It sets Length,
// Position, Sequence, PrevChecksum and Checksum of r; the caller has set the other fields. A payload that is already
// in its place (dst[RecordHeaderSize:]) is not copied. It returns the padded size.
//
// It panics when dst is too small, when the payload is longer than MaxMessage, and on a record that no reader would
// verify: kind 0, a stamp not above the chain's, a term below the chain's.
func (c *Chain) Append(dst []byte, r *Record, payload []byte) int {
	if len(payload) > MaxMessage {
		panic("wire: Chain.Append: payload longer than MaxMessage")
	}
	length := RecordHeaderSize + uint32(len(payload))
	n := int(Padded(length))
	if len(dst) < n {
		panic("wire: Chain.Append: no room for the record")
	}
	if r.Kind == 0 || r.Timestamp <= c.Timestamp || r.Term < c.Term {
		panic("wire: Chain.Append: kind, timestamp or term does not fit the chain")
	}
	r.Length = length
	r.Position = c.Position
	r.Sequence = c.Sequence + 1
	r.PrevChecksum = c.Checksum
	encodeRecord(dst, r)
	if len(payload) > 0 && &payload[0] != &dst[RecordHeaderSize] {
		copy(dst[RecordHeaderSize:], payload)
	}
	clear(dst[length:n])
	r.Checksum = crc32.Checksum(dst[8:length], castagnoli)
	var h fb.RecordHeader
	h.Init(dst, 0)
	h.MutateChecksum(r.Checksum)
	c.advance(r)
	return n
}

// Verify looks at the record at the start of b, decodes its header into r, and on VerdictOK advances the chain. b may
// be longer than the record. n is the record's padded size as its length field has it; with VerdictShort it is how
// many bytes are needed at least, and with VerdictLength 0. Nothing is trusted: b may be any bytes.
func (c *Chain) Verify(b []byte, r *Record) (n int, v Verdict) {
	n, v = VerifyAlone(b, r)
	if v == VerdictOK {
		v = c.fits(r)
	}
	if v == VerdictOK {
		c.advance(r)
	}
	return n, v
}

// VerifyAlone makes those checks of Verify that need no chain: length, checksum, padding, kind. r is filled once the
// header is there; n is as in Verify. A record that passes was written by a node, but it may belong elsewhere.
func VerifyAlone(b []byte, r *Record) (n int, v Verdict) {
	if len(b) < RecordHeaderSize {
		return RecordHeaderSize, VerdictShort
	}
	DecodeRecord(b, r)
	if r.Length < RecordHeaderSize || r.Length > MaxRecord {
		return 0, VerdictLength
	}
	n = int(Padded(r.Length))
	if len(b) < n {
		return n, VerdictShort
	}
	if crc32.Checksum(b[8:r.Length], castagnoli) != r.Checksum {
		return n, VerdictChecksum
	}
	if !zero(b[r.Length:n]) {
		return n, VerdictPadding
	}
	if r.Kind == 0 {
		return n, VerdictKind
	}
	return n, VerdictOK
}

// fits says whether a record that is good in itself is the next of the chain.
func (c *Chain) fits(r *Record) Verdict {
	switch {
	case r.Position != c.Position:
		return VerdictPosition
	case r.Sequence != c.Sequence+1:
		return VerdictSequence
	case r.PrevChecksum != c.Checksum:
		return VerdictChain
	case r.Timestamp <= c.Timestamp:
		return VerdictTimestamp
	case r.Term < c.Term:
		return VerdictTerm
	}
	return VerdictOK
}

func (c *Chain) advance(r *Record) {
	c.Position = r.End()
	c.Sequence = r.Sequence
	c.Timestamp = r.Timestamp
	c.Checksum = r.Checksum
	c.Term = r.Term
}

// zero says whether every byte is 0.
func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}
