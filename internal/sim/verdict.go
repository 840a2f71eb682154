package sim

import (
	"fmt"

	"lockstep/internal/judge"
	"lockstep/node"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// heard is a response as a client got it.
type heard struct {
	service     uint16
	correlation uint64
	position    wire.Position
	hash        uint64
}

// committedLog is what the cluster has committed, for a driver that reads it again.
type committedLog []byte

// ReadRange implements service.Source.
func (l committedLog) ReadRange(from wire.Position, b []byte) (int, error) {
	return copy(b, l[min(uint64(from), uint64(len(l))):]), nil
}

// verdict has everything judged that was asked and answered: what was committed is applied once more, from its beginning and
// without any fault; what the services answer must be right, and just that must have reached the clients.
func (c *checker) verdict() {
	j := judge.New()
	driver, progress, err := c.again(j)
	if err != nil {
		c.w.fail("the log cannot be applied again: %v", err)
		return
	}
	for i := range c.log {
		x := &c.log[i]
		end := x.chain.Position
		for progress.Applied() < end {
			if work, err := driver.DoWork(0); err != nil || work == 0 {
				c.w.fail("the log cannot be applied again at %d: %v %v", x.Position, err, driver.Status().Halt)
				return
			}
		}
		if err := j.Record(&x.Record, c.payloads[i]); err != nil {
			c.w.fail("%v", err)
			return
		}
	}
	if err := j.End(); err != nil {
		c.w.fail("%v", err)
		return
	}
	for _, s := range c.w.sessions {
		if s.owner.dead || c.w.lied {
			continue
		}
		if err := s.compare(j); err != nil {
			c.w.fail("%v", err)
			return
		}
	}
}

// again makes a driver of the committed log, with services as the members have them.
func (c *checker) again(j *judge.Judge) (*service.Driver, *service.Progress, error) {
	m := &member{w: c.w}
	machine := m.machine()
	fresh := func() ([service.MaxServices]service.Service, error) {
		list, err := node.NewServices(machine.Limits)
		m.addAlarm(&list)
		return j.Wrap(list), err
	}
	list, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	// A ring that holds nothing: the driver reads everything from the log, and verifies it.
	const ringBytes = 4096
	ring := ringbuf.NewLogRing(make([]byte, 2*ringBytes), ringBytes, false)
	ring.Start(uint64(c.end), uint64(c.end))
	progress := new(service.Progress)
	driver, err := service.NewDriver(service.Options{
		Ring: ring, Source: c.bytes, Progress: progress, Services: list, Fresh: fresh, Limits: machine.Limits.Service,
		Batch: 1, OnOutput: j.Output,
		Commands: ringbuf.NewSPSC(make([]service.Command, 2)), Egress: ringbuf.NewMessageRing(make([]byte, 256<<10)),
	})
	progress.SetCommit(c.end)
	return driver, progress, err
}

// compare holds what a client heard against what it was to hear.
func (s *session) compare(j *judge.Judge) error {
	for i := range s.heard {
		h := &s.heard[i]
		want, ok := j.Response(s.id, uint64(i+1))
		if !ok || want.Service != h.service || want.Correlation != h.correlation || want.Position != h.position ||
			service.MixBytes(0, want.Payload) != h.hash {
			return fmt.Errorf("client %d: response %d, of service %d to message %d and from the record at %d, is not what the log says: "+
				"service %d, message %d, record at %d, %d bytes", s.owner.number, i+1, h.service, h.correlation, h.position, want.Service,
				want.Correlation, want.Position, len(want.Payload))
		}
	}
	return nil
}
