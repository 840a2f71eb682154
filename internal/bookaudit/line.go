package bookaudit

// line is what an auditor reads of a record.
type line struct {
	Position uint64   `json:"position"`
	Sequence uint64   `json:"sequence"`
	Kind     string   `json:"kind"`
	Session  string   `json:"session"`
	Number   uint64   `json:"correlation"`
	Order    *request `json:"order"`
	Skips    *uint64  `json:"skips"`
	Outputs  []output `json:"outputs"`
}

// request is a message to the book.
type request struct {
	Action         string `json:"action"`
	ClientOrder    uint64 `json:"client_order"`
	NewClientOrder uint64 `json:"new_client_order"`
	Instrument     uint32 `json:"instrument"`
	Side           string `json:"side"`
	Type           string `json:"type"`
	Price          uint64 `json:"price"`
	Quantity       uint64 `json:"quantity"`
	Stay           bool   `json:"stay"`
}

// output is a response.
type output struct {
	Session string  `json:"session"`
	Report  *report `json:"report"`
	Closed  string  `json:"closed"`
}

// report is a response of the book.
type report struct {
	Kind           string  `json:"kind"`
	ClientOrder    uint64  `json:"client_order"`
	NewClientOrder uint64  `json:"new_client_order"`
	Order          uint64  `json:"order"`
	Reason         string  `json:"reason"`
	Instrument     uint32  `json:"instrument"`
	Side           string  `json:"side"`
	Execution      uint64  `json:"execution"`
	Price          uint64  `json:"price"`
	Quantity       uint64  `json:"quantity"`
	Left           uint64  `json:"left"`
	Resting        uint64  `json:"resting"`
	Account        uint64  `json:"account"`
	Events         []event `json:"events"`
}

// event is what a subscriber is told of the market.
type event struct {
	Number    uint64 `json:"number"`
	Kind      string `json:"kind"`
	Order     uint64 `json:"order"`
	Execution uint64 `json:"execution"`
	Price     uint64 `json:"price"`
	Quantity  uint64 `json:"quantity"`
}
