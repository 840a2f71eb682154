package bookaudit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/internal/bookmodel"
	"lockstep/service/orderbook/match"
)

// dump makes the lines that a journal would have for calls of a matching engine: a session for each account, logged in.
type dump struct {
	lines    []line
	messages map[match.Account]uint64
}

var actions = map[bookmodel.OpKind]string{bookmodel.OpEnter: "new", bookmodel.OpReplace: "replace", bookmodel.OpCancel: "cancel",
	bookmodel.OpMassCancel: "mass-cancel"}

var sideNames = map[match.Side]string{match.Buy: "buy", match.Sell: "sell"}

func idOf(a match.Account) string { return fmt.Sprintf("%016x", uint64(a)) }

func (d *dump) add(l line) {
	l.Sequence, l.Position = uint64(len(d.lines)+1), uint64(64*len(d.lines))
	d.lines = append(d.lines, l)
}

// message is the next one of an account's session, which is opened for it.
func (d *dump) message(a match.Account, q *request, outputs []output) {
	if d.messages[a] == 0 {
		d.add(line{Kind: "session-open", Session: idOf(a)})
		d.messages[a] = 1
		login := []output{{Session: idOf(a), Report: &report{Kind: "logged-in", Account: uint64(a)}}}
		d.add(line{Kind: "message", Session: idOf(a), Number: 1, Order: &request{Action: "login", Stay: true}, Outputs: login})
	}
	d.messages[a]++
	d.add(line{Kind: "message", Session: idOf(a), Number: d.messages[a], Order: q, Outputs: outputs})
}

func outputsOf(events []match.Event) (list []output) {
	var public []event
	for _, e := range events {
		r := report{Kind: "", ClientOrder: uint64(e.ClientOrder), Order: e.Order, Instrument: uint32(e.Instrument),
			Side: sideNames[e.Side], Execution: e.Execution, Price: uint64(e.Price), Quantity: e.Quantity}
		switch e.Kind {
		case match.EventAccepted:
			r.Kind, r.Resting = "accepted", e.Left
		case match.EventRejected:
			r.Kind = "rejected"
		case match.EventExecuted:
			r.Kind, r.Left = "executed", e.Left
		case match.EventCanceled:
			r.Kind, r.Left = "canceled", e.Left
			r.Reason = map[match.CancelReason]string{match.Requested: "Requested", match.ReducedAway: "Reduced"}[e.Cancel]
		case match.EventReplaced:
			r.Kind, r.Resting = "replaced", e.Left
			r.ClientOrder, r.NewClientOrder = uint64(e.OldClientOrder), uint64(e.ClientOrder)
		case match.EventTriggered:
			r.Kind, r.Resting = "triggered", e.Left
		case match.EventMassCanceled:
			r.Kind = "mass-canceled"
		case match.EventTraded:
			public = append(public, event{Number: e.Number, Kind: "traded", Order: e.Order, Execution: e.Execution,
				Price: uint64(e.Price), Quantity: e.Quantity})
			continue
		default:
			continue
		}
		list = append(list, output{Session: idOf(e.Account), Report: &r})
	}
	if len(public) > 0 {
		list = append(list, output{Session: "of a subscriber", Report: &report{Kind: "market", Events: public}})
	}
	return list
}

// step has the engine do what a call says, and adds its record.
func (d *dump) step(e *match.Engine, op *bookmodel.Op) {
	e.Reset()
	var account match.Account
	q := &request{Action: actions[op.Kind]}
	switch op.Kind {
	case bookmodel.OpEnter:
		n := &op.New
		account = n.Account
		q.ClientOrder, q.Instrument, q.Side = uint64(n.ClientOrder), uint32(n.Instrument), sideNames[n.Side]
		q.Price, q.Quantity = uint64(n.Price), n.Quantity
		q.Type = map[match.Type]string{match.Market: "Market", match.Stop: "Stop", match.StopLimit: "StopLimit"}[n.Type]
		e.Enter(op.Now, n)
	case bookmodel.OpReplace:
		r := &op.Replace
		account = r.Account
		q.ClientOrder, q.NewClientOrder, q.Price, q.Quantity = uint64(r.ClientOrder), uint64(r.NewClientOrder), uint64(r.Price), r.Quantity
		e.Replace(op.Now, r)
	case bookmodel.OpCancel:
		account, q.ClientOrder, q.Quantity = op.Cancel.Account, uint64(op.Cancel.ClientOrder), op.Cancel.Quantity
		e.Cancel(&op.Cancel)
	case bookmodel.OpMassCancel:
		account = op.Account
		e.MassCancel(op.Account, op.Instrument, op.Side)
	case bookmodel.OpState:
		e.SetState(op.Now, op.Instrument, op.State)
	case bookmodel.OpExpire:
		e.Expire(op.Now, 3)
	case bookmodel.OpContinue:
		e.Continue(op.Now)
	}
	if account != 0 {
		d.message(account, q, outputsOf(e.Events()))
		return
	}
	d.add(line{Kind: "timer", Outputs: outputsOf(e.Events())})
}

// flow is the dump of a flow of so many calls in a world.
func flow(t *testing.T, w bookmodel.World, seed uint64, calls int) []line {
	t.Helper()
	d := &dump{messages: map[match.Account]uint64{}}
	engine, err := match.NewEngine(w.Options)
	if err != nil {
		t.Fatal(err)
	}
	model := bookmodel.New(w.Options)
	source := bookmodel.NewFlow(w, bookmodel.Random(seed), model)
	for range calls {
		op := source.Next()
		switch op.Kind {
		case bookmodel.OpEnter, bookmodel.OpReplace, bookmodel.OpCancel, bookmodel.OpMassCancel, bookmodel.OpState, bookmodel.OpContinue:
			op.Apply(model)
			d.step(engine, &op)
		}
	}
	return d.lines
}

func audit(t *testing.T, lines []line) Result {
	t.Helper()
	var b bytes.Buffer
	for i := range lines {
		text, err := json.Marshal(&lines[i])
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(text, '\n'))
	}
	r, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNothingIsFoundInWhatTheEngineDoes: flows of all kinds of orders, auctions, stops, replacements.
func TestNothingIsFoundInWhatTheEngineDoes(t *testing.T) {
	for i, w := range bookmodel.Worlds() {
		r := audit(t, flow(t, w, uint64(i), 700))
		if r.Count > 0 {
			t.Errorf("world %s: %d findings: %v", w.Name, r.Count, r.Findings[0])
		}
		if r.Orders < 20 || r.Executions < 5 || r.Canceled < 5 {
			t.Errorf("world %s: %+v", w.Name, r)
		}
	}
}

// copyOf is lines that can be changed without changing these.
func copyOf(t *testing.T, lines []line) (list []line) {
	t.Helper()
	text, err := json.Marshal(lines)
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestDoctoredDumpsAreCaught: one thing is changed in a dump, at a place that is drawn.
func TestDoctoredDumpsAreCaught(t *testing.T) {
	all := func(*report) bool { return true }
	of := func(kinds ...string) func(*report) bool {
		return func(r *report) bool { return strings.Contains(strings.Join(kinds, " "), r.Kind) }
	}
	change := func(f func(*report)) func(*line, int) { return func(l *line, i int) { f(l.Outputs[i].Report) } }
	repeat := func(l *line, i int) { l.Outputs = append(l.Outputs[:i+1], l.Outputs[i:]...) }
	leave := func(l *line, i int) { l.Outputs = append(l.Outputs[:i], l.Outputs[i+1:]...) }
	doctors := []struct {
		name   string
		of     func(*report) bool
		doctor func(*line, int)
	}{
		{"a report is left out", of("accepted", "replaced", "executed", "canceled", "rejected"), leave},
		{"a report comes twice", of("accepted", "executed", "canceled", "rejected"), repeat},
		{"an execution has another number", of("executed"), change(func(r *report) { r.Execution++ })},
		{"an execution has another price", of("executed"), change(func(r *report) { r.Price += 1 })},
		{"an execution has another quantity", of("executed"), change(func(r *report) { r.Quantity++ })},
		{"an execution leaves more", of("executed"), change(func(r *report) { r.Left++ })},
		{"an execution is of another instrument", of("executed"), change(func(r *report) { r.Instrument++ })},
		{"an execution is of the other side", of("executed"), change(func(r *report) {
			r.Side = map[string]string{"buy": "sell", "sell": "buy"}[r.Side]
		})},
		{"an execution is of another order", of("executed"), change(func(r *report) { r.Order += 1000 })},
		{"the market is told of another quantity", of("market"), change(func(r *report) { r.Events[0].Quantity++ })},
		{"an order number is skipped", of("accepted"), change(func(r *report) { r.Order++ })},
		{"more is accepted than was sent", of("accepted"), change(func(r *report) { r.Quantity++ })},
		{"another order is accepted", of("accepted"), change(func(r *report) { r.ClientOrder++ })},
		{"less is canceled", of("canceled"), change(func(r *report) { r.Quantity-- })},
		{"a cancel leaves more", of("canceled"), change(func(r *report) { r.Left++ })},
		{"a replaced order is of another quantity", of("replaced"), change(func(r *report) { r.Quantity++ })},
		{"a record is left out", all, func(l *line, _ int) { l.Sequence++ }},
		{"a message is not the next one", of("accepted"), func(l *line, _ int) { l.Number++ }},
	}
	lines := flow(t, bookmodel.Worlds()[0], 3, 400)
	random := rand.New(rand.NewPCG(1, 2))
	for _, d := range doctors {
		t.Run(d.name, func(t *testing.T) {
			done := 0
			for done < 3 {
				doctored := copyOf(t, lines)
				l := &doctored[random.IntN(len(doctored))]
				i := 0
				if len(l.Outputs) > 0 {
					i = random.IntN(len(l.Outputs))
				}
				if len(l.Outputs) == 0 || !d.of(l.Outputs[i].Report) {
					continue
				}
				done++
				d.doctor(l, i)
				if r := audit(t, doctored); r.Count == 0 {
					t.Errorf("record %d: nothing was found", l.Sequence)
				} else if at := r.Findings[0].Sequence; at != l.Sequence && !strings.Contains(d.name, "left out") && !strings.Contains(d.name, "next") {
					t.Logf("record %d: found at %d: %v", l.Sequence, at, r.Findings[0])
				}
			}
		})
	}
}

// TestWhatASessionLeavesIsGone, or the auditor says so.
func TestWhatASessionLeavesIsGone(t *testing.T) {
	entered := func(stay bool) *dump {
		d := &dump{messages: map[match.Account]uint64{}}
		e, err := match.NewEngine(match.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := match.New{Account: 7, ClientOrder: 1, Instrument: 1, Side: match.Buy, Type: match.Limit, Price: 5, Quantity: 2}
		d.step(e, &bookmodel.Op{Kind: bookmodel.OpEnter, New: n})
		d.lines[1].Order.Stay = stay
		return d
	}
	end := line{Kind: "session-close", Session: idOf(7), Outputs: []output{{Session: idOf(7), Closed: "session-closed"}}}
	for _, stay := range []bool{true, false} {
		d := entered(stay)
		d.add(end)
		if r := audit(t, d.lines); (r.Count == 0) != stay || r.Open != 1 {
			t.Errorf("stay %t: %+v", stay, r)
		}
	}
	d := entered(false)
	gone := end
	canceled := report{Kind: "canceled", Order: 1, ClientOrder: 1, Quantity: 2, Reason: "Disconnected"}
	gone.Outputs = append([]output{{Report: &canceled}}, end.Outputs...)
	d.add(gone)
	if r := audit(t, d.lines); r.Count != 0 || r.Open != 0 {
		t.Errorf("gone: %+v", r)
	}
}

// TestMessagesWithoutAnAnswer are found, but those that a later record says are passed over, and those of no open session.
func TestMessagesWithoutAnAnswer(t *testing.T) {
	text := `{"sequence":1,"position":0,"kind":"session-open","session":"a"}
{"sequence":2,"position":64,"kind":"message","session":"a","correlation":1,"order":{"action":"new","client_order":1}}
{"sequence":3,"position":128,"kind":"message","session":"a","correlation":1,"order":{"action":"new","client_order":1}}
{"sequence":4,"position":192,"kind":"message","session":"b","correlation":1,"order":{"action":"new","client_order":1}}
`
	r, err := Read(strings.NewReader(text))
	if err != nil || r.Count != 1 || r.Findings[0].Sequence != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Read(strings.NewReader(text + `{"sequence":5,"position":256,"kind":"skip","skips":64}`))
	if err != nil || r.Count != 0 || r.Records != 5 {
		t.Errorf("passed over: %+v, %v", r, err)
	}
}

func TestWhatIsNoDumpIsRefused(t *testing.T) {
	for _, text := range []string{"", "x\n", "{}\n", "[]\n", `{"sequence":1}` + "\n"} {
		if _, err := Read(strings.NewReader(text)); !errors.Is(err, ErrNoDump) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
