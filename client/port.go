package client

import (
	"lockstep/transport"
	"lockstep/wire"
)

// portBatch is how many datagrams are taken from, or handed to, the transport at once.
const portBatch = 64

// receiveBatches bounds what one Poll takes.
const receiveBatches = 16

// port is a transport with what is needed to use it: of one client, or of all those of a Mux.
type port struct {
	transport transport.Transport
	sender    *transport.Sender
	rx        []transport.Received
	validator wire.Validator
	header    wire.Header // of the datagram being taken
}

// taker is given the datagrams of a port: a client, or a Mux that knows which client each is for.
type taker interface {
	take(h *wire.Header, body []byte, from transport.Addr)
	dropped()
}

func newPort(t transport.Transport, cluster uint64) *port {
	return &port{
		transport: t, sender: transport.NewSender(t, portBatch), rx: make([]transport.Received, portBatch),
		validator: wire.Validator{Cluster: cluster},
	}
}

// receive takes what has arrived, batch by batch, checks each datagram once, and hands it on.
func (p *port) receive(t taker) (work int) {
	for range receiveBatches {
		n := p.transport.Receive(p.rx)
		for i := range n {
			body, drop := p.validator.Validate(p.rx[i].Payload, &p.header)
			if drop != wire.DropNone {
				t.dropped()
				continue
			}
			t.take(&p.header, body, p.rx[i].From)
		}
		if n > 0 {
			p.transport.Release()
		}
		work += n
		if n < len(p.rx) {
			break
		}
	}
	return work
}
