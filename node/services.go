package node

import (
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// services is what the replica's agent tells the service driver, and hears of it (replica.Services).
type services struct {
	progress *service.Progress
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

func (s *services) Applied() (applied, hashPosition wire.Position, hash uint64) {
	hashPosition, hash = s.progress.HashAt()
	return s.progress.Applied(), hashPosition, hash
}
