package service

import (
	"cmp"
	"errors"
	"fmt"

	"lockstep/internal/simbug"
	"lockstep/wire"
)

// ErrTimers says that as many timers are pending as there may be (Limits.Timers). It is the same on every node.
var ErrTimers = errors.New("service: as many timers are pending as there may be")

// Timed is a Service that sets timers (Context.SetTimer).
type Timed interface {
	Service
	// OnTimer tells that a timer is due: ctx.Timestamp() is not below its deadline. It is no longer pending, and may be
	// set again. Every timer that is set fires once, on every node at the same record, unless it is cancelled or set
	// anew before.
	OnTimer(ctx *Context, id, deadline uint64)
}

// Timer is a timer that is pending.
type Timer struct {
	Service  uint16
	ID       uint64 // the service's name for it
	Deadline uint64 // ns since the Unix epoch
}

// compare says which of two timers fires first: a total order, the same everywhere.
func (t *Timer) compare(u *Timer) int {
	return cmp.Or(cmp.Compare(t.Deadline, u.Deadline), cmp.Compare(t.Service, u.Service), cmp.Compare(t.ID, u.ID))
}

// Timers holds pending timers, one for each service and id: a heap, the first to fire on top, and a hash table of
// places in it, with linear probing. All memory is allocated when it is made. One thread.
type Timers struct {
	heap  []timerNode
	slots []int32 // 1 + place in heap; 0: free
	mask  uint32
	limit int
	own   int // of them those of Deadlines, which do not count
}

type timerNode struct {
	Timer
	slot uint32
}

// NewTimers returns an empty set that holds at most limit timers, and those of Deadlines.
func NewTimers(limit int) *Timers {
	most := limit + deadlineTimers
	n := 1
	for n < 2*most {
		n *= 2
	}
	return &Timers{heap: make([]timerNode, 0, most), slots: make([]int32, n), mask: uint32(n - 1), limit: limit}
}

// own says whether a timer is that of a service's Deadlines.
func (t *Timer) own() bool { return t.Service != None && t.ID >= ownTimer }

// admits says whether there is room for one more timer like x, and n others that are not of Deadlines.
func (t *Timers) admits(x *Timer, n int) bool {
	if x.own() {
		return len(t.heap) < cap(t.heap)
	}
	return len(t.heap)-t.own+n < t.limit
}

// Len is how many timers are pending.
func (t *Timers) Len() int { return len(t.heap) }

// First is the timer that fires first; ok is false when none is pending.
func (t *Timers) First() (first Timer, ok bool) {
	if len(t.heap) == 0 {
		return Timer{}, false
	}
	return t.heap[0].Timer, true
}

// Deadline is when a timer is to fire; ok is false when it is not pending.
func (t *Timers) Deadline(service uint16, id uint64) (deadline uint64, ok bool) {
	place := t.slots[t.find(service, id)]
	if place == 0 {
		return 0, false
	}
	return t.heap[place-1].Deadline, true
}

// Set makes a timer pending, in place of the one of its service and id if there is one. It reports false, and changes
// nothing, when there is no room.
func (t *Timers) Set(x Timer) bool {
	slot := t.find(x.Service, x.ID)
	if place := t.slots[slot]; place != 0 {
		t.heap[place-1].Deadline = x.Deadline
		t.settle(int(place - 1))
		return true
	}
	if !t.admits(&x, 0) {
		return false
	}
	if x.own() {
		t.own++
	}
	t.heap = append(t.heap, timerNode{x, slot})
	t.slots[slot] = int32(len(t.heap))
	t.settle(len(t.heap) - 1)
	return true
}

// Cancel takes a timer out; it reports false when it is not pending.
func (t *Timers) Cancel(service uint16, id uint64) bool {
	slot := t.find(service, id)
	place := int(t.slots[slot]) - 1
	if place < 0 {
		return false
	}
	if t.heap[place].own() {
		t.own--
	}
	t.free(slot)
	last := len(t.heap) - 1
	moved := t.heap[last]
	t.heap = t.heap[:last]
	if place != last {
		t.put(place, moved)
		t.settle(place)
	}
	return true
}

// Reset takes all timers out.
func (t *Timers) Reset() {
	t.heap, t.own = t.heap[:0], 0
	clear(t.slots)
}

// find is the slot of a timer, or the free one where it would go.
func (t *Timers) find(service uint16, id uint64) uint32 {
	slot := t.home(service, id)
	for ; t.slots[slot] != 0; slot = (slot + 1) & t.mask {
		if x := &t.heap[t.slots[slot]-1]; x.ID == id && x.Service == service {
			break
		}
	}
	return slot
}

func (t *Timers) home(service uint16, id uint64) uint32 {
	return uint32(Mix(Mix(0, id), uint64(service))) & t.mask
}

// free empties a slot and closes the gap: who was put behind it because it was taken moves up.
func (t *Timers) free(gap uint32) {
	for slot := (gap + 1) & t.mask; t.slots[slot] != 0; slot = (slot + 1) & t.mask {
		x := &t.heap[t.slots[slot]-1]
		if (slot-t.home(x.Service, x.ID))&t.mask >= (slot-gap)&t.mask {
			t.slots[gap], x.slot = t.slots[slot], gap
			gap = slot
		}
	}
	t.slots[gap] = 0
}

func (t *Timers) put(place int, x timerNode) {
	t.heap[place] = x
	t.slots[x.slot] = int32(place + 1)
}

// settle moves a timer whose deadline is new to where it belongs in the heap.
func (t *Timers) settle(place int) {
	x := t.heap[place]
	for place > 0 && x.compare(&t.heap[(place-1)/2].Timer) < 0 {
		t.put(place, t.heap[(place-1)/2])
		place = (place - 1) / 2
	}
	for {
		child := 2*place + 1
		if child >= len(t.heap) {
			break
		}
		if child+1 < len(t.heap) && t.heap[child+1].compare(&t.heap[child].Timer) < 0 {
			child++
		}
		if x.compare(&t.heap[child].Timer) < 0 {
			break
		}
		t.put(place, t.heap[child])
		place = child
	}
	t.put(place, x)
}

// SetTimer makes a timer of this service pending: once the log's time is at or past the deadline (ns since the Unix
// epoch), a record fires it (Timed.OnTimer). A timer of that id that is pending is set anew. ErrTimers, and nothing
// changed, when too many are pending. Ids are below 1<<63: those above belong to Deadlines, which are for services that
// have many.
func (c *Context) SetTimer(id, deadline uint64) error {
	if id >= ownTimer {
		panic(fmt.Sprintf("service: timer %#x: ids from 1<<63 on belong to Deadlines: programmer error", id))
	}
	return c.setTimer(id, deadline)
}

func (c *Context) setTimer(id, deadline uint64) error {
	c.effect()
	x := Timer{Service: c.service, ID: id, Deadline: deadline}
	if !c.timers.Set(x) {
		c.refused++
		return ErrTimers
	}
	c.stage.timer(EgressTimer, &x)
	return nil
}

// CancelTimer takes a timer of this service back; it reports false when it is not pending.
func (c *Context) CancelTimer(id uint64) bool {
	deadline, ok := c.timers.Deadline(c.service, id)
	if !ok {
		return false
	}
	c.effect()
	c.timers.Cancel(c.service, id)
	c.stage.timer(EgressTimerCanceled, &Timer{Service: c.service, ID: id, Deadline: deadline})
	return true
}

// timer queues what the ingress is to know of a timer. It counts as a response does.
func (s *stage) timer(kind EgressKind, x *Timer) {
	if len(s.items)-s.itemsFrom >= MaxOutputs {
		panic("service: one record caused more than MaxOutputs responses and changes of timers")
	}
	s.items = append(s.items, item{head: Egress{Kind: kind, Service: x.Service, Correlation: x.ID, Response: x.Deadline}})
}

// applyTimer is the judge of timers: a record for one that is not pending with just that deadline changes nothing. Two
// leaders may both have appended one; it may have been cancelled or set anew before.
func (d *Driver) applyTimer(r *wire.Record, payload []byte) {
	var x wire.TimerRecord
	ok := x.Decode(payload)
	deadline, pending := d.timers.Deadline(r.Service, x.ID)
	stale := !pending || deadline != x.Deadline || r.Timestamp < deadline
	if !ok || stale && !simbug.On(simbug.FireStaleTimers) {
		d.meters.timersIgnored.Inc()
		return
	}
	d.timers.Cancel(r.Service, x.ID)
	d.meters.timersFired.Inc()
	if s := d.timed[r.Service]; s != nil && !d.passing {
		d.enter(r.Service)
		s.OnTimer(&d.context, x.ID, x.Deadline)
		d.calling = 0
	}
}

// useServices takes the services in.
func (d *Driver) useServices(services [MaxServices]Service) {
	d.o.Services = services
	for i, s := range services {
		d.timed[i], _ = s.(Timed)
		d.several.checkers[i], _ = s.(Checker)
		d.memory[i] = newMemory(d.o.Counters, s)
	}
}

// sendTimers writes the timers that are left to dump.
func (d *Driver) sendTimers() bool {
	for ; d.timer < d.timers.Len() && !simbug.On(simbug.ForgetTimers); d.timer++ {
		b := d.claim(0)
		if b == nil {
			return false
		}
		x := &d.timers.heap[d.timer]
		head := Egress{Kind: EgressTimer, Term: d.term, Service: x.Service, Correlation: x.ID, Response: x.Deadline}
		head.Put(b)
		d.commit()
	}
	return true
}
