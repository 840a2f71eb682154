package transport

import (
	"errors"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
	"lockstep/xdp"
)

// XDP is the transport over AF_XDP: past the kernel's network stack, nothing copied on the way in.
type XDP struct {
	endpoint *xdp.Endpoint
	fds      []int
	counters *Counters
	private  *counters.File
	observed observed
}

var _ Transport = (*XDP)(nil)

// OpenXDP opens an AF_XDP end point in the network namespace of the calling thread. It counts in file, which must stay
// open for longer than the transport; nil counts privately. What package xdp counts is entered there about once a
// second, by a goroutine of the end point, under names that begin with lockstep_xdp_. Cold. The error says which
// interface, port, capability or mode is the trouble and what to do.
func OpenXDP(config xdp.Config, file *counters.File) (*XDP, error) {
	x := &XDP{}
	if file != nil {
		x.counters = NewCounters(file)
		x.observed.file = file
		observe := config.Observe
		config.Observe = func(s *xdp.Stats) {
			x.observed.enter(s, x.counters)
			if observe != nil {
				observe(s)
			}
		}
	} else {
		var err error
		if x.counters, x.private, err = privateCounters(); err != nil {
			return nil, err
		}
	}
	endpoint, err := xdp.Open(config)
	if err != nil {
		x.closePrivate()
		if errors.Is(err, xdp.ErrPortInUse) {
			err = portError{err}
		}
		return nil, err
	}
	x.endpoint, x.fds = endpoint, []int{endpoint.Fd()}
	return x, nil
}

// portError makes the port conflict of package xdp one of this package.
type portError struct{ error }

func (e portError) Is(target error) bool { return target == ErrPortInUse }
func (e portError) Unwrap() error        { return e.error }

// Receive implements Transport.
func (x *XDP) Receive(rx []Received) int {
	if x.endpoint.Err() != nil {
		return 0
	}
	n := x.endpoint.Receive(len(rx))
	if n == 0 {
		return 0
	}
	for i := range n {
		d := x.endpoint.Datagram(i)
		rx[i] = Received{Payload: d.Payload, From: Addr(d.From), To: Addr(d.To)}
	}
	x.counters.Received.Add(uint64(n))
	return n
}

// Release implements Transport: the frames go back to the kernel, to be filled again.
func (x *XDP) Release() {
	if x.endpoint.Err() == nil {
		x.endpoint.Release()
	}
}

// Acquire implements Transport.
func (x *XDP) Acquire(tx []Frame) int {
	if x.endpoint.Err() != nil {
		return 0
	}
	n := x.endpoint.Reclaim(len(tx))
	for i := range n {
		frame, buf := x.endpoint.Take()
		tx[i] = Frame{Buf: buf, Token: uint64(frame)}
	}
	if n < len(tx) {
		x.counters.Full.Inc()
	}
	return n
}

// Submit implements Transport.
func (x *XDP) Submit(tx []Frame) {
	if x.endpoint.Err() != nil {
		return
	}
	sent, unreachable := 0, 0
	for i := range tx {
		f := &tx[i]
		if f.Length <= 0 {
			x.endpoint.Give(uint32(f.Token))
			continue
		}
		switch x.endpoint.Send(uint32(f.Token), f.Length, xdp.Addr(f.To)) {
		case xdp.SendQueued:
			sent++
		case xdp.SendNoNeighbour:
			unreachable++
		case xdp.SendTooLong:
			x.counters.TooLong.Inc()
		}
	}
	x.endpoint.Flush()
	if sent > 0 {
		x.counters.Sent.Add(uint64(sent))
	}
	if unreachable > 0 {
		x.counters.Unreachable.Add(uint64(unreachable))
	}
}

// MaxPayload implements Transport.
func (x *XDP) MaxPayload() int { return x.endpoint.MaxPayload() }

// Local implements Transport; the port is the one got when any was asked for.
func (x *XDP) Local() Addr { return Addr(x.endpoint.Local()) }

// Fds implements Transport.
func (x *XDP) Fds() []int { return x.fds }

// Err implements Transport.
func (x *XDP) Err() error {
	err := x.endpoint.Err()
	if err == xdp.ErrClosed {
		return ErrClosed
	}
	return err
}

// Describe implements Transport.
func (x *XDP) Describe() string { return x.endpoint.Describe() }

// Pages is what the memory of the frames is made of.
func (x *XDP) Pages() ringbuf.Pages { return x.endpoint.Pages() }

// Mode is how the program and the socket are attached: "zero-copy", "native" or "generic".
func (x *XDP) Mode() string { return x.endpoint.Mode() }

// Stats are the counts of package xdp, the XDP program's and the kernel's among them. Any thread. Cold.
func (x *XDP) Stats() xdp.Stats { return x.endpoint.Stats() }

// Reachable says whether the Ethernet address of a destination is known, so that a datagram to it is not dropped. If
// not, it is asked for. Any thread.
func (x *XDP) Reachable(to Addr) bool { return x.endpoint.Reachable(to.AddrPort().Addr()) }

// Close implements Transport.
func (x *XDP) Close() error { return errors.Join(x.endpoint.Close(), x.closePrivate()) }

func (x *XDP) closePrivate() error {
	file := x.private
	x.private = nil
	if file == nil {
		return nil
	}
	return file.Close()
}

// observed enters the statistics of package xdp into a counters file. It belongs to the end point's goroutine.
type observed struct {
	file     *counters.File
	counters []*counters.Counter // in the order of Stats.Each
	overrun  uint64              // already counted
	rejected uint64
}

func (o *observed) enter(s *xdp.Stats, c *Counters) {
	i := 0
	s.Each(func(name, help string, value uint64) {
		if i == len(o.counters) {
			o.counters = append(o.counters, o.file.Counter(name, help))
		}
		o.counters[i].Set(value)
		i++
	})
	overrun, rejected := s.RxRingFull+s.RxFillEmpty, uint64(0)
	for _, n := range s.Rejected {
		rejected += n
	}
	c.Overrun.Add(overrun - o.overrun)
	c.Failed.Add(rejected - o.rejected)
	o.overrun, o.rejected = overrun, rejected
}
