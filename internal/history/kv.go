package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// KVKind says what an operation on a key/value store does.
type KVKind uint8

// The kinds.
const (
	KVGet KVKind = iota
	KVPut
	KVSwap   // a put, if the version is the expected one
	KVDelete // with Guarded: if the version is the expected one
	KVRange  // a get of every key from one to another
)

// KVOp is an operation on a key/value store, and what its client was told of it. A version is the sequence of the record that
// changed the key last, 0 for a key that is not there.
type KVOp struct {
	Op
	Kind     KVKind
	Key      string // of a range: the first
	Value    string // what a put or swap puts
	Guarded  bool   // it depends on Expect
	Expect   uint64
	Answered bool      // what follows is known
	Done     bool      // a change took place
	Found    KVEntry   // what a get saw, or what stands there now that nothing changed
	Until    string    // range: behind the last key, "" for no end
	After    string    // range: keys behind this one alone
	Limit    int       // range: entries at most, 0 for all
	Bare     bool      // range: without the values
	Entries  []KVEntry // what a range saw
	More     bool      // range: there is more than it saw
}

// KVEntry is a key with what stands there.
type KVEntry struct {
	Key     string
	Version uint64 // 0: nothing
	Value   string
}

// ReplayKV holds what the operations were told against a table that carries them out in the order of their sequences. Operations
// that never took effect are passed over, and an answer to one of those is a violation.
func ReplayKV(ops []KVOp) error {
	order := make([]*KVOp, 0, len(ops))
	for i := range ops {
		if op := &ops[i]; op.Sequence != 0 {
			order = append(order, op)
		} else if op.Answered {
			return fmt.Errorf("%w: operation %s was answered and took no effect", ErrViolation, op.name())
		}
	}
	slices.SortFunc(order, func(a, b *KVOp) int { return cmp.Compare(a.Sequence, b.Sequence) })
	table := map[string]KVEntry{}
	for _, op := range order {
		if err := op.replay(table); err != nil {
			return err
		}
	}
	return nil
}

// replay carries one operation out.
func (op *KVOp) replay(table map[string]KVEntry) error {
	now := table[op.Key]
	now.Key = op.Key
	if op.Kind == KVRange {
		return op.replayRange(table)
	}
	changes := op.Kind != KVGet && !(op.Kind == KVDelete && now.Version == 0) && (!op.Guarded || op.Expect == now.Version)
	if op.Answered && op.Done != changes {
		return op.wrong("it changed the key: %v, and the key is at version %d", op.Done, now.Version)
	}
	if !changes {
		if op.Answered && (op.Found.Version != now.Version || op.Found.Value != now.Value) {
			return op.wrong("it saw version %d %q, and there is version %d %q", op.Found.Version, op.Found.Value, now.Version, now.Value)
		}
		return nil
	}
	if op.Kind == KVDelete {
		delete(table, op.Key)
		return nil
	}
	if op.Answered && op.Found.Version != op.Sequence {
		return op.wrong("it was told version %d", op.Found.Version)
	}
	table[op.Key] = KVEntry{op.Key, op.Sequence, op.Value}
	return nil
}

func (op *KVOp) replayRange(table map[string]KVEntry) error {
	if !op.Answered {
		return nil
	}
	var want []KVEntry
	for key, e := range table {
		if key >= op.Key && (op.Until == "" || key < op.Until) && (op.After == "" || key > op.After) {
			if op.Bare {
				e.Value = ""
			}
			want = append(want, e)
		}
	}
	slices.SortFunc(want, func(a, b KVEntry) int { return cmp.Compare(a.Key, b.Key) })
	all := len(want)
	if op.Limit > 0 {
		want = want[:min(len(want), op.Limit)]
	}
	if !slices.Equal(want, op.Entries) || op.More != (len(want) < all) {
		return op.wrong("it saw %v, more: %v, and there is %v", op.Entries, op.More, want)
	}
	return nil
}

func (op *KVOp) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: operation %s on %q, sequence %d: %s", ErrViolation, op.name(), op.Key, op.Sequence,
		fmt.Sprintf(format, args...))
}

// kvKnown is what porcupine knows of a key between two operations. A put whose outcome its client does not know leaves a
// version that nobody was told.
type kvKnown struct {
	version uint64
	value   string
	untold  bool
}

func (s kvKnown) is(e *KVEntry) bool {
	return s.value == e.Value && (s.version == e.Version || s.untold && e.Version != 0)
}

// guards says whether a condition on the version holds; either may be where the version is untold.
func (s kvKnown) guards(op *KVOp) (holds, may bool) {
	if !op.Guarded {
		return true, false
	}
	return !s.untold && s.version == op.Expect, s.untold && op.Expect != 0
}

// kvModel is one key, as porcupine sees it: no sequence, but the versions that clients were told.
var kvModel = porcupine.NondeterministicModel{
	Partition: kvPartition,
	Init:      func() []any { return []any{kvKnown{}} },
	Step: func(state, input, _ any) []any {
		s, op := state.(kvKnown), input.(*KVOp)
		if op.Kind == KVGet {
			if op.Answered && !s.is(&op.Found) {
				return nil
			}
			return []any{s}
		}
		holds, may := s.guards(op)
		absent := op.Kind == KVDelete && s == kvKnown{}
		var next []any
		if (holds || may) && !absent && (!op.Answered || op.Done) {
			next = append(next, op.change())
		}
		if (!holds || may || absent) && (!op.Answered || !op.Done && s.is(&op.Found)) {
			next = append(next, s)
		}
		return next
	},
}

// change is what stands there when the operation took place.
func (op *KVOp) change() kvKnown {
	switch {
	case op.Kind == KVDelete:
		return kvKnown{}
	case op.Answered:
		return kvKnown{version: op.Found.Version, value: op.Value}
	}
	return kvKnown{value: op.Value, untold: true}
}

// kvPartition gives porcupine each key alone: it is linearizable if each of them is.
func kvPartition(all []porcupine.Operation) [][]porcupine.Operation {
	keys := map[string][]porcupine.Operation{}
	for _, op := range all {
		key := op.Input.(*KVOp).Key
		keys[key] = append(keys[key], op)
	}
	var parts [][]porcupine.Operation
	for _, part := range keys {
		parts = append(parts, part)
	}
	return parts
}

// SearchKV has porcupine look for an order that explains what clients were told of a key/value store. It knows nothing of
// sequences: only calls, returns and answers. A range counts as a get of each key that it saw. decided is false when
// there was no verdict within the limit.
func SearchKV(ops []KVOp, limit time.Duration) (decided bool, err error) {
	var calls []porcupine.Operation
	add := func(op *KVOp, returnNs int64) {
		if returnNs == 0 {
			returnNs = math.MaxInt64
		}
		calls = append(calls, porcupine.Operation{ClientId: len(calls), Input: op, Call: op.InvokeNs, Return: returnNs})
	}
	for i := range ops {
		switch op := &ops[i]; {
		case op.Kind == KVRange || op.Kind == KVGet:
			if !op.Answered {
				continue // it tells nothing
			}
			for _, e := range op.Entries {
				if op.Bare {
					continue
				}
				add(&KVOp{Op: op.Op, Kind: KVGet, Key: e.Key, Answered: true, Found: e}, op.ReturnNs)
			}
			if op.Kind == KVGet {
				add(op, op.ReturnNs)
			}
		default:
			add(op, op.ReturnNs)
		}
	}
	switch porcupine.CheckOperationsTimeout(kvModel.ToModel(), calls, limit) {
	case porcupine.Ok:
		return true, nil
	case porcupine.Illegal:
		return true, fmt.Errorf("%w: no order explains what the clients of the key/value store were told, says porcupine", ErrViolation)
	}
	return false, nil
}
