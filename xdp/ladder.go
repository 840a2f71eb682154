package xdp

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rung is one way to attach and bind.
type rung struct {
	name     string
	native   bool
	zeroCopy bool
}

var (
	rungZeroCopy = rung{"zero-copy", true, true}
	rungNative   = rung{"native", true, false}
	rungGeneric  = rung{"generic", false, false}
)

// rungs are what a mode allows, best first.
func (m Mode) rungs() []rung {
	switch m {
	case ModeZeroCopy:
		return []rung{rungZeroCopy}
	case ModeNative:
		return []rung{rungZeroCopy, rungNative}
	case ModeGeneric:
		return []rung{rungGeneric}
	}
	return []rung{rungZeroCopy, rungNative, rungGeneric}
}

// climb takes the first rung that holds and says in reason why it was not a better one.
func (e *Endpoint) climb(h *netlink.Handle) error {
	var refused []string
	var last error
	skip := ""
	for _, r := range e.config.Mode.rungs() {
		if r.name == skip {
			continue
		}
		noZeroCopy, err := e.try(r, h)
		if err == nil {
			e.rung = r
			e.reason = strings.Join(refused, "; ")
			if e.reason == "" {
				e.reason = "the best that mode " + e.config.Mode.String() + " allows"
			}
			return nil
		}
		if errors.Is(err, ErrAttached) || errors.Is(err, ErrQueueBusy) || errors.Is(err, ErrCapability) {
			return err
		}
		last = err
		switch {
		case noZeroCopy && e.config.Mode == ModeAuto:
			skip = rungNative.name
			refused = append(refused, fmt.Sprintf("driver %s has no zero-copy, and without it generic costs less",
				e.device.driver))
		case noZeroCopy:
			refused = append(refused, fmt.Sprintf("driver %s has no zero-copy", e.device.driver))
		default:
			refused = append(refused, fmt.Sprintf("not %s: %v", r.name, err))
		}
	}
	return fmt.Errorf("xdp: %w: mode %s on %s (driver %s): %s: configure mode auto or generic: %w",
		ErrMode, e.config.Mode, e.device.name, e.device.driver, strings.Join(refused, "; "), last)
}

// try opens a socket, binds it and attaches the program as the rung says. The socket is bound first: the kernel then
// refuses zero-copy on a driver that has none before the NIC was touched.
func (e *Endpoint) try(r rung, h *netlink.Handle) (noZeroCopy bool, err error) {
	s, err := openSocket(e.umem, e.config.TxBudget, e.config.BusyPollUs)
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			e.program.detach()
			s.close()
		}
	}()
	if err := s.bind(e.device, e.config.Queue, r.zeroCopy); err != nil {
		return r.zeroCopy && errors.Is(err, syscall.EOPNOTSUPP), err
	}
	if s.zeroCopy != r.zeroCopy {
		return false, fmt.Errorf("xdp: the kernel bound %s otherwise than asked for", e.device.name)
	}
	if err := e.program.serve(e.config.Queue, s); err != nil {
		return false, err
	}
	if err := e.program.attach(e.device, r.native); err != nil {
		return false, hint(err)
	}
	if r.native && e.device.hardware {
		if err := awaitCarrier(h, e.device); err != nil {
			return false, err
		}
	}
	e.socket = s
	return false, nil
}

// hint adds what usually makes a driver refuse an XDP program: it gives an errno and no reason.
func hint(err error) error {
	switch {
	case errors.Is(err, syscall.EOPNOTSUPP):
		return fmt.Errorf("%w (the driver has no XDP)", err)
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ERANGE), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w (usual causes: an MTU above about 3500, which "+
			"takes packets in several frames (multi-buffer) and is not supported, LRO on, SR-IOV or DCB in use, fewer receive "+
			"queues than the other side of a veth has transmit queues)", err)
	}
	return err
}

// Attaching in the driver resets the rings of some NICs, and the link blips: it must have been up for carrierStable
// before the end point is ready, and may take carrierPatience to get there.
const (
	carrierPause    = 100 * time.Millisecond
	carrierStable   = 10  // looks in a row
	carrierPatience = 150 // looks
)

func awaitCarrier(h *netlink.Handle, d *device) error {
	up := 0
	for range carrierPatience {
		time.Sleep(carrierPause)
		l, err := h.LinkByIndex(d.index)
		if err != nil {
			return fmt.Errorf("xdp: state of %s: %w", d.name, err)
		}
		up++
		if l.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
			up = 0
		}
		if up == carrierStable {
			return nil
		}
	}
	return fmt.Errorf("xdp: %w: %s has no carrier: check cable and switch port", ErrInterface, d.name)
}
