package command

import (
	"encoding/json"
	"fmt"
	"io"

	"lockstep/internal/inspect"
)

// printOrderReport prints an answer of the order book.
func printOrderReport(w io.Writer, payload []byte, asJSON bool) bool {
	v := inspect.ViewReport(payload)
	if v == nil {
		fmt.Fprintf(w, "%d bytes that are no report of the order book\n", len(payload))
		return false
	}
	if asJSON {
		_ = json.NewEncoder(w).Encode(v)
		return v.Kind != "rejected"
	}
	switch v.Kind {
	case "accepted":
		fmt.Fprintf(w, "order %d accepted as %d, %d lots rest\n", v.ClientOrder, v.Order, v.Resting)
	case "rejected":
		if v.ClientOrder == 0 {
			fmt.Fprintf(w, "rejected: %s\n", v.Reason)
			break
		}
		fmt.Fprintf(w, "order %d rejected: %s\n", v.ClientOrder, v.Reason)
	case "executed":
		fmt.Fprintf(w, "order %d executed: %d lots at %d, %d left, execution %d\n", v.ClientOrder, v.Quantity, v.Price,
			v.Left,
			v.Execution)
	case "canceled":
		fmt.Fprintf(w, "order %d canceled: %d lots taken off, %d left (%s)\n", v.ClientOrder, v.Quantity, v.Left, v.Reason)
	case "replaced":
		fmt.Fprintf(w, "order %d replaced by order %d, %d, of %d lots; %d rest\n", v.ClientOrder, v.NewClientOrder, v.Order,
			v.Quantity, v.Resting)
	case "triggered":
		fmt.Fprintf(w, "order %d triggered, %d lots rest\n", v.ClientOrder, v.Resting)
	case "mass-canceled":
		fmt.Fprintf(w, "%d orders canceled\n", v.Count)
	default:
		printOrderNews(w, v)
	}
	return v.Kind != "rejected"
}

// printOrderNews prints what is about no order of the session.
func printOrderNews(w io.Writer, v *inspect.Report) {
	switch v.Kind {
	case "logged-in":
		fmt.Fprintf(w, "account %d has %d open orders\n", v.Account, v.Count)
	case "logged-out":
		fmt.Fprintf(w, "another session acts for account %d\n", v.Account)
	case "subscribed":
		fmt.Fprintf(w, "market events from number %d on\n", v.Next)
	case "market":
		for i := range v.Events {
			printMarketEvent(w, &v.Events[i])
		}
		if v.LeftOut > 0 {
			fmt.Fprintf(w, "%d further events of the same record are left out\n", v.LeftOut)
		}
	case "depth":
		printDepth(w, v)
	case "instruments":
		for i := range v.Instruments {
			d := &v.Instruments[i]
			fmt.Fprintf(w, "%d,%s,%d,%d,%d,%d,%d,%s\n", d.ID, d.Symbol, d.Low, d.High, d.MaxQuantity, d.Collar, d.Reference,
				d.State)
		}
	case "done":
		fmt.Fprintln(w, "done")
	}
}

func printMarketEvent(w io.Writer, x *inspect.MarketView) {
	fmt.Fprintf(w, "%d: instrument %d %s", x.Number, x.Instrument, x.Kind)
	switch x.Kind {
	case "added", "reduced":
		fmt.Fprintf(w, ": order %d, %s %d lots at %d", x.Order, x.Side, x.Quantity, x.Price)
	case "deleted":
		fmt.Fprintf(w, ": order %d, %s at %d", x.Order, x.Side, x.Price)
	case "traded":
		fmt.Fprintf(w, ": %d lots at %d, execution %d, order %d", x.Quantity, x.Price, x.Execution, x.Order)
	case "uncrossed":
		fmt.Fprintf(w, ": %d lots at %d", x.Quantity, x.Price)
	default:
		fmt.Fprintf(w, ": %s", x.State)
	}
	fmt.Fprintln(w)
}

func printDepth(w io.Writer, v *inspect.Report) {
	fmt.Fprintf(w, "instrument %d is %s, last trade at %d\n", v.Instrument, v.State, v.Last)
	fmt.Fprintf(w, "%8s %12s %10s | %-10s %-12s %s\n", "ORDERS", "QUANTITY", "BID", "ASK", "QUANTITY", "ORDERS")
	for i := range max(len(v.Bids), len(v.Asks)) {
		bid := fmt.Sprintf("%8s %12s %10s", "", "", "")
		if i < len(v.Bids) {
			bid = fmt.Sprintf("%8d %12d %10d", v.Bids[i].Orders, v.Bids[i].Quantity, v.Bids[i].Price)
		}
		ask := ""
		if i < len(v.Asks) {
			ask = fmt.Sprintf(" %-10d %-12d %d", v.Asks[i].Price, v.Asks[i].Quantity, v.Asks[i].Orders)
		}
		fmt.Fprintf(w, "%s |%s\n", bid, ask)
	}
}
