package orderbook

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"lockstep/internal/flattest"
	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire/flat"
)

// TestTablesAreThoseOfTheSchema checks the verifier's picture of order entry.
func TestTablesAreThoseOfTheSchema(t *testing.T) {
	tables := flattest.Tables(t, "order.fbs")
	for name, table := range map[string]flat.Table{"OrderRequest": requestTable, "OrderEvent": eventTable} {
		if !reflect.DeepEqual(tables[name], table) {
			t.Errorf("%s: the verifier has %v, the schema %v", name, table, tables[name])
		}
	}
}

// orderEntry is that section of docs/wire.md.
func orderEntry(t *testing.T) string {
	b, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## Order entry\n")
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// TestDocsHaveEveryTable: every table is there with its fields in their order, every union with its numbers.
func TestDocsHaveEveryTable(t *testing.T) {
	text := orderEntry(t)
	for table, fields := range flattest.Fields(t, "order.fbs") {
		_, row, found := strings.Cut(text, "\n| "+table+" | ")
		row, _, _ = strings.Cut(row, "\n")
		for _, f := range fields {
			at := strings.Index(row, f.Name)
			if !found || at < 0 {
				t.Errorf("docs: %s: no field %s, or in another order", table, f.Name)
				continue
			}
			row = row[at+len(f.Name):]
		}
	}
	for c := NewOrder; c <= BustTrade; c++ {
		if name := fmt.Sprintf("%s (%d)", c, c); !strings.Contains(text, name) {
			t.Errorf("docs: no command %s", name)
		}
	}
	for k := Accepted; k <= Done; k++ {
		if name := fmt.Sprintf("%s (%d)", k, k); !strings.Contains(text, name) {
			t.Errorf("docs: no report %s", name)
		}
	}
}

// TestDocsListEveryReason: those of rejects and of cancels; and the numbers are the engine's.
func TestDocsListEveryReason(t *testing.T) {
	text := orderEntry(t)
	for r := match.Malformed; r <= match.BadAccount; r++ {
		if row := fmt.Sprintf("\n| %d | %s | ", r, fb.Reject(r)); !strings.Contains(text, row) {
			t.Errorf("docs: no reason %s", row)
		}
	}
	for r := match.Requested; r <= match.Collared; r++ {
		if row := fmt.Sprintf("\n| %d | %s | ", r, fb.CancelReason(r)); !strings.Contains(text, row) {
			t.Errorf("docs: no reason %s", row)
		}
	}
	for got, want := range map[any]any{
		fb.Reject(match.NotInAuction): fb.RejectNotInAuction, fb.Reject(match.BadAccount): fb.RejectBadAccount,
		fb.Reject(match.Throttled): fb.RejectThrottled, fb.CancelReason(match.ReducedAway): fb.CancelReasonReduced,
		fb.CancelReason(match.Collared): fb.CancelReasonCollared, fb.Side(match.Sell): fb.SideSell,
		fb.OrderType(match.StopLimit): fb.OrderTypeStopLimit, fb.TimeInForce(match.FOK): fb.TimeInForceFillOrKill,
		fb.SelfMatch(match.CancelBoth): fb.SelfMatchCancelBoth, fb.State(match.Halted): fb.StateHalted,
		fb.MarketKind(match.EventDefined - match.EventAdded + 1): fb.MarketKindDefined,
	} {
		if got != want {
			t.Errorf("the engine's number is that of %v, not of %v", got, want)
		}
	}
}
