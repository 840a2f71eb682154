package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Op is an operation of a client.
type Op struct {
	Client   int
	Number   uint64 // among the client's
	ID       string // for people; "": client and number say it
	InvokeNs int64
	ReturnNs int64  // when it was acknowledged for good; 0: never, its outcome is unknown to the client
	Sequence uint64 // its place in the order; 0: it never took effect
}

// name is the operation for people.
func (op *Op) name() string {
	if op.ID != "" {
		return op.ID
	}
	return fmt.Sprintf("%d of client %d", op.Number, op.Client)
}

// ErrViolation says that a history is not linearizable.
var ErrViolation = errors.New("history: not linearizable")

// Check says whether the operations, in the order of their sequences, could have happened each at one instant between
// its invocation and its return.
func Check(ops []Op) error {
	done := make([]*Op, 0, len(ops))
	for i := range ops {
		switch op := &ops[i]; {
		case op.Sequence != 0:
			done = append(done, op)
		case op.ReturnNs != 0:
			return fmt.Errorf("%w: operation %s was acknowledged and took no effect", ErrViolation, op.name())
		}
	}
	slices.SortFunc(done, func(a, b *Op) int { return cmp.Compare(a.Sequence, b.Sequence) })
	// From the last to the first: nothing that comes later in the order may have returned before this one was invoked.
	earliest, first := int64(math.MaxInt64), (*Op)(nil)
	for i := len(done) - 1; i >= 0; i-- {
		op := done[i]
		if i > 0 && done[i-1].Sequence == op.Sequence {
			return fmt.Errorf("%w: operations %s and %s both have sequence %d", ErrViolation, done[i-1].name(), op.name(),
				op.Sequence)
		}
		if op.InvokeNs > earliest {
			return fmt.Errorf("%w: operation %s (sequence %d) was invoked at %d, after %s (sequence %d) had returned at %d",
				ErrViolation, op.name(), op.Sequence, op.InvokeNs, first.name(), first.Sequence, first.ReturnNs)
		}
		if op.ReturnNs != 0 && op.ReturnNs < earliest {
			earliest, first = op.ReturnNs, op
		}
	}
	return nil
}
