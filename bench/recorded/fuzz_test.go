package recorded

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"lockstep/service/orderbook/match"
)

// playAll plays whatever was read: every request is one, and the book takes it without failing.
func playAll(t *testing.T, b []byte, format Format) {
	f, err := Read(bytes.NewReader(b), "fuzz", Options{Format: format, Messages: 2000})
	if err != nil {
		return
	}
	if f.Len() == 0 || f.Len() > 2000 || len(f.Instruments) > MaxInstruments {
		t.Fatalf("%d messages, %d instruments", f.Len(), len(f.Instruments))
	}
	book := newBook(t, f)
	p := split(t, f, 1)[0]
	dueNs := int64(0)
	for n := range uint64(2 * p.Pass()) {
		book.apply(1, p.Next())
		if next := p.DueNs(n); next < dueNs {
			t.Fatalf("message %d is due at %d ns, the one before at %d", n, next, dueNs)
		} else {
			dueNs = next
		}
	}
	if orders, _ := book.engine.Open(); orders != 0 {
		t.Fatalf("%d orders are open behind the last pass", orders)
	}
	for _, reason := range []match.Reason{match.UnknownInstrument, match.BadPrice, match.BadStop, match.BadSide, match.BadType,
		match.BadQuantity} {
		// A cancel may ask for what is no less than there is, which is a bad quantity; a market order has no price.
		if n := book.reason[reason]; n > 0 && reason != match.BadQuantity {
			t.Fatalf("%d requests refused, reason %d", n, reason)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add(sample(f, SampleOptions{Messages: 60, Users: 3, Instruments: 2}))
	f.Add([]byte("time,action,order,instrument,side,price,quantity\n1,new,1,X,buy,5,1\n2,replace,1,,,6,2\n3,cancel,1,,,,1\n"))
	f.Add([]byte("TIME,user,Action,order,new_order,instrument,side,type,tif,price,stop,quantity,display\n" +
		"2026-11-22T09:30:00Z,a,new,1,,X,s,stop_limit,gtc,1.00000001,9999999999,4294967296,1\n" +
		"2026-11-22T09:30:00Z,a,replace,1,2,,,,,3,4,1,1\n2026-11-22T09:30:01Z,a,new,7,,X,b,market,ioc,,,5,\n"))
	f.Fuzz(func(t *testing.T, b []byte) { playAll(t, b, CSV) })
}

func FuzzITCH(f *testing.F) {
	f.Add(sample(f, SampleOptions{Format: ITCH, Messages: 60, Users: 3, Instruments: 2}))
	f.Fuzz(func(t *testing.T, b []byte) { playAll(t, b, ITCH) })
}

// itchMessage makes one: fields by offset.
func itchMessage(kind byte, length int, timeNs int64, fields map[int]any) []byte {
	b := make([]byte, 2+length)
	binary.BigEndian.PutUint16(b, uint16(length))
	m := b[2:]
	m[0] = kind
	binary.BigEndian.PutUint32(m[itchTime+2:], uint32(timeNs))
	for at, v := range fields {
		switch x := v.(type) {
		case uint64:
			binary.BigEndian.PutUint64(m[at:], x)
		case uint32:
			binary.BigEndian.PutUint32(m[at:], x)
		case string:
			copy(m[at:], x)
		}
	}
	return b
}

func itchAdd(ref uint64, side string, shares, price uint32) []byte {
	return itchMessage('A', 36, 1, map[int]any{itchRef: ref, itchSide: side, itchShares: shares, itchStock: "ROSE    ", itchPrice: price})
}

// What is wrong in a file is said with where it is and what is wanted.
func TestWhatIsWrongIsSaid(t *testing.T) {
	const head = "time,user,action,order,instrument,side,type,tif,price,stop,quantity,display\n"
	join := func(parts ...[]byte) string { return string(bytes.Join(parts, nil)) }
	for _, c := range []struct {
		name, text string
		format     Format
		want       []string
	}{
		{"empty", "", CSV, []string{"is empty", "name the columns"}},
		{"no column", "time,action,order\n", CSV, []string{"line 1", `no column "instrument"`}},
		{"twice", "time,time\n", CSV, []string{`"time" is there twice`}},
		{"fields", head + "1,a\n", CSV, []string{"line 2", "2 fields: want 12"}},
		{"time", head + "noon,a,new,1,X,buy,,,5,,1,\n", CSV, []string{"line 2", `time "noon"`, "nanoseconds"}},
		{"time back", head + "5,a,new,1,X,buy,,,5,,1,\n4,a,new,2,X,buy,,,5,,1,\n", CSV, []string{"line 3", "before that"}},
		{"side", head + "1,a,new,1,X,up,,,5,,1,\n", CSV, []string{`side "up"`, "buy", "sell"}},
		{"type", head + "1,a,new,1,X,buy,odd,,5,,1,\n", CSV, []string{`type "odd"`, "stop_limit"}},
		{"tif", head + "1,a,new,1,X,buy,,gtd,5,,1,\n", CSV, []string{`tif "gtd"`, "ioc"}},
		{"price", head + "1,a,new,1,X,buy,,,-5,,1,\n", CSV, []string{`price "-5"`, "above 0"}},
		{"price of market", head + "1,a,new,1,X,buy,market,,5,,1,\n", CSV, []string{`price "5"`, "has none"}},
		{"stop", head + "1,a,new,1,X,buy,stop,,,,1,\n", CSV, []string{`stop ""`, "above 0"}},
		{"quantity", head + "1,a,new,1,X,buy,,,5,,0,\n", CSV, []string{`quantity "0"`, "1 to 4294967296"}},
		{"order", head + "1,a,new,,X,buy,,,5,,1,\n", CSV, []string{`order ""`}},
		{"instrument", head + "1,a,new,1,TWO WORDS,buy,,,5,,1,\n", CSV, []string{`"TWO WORDS"`, "1 to 16"}},
		{"long", head + strings.Repeat("x", 2*MaxLine), CSV, []string{"line 2", "longer than 4096"}},
		{"nothing", head + "1,a,trade,1,,,,,,,,\n", CSV, []string{"no order entry", `1 action "trade"`}},
		{"itch cut", join(itchAdd(1, "B", 1, 1), []byte{0, 36, 'A'}), ITCH, []string{"at byte 38", "36 bytes", "EOF"}},
		{"itch length", join([]byte{0, 2, 'A', 0}), ITCH, []string{"at byte 0", "want 36"}},
		{"itch type", join([]byte{0, 2, 'z', 0}), ITCH, []string{"at byte 0", "ITCH 5.0 does not have"}},
		{"itch side", join(itchAdd(1, "?", 1, 1)), ITCH, []string{"side '?'", "want B or S"}},
		{"itch time", join(itchAdd(1, "B", 1, 1), itchMessage('D', 19, 0, map[int]any{itchRef: uint64(1)})), ITCH, []string{"before that"}},
		{"itch nothing", join([]byte{0, 12, 'S', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'O'}), ITCH, []string{"no order entry", "system events"}},
	} {
		_, err := Read(strings.NewReader(c.text), "day", Options{Format: c.format})
		for _, want := range append(c.want, "day") {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v: want %q in it", c.name, err, want)
			}
		}
	}
	for _, o := range []Options{{Format: "fix"}, {Messages: -1}, {Messages: MaxMessages + 1}, {First: 5000}} {
		if _, err := Read(strings.NewReader(head), "day", o); err == nil {
			t.Errorf("options %+v are taken", o)
		}
	}
	for _, o := range []SampleOptions{{Format: "fix"}, {Messages: -1}, {Users: 5000}, {Rate: -1}} {
		if o.Check() == nil {
			t.Errorf("a sample of %+v is made", o)
		}
	}
}

// What the book could not take is left out, counted, and everything else is there.
func TestWhatIsLeftOutIsCounted(t *testing.T) {
	executed := itchMessage('E', 31, 1, map[int]any{itchRef: uint64(2), itchExecuted: uint32(9)})
	file := bytes.Join([][]byte{itchAdd(1, "B", 0, 100), itchAdd(1, "B", 5, 0), itchAdd(1, "S", 5, 100), itchAdd(3, "S", 5, 101),
		itchAdd(4, "S", 5, 1<<32-1), itchMessage('D', 19, 1, map[int]any{itchRef: uint64(4)}), // an extreme price in ticks of 0.0001
		itchAdd(2, "S", 5, 100), executed, executed, itchMessage('D', 19, 1, map[int]any{itchRef: uint64(77)})}, nil)
	f := read(t, string(file), Options{Format: ITCH})
	want := map[string]uint64{skipQuantity: 1, skipPrice: 3, skipExecuted: 1, skipOver: 1, skipUnknown: 1}
	for _, s := range f.Skipped {
		if want[s.Why] != s.Count {
			t.Errorf("left out: %d %s, want %d", s.Count, s.Why, want[s.Why])
		}
		delete(want, s.Why)
	}
	if len(want) != 0 || f.Len() != 4 {
		t.Errorf("%d messages to send, want 4; not counted: %v", f.Len(), want)
	}
	if in := f.Instruments[0]; in.Symbol != "ROSE" || in.Price(in.Low) != "0.01" || in.Price(in.High) != "0.0101" || in.Price(1) != "0.0001" {
		t.Errorf("%+v", in)
	}
}
