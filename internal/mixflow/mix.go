package mixflow

import (
	"bytes"

	"lockstep/service"
)

// Mix draws commands for several services, and transactions of several of them.
type Mix struct {
	draw
	flows [service.MaxServices]Flow
	list  []uint16 // services that have one
	parts [service.MaxCommands]service.Part
}

// NewMix returns a mix of all that this package has.
func NewMix(o Options) *Mix {
	m := &Mix{draw: newDraw(o)}
	m.flows[service.KV], m.flows[service.Queue] = NewKV(o), NewQueue(o)
	m.flows[service.Lock], m.flows[service.TimerService] = NewLock(o), NewTimer(o)
	m.flows[service.OrderBook] = NewBook(o)
	for id, flow := range m.flows {
		if flow != nil && (o.Only == 0 || o.Only == uint16(id)) {
			m.list = append(m.list, uint16(id))
		}
	}
	return m
}

// transactions are so many of a hundred messages.
const transactions = 15

// Next is the next command, good until the next call, and the service that it is for.
func (m *Mix) Next() (to uint16, payload []byte) {
	if len(m.list) == 1 || !m.odds(transactions) {
		to = m.list[m.IntN(len(m.list))]
		return to, m.flows[to].Next()
	}
	var parts []service.Part
	for _, i := range m.Perm(len(m.list))[:1+m.IntN(min(len(m.list), service.MaxCommands))] {
		of := m.list[i]
		parts = append(parts, service.Part{Service: of, Payload: bytes.Clone(m.flows[of].Next())})
	}
	return service.Transaction, service.TransactionRequest(m.builder, parts)
}

// Heard takes a response of a service; request is the message that it answers and to the service that this was for, nil if it
// answers none.
func (m *Mix) Heard(from uint16, response []byte, to uint16, request []byte) {
	if from >= service.MaxServices || m.flows[from] == nil {
		return
	}
	if to != service.Transaction {
		m.flows[from].Heard(request, response)
		return
	}
	n, _ := service.DecodeTransaction(request, &m.parts)
	for i := range m.parts[:min(n, service.MaxCommands)] {
		if m.parts[i].Service == from {
			m.flows[from].Heard(m.parts[i].Payload, response)
		}
	}
}
