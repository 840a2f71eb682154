package service

import "lockstep/wire"

// item is one thing that a record caused: the header of its egress message, and where its payload lies in the
// stage. A kind of 0 means that it goes nowhere.
type item struct {
	head     Egress
	from, to uint32
}

// stage collects what one record causes: first the responses as the service queues them, then, once they are
// numbered, what the ingress is to be told, in order. Its memory is reused from record to record.
type stage struct {
	items []item
	data  []byte
	sent  int // items already written to the egress ring
	// Where what the service is being called for began: what it may cause counts from there.
	itemsFrom, dataFrom int
}

func newStage() *stage {
	return &stage{items: make([]item, 0, MaxOutputs+64), data: make([]byte, 0, MaxOutputBytes)}
}

func (s *stage) reset() {
	s.items, s.data, s.sent = s.items[:0], s.data[:0], 0
	s.itemsFrom, s.dataFrom = 0, 0
}

// mark begins another command of the record: it may cause as much as a record of its own.
func (s *stage) mark() { s.itemsFrom, s.dataFrom = len(s.items), len(s.data) }

// caused is what there is since mark, or since the record began.
func (s *stage) caused() (outputs, bytes int) {
	return len(s.items) - s.itemsFrom, len(s.data) - s.dataFrom
}

// respond queues a response. Its number, correlation and stamps are filled in when the record is settled.
func (s *stage) respond(service uint16, session wire.SessionID, payload []byte) {
	switch {
	case len(payload) > MaxResponse:
		panic("service: response longer than MaxResponse")
	case len(s.items)-s.itemsFrom >= MaxOutputs:
		panic("service: one record caused more than MaxOutputs responses")
	case len(s.data)-s.dataFrom+len(payload) > MaxOutputBytes:
		panic("service: one record caused more than MaxOutputBytes of responses")
	}
	from := uint32(len(s.data))
	s.data = append(s.data, payload...)
	s.items = append(s.items, item{
		head: Egress{Kind: EgressResponse, Session: session, Service: service},
		from: from, to: uint32(len(s.data)),
	})
}

// add queues something else than a response: its header is complete.
func (s *stage) add(head *Egress, payload []byte) {
	from := uint32(len(s.data))
	s.data = append(s.data, payload...)
	s.items = append(s.items, item{head: *head, from: from, to: uint32(len(s.data))})
}

func (s *stage) payload(it *item) []byte { return s.data[it.from:it.to] }
