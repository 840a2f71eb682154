package service

import "lockstep/internal/counters"

// Sized is a Service whose state is bounded and counted.
type Sized interface {
	Service
	// Memory is how much the service's state holds, and how much it may: bytes, or whatever its limit counts. It is called
	// about once a millisecond and must be cheap. A message for which there is no room the service refuses.
	Memory() (used, limit uint64)
}

// memory is what is told of one service's state.
type memory struct {
	of          Sized // nil: not counted
	used, limit *counters.Counter
}

const (
	memoryHelp      = "What a service's state holds, in bytes or what else its limit counts"
	memoryLimitHelp = "What a service's state may hold"
)

// newMemory is for a service that is Sized; for others it does nothing.
func newMemory(f *counters.File, s Service) memory {
	of, ok := s.(Sized)
	if !ok || f == nil {
		return memory{}
	}
	label := `{service="` + s.Name() + `"}`
	return memory{of, f.Counter("lockstep_service_memory_bytes"+label, memoryHelp),
		f.Counter("lockstep_service_memory_limit_bytes"+label, memoryLimitHelp)}
}

func (m *memory) tell() {
	if m.of != nil {
		used, limit := m.of.Memory()
		m.used.Set(used)
		m.limit.Set(limit)
	}
}
