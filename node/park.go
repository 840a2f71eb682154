package node

import (
	"fmt"

	"lockstep/agent"
)

// parkers are what hot threads block on with idle strategy park, and what others wake them by; with any other strategy
// nobody parks, and waking is one load. In layout shared all three are one.
type parkers struct{ net, core, service *agent.Parker }

func (n *Node) makeParkers() error {
	open := func(fds ...int) (*agent.Parker, error) {
		p, err := agent.NewParker(fds...)
		if err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
		n.closers = append(n.closers, p.Close)
		return p, nil
	}
	var err error
	if n.parkers.net, err = open(n.transport.Fds()...); err != nil {
		return err
	}
	if n.config.Threads.Layout == "shared" {
		n.parkers.core, n.parkers.service = n.parkers.net, n.parkers.net
		return nil
	}
	if n.parkers.core, err = open(); err != nil {
		return err
	}
	n.parkers.service, err = open()
	return err
}

// waking is an agent whose work another thread waits for.
type waking struct {
	agent.Agent
	wake func()
}

// DoWork wakes the other thread when there was work.
func (w waking) DoWork(nowNs int64) (int, error) {
	work, err := w.Agent.DoWork(nowNs)
	if work > 0 {
		w.wake()
	}
	return work, err
}
