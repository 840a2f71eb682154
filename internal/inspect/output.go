package inspect

import (
	"strings"

	"lockstep/service"
	"lockstep/service/orderbook"
)

// Output is a response that a record caused, as JSON shows it.
type Output struct {
	Session  string  `json:"session"`
	Response uint64  `json:"response"` // its number in that session
	Service  uint16  `json:"service"`
	Report   *Report `json:"report,omitempty"` // of the order book

	// A payload that is no report.
	PayloadBytes int    `json:"payload_bytes,omitempty"`
	Payload      []byte `json:"payload,omitempty"` // base64
}

// Report is what the order book says of an order to its owner.
type Report struct {
	Kind        string `json:"kind"`
	ClientOrder uint64 `json:"client_order,omitempty"`
	Order       uint64 `json:"order,omitempty"`
	Reason      string `json:"reason,omitempty"`
	Execution   uint64 `json:"execution,omitempty"`
	Price       uint64 `json:"price,omitempty"`
	Quantity    uint64 `json:"quantity,omitempty"`
	Left        uint64 `json:"left,omitempty"`
}

// ViewOutput is a response as JSON shows it. It keeps nothing of payload but a copy.
func ViewOutput(head *service.Egress, payload []byte) Output {
	v := Output{Session: Hex(head.Session), Response: head.Response, Service: head.Service}
	if head.Service == service.OrderBook {
		v.Report = viewReport(payload)
	}
	if v.Report == nil {
		v.PayloadBytes, v.Payload = len(payload), append([]byte(nil), payload...)
	}
	return v
}

func viewReport(payload []byte) *Report {
	var e orderbook.Event
	if !orderbook.DecodeEvent(payload, &e) {
		return nil
	}
	v := &Report{Kind: strings.ToLower(e.Kind.String()), ClientOrder: e.ClientOrder, Order: e.Order, Execution: e.Execution,
		Price: e.Price, Quantity: e.Quantity, Left: e.Left}
	if e.Kind == orderbook.Rejected {
		v.Reason = e.Reason.String()
	}
	return v
}
