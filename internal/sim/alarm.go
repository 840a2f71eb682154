package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"lockstep/service"
	"lockstep/wire"
)

// alarmID is the number of a service that only worlds run: it sets timers, and tells the checker what becomes of them.
const alarmID = service.FirstOwn

// alarmIDs is how many timers it names: more than may be pending.
const alarmIDs = 40

// alarmNs bounds how far ahead it sets them.
const alarmNs = int64(2e9)

// alarm is the service on one node. A message is an id, a delay in nanoseconds and, to take the timer back, a delay of 0.
type alarm struct {
	m       *member
	pending map[uint64]ringing
	fired   uint64
}

// ringing is a timer that is set.
type ringing struct {
	by       uint64 // sequence of the record that set it
	deadline uint64
	session  wire.SessionID
}

func (a *alarm) Name() string { return "alarm" }

// Apply implements service.Service.
func (a *alarm) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	id, delay := binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:])
	_, known := a.pending[id]
	if delay == 0 {
		if got := ctx.CancelTimer(id); got != known {
			a.m.w.fail("node %d: timer %d is taken back at %d: %v, want %v", a.m.id, id, r.Position, got, known)
		}
		delete(a.pending, id)
		return
	}
	x := ringing{by: r.Sequence, deadline: ctx.Timestamp() + delay, session: r.Session}
	err := ctx.SetTimer(id, x.deadline)
	full := !known && len(a.pending) == limits.Service.Timers
	if full != errors.Is(err, service.ErrTimers) {
		a.m.w.fail("node %d: timer %d is set at %d with %d pending: %v", a.m.id, id, r.Position, len(a.pending), err)
	}
	if err == nil {
		a.pending[id] = x
	}
}

// OnTimer implements service.Timed.
func (a *alarm) OnTimer(ctx *service.Context, id, deadline uint64) {
	x, known := a.pending[id]
	if !known || x.deadline != deadline || ctx.Timestamp() < deadline {
		a.m.w.fail("node %d: timer %d fires at %d, stamp %d, deadline %d; it is set: %v, for %d", a.m.id, id, ctx.Sequence(),
			ctx.Timestamp(), deadline, known, x.deadline)
		return
	}
	delete(a.pending, id)
	a.fired++
	a.m.w.check.onFire(a.m, x.by, ctx.Sequence())
	answer := binary.LittleEndian.AppendUint64(nil, id)
	if a.m.wrong {
		answer[0]++
	}
	ctx.Respond(x.session, answer)
}

func (a *alarm) OnSession(*service.Context, wire.SessionID, bool) {}

// Hash implements service.Service.
func (a *alarm) Hash() uint64 {
	h := service.Mix(0, a.fired)
	for _, id := range a.ids() {
		x := a.pending[id]
		h = service.Mix(service.Mix(service.Mix(h, id), x.by), x.deadline^uint64(x.session))
	}
	return h
}

func (a *alarm) ids() []uint64 { return slices.Sorted(maps.Keys(a.pending)) }

// Snapshot implements service.Service.
func (a *alarm) Snapshot(w io.Writer) error {
	b := binary.LittleEndian.AppendUint64(nil, a.fired)
	for _, id := range a.ids() {
		x := a.pending[id]
		for _, v := range []uint64{id, x.by, x.deadline, uint64(x.session)} {
			b = binary.LittleEndian.AppendUint64(b, v)
		}
	}
	_, err := w.Write(b)
	return err
}

// Restore implements service.Service.
func (a *alarm) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil || len(b)%32 != 8 {
		return errors.Join(err, fmt.Errorf("the state of the alarm has %d bytes", len(b)))
	}
	a.fired = binary.LittleEndian.Uint64(b)
	for b = b[8:]; len(b) > 0; b = b[32:] {
		v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
		a.pending[v(0)] = ringing{by: v(1), deadline: v(2), session: wire.SessionID(v(3))}
	}
	return nil
}

// addAlarm gives a node its alarm, with nothing set.
func (m *member) addAlarm(s *[service.MaxServices]service.Service) {
	m.alarm = &alarm{m: m, pending: map[uint64]ringing{}}
	s[alarmID] = m.alarm
}

// onFire holds what fired against what fired on the other nodes: each timer that was set fires once, at one record.
func (c *checker) onFire(m *member, by, at uint64) {
	if other, known := c.fires[by]; known && other != at {
		c.w.fail("node %d: the timer that record %d set fires at record %d, elsewhere at record %d", m.id, by, at, other)
	}
	c.fires[by] = at
}

// ringsSoon says whether a node has a timer pending that the leader's clock comes to shortly. One that a leader far ahead of
// time has set may take longer.
func (m *member) ringsSoon(leader *member) bool {
	soon := uint64(leader.clock.WallNs() + 2*alarmNs)
	for _, x := range m.alarm.pending {
		if x.deadline < soon {
			return true
		}
	}
	return false
}

// alarmMessage sets or takes back a timer.
func (l *load) alarmMessage() []byte {
	b := binary.LittleEndian.AppendUint64(nil, l.rng.Uint64N(alarmIDs))
	delay := uint64(0)
	if l.rng.IntN(5) > 0 {
		delay = 1 + uint64(l.rng.Int64N(pick(l.rng, 1e6, 100e6, alarmNs)))
	}
	return binary.LittleEndian.AppendUint64(b, delay)
}
