package xdp

import (
	"fmt"
	"net"

	"lockstep/xdp/nic"
)

// settle opens the keeper of the interface's settings, which takes back what a process that died has left, and has our
// flows come in on our queue.
func (e *Endpoint) settle() error {
	c, d := &e.config, e.device
	if c.StateDir != "" {
		var err error
		e.keeper, err = nic.Open(nic.Interface{Name: d.name, Index: d.index, Driver: d.driver,
			MAC: net.HardwareAddr(d.mac[:]).String()}, nic.Options{Dir: c.StateDir})
		if err != nil {
			return fmt.Errorf("xdp: %w", err)
		}
	}
	queues := nic.Queues(d.name)
	if c.Queue >= queues {
		return fmt.Errorf("xdp: %w: %s has %d receive queues, from 0: there is no queue %d", ErrInterface, d.name, queues, c.Queue)
	}
	switch {
	case queues == 1 || c.Steering == nic.SteerManual:
		return nil
	case c.Steering == nic.SteerOff || e.keeper == nil:
		return fmt.Errorf("xdp: %w: %s spreads what it receives over %d queues, and only queue %d would be served: "+
			"make it one (`ethtool -L %s combined 1`), or steer our UDP ports to queue %d with `ethtool -N` and say so "+
			"in the configuration (steering \"manual\")", ErrInterface, d.name, queues, c.Queue, d.name, c.Queue)
	}
	said, err := e.keeper.Steer(c.Steering, e.endpoints(), c.Queue)
	if err != nil {
		return fmt.Errorf("xdp: %w: %s spreads what it receives over %d queues: %w: make it one queue by hand, or steer our "+
			"UDP ports by hand and configure steering \"manual\"", ErrInterface, d.name, queues, err)
	}
	e.settings = ", " + said
	return nil
}

// holdInterrupts leaves the driver to the owner's thread, if that is to poll it. On a virtual interface, where packets would
// only wait for a timer, it does not.
func (e *Endpoint) holdInterrupts() error {
	switch {
	case e.config.BusyPollUs == 0:
		return nil
	case !e.device.hardware:
		e.settings += ", busy polling with interrupts on (driver " + e.device.driver + " is virtual)"
		return nil
	case e.keeper == nil:
		e.settings += ", busy polling with interrupts as they were"
		return nil
	}
	if err := e.keeper.BusyPoll(); err != nil {
		return fmt.Errorf("xdp: %w", err)
	}
	e.settings += ", busy polling"
	return nil
}
