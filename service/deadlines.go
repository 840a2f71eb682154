package service

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxDeadlines is how many Deadlines one service may have: numbers 0 .. MaxDeadlines-1.
const MaxDeadlines = 4

// deadlineTimers is how many driver's timers they take at most, of all services: there is room for them beside
// Limits.Timers, so that a service's own limit is the only one that its deadlines meet.
const deadlineTimers = MaxServices * MaxDeadlines

// ownTimer marks the ids of driver's timers that belong to Deadlines.
const ownTimer = 1 << 63

// Deadlines are the many deadlines of one service, one for each id: leases, expiries, times to live. They take one timer
// of the driver's, which is set at the earliest of them, and fire in order of time, then of id. A service uses them so:
//
//	deadlines.Set(ctx, id, deadline)         // in Apply
//
//	func (s *Service) OnTimer(ctx *service.Context, id, _ uint64) {
//		if s.deadlines.Owns(id) {
//			for id, deadline, ok := s.deadlines.Next(ctx); ok; id, deadline, ok = s.deadlines.Next(ctx) {
//				...                              // it is due, and out
//			}
//			s.deadlines.Rearm(ctx)
//		}
//	}
//
// One record takes no more out than was asked for; what is due beyond is left to another, which follows at once. Part
// of the service's state: Hash, and Snapshot and Restore, or Put for each if they can be told from the rest. All memory
// is allocated when it is made. One thread.
type Deadlines struct {
	timers *Timers // service 0
	limit  int
	timer  uint64 // the driver's
	most   int    // taken out by one record
	popped int    // since Rearm
	firing bool   // between Next or Hold and Rearm: the driver's timer is set behind that
	sum    uint64
}

// NewDeadlines returns an empty set of at most limit deadlines. number tells the sets of one service apart: 0 ..
// MaxDeadlines-1. One record takes most of them out at most.
func NewDeadlines(number, limit, most int) *Deadlines {
	if number < 0 || number >= MaxDeadlines || limit < 1 || most < 1 {
		panic(fmt.Sprintf("service: deadlines %d of at most %d, %d a record: programmer error", number, limit, most))
	}
	return &Deadlines{timers: NewTimers(limit), limit: limit, timer: ownTimer | uint64(number), most: most}
}

// Owns says whether the timer that fires (Timed.OnTimer) is the one of these deadlines.
func (d *Deadlines) Owns(timer uint64) bool { return timer == d.timer }

// Len is how many deadlines there are.
func (d *Deadlines) Len() int { return d.timers.Len() }

// Room says whether there is room for one more.
func (d *Deadlines) Room() bool { return d.timers.Len() < d.limit }

// Deadline is that of id; ok is false when it has none.
func (d *Deadlines) Deadline(id uint64) (deadline uint64, ok bool) { return d.timers.Deadline(0, id) }

// First is the earliest deadline; ok is false when there is none.
func (d *Deadlines) First() (id, deadline uint64, ok bool) {
	x, ok := d.timers.First()
	return x.ID, x.Deadline, ok
}

// Set gives id a deadline (ns since the Unix epoch), in place of the one it has if it has one. One that has passed is
// due at once. It reports false, and changes nothing, when there is no room.
func (d *Deadlines) Set(ctx *Context, id, deadline uint64) bool {
	if !d.Put(id, deadline) {
		return false
	}
	d.arm(ctx)
	return true
}

// Put is Set for Restore: the driver's timer has a snapshot of its own.
func (d *Deadlines) Put(id, deadline uint64) bool {
	if before, ok := d.timers.Deadline(0, id); ok {
		d.sum -= deadlineSum(id, before)
	}
	if !d.timers.Set(Timer{ID: id, Deadline: deadline}) {
		return false
	}
	d.sum += deadlineSum(id, deadline)
	return true
}

// Cancel takes a deadline out; it reports false when id has none.
func (d *Deadlines) Cancel(ctx *Context, id uint64) bool {
	if !d.remove(id) {
		return false
	}
	d.arm(ctx)
	return true
}

func (d *Deadlines) remove(id uint64) bool {
	deadline, ok := d.timers.Deadline(0, id)
	if ok {
		d.timers.Cancel(0, id)
		d.sum -= deadlineSum(id, deadline)
	}
	return ok
}

// Hold leaves the driver's timer as it is until Rearm, which whoever calls it calls before the record's end: for a record that
// changes many deadlines, in whatever order.
func (d *Deadlines) Hold() { d.firing = true }

// Next takes the earliest deadline out if it is due, which counts as one unit of work; ok is false when none is, or when this
// record has taken out as many as it may. Whoever calls it calls Rearm before the record's end.
func (d *Deadlines) Next(ctx *Context) (id, deadline uint64, ok bool) {
	d.firing = true
	x, ok := d.timers.First()
	if !ok || x.Deadline > ctx.Timestamp() || d.popped == d.most {
		return 0, 0, false
	}
	d.popped++
	ctx.Count(1)
	d.remove(x.ID)
	return x.ID, x.Deadline, true
}

// Rearm sets the driver's timer for what is left. When an operator has a record of that timer passed over, the timer is over and
// nothing was taken out: a service that calls Rearm in Apply, too, goes on with its next message.
func (d *Deadlines) Rearm(ctx *Context) {
	d.firing, d.popped = false, 0
	d.arm(ctx)
}

// arm has the driver's timer stand at the earliest deadline, or nowhere.
func (d *Deadlines) arm(ctx *Context) {
	if d.firing {
		return
	}
	first, some := d.timers.First()
	at, set := ctx.timers.Deadline(ctx.service, d.timer)
	switch {
	case !some && set:
		ctx.CancelTimer(d.timer)
	case some && (!set || at != first.Deadline):
		ctx.setTimer(d.timer, first.Deadline) // there is always room
	}
}

// Reset takes all out, for a service whose state is replaced.
func (d *Deadlines) Reset() {
	d.timers.Reset()
	d.sum, d.popped, d.firing = 0, 0, false
}

// Hash tells two sets apart, in whatever way they came about.
func (d *Deadlines) Hash() uint64 { return Mix(d.sum, uint64(d.timers.Len())) }

func deadlineSum(id, deadline uint64) uint64 { return Mix(Mix(0, id), deadline) }

// Snapshot writes all deadlines, equal sets alike: their number (uint32), then id and deadline (uint64) of each in the
// order in which they are due, little-endian.
func (d *Deadlines) Snapshot(w io.Writer) error {
	d.timers.sort()
	var b [16]byte
	binary.LittleEndian.PutUint32(b[:], uint32(d.timers.Len()))
	_, err := w.Write(b[:4])
	for i := 0; i < d.timers.Len() && err == nil; i++ {
		x := &d.timers.heap[i]
		binary.LittleEndian.PutUint64(b[:], x.ID)
		binary.LittleEndian.PutUint64(b[8:], x.Deadline)
		_, err = w.Write(b[:])
	}
	return err
}

// Restore replaces all deadlines by what Snapshot wrote. Anything else is an ErrSnapshot.
func (d *Deadlines) Restore(r io.Reader) error {
	d.Reset()
	var b [16]byte
	if _, err := io.ReadFull(r, b[:4]); err != nil {
		return fmt.Errorf("service: deadlines: %w: %w", ErrSnapshot, err)
	}
	n := binary.LittleEndian.Uint32(b[:])
	if n > uint32(d.limit) {
		return fmt.Errorf("service: %w: %d deadlines, and there may be %d", ErrSnapshot, n, d.limit)
	}
	before := Timer{}
	for i := range n {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return fmt.Errorf("service: deadline %d of %d: %w: %w", i, n, ErrSnapshot, err)
		}
		x := Timer{ID: binary.LittleEndian.Uint64(b[:]), Deadline: binary.LittleEndian.Uint64(b[8:])}
		if _, twice := d.Deadline(x.ID); twice || i > 0 && x.compare(&before) <= 0 || !d.Put(x.ID, x.Deadline) {
			return fmt.Errorf("service: %w: deadline %d: id %d, %d behind %d", ErrSnapshot, i, x.ID, x.Deadline, before.Deadline)
		}
		before = x
	}
	return nil
}
