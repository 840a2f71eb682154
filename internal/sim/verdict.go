package sim

import (
	"time"

	"lockstep/client"
	"lockstep/internal/history"
	"lockstep/internal/judge"
	"lockstep/node"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// hear takes note of a response, for the verdict, and for what its client sends next.
func (s *session) hear(r *client.Response) {
	s.view.Hear(s.owner.w.nowNs, r.Service, r.Correlation, r.Position, r.Payload)
	if r.Service == service.Echo || r.Correlation > uint64(len(s.sent)) {
		return
	}
	to, request := service.None, []byte(nil)
	if r.Correlation > 0 {
		x := &s.sent[r.Correlation-1]
		to, request = x.service, x.payload
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
	if c.w.o.Clients.Mixed > 0 {
		j.AuditBook()
	}
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
	var views []*judge.View
	for _, s := range c.w.sessions {
		if s.owner.dead || c.w.lied {
			return
		}
		s.view.Session, s.view.Closed = s.id, s.closed || !j.Open(s.id)
		views = append(views, &s.view)
		if err := j.Compare(&s.view); err != nil {
			c.w.fail("%v", err)
		}
	}
	held := judge.Locks(views)
	if err := history.CheckIntervals(held); err != nil {
		c.w.fail("%v", err)
	}
	c.w.count.Sometimes[sometimesLocksHeld] += uint64(len(held))
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

// Porcupine has so long for the key/value store of a world.
const searchLimit = 300 * time.Millisecond

// search has porcupine look for an order of what clients were told of the key/value store, in some worlds.
func (c *checker) search() {
	var ops []history.KVOp
	for _, s := range c.w.sessions {
		ops = append(ops, s.view.KV()...)
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
		Batch: 1, OnOutput: j.Output, OnLost: j.Lost, OnClosed: j.Closed,
		Commands: ringbuf.NewSPSC(make([]service.Command, 2)), Egress: ringbuf.NewMessageRing(make([]byte, 256<<10)),
	})
	progress.SetCommit(c.end)
	return driver, progress, err
}
