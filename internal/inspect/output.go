package inspect

import "lockstep/service"

// Output is a response that a record caused, as JSON shows it. One without a number went nowhere: to a session that is over,
// or to nobody (then there is no session).
type Output struct {
	Session  string  `json:"session,omitempty"`
	Response uint64  `json:"response,omitempty"` // its number in that session
	Service  uint16  `json:"service,omitempty"`
	Report   *Report `json:"report,omitempty"` // of the order book
	Closed   string  `json:"closed,omitempty"` // no response: the session is over, for this reason

	// A payload that is no report.
	PayloadBytes int    `json:"payload_bytes,omitempty"`
	Payload      []byte `json:"payload,omitempty"` // base64
}

// ViewClosed is the end of a session, among the responses, as JSON shows it.
func ViewClosed(head *service.Egress) Output {
	return Output{Session: Hex(head.Session), Closed: head.Code.Ending().Name()}
}

// ViewOutput is a response as JSON shows it. It keeps nothing of payload but a copy.
func ViewOutput(head *service.Egress, payload []byte) Output {
	v := Output{Response: head.Response, Service: head.Service}
	if head.Session != 0 {
		v.Session = Hex(head.Session)
	}
	if head.Service == service.OrderBook {
		v.Report = ViewReport(payload)
	}
	if v.Report == nil {
		v.PayloadBytes, v.Payload = len(payload), append([]byte(nil), payload...)
	}
	return v
}
