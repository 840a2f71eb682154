package orderbook

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lockstep/wire"
	"lockstep/wire/fb"
)

// The scripts of testdata say what is sent and what comes back. A line of input is one of
//
//	buy|sell session=N order=N quantity=N price=N [instrument=N]
//	cancel session=N order=N [instrument=N]
//	close session=N
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		b := newBench(t, Options{Instruments: 2, PriceLimit: 1000, MaxQuantity: 1000, MaxOrders: 16, MaxFills: 3})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "send" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				runLine(t, b, line, &out)
			}
			fmt.Fprintf(&out, "%d resting, hash %016x\n", b.book.Resting(), b.book.Hash())
			return out.String()
		})
	})
}

func runLine(t *testing.T, b *bench, line string, out *strings.Builder) {
	t.Helper()
	fields := strings.Fields(line)
	session, q := uint64(0), Request{Instrument: 1, Side: fb.SideBuy}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		target := map[string]any{
			"session": &session, "order": &q.ClientOrder, "instrument": &q.Instrument,
			"price": &q.Price, "quantity": &q.Quantity,
		}[name]
		if _, err := fmt.Sscan(value, target); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	switch fields[0] {
	case "sell":
		q.Side = fb.SideSell
	case "cancel":
		q.Cancel = true
	case "close":
		b.ctx.Begin(&wire.Record{})
		b.book.OnSession(b.ctx, wire.SessionID(session), false)
		return
	}
	for _, e := range b.send(t, wire.SessionID(session), q) {
		fmt.Fprintf(out, "to %d: %s\n", e.to, describe(&e.Event))
	}
}

func describe(e *Event) string {
	switch e.Kind {
	case Accepted:
		return fmt.Sprintf("accepted order=%d number=%d resting=%d", e.ClientOrder, e.Order, e.Quantity)
	case Executed:
		return fmt.Sprintf("executed order=%d number=%d execution=%d %d@%d left=%d",
			e.ClientOrder, e.Order, e.Execution, e.Quantity, e.Price, e.Left)
	case Canceled:
		return fmt.Sprintf("canceled order=%d number=%d quantity=%d", e.ClientOrder, e.Order, e.Quantity)
	}
	return fmt.Sprintf("rejected order=%d %v", e.ClientOrder, e.Reason)
}
