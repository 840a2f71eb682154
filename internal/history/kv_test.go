package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// kvOp makes an operation that was called at one time and returned at another, with a place in the log.
func kvOp(kind KVKind, key, value string, invoke, back int64, sequence uint64, more ...func(*KVOp)) KVOp {
	op := KVOp{Op: Op{ID: fmt.Sprint(kind, key, sequence), InvokeNs: invoke, ReturnNs: back, Sequence: sequence}, Kind: kind, Key: key,
		Value: value, Answered: back != 0, Done: kind == KVPut || kind == KVSwap || kind == KVDelete}
	if kind == KVPut || kind == KVSwap {
		op.Found = KVEntry{Version: sequence}
	}
	for _, f := range more {
		f(&op)
	}
	return op
}

func saw(version uint64, value string) func(*KVOp) {
	return func(op *KVOp) { op.Found = KVEntry{Key: op.Key, Version: version, Value: value} }
}

func expects(version uint64, done bool) func(*KVOp) {
	return func(op *KVOp) { op.Guarded, op.Expect, op.Done = true, version, done }
}

func entries(list ...KVEntry) func(*KVOp) { return func(op *KVOp) { op.Entries = list } }

func TestKVHistories(t *testing.T) {
	for _, x := range []struct {
		what           string
		replay, search bool
		ops            []KVOp
	}{
		{"a put is seen", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVGet, "a", "", 3, 4, 6, saw(5, "1"))}},
		{"a put is not seen", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVGet, "a", "", 3, 4, 6, saw(0, ""))}},
		{"a put that runs at the same time is not seen", true, true,
			[]KVOp{kvOp(KVPut, "a", "1", 1, 9, 6), kvOp(KVGet, "a", "", 3, 4, 5, saw(0, ""))}},
		{"an old value comes back", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVPut, "a", "2", 3, 4, 6),
			kvOp(KVGet, "a", "", 5, 6, 7, saw(6, "2")), kvOp(KVGet, "a", "", 7, 8, 8, saw(5, "1"))}},
		{"two swaps of one version succeed", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5),
			kvOp(KVSwap, "a", "2", 3, 6, 6, expects(5, true)), kvOp(KVSwap, "a", "3", 3, 6, 7, expects(5, true))}},
		{"one of two swaps succeeds", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5),
			kvOp(KVSwap, "a", "2", 3, 6, 6, expects(5, true)), kvOp(KVSwap, "a", "3", 3, 6, 7, expects(5, false), saw(6, "2"))}},
		{"a swap of what is there fails", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5),
			kvOp(KVSwap, "a", "2", 3, 4, 6, expects(5, false), saw(5, "1"))}},
		{"a delete of nothing took place", false, false, []KVOp{kvOp(KVDelete, "a", "", 3, 4, 6)}},
		{"what is deleted is gone", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVDelete, "a", "", 3, 4, 6),
			kvOp(KVGet, "a", "", 5, 6, 7, saw(0, ""))}},
		{"what is deleted is there", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVDelete, "a", "", 3, 4, 6),
			kvOp(KVGet, "a", "", 5, 6, 7, saw(5, "1"))}},
		{"a put of unknown outcome is seen", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 0, 5), kvOp(KVGet, "a", "", 5, 6, 7, saw(5, "1"))}},
		{"a put of unknown outcome never was", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 0, 0), kvOp(KVGet, "a", "", 5, 6, 7, saw(0, ""))}},
		{"a swap of nothing fails behind a put of unknown outcome", true, true, []KVOp{kvOp(KVPut, "a", "1", 1, 0, 5),
			kvOp(KVSwap, "a", "2", 3, 4, 6, expects(0, false), saw(5, "1"))}},
		{"a swap of nothing succeeds behind a put that was seen", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 0, 5),
			kvOp(KVGet, "a", "", 5, 6, 6, saw(5, "1")), kvOp(KVSwap, "a", "2", 7, 8, 7, expects(0, true))}},
		{"a value that nobody put", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVGet, "a", "", 5, 6, 7, saw(5, "2"))}},
		{"a range misses a key", false, true, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVRange, "", "", 3, 4, 6)}},
		{"a range sees a key of before its deletion", false, false, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 5), kvOp(KVDelete, "a", "", 3, 4, 6),
			kvOp(KVRange, "", "", 5, 6, 7, entries(KVEntry{"a", 5, "1"}))}},
		{"a range with its limit", true, true, []KVOp{kvOp(KVPut, "b", "1", 1, 2, 5), kvOp(KVPut, "a", "2", 1, 2, 6),
			kvOp(KVRange, "", "", 5, 6, 7, entries(KVEntry{"a", 6, "2"}), func(op *KVOp) { op.Limit, op.More = 1, true })}},
		{"a range that says there is no more", false, true, []KVOp{kvOp(KVPut, "b", "1", 1, 2, 5), kvOp(KVPut, "a", "2", 1, 2, 6),
			kvOp(KVRange, "", "", 5, 6, 7, entries(KVEntry{"a", 6, "2"}), func(op *KVOp) { op.Limit = 1 })}},
		{"a range behind a key, without values", true, true, []KVOp{kvOp(KVPut, "b", "1", 1, 2, 5), kvOp(KVPut, "a", "2", 1, 2, 6),
			kvOp(KVRange, "a", "", 5, 6, 7, entries(KVEntry{"b", 5, ""}), func(op *KVOp) { op.After, op.Bare = "a", true })}},
		{"an answer to what never took effect", false, true, []KVOp{kvOp(KVPut, "a", "1", 1, 2, 0)}},
	} {
		if err := ReplayKV(x.ops); (err == nil) != x.replay || err != nil && !errors.Is(err, ErrViolation) {
			t.Errorf("%s: replayed: %v", x.what, err)
		}
		if decided, err := SearchKV(x.ops, time.Minute); !decided || (err == nil) != x.search {
			t.Errorf("%s: searched: %v %v", x.what, decided, err)
		}
	}
}

// What a store that is right tells its clients is found right by both checkers, and one answer changed is found wrong by the
// replay always and by the search whenever the answer contradicts what others saw.
func TestRightStoresPassAndOneWrongAnswerIsFound(t *testing.T) {
	caught := 0
	for seed := range uint64(60) {
		ops := rightKV(rand.New(rand.NewPCG(seed, 1)), 80)
		if err := ReplayKV(ops); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if decided, err := SearchKV(ops, time.Minute); !decided || err != nil {
			t.Fatalf("seed %d: searched: %v %v", seed, decided, err)
		}
		for i := range ops {
			if op := &ops[i]; op.Kind == KVGet && op.Answered && op.Found.Version != 0 {
				op.Found.Version, op.Found.Value = 0, ""
				if ReplayKV(ops) == nil {
					t.Fatalf("seed %d: operation %d lies, and the replay does not notice", seed, i)
				}
				if _, err := SearchKV(ops, time.Minute); err != nil {
					caught++
				}
				break
			}
		}
	}
	if caught < 10 {
		t.Errorf("the search caught %d of 60 lies", caught)
	}
}

// rightKV makes what clients of a right store are told, with returns that overlap and some that are missing.
func rightKV(r *rand.Rand, n int) []KVOp {
	table := map[string]KVEntry{}
	var ops []KVOp
	for i := range n {
		at := int64(10 * i)
		op := KVOp{Op: Op{ID: fmt.Sprint(i), InvokeNs: at - r.Int64N(40), ReturnNs: at + 1 + r.Int64N(40), Sequence: uint64(i + 1)},
			Kind: KVKind(r.IntN(4)), Key: string(rune('a' + r.IntN(3))), Value: fmt.Sprint("v", i), Answered: true}
		now := table[op.Key]
		now.Key = op.Key
		if op.Kind == KVSwap || op.Kind == KVDelete && r.IntN(2) == 0 {
			op.Guarded, op.Expect = true, now.Version
			if r.IntN(3) == 0 {
				op.Expect++
			}
		}
		op.Found = now
		op.Done = op.Kind != KVGet && (!op.Guarded || op.Expect == now.Version) && !(op.Kind == KVDelete && now.Version == 0)
		switch {
		case op.Done && op.Kind == KVDelete:
			delete(table, op.Key)
		case op.Done:
			op.Found = KVEntry{Key: op.Key, Version: op.Sequence, Value: ""}
			table[op.Key] = KVEntry{op.Key, op.Sequence, op.Value}
		}
		if r.IntN(10) == 0 {
			op.ReturnNs, op.Answered = 0, false
		}
		ops = append(ops, op)
	}
	return ops
}
