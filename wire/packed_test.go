package wire

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

func drawMessage(t *rapid.T) (Message, []byte) {
	m := Message{
		Correlation: rapid.Uint64Min(1).Draw(t, "correlation"), Kind: MessageData,
		Levels: Levels(rapid.Uint8().Draw(t, "levels")) & levelsMask, Service: rapid.Uint16().Draw(t, "service"),
		Stages: rapid.Bool().Draw(t, "stages"),
	}
	if rapid.Bool().Draw(t, "void") {
		m.Kind = MessageVoid
		return m, nil
	}
	payload := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload")
	if len(payload) > 0 && rapid.Bool().Draw(t, "fragment") {
		m.Kind, m.Fragment = MessageFragment, drawFragment(t, len(payload))
	}
	return m, payload
}

// drawFragment draws the place of a part of so many bytes.
func drawFragment(t *rapid.T, bytes int) (f Fragment) {
	f.Offset = rapid.Uint32Max(1<<32-1-uint32(bytes)).Draw(t, "offset")
	f.Total = rapid.Uint32Min(f.Offset+uint32(bytes)).Draw(t, "total")
	return f
}

func drawAnswer(t *rapid.T) (Answer, []byte) {
	a := Answer{
		Correlation: rapid.Uint64().Draw(t, "correlation"), Sequence: rapid.Uint64().Draw(t, "sequence"),
		Position: Position(rapid.Uint64().Draw(t, "position")), Timestamp: rapid.Uint64().Draw(t, "timestamp"),
		Response: rapid.Uint64().Draw(t, "response"), Kind: AnswerKind(rapid.IntRange(1, 6).Draw(t, "kind")),
		Level: Level(rapid.IntRange(0, 5).Draw(t, "level")), Code: Refusal(rapid.Uint16().Draw(t, "code")),
		Service: rapid.Uint16().Draw(t, "service"),
	}
	payload := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "payload")
	if len(payload) > 0 && rapid.Bool().Draw(t, "fragment") {
		a.Kind, a.Fragment = AnswerFragment, drawFragment(t, len(payload))
	}
	if a.Timed = (a.Kind == AnswerAck || a.Kind == AnswerResponse) && rapid.Bool().Draw(t, "timed"); a.Timed {
		a.Stages.TotalNs = rapid.Uint64().Draw(t, "total")
		for i := range a.Stages.AtNs {
			a.Stages.AtNs[i] = rapid.Uint32().Draw(t, "stage")
		}
	}
	return a, payload
}

// TestPackedRoundTrip packs messages and answers until a datagram is full, and unpacks them.
func TestPackedRoundTrip(t *testing.T) {
	t.Run("messages", func(t *testing.T) { packedRoundTrip(t, drawMessage, PutMessage, NextMessage) })
	t.Run("answers", func(t *testing.T) { packedRoundTrip(t, drawAnswer, PutAnswer, NextAnswer) })
}

func packedRoundTrip[T comparable](t *testing.T, draw func(*rapid.T) (T, []byte), put func([]byte, *T, []byte) int,
	next func([]byte, *T) (payload, rest []byte, ok bool)) {
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Repeat([]byte{0xa5}, rapid.IntRange(0, 1432).Draw(t, "room"))
		var heads []T
		var payloads [][]byte
		used := 0
		for {
			head, payload := draw(t)
			n := put(b[used:], &head, payload)
			if n == 0 {
				break
			}
			used += n
			heads, payloads = append(heads, head), append(payloads, payload)
		}
		rest := b[:used]
		for i := range heads {
			var head T
			payload, after, ok := next(rest, &head)
			if !ok || head != heads[i] || !bytes.Equal(payload, payloads[i]) {
				t.Fatalf("%d: packed %+v, unpacked %+v (%v)", i, heads[i], head, ok)
			}
			rest = after
		}
		var head T
		if _, left, ok := next(rest, &head); ok || len(left) != 0 {
			t.Fatalf("behind the last one: %v, %d bytes", ok, len(left))
		}
		for _, x := range b[used:] {
			if x != 0xa5 {
				t.Fatal("put wrote behind what it said, or when it did not fit")
			}
		}
	})
}

func TestMalformedMessages(t *testing.T) {
	good := make([]byte, 64)
	m := Message{Correlation: 1, Kind: MessageData, Levels: LevelsOf(LevelApplied), Service: 1}
	good = good[:PutMessage(good, &m, []byte("hello"))]
	for name, change := range map[string]func(b []byte) []byte{
		"short header":   func(b []byte) []byte { return b[:15] },
		"short payload":  func(b []byte) []byte { return b[:20] },
		"no padding":     func(b []byte) []byte { return b[:21] },
		"padding":        func(b []byte) []byte { b[23] = 1; return b },
		"length 0":       func(b []byte) []byte { b[8] = 0; return b },
		"length 15":      func(b []byte) []byte { b[8] = 15; return b },
		"length beyond":  func(b []byte) []byte { b[9] = 0xff; return b },
		"correlation 0":  func(b []byte) []byte { b[0] = 0; return b },
		"kind 0":         func(b []byte) []byte { b[10] = 0; return b },
		"kind unknown":   func(b []byte) []byte { b[10] = 4; return b },
		"void with data": func(b []byte) []byte { b[10] = byte(MessageVoid); return b },
		"level none":     func(b []byte) []byte { b[11] |= 1; return b },
		"level unknown":  func(b []byte) []byte { b[11] |= 64; return b },
		"flag unknown":   func(b []byte) []byte { b[14] = 2; return b },
		"flags unknown":  func(b []byte) []byte { b[15] = 1; return b },
	} {
		b := change(bytes.Clone(good))
		if _, rest, ok := NextMessage(b, &m); ok || len(rest) != len(b) {
			t.Errorf("%s: %v, %d of %d bytes left", name, ok, len(rest), len(b))
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	good := make([]byte, 64)
	a := Answer{Correlation: 1, Kind: AnswerAck, Level: LevelDurable}
	good = good[:PutAnswer(good, &a, []byte("hello"))]
	for name, change := range map[string]func(b []byte) []byte{
		"short header":  func(b []byte) []byte { return b[:47] },
		"short payload": func(b []byte) []byte { return b[:52] },
		"padding":       func(b []byte) []byte { b[55] = 1; return b },
		"length 47":     func(b []byte) []byte { b[40] = 47; return b },
		"length beyond": func(b []byte) []byte { b[41] = 0xff; return b },
		"kind 0":        func(b []byte) []byte { b[42] = 0; return b },
		"kind unknown":  func(b []byte) []byte { b[42] = 8; return b },
		"level unknown": func(b []byte) []byte { b[43] = 6; return b },
		"no stages":     func(b []byte) []byte { b[43] |= 128; return b },
		"busy, timed": func([]byte) []byte {
			timed := make([]byte, 96)
			x := Answer{Correlation: 1, Kind: AnswerAck, Level: LevelDurable, Timed: true}
			PutAnswer(timed, &x, nil)
			timed[42] = byte(AnswerBusy)
			return timed
		},
	} {
		b := change(bytes.Clone(good))
		if _, rest, ok := NextAnswer(b, &a); ok || len(rest) != len(b) {
			t.Errorf("%s: %v, %d of %d bytes left", name, ok, len(rest), len(b))
		}
	}
}

// TestMalformedFragments gives fragments that say where they lie, and cannot lie there, to both ends.
func TestMalformedFragments(t *testing.T) {
	for name, f := range map[string]struct {
		fragment Fragment
		bytes    int
		ok       bool
	}{
		"first":             {Fragment{Total: 9, Offset: 0}, 4, true},
		"last":              {Fragment{Total: 9, Offset: 5}, 4, true},
		"whole":             {Fragment{Total: 4, Offset: 0}, 4, true},
		"highest":           {Fragment{Total: 1<<32 - 1, Offset: 1<<32 - 5}, 4, true},
		"empty":             {Fragment{Total: 9, Offset: 5}, 0, false},
		"nothing of it":     {Fragment{Total: 0, Offset: 0}, 4, false},
		"a byte beyond":     {Fragment{Total: 9, Offset: 6}, 4, false},
		"all of it beyond":  {Fragment{Total: 9, Offset: 9}, 4, false},
		"around the corner": {Fragment{Total: 9, Offset: 1<<32 - 4}, 8, false},
	} {
		b := make([]byte, 128)
		m := Message{Correlation: 1, Kind: MessageFragment, Fragment: f.fragment}
		n := PutMessage(b, &m, make([]byte, f.bytes))
		payload, _, ok := NextMessage(b[:n], &m)
		if ok != f.ok || ok && (m.Fragment != f.fragment || len(payload) != f.bytes) {
			t.Errorf("message, %s: %v, %+v, %d bytes", name, ok, m.Fragment, len(payload))
		}
		a := Answer{Kind: AnswerFragment, Fragment: f.fragment}
		n = PutAnswer(b, &a, make([]byte, f.bytes))
		if payload, _, ok = NextAnswer(b[:n], &a); ok != f.ok || ok && (a.Fragment != f.fragment || len(payload) != f.bytes) {
			t.Errorf("answer, %s: %v, %+v, %d bytes", name, ok, a.Fragment, len(payload))
		}
		if f.ok && f.fragment.Ends(f.bytes) != (name != "first") {
			t.Errorf("%s: Ends says otherwise", name)
		}
	}
	for cut := MessageHeaderSize; cut <= MessageHeaderSize+FragmentHeaderSize; cut++ {
		b := make([]byte, 64)
		m := Message{Correlation: 1, Kind: MessageFragment, Fragment: Fragment{Total: 9}}
		PutMessage(b, &m, make([]byte, 4))
		b[8] = byte(cut)
		clear(b[cut:])
		if _, _, ok := NextMessage(b, &m); ok {
			t.Errorf("a fragment of %d bytes was taken", cut)
		}
	}
}

// TestFragmentRoom packs the longest fragment that is said to fit, and one that is longer.
func TestFragmentRoom(t *testing.T) {
	b := make([]byte, 256)
	for room := range b {
		m := Message{Correlation: 1, Kind: MessageFragment}
		a := Answer{Kind: AnswerFragment}
		if n := MessageFragmentRoom(room); n > 0 && PutMessage(b[:room], &m, b[:n]) == 0 ||
			PutMessage(b[:room], &m, b[:max(n, 0)+1]) != 0 {
			t.Errorf("%d bytes hold a message's fragment of another length than %d", room, n)
		}
		if n := AnswerFragmentRoom(room); n > 0 && PutAnswer(b[:room], &a, b[:n]) == 0 ||
			PutAnswer(b[:room], &a, b[:max(n, 0)+1]) != 0 {
			t.Errorf("%d bytes hold a response's fragment of another length than %d", room, n)
		}
	}
}

func TestPutRefusesWhatItsLengthCannotSay(t *testing.T) {
	b := make([]byte, 1<<17)
	if PutMessage(b, &Message{Correlation: 1, Kind: MessageData}, make([]byte, MaxPacked-MessageHeaderSize)) == 0 ||
		PutMessage(b, &Message{Correlation: 1, Kind: MessageData}, make([]byte, MaxPacked-MessageHeaderSize+1)) != 0 {
		t.Error("PutMessage at the longest length")
	}
	if PutAnswer(b, &Answer{Kind: AnswerAck}, make([]byte, MaxPacked-AnswerHeaderSize)) == 0 ||
		PutAnswer(b, &Answer{Kind: AnswerAck}, make([]byte, MaxPacked-AnswerHeaderSize+1)) != 0 {
		t.Error("PutAnswer at the longest length")
	}
	for n := range 100 {
		if MessageSize(n) != PutMessage(b, &Message{Correlation: 1, Kind: MessageData}, b[:n]) ||
			AnswerSize(n) != PutAnswer(b, &Answer{Kind: AnswerAck}, b[:n]) {
			t.Errorf("a payload of %d takes another size than said", n)
		}
	}
}
