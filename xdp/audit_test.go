package xdp

import (
	"strings"
	"testing"
)

// poll is a duty cycle of an owner that has nothing to do.
func poll(e *Endpoint) {
	e.Receive(64)
	e.Release()
	e.Reclaim(1)
	e.Flush()
}

func TestAuditRunsByItself(t *testing.T) {
	a, b := newPair(t)
	ea, eb := a.open(Config{}), b.open(Config{})
	meet(t, ea, eb)
	eventually(t, "two audits", func() bool {
		poll(ea)
		return ea.Stats().Audits >= 2
	})
	must(t, ea.Err())

	// It does not wait for ever for a moment without anything to do.
	eventually(t, "an audit of one that is never idle", func() bool {
		send(t, ea, eb.Local(), []byte("busy"))
		n := eb.Receive(1)
		eb.Release()
		return n == 1 && eb.Stats().Audits > 0
	})

	ea.umem.owner[ea.umem.free[0]] = OwnerTx // as if a frame had gone that was never sent
	eventually(t, "the end", func() bool {
		poll(ea)
		return ea.Err() != nil
	})
	if !strings.Contains(ea.Err().Error(), "frame") {
		t.Error(ea.Err())
	}
}

func TestAuditFindsEveryWrongPlace(t *testing.T) {
	for name, harm := range map[string]func(e *Endpoint){
		"a received frame that nobody has":     func(e *Endpoint) { e.umem.owner[3] = OwnerApp },
		"a frame that is free and not at hand": func(e *Endpoint) { e.umem.freeN-- },
		"a frame twice on the free list":       func(e *Endpoint) { e.umem.free[0] = e.umem.free[1] },
		"a count that is off":                  func(e *Endpoint) { e.umem.txSent++ },
		"a frame received into on the free list": func(e *Endpoint) {
			e.umem.free[0] = 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := newPair(t)
			e := a.open(Config{})
			audit(t, e)
			harm(e)
			if where, err := e.Audit(); err == nil {
				t.Errorf("not found: %v", where)
			}
		})
	}
}

func TestAuditDoesNotAllocate(t *testing.T) {
	a, _ := newPair(t)
	e := a.open(Config{})
	if n := testing.AllocsPerRun(100, func() {
		e.errands.Or(errandAudit)
		poll(e)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if e.Stats().Audits < 100 {
		t.Errorf("%d audits", e.Stats().Audits)
	}
}

// BenchmarkAudit is what the walk over all frames of the default pools costs the owner's thread, about once a second.
func BenchmarkAudit(b *testing.B) {
	one, _ := newPair(b)
	e := one.open(Config{RxFrames: defaultRxFrames, TxFrames: defaultTxFrames})
	for b.Loop() {
		if _, err := e.Audit(); err != nil {
			b.Fatal(err)
		}
	}
}
