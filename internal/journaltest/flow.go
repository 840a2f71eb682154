package journaltest

import (
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// Flow appends messages of clients to the order book, one after the other in turn, and now and then one to the echo
// service. It opens their sessions first: ids 0x101, 0x102, ..
func (l *Log) Flow(clients, messages int, seed uint64) {
	type client struct {
		flow        *orderflow.Generator
		correlation uint64
	}
	list := make([]client, clients)
	for i := range list {
		list[i].flow = orderflow.New(orderflow.Options{Seed: seed, Client: uint64(i)})
		l.Open(Session(i), "flow")
	}
	for n := range messages {
		i := n % clients
		c := &list[i]
		c.correlation++
		if n%16 == 15 {
			l.Message(Session(i), c.correlation, service.Echo, 0, []byte("hello, hello, hello"))
			continue
		}
		payload, _ := c.flow.Next()
		l.Message(Session(i), c.correlation, service.OrderBook, 0, payload)
	}
}

// Session is the id of a client of Flow, from 0.
func Session(client int) wire.SessionID { return wire.SessionID(0x101 + client) }
