package opening

import (
	"errors"
	"fmt"
	"io"
	"time"

	"lockstep/agent"
	"lockstep/node"
	"lockstep/replica"
	"lockstep/transport"
)

// patience bounds the wait for anything that happens by itself.
const patience = 10 * time.Minute

// run is a node that is open, driven by whoever measures.
type run struct {
	node   *node.Node
	in     node.Internals
	agents []*agent.Invoker
	clock  agent.System
}

// open opens the node, on a network of its own: the end point of the run before is gone with it.
func (o *Opening) open() error {
	o.network = transport.NewMemory(transport.MemoryOptions{})
	machine := node.Real()
	machine.Inline = true
	machine.Transport = func(node.Config) (transport.Transport, error) { return o.network.Join(o.at) }
	n, err := node.OpenOn(machine, o.config, io.Discard)
	if err != nil {
		return err
	}
	o.run = &run{node: n, in: n.Internals()}
	for _, a := range n.Agents() {
		i := agent.NewInvoker(a)
		if err := i.Start(o.run.clock.NowNs()); err != nil {
			return err
		}
		o.run.agents = append(o.run.agents, i)
	}
	return nil
}

// until gives every agent duty cycles until something has happened.
func (r *run) until(what string, happened func() (bool, error)) error {
	for limit := r.clock.NowNs() + patience.Nanoseconds(); ; {
		if ok, err := happened(); ok || err != nil {
			return err
		}
		nowNs := r.clock.NowNs()
		for _, a := range r.agents {
			if _, err := a.Invoke(nowNs); err != nil {
				return err
			}
		}
		if nowNs > limit {
			return fmt.Errorf("opening: not within %v: %s", patience, what)
		}
	}
}

// snapshot has the node take a snapshot, and waits until it is published and verified.
func (r *run) snapshot() error {
	held := len(r.in.Store.List())
	call := r.in.Operator.Begin(replica.OperatorRequest{Kind: replica.OperatorSnapshot, Leader: true})
	if call == nil {
		return replica.ErrOperatorBusy
	}
	answered := false
	return r.until("the snapshot is published and verified", func() (bool, error) {
		if !answered {
			select {
			case a := <-call.Done():
				if a.Err != nil {
					return false, a.Err
				}
				answered = true
			default:
			}
			return false, nil
		}
		list := r.in.Store.List()
		verified, _ := r.in.Progress.Verified()
		return len(list) > held && list[len(list)-1].Position() == verified, nil
	})
}

// applied waits until the node leads and has applied its log up to end at least.
func (r *run) applied(end uint64) error {
	return r.until("the log is applied", func() (bool, error) { return uint64(r.in.Progress.Applied()) >= end, nil })
}

// end ends the node as one that is told to stop, once its log is synced.
func (o *Opening) end() error {
	r := o.run
	synced := func() (bool, error) { return r.node.Status().Durable == r.in.Ring.Append(), nil }
	if err := r.until("the log is synced", synced); err != nil {
		return err
	}
	var errs []error
	for i := len(r.agents) - 1; i >= 0; i-- {
		errs = append(errs, r.agents[i].Close())
	}
	return errors.Join(append(errs, r.node.Finish())...)
}
