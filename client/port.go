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
}

func newPort(t transport.Transport, cluster uint64) *port {
	return &port{
		transport: t, sender: transport.NewSender(t, portBatch), rx: make([]transport.Received, portBatch),
		validator: wire.Validator{Cluster: cluster},
	}
}
