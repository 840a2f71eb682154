package sim

import (
	"bytes"
	"fmt"
	"time"

	"lockstep/client"
	"lockstep/internal/history"
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

// hear takes note of a response, for the verdict, and for what its client sends next.
func (s *session) hear(r *client.Response) {
	s.heard = append(s.heard, heard{r.Service, r.Correlation, r.Position, service.MixBytes(0, r.Payload)})
	if r.Service == service.Echo || r.Correlation > uint64(len(s.sent)) {
		return
	}
	to, request := service.None, []byte(nil)
	if r.Correlation > 0 {
		x := &s.sent[r.Correlation-1]
		to, request = x.service, x.payload
		if x.answer == nil {
			x.told(r, s.owner.w.nowNs)
		}
	}
	s.owner.mix.Heard(r.Service, r.Payload, to, request)
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
	c.figures(j.Figures())
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

// figures counts what services did.
func (c *checker) figures(f judge.Figures) {
	for what, n := range map[int]int{sometimesCommitted: f.Committed, sometimesTransactionsAborted: f.Aborted,
		sometimesKVChanged: f.Changed, sometimesKVConflicts: f.Conflicts, sometimesKVTold: f.Told,
		sometimesQueueDone: f.Done, sometimesQueueAgain: f.Again, sometimesQueueOnce: f.Once, sometimesQueueRepeats: f.Repeats,
		sometimesQueueReturned: f.Returned, sometimesQueueDead: f.Dead, sometimesQueueDrops: f.Drops,
		sometimesLockGrants: f.Grants, sometimesLockRefusals: f.Refusals, sometimesLockExpiries: f.Expiries, sometimesLockWaited: f.Waited,
		sometimesLockLates: f.Lates, sometimesTimersOfClients: f.Fired, sometimesTimersSkipped: f.Skipped} {
		c.w.count.Sometimes[what] += uint64(n)
	}
}

// told takes note of what the key/value store answered, by itself or within a transaction that came to nothing.
func (x *sent) told(r *client.Response, nowNs int64) {
	switch r.Service {
	case service.KV:
		x.answer, x.answerNs = bytes.Clone(r.Payload), nowNs
	case service.Transaction:
		var o service.Outcome
		if !service.DecodeOutcome(r.Payload, &o) || o.Committed {
			return
		}
		x.aborted = true
		if o.Service == service.KV {
			x.answer, x.answerNs = bytes.Clone(o.Refusal), nowNs
		}
	}
}

// kvRequest is what a message asks the key/value store, nil if nothing.
func (x *sent) kvRequest() []byte {
	switch {
	case x.service == service.KV:
		return x.payload
	case x.service != service.Transaction || x.aborted && x.answer == nil:
		return nil
	}
	var parts [service.MaxCommands]service.Part
	n, _ := service.DecodeTransaction(x.payload, &parts)
	for _, part := range parts[:min(n, service.MaxCommands)] {
		if part.Service == service.KV {
			return part.Payload
		}
	}
	return nil
}

// Porcupine has so long for the key/value store of a world.
const searchLimit = 300 * time.Millisecond

// search has porcupine look for an order of what clients were told of the key/value store, in some worlds.
func (c *checker) search() {
	var ops []history.KVOp
	for _, s := range c.w.sessions {
		for i := range s.sent {
			x := &s.sent[i]
			op := history.KVOp{Op: history.Op{Client: s.owner.number, ID: fmt.Sprintf("%x/%d", s.id, i+1), InvokeNs: x.invokeNs,
				ReturnNs: x.answerNs}}
			if request := x.kvRequest(); request != nil && judge.KVOp(&op, request, x.answer) {
				ops = append(ops, op)
			}
		}
	}
	if len(ops) == 0 {
		return
	}
	_, err := history.SearchKV(ops, searchLimit) // where many were under way at once, it comes to no end
	if err != nil {
		c.w.fail("%v", err)
	}
	c.w.sometimes(sometimesSearchedKV)
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
		Batch: 1, OnOutput: j.Output, OnLost: j.Lost,
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
