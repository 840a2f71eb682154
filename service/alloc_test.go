package service_test

import (
	"math/bits"
	"testing"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// steady is a driver with a long log behind it, opened sessions, and a function that commits and applies the next
// record of it.
type steady struct {
	*rig
	ends []wire.Position
	at   int
}

const steadySessions = 4

func newSteady(t testing.TB, records int, to uint16, lead bool) *steady {
	many := 1 << bits.Len(uint(records))
	limits := service.Limits{KeptResponses: many, KeptBytes: 256 * many}
	r := newRig(t, rigOptions{ringBytes: 256 * many, orderbook: newBook(t), limits: limits})
	if lead {
		r.lead()
	}
	var flows [steadySessions]*orderflow.Generator
	for i := range flows {
		flows[i] = orderflow.New(orderflow.Options{Seed: 1, Client: uint64(i), Open: 200})
		r.open(wire.SessionID(i + 1))
	}
	r.do()
	r.received()
	s := &steady{rig: r, ends: make([]wire.Position, records)}
	for n := range records {
		i := n % steadySessions
		payload, _ := flows[i].Next()
		s.ends[n] = r.append(wire.Record{
			Kind: wire.RecordMessage, Session: wire.SessionID(i + 1), Correlation: uint64(n/steadySessions + 1),
			Service: to, Acked: uint32(n / steadySessions),
		}, payload)
	}
	return s
}

func (s *steady) next(n int) {
	s.at += n
	s.progress.SetCommit(s.ends[s.at-1])
	for s.progress.Applied() < s.ends[s.at-1] {
		if _, err := s.driver.DoWork(0); err != nil {
			s.t.Fatal(err)
		}
	}
	for s.egress.Next() != nil {
	}
	s.egress.Release()
}

func TestApplyingARecordDoesNotAllocate(t *testing.T) {
	for name, to := range map[string]uint16{"echo": service.Echo, "orderbook": service.OrderBook} {
		for role, lead := range map[string]bool{"leading": true, "following": false} {
			t.Run(name+" "+role, func(t *testing.T) {
				s := newSteady(t, 8000, to, lead)
				s.next(2000)
				if n := testing.AllocsPerRun(5000, func() { s.next(1) }); n != 0 {
					t.Errorf("%v allocations a record", n)
				}
				if lead && s.egress.Next() != nil {
					t.Error("egress is left")
				}
			})
		}
	}
}

func BenchmarkApply(b *testing.B) {
	for _, bench := range []struct {
		name string
		to   uint16
		lead bool
	}{
		{"echo/following", service.Echo, false}, {"echo/leading", service.Echo, true},
		{"orderbook/following", service.OrderBook, false}, {"orderbook/leading", service.OrderBook, true},
	} {
		for _, batch := range []int{1, 64} {
			b.Run(bench.name+map[int]string{1: "/one", 64: "/batch64"}[batch], func(b *testing.B) {
				const records = 200000
				var s *steady
				b.ReportAllocs()
				for n := 0; n < b.N; n += batch {
					if s == nil || s.at+batch > records {
						b.StopTimer()
						s = newSteady(b, records, bench.to, bench.lead)
						b.StartTimer()
					}
					s.next(batch)
				}
			})
		}
	}
}
