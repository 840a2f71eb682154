package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCheckKnowsRightFromWrong(t *testing.T) {
	for _, x := range []struct {
		what string
		ops  []Op
		ok   bool
	}{
		{"nothing", nil, true},
		{"one after the other", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 2, Sequence: 1}, {ID: "b", InvokeNs: 3, ReturnNs: 4, Sequence: 2}}, true},
		{"at once, either way", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 9, Sequence: 2}, {ID: "b", InvokeNs: 2, ReturnNs: 3, Sequence: 1}}, true},
		{"against time", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 2, Sequence: 2}, {ID: "b", InvokeNs: 3, ReturnNs: 4, Sequence: 1}}, false},
		{"against time, far apart", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 2, Sequence: 9}, {ID: "b", InvokeNs: 1, Sequence: 5},
			{ID: "c", InvokeNs: 3, ReturnNs: 4, Sequence: 1}}, false},
		{"acknowledged and gone", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 2}}, false},
		{"unknown and gone", []Op{{ID: "a", InvokeNs: 1}}, true},
		{"unknown, took effect later", []Op{{ID: "a", InvokeNs: 1, Sequence: 2}, {ID: "b", InvokeNs: 3, ReturnNs: 4, Sequence: 1}}, true},
		{"took effect before it was asked for", []Op{{ID: "a", InvokeNs: 5, Sequence: 1}, {ID: "b", InvokeNs: 1, ReturnNs: 2, Sequence: 2}}, false},
		{"two in one place", []Op{{ID: "a", InvokeNs: 1, ReturnNs: 2, Sequence: 1}, {ID: "b", InvokeNs: 1, ReturnNs: 2, Sequence: 1}}, false},
	} {
		if err := Check(x.ops); (err == nil) != x.ok || err != nil && !errors.Is(err, ErrViolation) {
			t.Errorf("%s: %v", x.what, err)
		}
		// Porcupine sees only what took effect: an acknowledged operation without a place is beyond it.
		gone := slices.ContainsFunc(x.ops, func(op Op) bool { return op.Sequence == 0 })
		if err := CheckWindows(x.ops, 8, 4); (err == nil) != (x.ok || gone) || errors.Is(err, ErrDisagree) {
			t.Errorf("%s, by windows: %v", x.what, err)
		}
	}
}

// history makes one that is linearizable: every operation takes effect at an instant between its ends.
func linearizable(r *rand.Rand, n int) []Op {
	ops := make([]Op, n)
	at := int64(0)
	for i := range ops {
		at += 1 + r.Int64N(10)
		ops[i] = Op{Client: i, ID: fmt.Sprint(i), InvokeNs: max(1, at-r.Int64N(40)), ReturnNs: at + r.Int64N(40) + 1, Sequence: uint64(i + 1)}
		if r.IntN(5) == 0 {
			ops[i].ReturnNs = 0
		}
	}
	r.Shuffle(n, func(i, j int) { ops[i], ops[j] = ops[j], ops[i] })
	return ops
}

func TestWhatIsLinearizablePasses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		if err := Check(linearizable(r, 1+r.IntN(60))); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCheckersAgree moves the ends of operations about until some histories are wrong: porcupine, which searches, and
// Check, which sorts, must find the same.
func TestCheckersAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	wrong := 0
	for range 400 {
		ops := linearizable(r, 2+r.IntN(40))
		for range r.IntN(3) {
			op := &ops[r.IntN(len(ops))]
			op.InvokeNs += r.Int64N(60)
			if op.ReturnNs != 0 {
				op.ReturnNs = max(op.ReturnNs, op.InvokeNs)
			}
		}
		err := CheckWindows(ops, 64, 1)
		if errors.Is(err, ErrDisagree) {
			t.Fatal(err)
		}
		if err != nil {
			wrong++
		}
	}
	if wrong < 20 || wrong > 380 {
		t.Errorf("%d of 400 histories are wrong: this compares nothing", wrong)
	}
}
