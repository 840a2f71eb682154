package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const testCluster = 0x1122334455667788

// nodeEnd is node 1 of a cluster of nodes 1, 2 and 3; clientEnd is a client of it.
var (
	nodeEnd   = Validator{Cluster: testCluster, Self: 1, Nodes: [MaxNodes + 1]bool{1: true, 2: true, 3: true}}
	clientEnd = Validator{Cluster: testCluster}
)

// sealed makes a datagram of a kind with a body of the right size, from a fitting sender.
func sealed(kind DatagramKind, more int) []byte {
	h := Header{Kind: kind, Cluster: testCluster, Sender: 2, Incarnation: 77, Run: 5, Term: 9}
	if kind.FromClient() {
		h.Incarnation, h.Run = 0, 0
	}
	b := make([]byte, DatagramHeaderSize+int(bodySizes[kind].fixed)+more)
	Seal(b, &h)
	return b
}

// sealedAs is a datagram with the given header and a body of the right size.
func sealedAs(h Header) []byte {
	b := make([]byte, DatagramHeaderSize+int(bodySizes[h.Kind].fixed))
	Seal(b, &h)
	return b
}

func kinds() (all []DatagramKind) {
	for k := range DatagramKind(NumDatagramKinds) {
		if !strings.HasPrefix(k.String(), "unknown") {
			all = append(all, k)
		}
	}
	return all
}

func TestEveryKindPassesItsOwnEnd(t *testing.T) {
	if len(kinds()) != 21 {
		t.Fatalf("%d kinds have names", len(kinds()))
	}
	for _, k := range kinds() {
		if k.FromNode() == (k.FromClient() || k.ToClient()) || k.FromClient() && k.ToClient() {
			t.Errorf("%s: not exactly one of FromNode, FromClient, ToClient", k)
		}
		for _, more := range []int{0, 24} {
			b := sealed(k, more)
			var h Header
			body, d := nodeEnd.Validate(b, &h)
			_, other := clientEnd.Validate(b, new(Header))
			if k.ToClient() {
				other = d
				body, d = clientEnd.Validate(b, &h)
			}
			if other != DropKind {
				t.Errorf("%s at the wrong end: %v", k, other)
			}
			if more > 0 && !bodySizes[k].more {
				if d != DropBody {
					t.Errorf("%s with %d bytes more: %v", k, more, d)
				}
				continue
			}
			if d != DropNone || h.Kind != k || len(body) != int(bodySizes[k].fixed)+more || h.Sender != 2 || h.Term != 9 {
				t.Errorf("%s: %v, %+v, body of %d", k, d, h, len(body))
			}
		}
	}
}

func TestEveryDropOfValidate(t *testing.T) {
	change := func(f func(b []byte)) []byte {
		b := sealed(DatagramStatus, 0)
		f(b)
		return b
	}
	node := Header{Kind: DatagramNak, Cluster: testCluster, Sender: 2, Incarnation: 77}
	client := Header{Kind: DatagramMessages, Cluster: testCluster, Sender: 900}
	answer := Header{Kind: DatagramReject, Cluster: testCluster, Sender: 7, Incarnation: 77}
	with := func(h Header, f func(h *Header)) []byte {
		f(&h)
		return sealedAs(h)
	}
	cases := []struct {
		drop Drop
		end  *Validator
		b    []byte
	}{
		{DropShort, &nodeEnd, nil},
		{DropShort, &nodeEnd, sealed(DatagramStatus, 0)[:47]},
		{DropLong, &nodeEnd, make([]byte, MaxDatagram+1)},
		{DropMagic, &nodeEnd, make([]byte, 200)},
		{DropMagic, &nodeEnd, change(func(b []byte) { b[8] = 'X' })},
		{DropVersion, &nodeEnd, change(func(b []byte) { b[12] = 2 })},
		{DropKind, &nodeEnd, change(func(b []byte) { b[13] = 0 })},
		{DropKind, &nodeEnd, change(func(b []byte) { b[13] = 12 })},
		{DropKind, &nodeEnd, change(func(b []byte) { b[13] = 255 })},
		{DropKind, &nodeEnd, change(func(b []byte) { b[13] = byte(DatagramAnswers) })},
		{DropKind, &clientEnd, change(func(b []byte) {})},
		{DropLength, &nodeEnd, change(func(b []byte) { b[14]++ })},
		{DropLength, &nodeEnd, append(sealed(DatagramLog, 0), 0)},
		{DropLength, &nodeEnd, sealed(DatagramStatus, 0)[:120]},
		{DropCluster, &nodeEnd, change(func(b []byte) { b[16]++ })},
		{DropCheck, &nodeEnd, change(func(b []byte) { b[0]++ })},
		{DropCheck, &nodeEnd, change(func(b []byte) { b[7] = 1 })},
		{DropCheck, &nodeEnd, change(func(b []byte) { b[24]++ })},
		{DropCheck, &nodeEnd, change(func(b []byte) { b[len(b)-1]++ })},
		{DropSender, &nodeEnd, with(node, func(h *Header) { h.Sender = 0 })},
		{DropSender, &nodeEnd, with(node, func(h *Header) { h.Sender = 4 })},
		{DropSender, &nodeEnd, with(node, func(h *Header) { h.Sender = 1 << 40 })},
		{DropSender, &nodeEnd, with(client, func(h *Header) { h.Sender = 0 })},
		{DropSender, &clientEnd, with(answer, func(h *Header) { h.Sender = 0 })},
		{DropSender, &clientEnd, with(answer, func(h *Header) { h.Sender = MaxNodes + 1 })},
		{DropIncarnation, &nodeEnd, with(node, func(h *Header) { h.Incarnation = 0 })},
		{DropIncarnation, &nodeEnd, with(client, func(h *Header) { h.Incarnation = 1 })},
		{DropIncarnation, &nodeEnd, with(client, func(h *Header) { h.Run = 1 })},
		{DropIncarnation, &clientEnd, with(answer, func(h *Header) { h.Incarnation = 0 })},
		{DropOwn, &nodeEnd, with(node, func(h *Header) { h.Sender = 1 })},
		{DropBody, &nodeEnd, sealed(DatagramStatus, 8)},
		{DropBody, &nodeEnd, sealed(DatagramStatus, -8)},
		{DropBody, &nodeEnd, sealed(DatagramLog, -1)},
		{DropBody, &nodeEnd, sealed(DatagramConnect, -1)},
		{DropNone, &nodeEnd, with(node, func(h *Header) {})},
		{DropNone, &nodeEnd, with(client, func(h *Header) {})},
		{DropNone, &nodeEnd, with(client, func(h *Header) { h.Sender = ^uint64(0) })},
		{DropNone, &nodeEnd, with(client, func(h *Header) { h.Kind, h.Sender = DatagramConnect, 0 })},
		{DropNone, &nodeEnd, with(client, func(h *Header) { h.Kind, h.Sender = DatagramProve, 0 })},
		{DropNone, &clientEnd, with(answer, func(h *Header) {})},
	}
	seen := map[Drop]bool{}
	for i, c := range cases {
		var h Header
		body, d := c.end.Validate(c.b, &h)
		if d != c.drop || (body == nil) != (d != DropNone) {
			t.Errorf("case %d: %v, want %v", i, d, c.drop)
		}
		seen[d] = true
	}
	for d := DropNone; d <= DropBody; d++ {
		if !seen[d] {
			t.Errorf("drop %v did not fire", d)
		}
	}
}

// Datagrams of another cluster, of nodes that are no voters, of this node itself and of no incarnation are dropped,
// each under its own name, whatever kind they are. Fault N3.
func TestN3ForeignDatagramsAreDropped(t *testing.T) {
	for _, kind := range kinds() {
		if kind.ToClient() {
			continue
		}
		good := Header{Kind: kind, Cluster: testCluster, Sender: 2, Incarnation: 77, Run: 5, Term: 9}
		foreign := map[Drop]func(h *Header){DropCluster: func(h *Header) { h.Cluster++ }}
		if kind.FromClient() {
			good.Incarnation, good.Run = 0, 0
			foreign[DropIncarnation] = func(h *Header) { h.Incarnation = 77 } // a client that poses as a node
		} else {
			foreign[DropSender] = func(h *Header) { h.Sender = 4 }
			foreign[DropOwn] = func(h *Header) { h.Sender = 1 }
			foreign[DropIncarnation] = func(h *Header) { h.Incarnation = 0 }
		}
		for want, change := range foreign {
			h := good
			change(&h)
			if _, d := nodeEnd.Validate(sealedAs(h), new(Header)); d != want {
				t.Errorf("%v: %v, want %v", kind, d, want)
			}
		}
	}
}

// TestN2EveryBitOfADatagramCounts flips every single bit of a datagram: none may go unseen.
func TestN2EveryBitOfADatagramCounts(t *testing.T) {
	b := sealed(DatagramMessages, 32)
	for bit := range len(b) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		if _, d := nodeEnd.Validate(b, new(Header)); d == DropNone {
			t.Errorf("bit %d flipped: taken", bit)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
}

func TestSealRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Header{
			Kind: DatagramLog, Cluster: rapid.Uint64().Draw(t, "cluster"), Sender: 2,
			Incarnation: rapid.Uint64Min(1).Draw(t, "incarnation"), Run: rapid.Uint32().Draw(t, "run"),
			Term: Term(rapid.Uint32().Draw(t, "term")),
		}
		v := nodeEnd
		v.Cluster = want.Cluster
		body := rapid.SliceOfN(rapid.Byte(), LogHeaderSize, 1400).Draw(t, "body")
		b := append(bytes.Repeat([]byte{0xa5}, DatagramHeaderSize), body...)
		Seal(b, &want)
		var h Header
		got, d := v.Validate(b, &h)
		if d != DropNone || h != want || !bytes.Equal(got, body) {
			t.Fatalf("%v %+v", d, h)
		}
	})
}

func TestMagicSpellsTheName(t *testing.T) {
	b := sealed(DatagramStatus, 0)
	if string(b[8:12]) != "LKST" || binary.LittleEndian.Uint32(b[8:]) != Magic {
		t.Errorf("magic is %q", b[8:12])
	}
}

func TestSealPanicsOnImpossibleLengths(t *testing.T) {
	for _, n := range []int{0, DatagramHeaderSize - 1, MaxDatagram + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes were sealed", n)
				}
			}()
			Seal(make([]byte, n), &Header{})
		}()
	}
}

func TestNamesAreThereAndDistinct(t *testing.T) {
	check := func(what string, n int, name func(int) string) {
		seen := map[string]bool{}
		for i := range n {
			s := name(i)
			if s == "" || strings.HasPrefix(s, "unknown ") || seen[s] {
				t.Errorf("%s %d is called %q", what, i, s)
			}
			seen[s] = true
		}
		if s := name(n); !strings.HasPrefix(s, "unknown") {
			t.Errorf("%s %d, which does not exist, is called %q", what, n, s)
		}
	}
	check("drop", NumDrops, func(i int) string { return Drop(i).String() })
	check("verdict", NumVerdicts, func(i int) string { return Verdict(i).String() })
	check("level", NumLevels, func(i int) string { return Level(i).String() })
	check("record kind", numRecordKinds, func(i int) string { return RecordKind(i).String() })
	check("answer kind", numAnswerKinds, func(i int) string { return AnswerKind(i).String() })
	check("refusal", NumRefusals, func(i int) string { return Refusal(i).String() })
	check("message kind", 3, func(i int) string { return MessageKind(i + 1).String() })
	check("rule", 2, func(i int) string { return CommitRule(i + 1).String() })
	if Refusal(60000).Sentence() == "" {
		t.Error("a refusal that is not known has no sentence")
	}
}

func TestLevels(t *testing.T) {
	s := LevelsOf(LevelNone, LevelSequenced, LevelApplied)
	for l := LevelNone; l < NumLevels; l++ {
		if want := l == LevelSequenced || l == LevelApplied; s.Has(l) != want {
			t.Errorf("Has(%s) = %v", l, !want)
		}
		if got, ok := ParseLevel(l.String()); got != l || !ok {
			t.Errorf("ParseLevel(%q) = %v, %v", l, got, ok)
		}
	}
	if !s.Valid() || !LevelsOf().Valid() || LevelsOf(LevelNone) != 0 || Levels(1).Valid() || Levels(64).Valid() {
		t.Error("Valid")
	}
	if _, ok := ParseLevel("certain"); ok {
		t.Error("ParseLevel took what is no level")
	}
}
