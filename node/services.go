package node

import (
	"errors"
	"fmt"

	"lockstep/replica"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/service/echo"
	"lockstep/service/kv"
	"lockstep/service/lock"
	"lockstep/service/orderbook"
	"lockstep/service/queue"
	"lockstep/service/timer"
	"lockstep/wire"
)

// NewServices makes the services of this build, with nothing seen: what every node runs, and what replays a log offline.
func NewServices(limits MachineLimits) (services [service.MaxServices]service.Service, err error) {
	var problems [service.MaxServices]error
	services[service.Echo] = &echo.Service{}
	services[service.OrderBook], problems[service.OrderBook] = orderbook.New(limits.Book)
	services[service.KV], problems[service.KV] = kv.New(limits.KV)
	services[service.Lock], problems[service.Lock] = lock.New(limits.Lock)
	services[service.Queue], problems[service.Queue] = queue.New(limits.Queue)
	services[service.TimerService], problems[service.TimerService] = timer.New(limits.Timer)
	if err := errors.Join(problems[:]...); err != nil {
		return services, fmt.Errorf("node: %w", err)
	}
	return services, nil
}

// services is what the replica's agent tells the service driver, and hears of it (replica.Services).
type services struct {
	progress *service.Progress
	driver   *service.Driver
	commands *ringbuf.SPSC[service.Command]
	wake     func() // the driver's thread, if that blocks
}

func (s *services) Commit(p wire.Position) {
	s.progress.SetCommit(p)
	s.wake()
}

func (s *services) Lead(term wire.Term, end wire.Position) {
	s.command(&service.Command{Kind: service.CommandLead, Term: term, Position: end})
}

func (s *services) Resign() { s.command(&service.Command{Kind: service.CommandResign}) }

// command hands a command over. The ring has room: whoever else uses it leaves slots free for these two.
func (s *services) command(c *service.Command) {
	if !s.commands.Offer(c) {
		panic("node: no room for a command of the replica to the service: the driver hangs")
	}
	s.commands.Publish()
	s.wake()
}

// Applied looks at the position first: what is reported up to there is published before it.
func (s *services) Applied(x *replica.Applied) (moved bool) {
	at := s.progress.Applied()
	if at == x.Position {
		return false
	}
	x.Position = at
	x.HashPosition, x.Hash = s.progress.HashAt()
	x.SnapshotPosition, x.SnapshotDigest = s.progress.Snapshot()
	x.Verified, x.VerifiedDigest = s.progress.Verified()
	return true
}

// Skippable says why the record at a position cannot be passed over. Only the one at which apply has halted here can be:
// what this node has applied was answered, and what lies ahead may be borne.
func (s *services) Skippable(at wire.Position) error {
	status := s.driver.Status()
	commit := s.progress.Commit()
	switch h := status.Halt; {
	case at >= commit:
		return fmt.Errorf("position %d is not committed: commit is %d", at, commit)
	case at < status.Applied:
		return fmt.Errorf("the record at position %d is applied here: applied is %d", at, status.Applied)
	case h == nil:
		return errors.New("apply has not halted here: there is nothing to pass over")
	case at != h.Position():
		return fmt.Errorf("position %d: apply has halted at %d, and only the record that begins there can be passed over",
			at, h.Position())
	case !h.Skippable():
		return fmt.Errorf("that record cannot be passed over: %v", h)
	}
	return nil
}
