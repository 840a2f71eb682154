package wire

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// reseal makes the checksum of the record at the start of b right again.
func reseal(b []byte) {
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:binary.LittleEndian.Uint32(b)], castagnoli))
}

// TestLogRoundTrip appends records of all sizes back to back, and reads the log from its bytes alone.
func TestLogRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var write, read Chain
		var log []byte
		var records []Record
		var payloads [][]byte
		for range rapid.IntRange(1, 20).Draw(t, "records") {
			payload := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload")
			r := Record{
				Timestamp:   write.Timestamp + rapid.Uint64Range(1, 1<<40).Draw(t, "later"),
				Session:     SessionID(rapid.Uint64().Draw(t, "session")),
				Correlation: rapid.Uint64().Draw(t, "correlation"),
				Term:        write.Term + Term(rapid.IntRange(0, 2).Draw(t, "term")),
				Kind:        RecordKind(rapid.IntRange(1, 255).Draw(t, "kind")),
				Flags:       rapid.Uint8().Draw(t, "flags"),
				Service:     rapid.Uint16().Draw(t, "service"),
				Acked:       rapid.Uint32().Draw(t, "acked"),
			}
			dst := bytes.Repeat([]byte{0xa5}, int(Padded(RecordHeaderSize+uint32(len(payload))))+8)
			n := write.Append(dst, &r, payload)
			if dst[n] != 0xa5 || write.Position != r.End() || int(write.Position) != len(log)+n {
				t.Fatalf("%d bytes of %d, chain at %d", n, len(dst), write.Position)
			}
			log, records, payloads = append(log, dst[:n]...), append(records, r), append(payloads, payload)
		}
		for i, b := 0, log; len(b) > 0; i++ {
			var r Record
			n, v := read.Verify(b, &r)
			if v != VerdictOK || r != records[i] || !bytes.Equal(Payload(b, &r), payloads[i]) {
				t.Fatalf("record %d: %v: wrote %+v, read %+v", i, v, records[i], r)
			}
			if RecordLength(b) != r.Length {
				t.Fatalf("RecordLength %d, Length %d", RecordLength(b), r.Length)
			}
			b = b[n:]
		}
		if read != write {
			t.Fatalf("wrote up to %+v, read up to %+v", write, read)
		}
	})
}

func TestAppendLeavesAPayloadInPlace(t *testing.T) {
	var write, read Chain
	dst := make([]byte, 128)
	payload := dst[RecordHeaderSize : RecordHeaderSize+13]
	copy(payload, "already there")
	r := Record{Timestamp: 1, Kind: RecordMessage}
	n := write.Append(dst, &r, payload)
	if _, v := read.Verify(dst[:n], &r); v != VerdictOK || string(Payload(dst, &r)) != "already there" {
		t.Fatalf("%v %q", v, Payload(dst, &r))
	}
}

func TestEveryVerdict(t *testing.T) {
	before := Chain{Position: 4096, Sequence: 7, Timestamp: 1000, Checksum: 0xabcd, Term: 3}
	good := make([]byte, 128)
	after := before
	r := Record{Timestamp: 1001, Term: 3, Kind: RecordMessage, Session: 1, Correlation: 1, Service: 1}
	good = good[:after.Append(good, &r, []byte("hello"))]
	le := binary.LittleEndian
	cases := []struct {
		verdict Verdict
		n       int
		change  func(b []byte) []byte
	}{
		{VerdictOK, 72, func(b []byte) []byte { return b }},
		{VerdictOK, 72, func(b []byte) []byte { return append(b, 1, 2, 3) }},
		{VerdictLength, 0, func(b []byte) []byte { return make([]byte, 64) }},
		{VerdictLength, 0, func(b []byte) []byte { le.PutUint32(b, RecordHeaderSize-1); return b }},
		{VerdictLength, 0, func(b []byte) []byte { le.PutUint32(b, MaxRecord+1); return b }},
		{VerdictLength, 0, func(b []byte) []byte { le.PutUint32(b, 0xffffffff); return b }},
		{VerdictShort, RecordHeaderSize, func(b []byte) []byte { return nil }},
		{VerdictShort, RecordHeaderSize, func(b []byte) []byte { return b[:63] }},
		{VerdictShort, 72, func(b []byte) []byte { return b[:71] }},
		{VerdictShort, 72, func(b []byte) []byte { return b[:64] }},
		{VerdictChecksum, 72, func(b []byte) []byte { b[40] ^= 1; return b }},
		{VerdictChecksum, 72, func(b []byte) []byte { b[68] ^= 0x80; return b }},
		{VerdictPadding, 72, func(b []byte) []byte { b[71] = 1; return b }},
		{VerdictKind, 72, func(b []byte) []byte { b[56] = 0; reseal(b); return b }},
		{VerdictPosition, 72, func(b []byte) []byte { le.PutUint64(b[8:], 4104); reseal(b); return b }},
		{VerdictSequence, 72, func(b []byte) []byte { le.PutUint64(b[16:], 9); reseal(b); return b }},
		{VerdictSequence, 72, func(b []byte) []byte { le.PutUint64(b[16:], 7); reseal(b); return b }},
		{VerdictChain, 72, func(b []byte) []byte { le.PutUint32(b[52:], 0xabce); reseal(b); return b }},
		{VerdictTimestamp, 72, func(b []byte) []byte { le.PutUint64(b[24:], 1000); reseal(b); return b }},
		{VerdictTerm, 72, func(b []byte) []byte { le.PutUint32(b[48:], 2); reseal(b); return b }},
	}
	seen := map[Verdict]bool{}
	for i, c := range cases {
		chain := before
		n, v := chain.Verify(c.change(bytes.Clone(good)), &r)
		if v != c.verdict || n != c.n {
			t.Errorf("case %d: %v and %d, want %v and %d", i, v, n, c.verdict, c.n)
		}
		if want := after; v != VerdictOK {
			if want = before; chain != want {
				t.Errorf("case %d: the chain moved to %+v", i, chain)
			}
		} else if chain != want {
			t.Errorf("case %d: the chain is at %+v, want %+v", i, chain, want)
		}
		seen[v] = true
	}
	if len(seen) != NumVerdicts {
		t.Errorf("%d verdicts fired, there are %d", len(seen), NumVerdicts)
	}
}

// TestEveryBitOfARecordCounts flips every single bit of a record and its padding: none may go unseen.
func TestEveryBitOfARecordCounts(t *testing.T) {
	var c Chain
	b := make([]byte, 128)
	b = b[:c.Append(b, &Record{Timestamp: 5, Term: 1, Kind: RecordMessage}, []byte("abcdefghi"))]
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		var r Record
		if _, v := new(Chain).Verify(b, &r); v == VerdictOK {
			t.Errorf("bit %d flipped: verified", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestAppendPanicsOnWhatNobodyWouldVerify(t *testing.T) {
	for name, f := range map[string]func(c *Chain, dst []byte){
		"no room":   func(c *Chain, dst []byte) { c.Append(dst[:71], &Record{Timestamp: 11, Kind: 1, Term: 2}, []byte{1}) },
		"no kind":   func(c *Chain, dst []byte) { c.Append(dst, &Record{Timestamp: 11, Term: 2}, nil) },
		"old stamp": func(c *Chain, dst []byte) { c.Append(dst, &Record{Timestamp: 10, Kind: 1, Term: 2}, nil) },
		"old term":  func(c *Chain, dst []byte) { c.Append(dst, &Record{Timestamp: 11, Kind: 1, Term: 1}, nil) },
		"too long": func(c *Chain, dst []byte) {
			c.Append(dst, &Record{Timestamp: 11, Kind: 1, Term: 2}, make([]byte, MaxMessage+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Chain{Timestamp: 10, Term: 2}
			defer func() {
				if recover() == nil || c != (Chain{Timestamp: 10, Term: 2}) {
					t.Errorf("no panic, or the chain moved: %+v", c)
				}
			}()
			f(&c, make([]byte, 2*MaxRecord))
		})
	}
}

func TestLongestRecord(t *testing.T) {
	var write, read Chain
	var r Record
	b := make([]byte, MaxRecord)
	if n := write.Append(b, &Record{Timestamp: 1, Kind: RecordMessage}, make([]byte, MaxMessage)); n != MaxRecord {
		t.Fatalf("%d bytes, want %d", n, MaxRecord)
	}
	if n, v := read.Verify(b, &r); n != MaxRecord || v != VerdictOK {
		t.Fatalf("%d %v", n, v)
	}
}

func TestKnown(t *testing.T) {
	for kind := range 256 {
		r := Record{Kind: RecordKind(kind)}
		if want := kind >= 1 && kind <= 9; r.Known() != want {
			t.Errorf("kind %d: Known() = %v", kind, !want)
		}
		if r.Flags = 1; r.Known() {
			t.Errorf("kind %d with a flag is known", kind)
		}
	}
}

func TestChecksumPolynomial(t *testing.T) {
	if got := crc32.Checksum([]byte("123456789"), castagnoli); got != 0xe3069283 {
		t.Errorf("the check of 123456789 is %#x", got)
	}
}
