package replica

import (
	"fmt"

	"lockstep/wire"
)

// RecoverOrder is an operator's order to lead without votes, after he asked the nodes that are left.
type RecoverOrder struct {
	SeenTerm  wire.Term     // the highest of all nodes that were asked
	LastTerm  wire.Term     // the log that was chosen, this node's: the term of its last record,
	Append    wire.Position // its end,
	Checksum  uint32        // and the checksum of its last record
	Processes []Peer        // the voters that were asked, this one included: a majority
}

// operateRecover leads by order, and answers when it does, or when that was given up.
func (a *Agent) operateRecover(call *OperatorCall, first bool) bool {
	if first {
		return a.orderRecover(call)
	}
	switch role := a.core.Role(); {
	case role == Leader && a.core.Term() > call.term:
		return a.answer(call, nil, fmt.Sprintf("this node leads term %d by order", a.core.Term()))
	case role == Candidate:
		return false // the term is being stored
	}
	return a.answer(call, fmt.Errorf("%w: given up: this node heard a leader, or its disk is full", ErrRefused), "")
}

// orderRecover gives the core the order; true when it refuses, and that is answered.
func (a *Agent) orderRecover(call *OperatorCall) bool {
	o := &call.request.Order
	in := &Input{Kind: InRecover, Term: o.SeenTerm, LastTerm: o.LastTerm, Position: o.Append, Checksum: o.Checksum}
	for _, p := range o.Processes {
		if int(in.Config.Members) == len(in.Config.Member) {
			return a.answer(call, fmt.Errorf("%w: %d processes listed: there are %d nodes at most", ErrRefused,
				len(o.Processes), wire.MaxNodes), "")
		}
		in.Config.Member[in.Config.Members] = wire.ConfigMember{Node: p.Node, Incarnation: p.Incarnation, Run: p.Run}
		in.Config.Members++
	}
	obstacle := "this node leads already"
	if !a.leading {
		obstacle, _ = a.core.recoverObstacle(in)
	}
	a.step(in)
	if obstacle != "" {
		return a.answer(call, fmt.Errorf("%w: %s", ErrRefused, obstacle), "")
	}
	a.o.Log("an operator orders this node to lead term %d without votes, by the log that ends at %d", a.core.Term(),
		a.core.Append())
	return false
}
