package history

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrDisagree says that Check and porcupine decide differently: one of the two is wrong.
var ErrDisagree = errors.New("history: two checkers disagree")

// searchLimit bounds the search in one window.
const searchLimit = 10 * time.Second

// inOrder is the log as porcupine sees it: an operation with the k-th place of a window is legal as the k-th step.
var inOrder = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, _, output any) (bool, any) {
		return output.(int) == state.(int), state.(int) + 1
	},
}

// CheckWindows has porcupine decide windows of the history: up to size operations that follow one another in the order of
// their sequences, at most so many windows, spread over the whole. What Check finds in a window porcupine must find, and
// nothing else. An operation whose outcome is unknown to its client returns at infinity; one that took no effect
// constrains nothing.
func CheckWindows(ops []Op, size, windows int) error {
	done := make([]Op, 0, len(ops))
	for _, op := range ops {
		if op.Sequence != 0 {
			done = append(done, op)
		}
	}
	slices.SortFunc(done, func(a, b Op) int { return cmp.Compare(a.Sequence, b.Sequence) })
	step := max(1, size/2, len(done)/max(windows, 1))
	for from := 0; from < len(done); from += step {
		if err := checkWindow(done[from:min(from+size, len(done))]); err != nil {
			return err
		}
	}
	return nil
}

// checkWindow compares the two checkers on operations that are in order.
func checkWindow(ops []Op) error {
	history := make([]porcupine.Operation, len(ops))
	for i := range ops {
		op := &ops[i]
		history[i] = porcupine.Operation{ClientId: i, Call: op.InvokeNs, Return: op.ReturnNs, Output: i}
		if op.ReturnNs == 0 {
			history[i].Return = math.MaxInt64
		}
		if i > 0 && op.Sequence == ops[i-1].Sequence {
			history[i].Output = i - 1 // one place, two operations: the second cannot be a step of its own
		}
	}
	err := Check(ops)
	switch result := porcupine.CheckOperationsTimeout(inOrder, history, searchLimit); {
	case result == porcupine.Unknown: // no verdict within the limit
	case err == nil && result == porcupine.Illegal:
		return fmt.Errorf("%w: %d operations from sequence %d on are not linearizable, says porcupine alone",
			ErrDisagree, len(ops), ops[0].Sequence)
	case err != nil && result == porcupine.Ok:
		return fmt.Errorf("%w: porcupine has nothing against %d operations from sequence %d on: %w",
			ErrDisagree, len(ops), ops[0].Sequence, err)
	}
	return err
}
