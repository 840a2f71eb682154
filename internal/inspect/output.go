package inspect

import "lockstep/service"

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

// ViewOutput is a response as JSON shows it. It keeps nothing of payload but a copy.
func ViewOutput(head *service.Egress, payload []byte) Output {
	v := Output{Session: Hex(head.Session), Response: head.Response, Service: head.Service}
	if head.Service == service.OrderBook {
		v.Report = ViewReport(payload)
	}
	if v.Report == nil {
		v.PayloadBytes, v.Payload = len(payload), append([]byte(nil), payload...)
	}
	return v
}
