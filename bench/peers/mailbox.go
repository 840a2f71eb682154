package main

import (
	"sync"
	"sync/atomic"

	"lockstep/client"
	"lockstep/wire"
)

// answer is what a client of another system says of one message.
type answer struct {
	correlation uint64
	position    uint64 // where it is in the log; 0: not known, or not in the order of sending
	err         error
}

// mailbox takes answers from goroutines to the load. post may be called from any, the rest is the load's.
type mailbox struct {
	waiting atomic.Int32 // so that a look that finds nothing takes no lock
	mu      sync.Mutex
	in      []answer
	out     []answer // taken, being told
}

func (m *mailbox) post(a answer) {
	m.mu.Lock()
	m.in = append(m.in, a)
	m.mu.Unlock()
	m.waiting.Add(1)
}

// drain tells of every answer that is here.
func (m *mailbox) drain(tell func(client.Ack)) (n int, err error) {
	if m.waiting.Load() == 0 {
		return 0, nil
	}
	m.mu.Lock()
	m.in, m.out = m.out[:0], m.in
	m.mu.Unlock()
	m.waiting.Add(-int32(len(m.out)))
	for _, a := range m.out {
		if a.err != nil {
			err = a.err
			continue
		}
		tell(client.Ack{Correlation: a.correlation, Level: wire.LevelApplied, Position: wire.Position(a.position)})
	}
	return len(m.out), err
}
