package wire

import (
	"bytes"
	"testing"
)

// FuzzDatagram gives bytes to both ends, resealed as well so that the fuzzer reaches what lies behind the check, and
// decodes every body in every way.
func FuzzDatagram(f *testing.F) {
	for _, k := range kinds() {
		f.Add(sealed(k, 0))
		f.Add(sealed(k, 40))
	}
	f.Add(messagesDatagram())
	f.Add(fragmentsDatagram())
	f.Add(answersDatagram())
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		for _, v := range []*Validator{&nodeEnd, &clientEnd} {
			var h Header
			if body, d := v.Validate(b, &h); d == DropNone {
				decodeAll(t, body)
			} else if body != nil {
				t.Fatalf("%v, and a body", d)
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("Validate or a Decode wrote to the datagram")
		}
		if len(b) < DatagramHeaderSize || len(b) > MaxDatagram {
			return
		}
		h := Header{Kind: DatagramKind(b[13]), Cluster: testCluster, Sender: 2, Incarnation: 1}
		if h.Kind.FromClient() {
			h.Incarnation = 0
		}
		Seal(b, &h)
		for _, v := range []*Validator{&nodeEnd, &clientEnd} {
			var got Header
			switch body, d := v.Validate(b, &got); d {
			case DropNone:
				if got != h {
					t.Fatalf("sealed %+v, validated %+v", h, got)
				}
				decodeAll(t, body)
			case DropKind, DropBody:
			default:
				t.Fatalf("a sealed datagram is dropped for %v", d)
			}
		}
	})
}

// decodeAll reads a body as each of the layouts. What is taken must read the same again after it is written again.
func decodeAll(t *testing.T, b []byte) {
	for _, c := range bodies {
		x := c.make()
		if !x.Decode(b) {
			continue
		}
		room := make([]byte, len(b)+MaxConfigSize)
		n := x.Put(room)
		if n > 0 && len(b) >= n && !bytes.Equal(room[:n], b[:n]) {
			t.Fatalf("%s: read %x, wrote %x", c.layout, b[:n], room[:n])
		}
	}
	var a Align
	terms := make([]TermStart, 16)
	if got, ok := a.DecodeTerms(b, terms); ok && len(got) != int(a.Count) {
		t.Fatal("DecodeTerms: another count")
	}
	var m Message
	for rest, ok := b, true; ok; {
		before := len(rest)
		if _, rest, ok = NextMessage(rest, &m); ok && len(rest) > before-MessageHeaderSize {
			t.Fatal("NextMessage does not go on")
		}
	}
	var w Answer
	for rest, ok := b, true; ok; {
		before := len(rest)
		if _, rest, ok = NextAnswer(rest, &w); ok && len(rest) > before-AnswerHeaderSize {
			t.Fatal("NextAnswer does not go on")
		}
	}
}

// FuzzMessages reads any bytes as packed messages, and packs again what it read: the same bytes.
func FuzzMessages(f *testing.F) {
	f.Add(messagesDatagram()[DatagramHeaderSize+MessagesHeaderSize:])
	f.Add(fragmentsDatagram()[DatagramHeaderSize+MessagesHeaderSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		room := make([]byte, len(b))
		used := 0
		for rest := b; ; {
			var m Message
			payload, after, ok := NextMessage(rest, &m)
			if !ok {
				break
			}
			n := PutMessage(room[used:], &m, payload)
			if n == 0 || !bytes.Equal(room[used:used+n], b[used:used+n]) {
				t.Fatalf("%+v: read and written differ", m)
			}
			used += n
			rest = after
		}
	})
}

// FuzzAnswers does the same with answers.
func FuzzAnswers(f *testing.F) {
	f.Add(answersDatagram()[DatagramHeaderSize+AnswersHeaderSize:])
	f.Fuzz(func(t *testing.T, b []byte) {
		room := make([]byte, len(b))
		used := 0
		for rest := b; ; {
			var a Answer
			payload, after, ok := NextAnswer(rest, &a)
			if !ok {
				break
			}
			n := PutAnswer(room[used:], &a, payload)
			if n == 0 || !bytes.Equal(room[used:used+n], b[used:used+n]) {
				t.Fatalf("%+v: read and written differ", a)
			}
			used += n
			rest = after
		}
	})
}

// FuzzChain verifies any bytes as a log; resealed, so that the fuzzer gets past the checksum, it must verify to the
// same record that it encodes to.
func FuzzChain(f *testing.F) {
	var c Chain
	log := make([]byte, 512)
	n := c.Append(log, &Record{Timestamp: 1, Term: 1, Kind: RecordTerm}, make([]byte, TermRecordSize))
	n += c.Append(log[n:], &Record{Timestamp: 2, Term: 1, Kind: RecordMessage, Session: 9}, []byte("payload"))
	f.Add(log[:n])
	f.Add(log)
	f.Add(log[:RecordHeaderSize-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Chain
		var r Record
		for rest := b; ; {
			before := c
			n, v := c.Verify(rest, &r)
			if v != VerdictOK {
				if c != before {
					t.Fatalf("%v, and the chain moved", v)
				}
				break
			}
			if n < RecordHeaderSize || n > len(rest) || c.Position != before.Position+Position(n) {
				t.Fatalf("a record of %d bytes in %d, the chain went from %+v to %+v", n, len(rest), before, c)
			}
			if p := Payload(rest, &r); len(p) != int(r.Length)-RecordHeaderSize {
				t.Fatalf("a payload of %d bytes in a record of %d", len(p), r.Length)
			}
			rest = rest[n:]
		}
		resealed(t, b)
	})
}

func resealed(t *testing.T, b []byte) {
	var r Record
	if len(b) < RecordHeaderSize || RecordLength(b) < RecordHeaderSize || int(RecordLength(b)) > len(b) {
		return
	}
	reseal(b)
	n, v := VerifyAlone(b, &r)
	if v != VerdictOK {
		return
	}
	chain := Chain{Position: r.Position, Sequence: r.Sequence - 1, Timestamp: r.Timestamp - 1, Checksum: r.PrevChecksum,
		Term: r.Term}
	if r.Timestamp == 0 {
		return
	}
	again := make([]byte, n)
	if m := chain.Append(again, &Record{
		Timestamp: r.Timestamp, Session: r.Session, Correlation: r.Correlation, Term: r.Term, Kind: r.Kind,
		Flags: r.Flags, Service: r.Service, Acked: r.Acked,
	}, Payload(b, &r)); m != n || !bytes.Equal(again, b[:n]) {
		t.Fatalf("read %x, wrote %x", b[:n], again)
	}
}
