package replica

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"lockstep/wire"
)

// OperatorKind names what an operator asks of a node.
type OperatorKind uint8

// What can be asked. The comment after each names the fields of OperatorRequest that it uses.
const (
	OperatorHandOver OperatorKind = iota // Node: let it lead; 0: whoever holds most
	OperatorSkip                         // Position: of the record that apply is to pass over
	OperatorRecover                      // Order: lead without votes, when a majority may have forgotten
	OperatorSnapshot                     // Leader: have snapshots taken, by the leader, too, or by the others only
	OperatorLook                         // Look: call it on the core thread, once a duty cycle, until it says that it is done
	numOperatorKinds
)

// OperatorRequest is what an operator asks. It is a union: Kind says which fields count.
type OperatorRequest struct {
	Kind     OperatorKind
	Node     wire.NodeID
	Position wire.Position
	Order    RecoverOrder
	Leader   bool
	Look     func(nowNs int64) (done bool) // bounded: the cluster waits for it
}

// OperatorAnswer is what came of a request. Err nil: it was done.
type OperatorAnswer struct {
	Err    error
	What   string        // what happened, for people
	Leader wire.NodeID   // as this node knows it, 0 if it does not
	Term   wire.Term     // of this node
	At     wire.Position // of what was appended for it, if anything was
	TookNs int64         // from when the core thread took the request to the answer
}

// Errors of a request.
var (
	// ErrNotLeading says that only the leader does this.
	ErrNotLeading = errors.New("this node does not lead")
	// ErrOperatorBusy says that the node is at another operator's request.
	ErrOperatorBusy = errors.New("another request is under way on this node: ask again when it is done")
	// ErrOperatorLate says that no answer came in time.
	ErrOperatorLate = errors.New("no answer in time: it may still happen")
	// ErrRefused says that what was asked cannot be done now; what wraps it says why.
	ErrRefused = errors.New("refused")
)

// Operator is the mailbox through which operators reach the core thread: one slot, from any goroutine. The core thread
// looks at it once a duty cycle, which is one atomic load while it is empty.
type Operator struct {
	slot atomic.Pointer[OperatorCall]
	wake func()
}

// OperatorCall is a request in the mailbox, until it is answered or withdrawn.
type OperatorCall struct {
	request OperatorRequest
	done    chan OperatorAnswer // room for the one answer: the core thread never waits

	// Of the core thread.
	begunNs int64         // 0: not begun
	term    wire.Term     // of this node when it began
	end     wire.Position // of what was appended for it
}

// NewOperator returns an empty mailbox. wake is called after a request was put in: it wakes the core thread if that
// blocks.
func NewOperator(wake func()) *Operator { return &Operator{wake: wake} }

// Begin puts a request in; nil if there is one already. Any goroutine.
func (o *Operator) Begin(request OperatorRequest) *OperatorCall {
	call := &OperatorCall{request: request, done: make(chan OperatorAnswer, 1)}
	if !o.slot.CompareAndSwap(nil, call) {
		return nil
	}
	o.wake()
	return call
}

// Done gives the answer, once.
func (c *OperatorCall) Done() <-chan OperatorAnswer { return c.done }

// Withdraw empties the slot of a call that nobody waits for any more. What has begun goes on.
func (o *Operator) Withdraw(call *OperatorCall) { o.slot.CompareAndSwap(call, nil) }

// Ask puts a request in and waits for the answer, until ctx ends or the time is up. Any goroutine.
func (o *Operator) Ask(ctx context.Context, request OperatorRequest, limit time.Duration) OperatorAnswer {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	call := o.Begin(request)
	if call == nil {
		return OperatorAnswer{Err: ErrOperatorBusy}
	}
	select {
	case answer := <-call.done:
		return answer
	case <-ctx.Done():
		o.Withdraw(call)
		return OperatorAnswer{Err: ErrOperatorLate}
	}
}

// operators is what the core thread does with each kind: called once a duty cycle, first with first, until it says that
// the call is answered.
var operators = [numOperatorKinds]func(a *Agent, call *OperatorCall, first bool) (answered bool){
	OperatorHandOver: (*Agent).operateHandOver,
	OperatorSkip:     (*Agent).operateSkip,
	OperatorRecover:  (*Agent).operateRecover,
	OperatorSnapshot: (*Agent).operateSnapshot,
	OperatorLook:     (*Agent).operateLook,
}

// pollOperator looks into the mailbox.
func (a *Agent) pollOperator() int {
	call := a.o.Operator.slot.Load()
	if call == nil {
		return 0
	}
	first := call.begunNs == 0
	if first {
		call.begunNs, call.term = a.nowNs, a.core.Term()
	}
	if !operators[call.request.Kind](a, call, first) && !first {
		return 0 // it waits
	}
	return 1
}

// answer ends a call. Whoever has the answer finds the mailbox empty for the next.
func (a *Agent) answer(call *OperatorCall, err error, what string) bool {
	a.o.Operator.slot.CompareAndSwap(call, nil)
	call.done <- OperatorAnswer{Err: err, What: what, Leader: a.core.Leader(), Term: a.core.Term(),
		At: call.end, TookNs: a.nowNs - call.begunNs}
	return true
}

// operateHandOver has another node lead, and answers when it does, or when that was given up.
func (a *Agent) operateHandOver(call *OperatorCall, first bool) bool {
	if first {
		if !a.leading {
			return a.answer(call, ErrNotLeading, "")
		}
		a.publishAppended() // what was taken so far belongs to what the target is to hold
		a.tell(event{kind: InHandOver, node: call.request.Node})
		if a.leading && !a.core.HandingOver() {
			return a.answer(call, fmt.Errorf("%w: %s", ErrRefused, a.core.handOverObstacle(call.request.Node)), "")
		}
		return false
	}
	leader := a.core.Leader()
	switch {
	case a.leading && a.ledTerm == call.term && !a.core.HandingOver():
		return a.answer(call, fmt.Errorf("%w: given up: no other node took over within an election time-out; "+
			"this node goes on leading", ErrRefused), "")
	case a.leading && a.ledTerm == call.term, leader == 0:
		return false
	case a.leading:
		return a.answer(call, fmt.Errorf("%w: another node tried to take over, and this one was elected again",
			ErrRefused), "")
	}
	return a.answer(call, nil, fmt.Sprintf("node %d leads term %d", leader, a.core.Term()))
}

// operateLook lets somebody look at what belongs to the core thread.
func (a *Agent) operateLook(call *OperatorCall, _ bool) bool {
	return call.request.Look(a.nowNs) && a.answer(call, nil, "looked")
}

// operateSkip appends a skip record, and answers when it is committed: apply then reads it ahead on every node.
func (a *Agent) operateSkip(call *OperatorCall, first bool) bool {
	at := call.request.Position
	switch {
	case first && !a.leading:
		return a.answer(call, ErrNotLeading, "")
	case first:
		if err := a.appendSkip(at); err != nil {
			return a.answer(call, fmt.Errorf("%w: %w", ErrRefused, err), "")
		}
		call.end = a.o.Leading.Chain().Position
		return false
	case !a.leading || a.ledTerm != call.term:
		return a.answer(call, fmt.Errorf("%w: this node lost its leadership before the skip record was committed",
			ErrOperatorLate), "")
	case a.core.Commit() < call.end:
		return false
	}
	return a.answer(call, nil, fmt.Sprintf("the record at position %d is passed over by every node", at))
}

func (a *Agent) appendSkip(at wire.Position) error {
	switch {
	case a.core.HandingOver():
		return errors.New("this node hands leadership over")
	case a.owed.kind != 0:
		return errLogFull
	}
	if err := a.o.Services.Skippable(at); err != nil {
		return err
	}
	if !a.o.Leading.AppendSkip(a.nowNs, at) {
		return errLogFull
	}
	return nil
}

// errLogFull says that the leader cannot append at the moment.
var errLogFull = errors.New("the log has no room at the moment: ask again")
