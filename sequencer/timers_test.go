package sequencer

import (
	"encoding/binary"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// later is a payload that has the talker set a timer, so many nanoseconds after the record.
func later(id byte, afterNs uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{'t', id}, afterNs)
}

// A leader fires what its service has pending once its stamps are there, once; what it inherits only when its own term
// record is applied.
func TestLeaderFiresTimers(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	l.messages(addr(2), id, 0, data(1, 0, later(1, 1e6)...), data(2, 0, later(2, 500e6)...))
	l.cycle()
	l.cycle()
	if n := l.kinds(wire.RecordTimer); n != 0 || l.s.timers.Len() != 2 {
		t.Fatalf("%d timer records, %d pending", n, l.s.timers.Len())
	}
	l.nowNs, l.wallNs = l.nowNs+2e6, l.wallNs+2e6
	for range 5 {
		l.cycle()
	}
	if n := l.kinds(wire.RecordTimer); n != 1 || len(l.talker.fired) != 1 || l.talker.fired[0] != 1 {
		t.Fatalf("%d timer records, fired %v", n, l.talker.fired)
	}
	for _, r := range l.records() {
		if r.Kind == wire.RecordTimer && r.Timestamp < l.talker.deadline[1] {
			t.Errorf("fired at %d, its deadline is %d", r.Timestamp, l.talker.deadline[1])
		}
	}
	// The next leader learns what is pending. It fires nothing before it is ready.
	l.nowNs, l.wallNs = l.nowNs+1e9, l.wallNs+1e9
	l.lead(2, l.s.Resign())
	l.s.DoWork(l.nowNs)
	if n := l.kinds(wire.RecordTimer); n != 1 {
		t.Fatalf("%d timer records before the term record is applied", n)
	}
	for range 5 {
		l.cycle()
	}
	if n := l.kinds(wire.RecordTimer); n != 2 || len(l.talker.fired) != 2 || l.talker.fired[1] != 2 {
		t.Errorf("%d timer records, fired %v", n, l.talker.fired)
	}
}

// While this node hands over, or apply has halted, timers wait.
func TestTimersWaitWhileNothingMayBeAppended(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	l.messages(addr(2), id, 0, data(1, 0, later(1, 1e6)...))
	l.cycle()
	l.cycle()
	l.nowNs, l.wallNs = l.nowNs+2e6, l.wallNs+2e6
	l.s.Hold(wire.RefusalNotLeader)
	l.cycle()
	if n := l.kinds(wire.RecordTimer); n != 0 {
		t.Errorf("%d timer records while handing over", n)
	}
	l.s.Hold(wire.RefusalNone)
	l.s.Disputed(true)
	l.cycle()
	if n := l.kinds(wire.RecordTimer); n != 0 {
		t.Errorf("%d timer records while answers are disputed", n)
	}
	l.s.Disputed(false)
	l.cycle()
	l.cycle()
	if n := l.kinds(wire.RecordTimer); n != 1 || len(l.talker.fired) != 1 {
		t.Errorf("%d timer records, fired %v", n, l.talker.fired)
	}
}

// A timer that is taken back, or set anew, while its record is under way is not fired by that record, and one that is
// still pending is not forgotten.
func TestTimerSetAnewWhileItsRecordIsUnderWay(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	l.messages(addr(2), id, 0, data(1, 0, later(1, 1e6)...))
	l.cycle()
	l.cycle()
	l.messages(addr(2), id, 0, data(2, 0, later(1, 5e6)...)) // appended, not yet applied
	l.nowNs, l.wallNs = l.nowNs+2e6, l.wallNs+2e6
	l.part(0, 0, 0) // the timer's record goes behind it
	if n := l.kinds(wire.RecordTimer); n != 1 {
		t.Fatalf("%d timer records", n)
	}
	for range 3 {
		l.cycle()
	}
	if len(l.talker.fired) != 0 || l.s.timers.Len() != 1 {
		t.Fatalf("fired %v by a record of before, %d pending", l.talker.fired, l.s.timers.Len())
	}
	l.nowNs, l.wallNs = l.nowNs+6e6, l.wallNs+6e6
	for range 3 {
		l.cycle()
	}
	if len(l.talker.fired) != 1 || l.kinds(wire.RecordTimer) != 2 {
		t.Errorf("fired %v", l.talker.fired)
	}
}

// OnTimer implements service.Timed.
func (s *talkerService) OnTimer(_ *service.Context, id, _ uint64) { s.fired = append(s.fired, id) }
