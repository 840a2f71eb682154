package sequencer

import (
	"fmt"

	"lockstep/service"
	"lockstep/wire"
)

// firesPerCycle bounds the timer records of one duty cycle.
const firesPerCycle = 64

// setTimer takes note of a timer that is pending.
func (s *Sequencer) setTimer(e *service.Egress) {
	if !s.timers.Set(service.Timer{Service: e.Service, ID: e.Correlation, Deadline: e.Response}) {
		panic(fmt.Sprintf("sequencer: the service knows more timers than Limits.Timers, which is %d: "+
			"it must not be below the driver's limit", s.o.Limits.Timers))
	}
}

// cancelTimer forgets a timer that was taken back, unless its record is appended already: apply judges that.
func (s *Sequencer) cancelTimer(e *service.Egress) {
	if deadline, ok := s.timers.Deadline(e.Service, e.Correlation); ok && deadline == e.Response {
		s.timers.Cancel(e.Service, e.Correlation)
	}
}

// fireTimers appends records for the timers whose deadline the stamps have reached. Once appended a timer is forgotten
// here: the record is not lost while this leadership lasts, and the next leader learns what is still pending. While
// nothing can be applied, or nothing may be appended, timers wait.
func (s *Sequencer) fireTimers() {
	if s.obstacle != wire.RefusalNone {
		return
	}
	for range firesPerCycle {
		t, ok := s.timers.First()
		if !ok || s.log.stamper.Next(s.nowNs) < t.Deadline || s.log.Admits(wire.TimerRecordSize) != wire.RefusalNone {
			return
		}
		x := wire.TimerRecord{ID: t.ID, Deadline: t.Deadline}
		n := x.Put(s.payload[:])
		if _, ok := s.log.Append(s.nowNs, wire.RecordTimer, 0, 0, t.Service, 0, s.payload[:n]); !ok {
			return
		}
		s.timers.Cancel(t.Service, t.ID)
		s.meters.timers.Inc()
	}
}
