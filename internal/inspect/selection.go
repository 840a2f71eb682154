package inspect

import (
	"slices"

	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

// Selection says which records are meant: all that fit every field that is set.
type Selection struct {
	From, To Bound // the range; both ends belong to it
	Count    uint64
	Kinds    []wire.RecordKind
	Sessions []wire.SessionID
	Services []uint16
	// Correlation of messages; 0: any.
	Correlation uint64
	// Order is the client's id of an order: messages to the order book that enter, replace or cancel it. nil: any record.
	Order *uint64
}

// Matches says whether a record of the range is meant.
func (s *Selection) Matches(r *wire.Record, payload []byte) bool {
	switch {
	case len(s.Kinds) > 0 && !slices.Contains(s.Kinds, r.Kind),
		len(s.Sessions) > 0 && !slices.Contains(s.Sessions, r.Session),
		len(s.Services) > 0 && (r.Kind != wire.RecordMessage || !slices.Contains(s.Services, r.Service)),
		s.Correlation != 0 && (r.Kind != wire.RecordMessage || r.Correlation != s.Correlation):
		return false
	case s.Order == nil:
		return true
	}
	var q orderbook.Request
	if r.Kind != wire.RecordMessage || r.Service != service.OrderBook || !orderbook.DecodeRequest(payload, &q) {
		return false
	}
	order, one := q.ClientOrder()
	return one && order == *s.Order
}
