package agent

import (
	"errors"
	"fmt"
)

// Agent is a part of a node. All methods are called on one thread.
type Agent interface {
	// Name is a short constant word, for messages and thread names.
	Name() string
	// OnStart is called once, before the first DoWork. After an error neither DoWork nor OnClose is called.
	OnStart(nowNs int64) error
	// DoWork does what is ready and returns how much that was: 0 when there was nothing to do. It does not block
	// unless the agent has a thread of its own and implements Waker. nowNs is monotonic. An error is final: DoWork is
	// not called again.
	DoWork(nowNs int64) (work int, err error)
	// OnClose is called once, after the last DoWork.
	OnClose() error
}

// Waker is implemented by an agent or idle strategy that blocks. Wake ends the wait under way, or the next one if
// there is none. It may be called from any thread.
type Waker interface {
	Wake()
}

// Composite is several agents in turn on one thread.
type Composite struct {
	name    string
	agents  []Agent
	started int // how many of agents have been started and not closed
}

// NewComposite makes one agent of several. They are started and run in the order given, and closed in reverse.
func NewComposite(name string, agents ...Agent) *Composite {
	return &Composite{name: name, agents: agents}
}

// Name is the composite's own name.
func (c *Composite) Name() string { return c.name }

// OnStart starts every member. When one fails, those before it are closed again.
func (c *Composite) OnStart(nowNs int64) error {
	for _, a := range c.agents {
		if err := a.OnStart(nowNs); err != nil {
			return errors.Join(fmt.Errorf("agent: start %s: %w", a.Name(), err), c.OnClose())
		}
		c.started++
	}
	return nil
}

// DoWork runs every member once and returns the sum of their work. The first error ends the cycle.
func (c *Composite) DoWork(nowNs int64) (int, error) {
	work := 0
	for _, a := range c.agents {
		n, err := a.DoWork(nowNs)
		work += n
		if err != nil {
			return work, fmt.Errorf("agent: %s: %w", a.Name(), err)
		}
	}
	return work, nil
}

// OnClose closes every member that was started, whatever the others say, and joins their errors.
func (c *Composite) OnClose() error {
	var errs []error
	for ; c.started > 0; c.started-- {
		a := c.agents[c.started-1]
		if err := a.OnClose(); err != nil {
			errs = append(errs, fmt.Errorf("agent: close %s: %w", a.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// Wake wakes every member that can block.
func (c *Composite) Wake() {
	for _, a := range c.agents {
		if w, ok := a.(Waker); ok {
			w.Wake()
		}
	}
}

// Invoker runs an agent on the thread of its caller: for tests and the simulator. Panics pass through.
type Invoker struct {
	agent   Agent
	started bool
	err     error
}

// NewInvoker makes an invoker of an agent that is not started yet.
func NewInvoker(a Agent) *Invoker { return &Invoker{agent: a} }

// Start starts the agent.
func (i *Invoker) Start(nowNs int64) error {
	if i.err = i.agent.OnStart(nowNs); i.err == nil {
		i.started = true
	}
	return i.err
}

// Invoke runs one duty cycle. After an error the agent is not run again: every later Invoke returns the same error.
func (i *Invoker) Invoke(nowNs int64) (int, error) {
	if i.err != nil || !i.started {
		return 0, i.err
	}
	work, err := i.agent.DoWork(nowNs)
	i.err = err
	return work, err
}

// Err is what ended the agent; nil while it runs.
func (i *Invoker) Err() error { return i.err }

// Close closes the agent if it was started. A second Close does nothing.
func (i *Invoker) Close() error {
	if !i.started {
		return nil
	}
	i.started = false
	return i.agent.OnClose()
}
