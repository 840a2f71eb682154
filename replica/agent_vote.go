package replica

import (
	"fmt"

	"lockstep/agent"
	"lockstep/ringbuf"
	"lockstep/wire"
)

// VoteStore stores term and vote; when Store returns, both copies are synced. Package journal implements it.
type VoteStore interface {
	Store(term wire.Term, votedFor wire.NodeID) error
}

type vote struct {
	term wire.Term
	node wire.NodeID
}

// VotePort joins the replica's thread to the one that writes the state file: requests one way, what is stored the
// other.
type VotePort struct {
	// OnStored, if set before the agent runs, is called by its thread after it has stored something: it wakes the
	// replica's thread if that blocks.
	OnStored func()

	requests *ringbuf.SPSC[vote]
	done     *ringbuf.SPSC[vote]
	parker   *agent.Parker
}

// NewVotePort returns the port of a VoteAgent. With parker nil the agent never blocks: for one thread that drives many
// agents.
func NewVotePort(parker *agent.Parker) *VotePort {
	return &VotePort{
		requests: ringbuf.NewSPSC(make([]vote, 64)),
		done:     ringbuf.NewSPSC(make([]vote, 64)),
		parker:   parker,
	}
}

// request asks for (term, node) to be stored. The core has one request under way at a time per term it enters; a ring
// of 64 that is full means that the state file hangs, and what is not stored is never answered: the node stays silent.
func (p *VotePort) request(term wire.Term, node wire.NodeID) {
	if p.requests.Offer(&vote{term, node}) {
		p.requests.Publish()
		if p.parker != nil {
			p.parker.WakeIfParked()
		}
	}
}

// stored returns one completed request.
func (p *VotePort) stored() (v vote, ok bool) {
	next := p.done.Peek()
	if next == nil {
		return vote{}, false
	}
	v = *next
	p.done.Advance()
	p.done.Release()
	return v, true
}

// VoteAgent owns the state file: one thread, which blocks.
type VoteAgent struct {
	port  *VotePort
	store VoteStore
}

// NewVoteAgent returns the agent of port.
func NewVoteAgent(port *VotePort, store VoteStore) *VoteAgent {
	return &VoteAgent{port: port, store: store}
}

// Name implements agent.Agent.
func (v *VoteAgent) Name() string { return "vote" }

// OnStart implements agent.Agent.
func (v *VoteAgent) OnStart(int64) error { return nil }

// DoWork stores what is asked for, and blocks while nothing is. An error is final: a node that may forget a vote must
// not go on.
func (v *VoteAgent) DoWork(int64) (int, error) {
	if p := v.port.parker; p != nil {
		p.Announce()
		if v.port.requests.Peek() == nil {
			p.Block(-1)
		}
		p.Withdraw()
	}
	return v.drain()
}

// Wake implements agent.Waker.
func (v *VoteAgent) Wake() {
	if p := v.port.parker; p != nil {
		p.Wake()
	}
}

func (v *VoteAgent) drain() (int, error) {
	work := 0
	for {
		next := v.port.requests.Peek()
		if next == nil {
			break
		}
		request := *next
		v.port.requests.Advance()
		v.port.requests.Release()
		if err := v.store.Store(request.term, request.node); err != nil {
			return work, fmt.Errorf("replica: storing the vote of term %d: %w", request.term, err)
		}
		if !v.port.done.Offer(&request) {
			return work, fmt.Errorf("replica: %d stored votes unread: the replica's thread hangs", 64)
		}
		v.port.done.Publish()
		work++
	}
	if work > 0 && v.port.OnStored != nil {
		v.port.OnStored()
	}
	return work, nil
}

// OnClose implements agent.Agent.
func (v *VoteAgent) OnClose() error { return nil }
