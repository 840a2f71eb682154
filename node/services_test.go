package node

import (
	"testing"

	"lockstep/replica"
	"lockstep/service"
)

// TestAppliedSaysWhenTheServiceHasMoved: what is up to date is left alone, and none of it costs an allocation.
func TestAppliedSaysWhenTheServiceHasMoved(t *testing.T) {
	s := &services{progress: &service.Progress{}}
	same := replica.Applied{Hash: 1, SnapshotDigest: 2, VerifiedDigest: 3}
	x := same
	if s.Applied(&x) || x != same {
		t.Errorf("the service stands at 0 as before, and %+v became %+v", same, x)
	}
	x.Position = 64
	if !s.Applied(&x) || x != (replica.Applied{}) {
		t.Errorf("the service stands at 0 with nothing reported, not at %+v", x)
	}
	if allocs := testing.AllocsPerRun(100, func() { x.Position ^= 64; s.Applied(&x); s.Applied(&x) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
