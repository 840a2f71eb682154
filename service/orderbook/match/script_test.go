package match

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts of testdata/scripts say what is done and what everybody is told of it. A line of input is one of
//
//	buy|sell ACCOUNT/ORDER QUANTITY[@PRICE] [market|stop|stoplimit] [day|gtc|gtd|ioc|fok] [post]
//	    [newest|oldest|both] [stop=] [display=] [min=] [expire=] [i=INSTRUMENT]
//	replace ACCOUNT/ORDER NEW QUANTITY[@PRICE] [stop=] [display=]
//	cancel ACCOUNT/ORDER [QUANTITY]
//	mass ACCOUNT [i=] [buy|sell]
//	leave ACCOUNT
//	state INSTRUMENT closed|auction|continuous|halted
//	define INSTRUMENT low=,high=,max=,collar=,reference= STATE
//	limits ACCOUNT open=,quantity=,rate=
//	kill|revive ACCOUNT
//	expire BUDGET
//	continue
//	at NS
//	depth INSTRUMENT
//
// and the state after each is restored from its own snapshot before the next.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &scripted{t: t, options: Options{
			Instruments: 2, MaxInstruments: 4, PriceLimit: 1000, MaxQuantity: 1000, MaxOrders: 16, MaxAccounts: 8,
			MaxOpen: 8, MaxFills: 3, MaxElections: 2,
		}}
		s.engine = s.fresh()
		s.now = 1000
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.out.Reset()
			if d.Cmd != "do" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			for line := range strings.Lines(d.Input) {
				s.line(strings.Fields(line))
				s.flush()
				s.again()
			}
			return s.out.String()
		})
	})
}

type scripted struct {
	t       testing.TB
	options Options
	engine  *Engine
	now     uint64
	out     strings.Builder
}

func (s *scripted) fresh() *Engine {
	e, err := NewEngine(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// again goes on with an engine that is restored from the snapshot of the one so far.
func (s *scripted) again() {
	var first, second bytes.Buffer
	if err := s.engine.Snapshot(&first); err != nil {
		s.t.Fatal(err)
	}
	next := s.fresh()
	if err := next.Restore(bytes.NewReader(first.Bytes())); err != nil {
		s.t.Fatalf("restore: %v", err)
	}
	if err := next.Snapshot(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		s.t.Fatalf("what is restored from a snapshot writes another (%v)", err)
	}
	if next.Hash() != s.engine.Hash() {
		s.t.Fatalf("hash %x before the snapshot, %x after", s.engine.Hash(), next.Hash())
	}
	s.engine = next
}

var words = map[string]func(n *New){
	"market":    func(n *New) { n.Type = Market },
	"stop":      func(n *New) { n.Type = Stop },
	"stoplimit": func(n *New) { n.Type = StopLimit },
	"day":       func(n *New) { n.TIF = Day },
	"gtc":       func(n *New) { n.TIF = GTC },
	"gtd":       func(n *New) { n.TIF = GTD },
	"ioc":       func(n *New) { n.TIF = IOC },
	"fok":       func(n *New) { n.TIF = FOK },
	"post":      func(n *New) { n.PostOnly = true },
	"newest":    func(n *New) { n.SelfMatch = CancelNewest },
	"oldest":    func(n *New) { n.SelfMatch = CancelOldest },
	"both":      func(n *New) { n.SelfMatch = CancelBoth },
}

var states = map[string]State{"closed": Closed, "auction": Auction, "continuous": Continuous, "halted": Halted}

// scan reads numbers that are separated as in the format.
func (s *scripted) scan(text, format string, into ...any) {
	if _, err := fmt.Sscanf(text, format, into...); err != nil {
		s.t.Fatalf("%q is not %q: %v", text, format, err)
	}
}

// order reads the words of an order from the quantity on.
func (s *scripted) order(fields []string, n *New) {
	quantity, price, ok := strings.Cut(fields[0], "@")
	s.scan(quantity, "%d", &n.Quantity)
	if ok {
		s.scan(price, "%d", &n.Price)
	}
	for _, f := range fields[1:] {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			words[f](n)
			continue
		}
		s.scan(value, "%d", map[string]any{
			"stop": &n.Stop, "display": &n.Display, "min": &n.MinQuantity, "expire": &n.Expire, "i": &n.Instrument,
		}[name])
	}
}

func (s *scripted) line(f []string) {
	e := s.engine
	n := New{Instrument: 1, Type: Limit, Side: Buy}
	reason := None
	switch f[0] {
	case "buy", "sell":
		if f[0] == "sell" {
			n.Side = Sell
		}
		s.scan(f[1], "%d/%d", &n.Account, &n.ClientOrder)
		s.order(f[2:], &n)
		check := e.CheckEnter(s.now, &n)
		if got := e.Enter(s.now, &n); got != check && (got != None || check != NotFilled) {
			s.t.Fatalf("%v: refused with %d, checked with %d", f, got, check)
		}
	case "replace":
		r := Replace{}
		s.scan(f[1], "%d/%d", &r.Account, &r.ClientOrder)
		s.scan(f[2], "%d", &r.NewClientOrder)
		s.order(f[3:], &n)
		r.Price, r.Stop, r.Quantity, r.Display = n.Price, n.Stop, n.Quantity, n.Display
		check := e.CheckReplace(s.now, &r)
		if got := e.Replace(s.now, &r); got != check {
			s.t.Fatalf("%v: refused with %d, checked with %d", f, got, check)
		}
	case "cancel":
		c := Cancel{}
		s.scan(f[1], "%d/%d", &c.Account, &c.ClientOrder)
		if len(f) > 2 {
			s.scan(f[2], "%d", &c.Quantity)
		}
		check := e.CheckCancel(&c)
		if got := e.Cancel(&c); got != check {
			s.t.Fatalf("%v: refused with %d, checked with %d", f, got, check)
		}
	case "mass":
		s.mass(f[1:])
	case "leave":
		s.scan(f[1], "%d", &n.Account)
		e.Leave(n.Account)
	case "state":
		s.scan(f[1], "%d", &n.Instrument)
		reason = e.SetState(s.now, n.Instrument, states[f[2]])
	case "define":
		d := Definition{State: states[f[3]]}
		s.scan(f[1], "%d", &d.ID)
		s.scan(f[2], "low=%d,high=%d,max=%d,collar=%d,reference=%d", &d.Low, &d.High, &d.MaxQuantity, &d.Collar, &d.Reference)
		reason = e.Define(&d)
	case "limits":
		l := Limits{}
		s.scan(f[1], "%d", &n.Account)
		s.scan(f[2], "open=%d,quantity=%d,rate=%d", &l.MaxOpen, &l.MaxQuantity, &l.MessagesPerS)
		reason = e.SetLimits(n.Account, l)
	default:
		reason = s.rest(f)
	}
	if reason != None {
		fmt.Fprintf(&s.out, "refused: %d\n", reason)
	}
}

func (s *scripted) mass(f []string) {
	var id Account
	var instrument Instrument
	var side Side
	s.scan(f[0], "%d", &id)
	for _, f := range f[1:] {
		switch f {
		case "buy":
			side = Buy
		case "sell":
			side = Sell
		default:
			s.scan(f, "i=%d", &instrument)
		}
	}
	check := s.engine.CheckMassCancel(id, instrument, side)
	if got := s.engine.MassCancel(id, instrument, side); got != check {
		s.t.Fatalf("mass %v: refused with %d, checked with %d", f, got, check)
	}
}

func (s *scripted) rest(f []string) Reason {
	e := s.engine
	var n uint64
	if len(f) > 1 {
		s.scan(f[1], "%d", &n)
	}
	switch f[0] {
	case "kill", "revive":
		return e.Kill(Account(n), f[0] == "kill")
	case "expire":
		fmt.Fprintf(&s.out, "%d expired\n", e.Expire(s.now, int(n)))
	case "continue":
		e.Continue(s.now)
	case "at":
		s.now = n
	case "depth":
		id := Instrument(n)
		fmt.Fprintf(&s.out, "bids %v asks %v\n", e.Depth(nil, id, Buy, 9), e.Depth(nil, id, Sell, 9))
	default:
		s.t.Fatalf("%v: no such thing", f)
	}
	return None
}

// flush prints the events, and whether work is left.
func (s *scripted) flush() {
	for _, v := range s.engine.Events() {
		fmt.Fprintln(&s.out, describe(&v))
	}
	s.engine.Reset()
	if s.engine.Pending() {
		fmt.Fprintln(&s.out, "pending")
	}
}

var sideNames = [...]string{"", "buy", "sell"}

func describe(v *Event) string {
	own := fmt.Sprintf("%d/%d ", v.Account, v.ClientOrder)
	public := fmt.Sprintf("  %d: i=%d ", v.Number, v.Instrument)
	switch v.Kind {
	case EventAccepted:
		return own + fmt.Sprintf("accepted o=%d %s %d left=%d", v.Order, sideNames[v.Side], v.Quantity, v.Left)
	case EventRejected:
		return own + fmt.Sprintf("rejected %d", v.Reason)
	case EventExecuted:
		return own + fmt.Sprintf("executed o=%d x=%d %d@%d left=%d", v.Order, v.Execution, v.Quantity, v.Price, v.Left)
	case EventCanceled:
		return own + fmt.Sprintf("canceled o=%d %d reason=%d left=%d", v.Order, v.Quantity, v.Cancel, v.Left)
	case EventReplaced:
		return own + fmt.Sprintf("replaced /%d o=%d %d left=%d", v.OldClientOrder, v.Order, v.Quantity, v.Left)
	case EventTriggered:
		return own + fmt.Sprintf("triggered o=%d left=%d", v.Order, v.Left)
	case EventMassCanceled:
		return own + fmt.Sprintf("mass-canceled %d", v.Quantity)
	case EventAdded, EventReduced:
		name := map[Kind]string{EventAdded: "added", EventReduced: "reduced"}[v.Kind]
		return public + fmt.Sprintf("%s o=%d %s %d@%d", name, v.Order, sideNames[v.Side], v.Quantity, v.Price)
	case EventDeleted:
		return public + fmt.Sprintf("deleted o=%d %s @%d", v.Order, sideNames[v.Side], v.Price)
	case EventTraded:
		return public + fmt.Sprintf("traded x=%d o=%d %d@%d", v.Execution, v.Order, v.Quantity, v.Price)
	case EventUncrossed:
		return public + fmt.Sprintf("uncrossed %d@%d", v.Quantity, v.Price)
	}
	return public + fmt.Sprintf("kind=%d state=%d", v.Kind, v.State)
}
