package recorded

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/internal/orderflow"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/match"
)

func sample(t testing.TB, o SampleOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Sample(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(t testing.TB, text string, o Options) *Flow {
	t.Helper()
	f, err := Read(strings.NewReader(text), "test", o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func split(t testing.TB, f *Flow, n int) []*Player {
	t.Helper()
	players, err := f.Players(n)
	if err != nil {
		t.Fatal(err)
	}
	return players
}

// book is an engine to play to: one account a session.
type book struct {
	t      testing.TB
	engine *match.Engine
	events map[match.Kind]int
	reason map[match.Reason]int
}

func newBook(t testing.TB, f *Flow) *book {
	t.Helper()
	engine, err := match.NewEngine(match.Options{MaxOpen: match.MaxOpen, MaxOrders: 1 << 13, MaxAccounts: 64})
	if err != nil {
		t.Fatal(err)
	}
	b := &book{t: t, engine: engine, events: map[match.Kind]int{}, reason: map[match.Reason]int{}}
	if f != nil {
		for _, d := range f.Definitions() {
			if reason := engine.Define(&d); reason != match.None {
				t.Fatalf("instrument %d (%s) is refused: reason %d", d.ID, d.Symbol, reason)
			}
		}
	}
	return b
}

func (b *book) apply(account match.Account, payload []byte) {
	var q orderbook.Request
	if !orderbook.DecodeRequest(payload, &q) {
		b.t.Fatalf("%d bytes that are no request", len(payload))
	}
	b.engine.Reset()
	switch q.Command {
	case orderbook.NewOrder:
		q.New.Account = account
		b.engine.Enter(1, &q.New)
	case orderbook.CancelOrder:
		q.Cancel.Account = account
		b.engine.Cancel(&q.Cancel)
	case orderbook.ReplaceOrder:
		q.Replace.Account = account
		b.engine.Replace(1, &q.Replace)
	case orderbook.MassCancel:
		b.engine.MassCancel(account, q.Instrument, q.Side)
	default:
		b.t.Fatalf("a request of kind %v", q.Command)
	}
	for {
		for _, e := range b.engine.Events() {
			b.events[e.Kind]++
			if e.Kind == match.EventRejected {
				b.reason[e.Reason]++
			}
		}
		if !b.engine.Pending() {
			return
		}
		b.engine.Reset()
		b.engine.Continue(1)
	}
}

// depth is what a book shows of an instrument, with prices in cents.
func (b *book) depth(id match.Instrument, tick int64) string {
	var text strings.Builder
	for _, side := range []match.Side{match.Buy, match.Sell} {
		for _, l := range b.engine.Depth(nil, id, side, 1<<20) {
			fmt.Fprintf(&text, "%d: %d orders %d at %d\n", side, l.Orders, l.Quantity, int64(l.Price)*tick/(priceUnit/100))
		}
	}
	return text.String()
}

// What a CSV sample says is what the seeded flow sends: a book that plays it ends as one that the flow itself drove.
func TestCSVPlaysWhatTheFlowSent(t *testing.T) {
	const messages, users, instruments = 20000, 4, 5
	f := read(t, string(sample(t, SampleOptions{Messages: messages, Users: users, Instruments: instruments, Seed: 3})), Options{})
	if f.Len() != messages || len(f.Skipped) != 0 || f.Users != users || len(f.Instruments) != instruments {
		t.Fatalf("%d messages of %d users, %d instruments, %s", f.Len(), f.Users, len(f.Instruments), f.skips())
	}
	played, driven := newBook(t, f), newBook(t, nil)
	for i, p := range split(t, f, users) {
		flow := orderflow.New(orderflow.Options{Seed: 3, Client: uint64(i), Instruments: instruments, Open: 128})
		for range messages / users {
			payload, _ := flow.Next()
			driven.apply(match.Account(i+1), payload)
			played.apply(match.Account(i+1), p.Next())
		}
	}
	if !maps.Equal(played.events, driven.events) || driven.events[match.EventTraded] == 0 {
		t.Errorf("events, by kind: %v, of the flow itself: %v", played.events, driven.events)
	}
	for i, in := range f.Instruments {
		n := match.Instrument(0)
		if _, err := fmt.Sscanf(in.Symbol, "SMPL%d", &n); err != nil {
			t.Fatal(err)
		}
		want := driven.depth(n, priceUnit/100)
		if got := played.depth(f.first+match.Instrument(i), in.Tick); got != want || want == "" {
			t.Errorf("%s ends as\n%s\nwant\n%s", in.Symbol, got, want)
		}
	}
}

// What a venue published leads to the book that it published: its displayed orders, at every instrument.
func TestITCHLeadsToTheBookThatWasPublished(t *testing.T) {
	o := SampleOptions{Format: ITCH, Messages: 30000, Users: 6, Instruments: 4, Seed: 5}
	recording := sample(t, o)
	f := read(t, string(recording), Options{})
	if f.Format != ITCH || f.Cut {
		t.Fatalf("format %s, cut %t", f.Format, f.Cut)
	}
	for _, s := range f.Skipped {
		if s.Why != "system events" && s.Why != "stock directory" {
			t.Errorf("left out: %d %s", s.Count, s.Why)
		}
	}
	venue := newBook(t, nil)
	flows := make([]*orderflow.Generator, o.Users)
	for i := range flows {
		flows[i] = orderflow.New(orderflow.Options{Seed: o.Seed, Client: uint64(i), Instruments: uint32(o.Instruments), Open: 128})
	}
	for i := range o.Messages {
		payload, _ := flows[i%o.Users].Next()
		venue.apply(match.Account(1+i%o.Users), payload)
	}
	played := newBook(t, f)
	p := split(t, f, 1)[0]
	for range f.Len() {
		played.apply(1, p.Next())
	}
	if len(played.reason) != 0 {
		t.Errorf("refused, by reason: %v", played.reason)
	}
	if got, want := played.events[match.EventTraded], venue.events[match.EventTraded]; got != want || want == 0 {
		t.Errorf("%d trades, the venue had %d", got, want)
	}
	for i, in := range f.Instruments {
		n := match.Instrument(0)
		if _, err := fmt.Sscanf(in.Symbol, "SMPL%d", &n); err != nil {
			t.Fatal(err)
		}
		want := venue.depth(n, priceUnit/100)
		if got := played.depth(f.first+match.Instrument(i), in.Tick); got != want || want == "" {
			t.Errorf("%s ends as\n%s\nwant\n%s", in.Symbol, got, want)
		}
	}
	for _, kind := range []byte("AFEXDU") {
		if !hasITCH(recording, kind) {
			t.Errorf("the sample has no message %q", kind)
		}
	}
}

// hasITCH tells whether a recording has a message of a type.
func hasITCH(b []byte, kind byte) bool {
	for len(b) > 2 {
		if b[2] == kind {
			return true
		}
		b = b[2+(int(b[0])<<8|int(b[1])):]
	}
	return false
}

// A pass leaves nothing behind, whatever the recording leaves open, so a flow can go on for ever.
func TestEveryPassBeginsLikeTheFirst(t *testing.T) {
	f := read(t, string(sample(t, SampleOptions{Messages: 3000, Users: 3, Seed: 9})), Options{})
	b := newBook(t, f)
	players := split(t, f, 3)
	var first map[match.Kind]int
	for pass := range 3 {
		b.events = map[match.Kind]int{}
		for i, p := range players {
			for range p.Pass() {
				b.apply(match.Account(i+1), p.Next())
			}
			if orders, _ := b.engine.Open(); orders != 0 {
				t.Fatalf("pass %d: %d orders are open behind it", pass, orders)
			}
		}
		if first == nil {
			first = b.events
		}
		// Where a trade ended the pass before, stops may be elected that were not in the first.
		if got, want := b.events[match.EventAccepted], first[match.EventAccepted]; got != want || want == 0 {
			t.Errorf("pass %d: %d orders accepted, %d in the first", pass, got, want)
		}
	}
	if b.reason[match.DuplicateOrder] != 0 {
		t.Errorf("%d orders have the id of one that is open", b.reason[match.DuplicateOrder])
	}
}

func TestDueIsAsRecorded(t *testing.T) {
	f := read(t, `time,user,action,order,instrument,side,price,quantity
1000,a,new,1,X,buy,10,1
1000,b,new,1,X,buy,10,1
5000,a,cancel,1,,,,
9000,b,cancel,1,,,,
`, Options{})
	p := split(t, f, 1)[0]
	var due []int64
	for n := range uint64(12) {
		due = append(due, p.DueNs(n))
	}
	// Four and the one that ends a pass; the next pass begins one mean gap behind it.
	if want := []int64{0, 0, 4000, 8000, 8000, 10001, 10001, 14001, 18001, 18001, 20002, 20002}; !slices.Equal(due, want) {
		t.Errorf("due at %v, want %v", due, want)
	}
	if p = split(t, f, 2)[1]; p.Pass() != 3 || p.DueNs(0) != 0 || p.DueNs(1) != 8000 || p.DueNs(2) != 8000 {
		t.Errorf("the second session has %d messages a pass, due at %d, %d, %d", p.Pass(), p.DueNs(0), p.DueNs(1), p.DueNs(2))
	}
	if _, err := f.Players(3); err == nil {
		t.Error("a session without a user has something to play")
	}
	if f.Span() != 8*time.Microsecond || f.Peak(4*time.Microsecond) != 2 || f.Peak(5*time.Microsecond) != 3 {
		t.Errorf("span %v, peaks %d, %d", f.Span(), f.Peak(4*time.Microsecond), f.Peak(5*time.Microsecond))
	}
}

func TestLimitCutsTheFlow(t *testing.T) {
	for _, format := range []Format{CSV, ITCH} {
		b := sample(t, SampleOptions{Format: format, Messages: 500, Seed: 1})
		if f := read(t, string(b), Options{Messages: 100}); f.Len() != 100 || !f.Cut {
			t.Errorf("%s: %d messages, cut %t", format, f.Len(), f.Cut)
		}
		whole := read(t, string(b), Options{})
		if f := read(t, string(b), Options{Messages: whole.Len()}); f.Cut {
			t.Errorf("%s: a limit that all fits into cuts it", format)
		}
	}
}

func TestCompressedAndByName(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(sample(t, SampleOptions{Format: ITCH, Messages: 500})); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "day.itch.gz")
	if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := ReadFile(path, Options{})
	if err != nil || f.Format != ITCH || f.Name != "day.itch.gz" || f.Len() == 0 {
		t.Fatalf("%+v: %v", f, err)
	}
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	f := read(t, string(sample(t, SampleOptions{Messages: 1000})), Options{})
	p := split(t, f, 1)[0]
	for range 2 * p.Pass() {
		p.Next()
	}
	if n := testing.AllocsPerRun(5000, func() { p.Next() }); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
}
