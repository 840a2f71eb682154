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

// TestServicesHaveTheirNamesAndSayHowFullTheyAre: status, transactions and the documents count on it.
func TestServicesHaveTheirNamesAndSayHowFullTheyAre(t *testing.T) {
	services, err := NewServices(MachineLimits{})
	if err != nil {
		t.Fatal(err)
	}
	for number := service.Echo; number < service.FirstOwn; number++ {
		s := services[number]
		if number == service.Transaction {
			if s != nil {
				t.Errorf("number %d is the driver's own", number)
			}
			continue
		}
		if s.Name() != service.NameOf(number) {
			t.Errorf("service %d is %q, and is called %q", number, s.Name(), service.NameOf(number))
		}
		sized, ok := s.(service.Sized)
		if _, checks := s.(service.Checker); number == service.Echo || ok && checks {
			if ok {
				if used, limit := sized.Memory(); used >= limit {
					t.Errorf("%s: new, it holds %d of %d", s.Name(), used, limit)
				}
			}
			continue
		}
		t.Errorf("%s does not say how full it is, or takes no part in transactions", s.Name())
	}
}
