// Package seats sells the seats of a theatre: a service that runs on a Lockstep cluster. A seat is held for a while by whoever
// asks first, and then confirmed, or it is free again when the while is over.
package seats

import (
	"fmt"
	"time"

	"lockstep/service"
	"lockstep/wire"
)

// Number is the service's, in messages and in the log. It never changes.
const Number = service.FirstOwn

// What there is, and may be. The same on every node: both change what is answered.
const (
	Seats   = 500 // numbered from 1
	MaxHold = 600 // seconds
)

// A seat is in one of these states.
const (
	free = iota
	held
	sold
)

type seat struct {
	state byte
	by    wire.SessionID // held or sold: who has it
}

// Service is the theatre.
type Service struct {
	seats [Seats + 1]seat    // by number; the first is not used
	holds *service.Deadlines // of the seats that are held, by number
	hash  uint64             // of all seats that are not free
}

// New makes a theatre whose seats are all free.
func New() service.Service {
	return &Service{holds: service.NewDeadlines(0, Seats, 64)}
}

// Name implements service.Service.
func (s *Service) Name() string { return "reservations" }

// set puts a seat into a state, and keeps the hash up.
func (s *Service) set(number int, state byte, by wire.SessionID) {
	s.hash -= s.hashOf(number)
	s.seats[number] = seat{state, by}
	s.hash += s.hashOf(number)
}

func (s *Service) hashOf(number int) uint64 {
	x := s.seats[number]
	if x.state == free {
		return 0
	}
	return service.Mix(service.Mix(uint64(number), uint64(x.state)), uint64(x.by))
}

// judge reads a message and says why it is refused, if it is. It changes nothing.
func (s *Service) judge(session wire.SessionID, payload []byte) (q request, refusal []byte) {
	q, ok := parse(payload)
	x := s.seats[q.seat]
	switch {
	case !ok:
		refusal = fmt.Appendf(nil, "refused: want hold SEAT SECONDS, confirm SEAT, release SEAT or list: "+
			"seats are 1 to %d, seconds 1 to %d", Seats, MaxHold)
	case q.verb == "hold" && (x.state == sold || x.state == held && x.by != session):
		refusal = fmt.Appendf(nil, "refused: seat %d is taken", q.seat)
	case (q.verb == "confirm" || q.verb == "release") && (x.state != held || x.by != session):
		refusal = fmt.Appendf(nil, "refused: seat %d is not held by you", q.seat)
	}
	return q, refusal
}

// Apply implements service.Service: it carries out one message.
func (s *Service) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	q, refusal := s.judge(r.Session, payload)
	if refusal != nil {
		ctx.Respond(r.Session, refusal)
		return
	}
	switch q.verb {
	case "hold":
		until := ctx.Timestamp() + q.seconds*uint64(time.Second)
		s.set(q.seat, held, r.Session)
		s.holds.Set(ctx, uint64(q.seat), until)
		ctx.Respond(r.Session, fmt.Appendf(nil, "seat %d is held for %d seconds", q.seat, q.seconds))
	case "confirm":
		s.set(q.seat, sold, r.Session)
		s.holds.Cancel(ctx, uint64(q.seat))
		ctx.Respond(r.Session, fmt.Appendf(nil, "seat %d is sold", q.seat))
	case "release":
		s.set(q.seat, free, 0)
		s.holds.Cancel(ctx, uint64(q.seat))
		ctx.Respond(r.Session, fmt.Appendf(nil, "seat %d is free", q.seat))
	case "list":
		ctx.Count(Seats)
		ctx.Respond(r.Session, s.list())
	}
}

// list says which seats are held, and which are sold.
func (s *Service) list() []byte {
	b := []byte("held:")
	for number, x := range s.seats {
		if x.state == held {
			b = fmt.Appendf(b, " %d", number)
		}
	}
	b = append(b, "; sold:"...)
	for number, x := range s.seats {
		if x.state == sold {
			b = fmt.Appendf(b, " %d", number)
		}
	}
	return b
}

// OnSession implements service.Service. A client that goes away keeps what it holds until that runs out.
func (s *Service) OnSession(*service.Context, wire.SessionID, bool) {}

// OnTimer implements service.Timed: it frees the seats whose time is over.
func (s *Service) OnTimer(ctx *service.Context, _, _ uint64) {
	for id, _, due := s.holds.Next(ctx); due; id, _, due = s.holds.Next(ctx) {
		by := s.seats[id].by
		s.set(int(id), free, 0)
		ctx.Respond(by, fmt.Appendf(nil, "seat %d is free: the time is over", id))
	}
	s.holds.Rearm(ctx)
}

// Check implements service.Checker: the theatre takes part in transactions.
func (s *Service) Check(_ *service.Context, r *wire.Record, payload []byte) (refusal []byte) {
	_, refusal = s.judge(r.Session, payload)
	return refusal
}
