package judge

import (
	"fmt"

	"lockstep/internal/history"
	"lockstep/service/timer"
	"lockstep/service/timer/fb"
	"lockstep/wire"
)

// timerJuror judges timers.
type timerJuror struct {
	timers   *history.Timers
	payloads map[uint64]string // by the record that started a timer
	fired    map[[2]uint64]bool
	asked    timer.Request
	said     timer.Response
}

func newTimer() *timerJuror {
	return &timerJuror{timers: history.NewTimers(), payloads: map[uint64]string{}, fired: map[[2]uint64]bool{}}
}

func (t *timerJuror) refuses(answer []byte) bool {
	return !timer.DecodeResponse(answer, &t.said) || t.said.Kind == timer.Refused
}

// message implements juror.
func (t *timerJuror) message(at history.Moment, session wire.SessionID, payload []byte, said []Output) error {
	if len(said) != 1 || said[0].Session != session || !timer.DecodeResponse(said[0].Payload, &t.said) {
		return fmt.Errorf("timer: %d responses, want one", len(said))
	}
	ok := timer.DecodeRequest(payload, &t.asked)
	q, s := &t.asked, &t.said
	name := string(q.Name)
	if s.Kind == timer.Refused {
		switch {
		case (s.Reason == fb.ReasonMalformed) == ok:
			return fmt.Errorf("timer: sound: %v, and it is answered with %+v", ok, s)
		case s.Reason == fb.ReasonUnknownTimer:
			return t.timers.Cancelled(at, name, false)
		case s.Reason == fb.ReasonExists:
			return t.timers.Exists(at, name)
		case s.Reason == fb.ReasonTooManyFirings && (q.Kind != timer.Start || q.IntervalMs == 0):
			return fmt.Errorf("timer: %q fires once at most, and is refused with %+v", name, s)
		}
		return nil
	}
	switch q.Kind {
	case timer.Start:
		x := history.Start{First: s.Due, Interval: q.IntervalMs * nsPerMs, Count: q.Count, Session: uint64(session)}
		if q.Kept {
			x.Session = 0
		}
		if after := at.Stamp + q.AfterMs*nsPerMs; q.AfterMs > 0 && s.Due != after || s.ID != at.Sequence {
			return fmt.Errorf("timer: %q, record %d, due after %d ms, is said to be %d, due at %d", name, at.Sequence, q.AfterMs, s.ID, s.Due)
		}
		t.payloads[s.ID] = string(q.Payload)
		return t.timers.Started(at, name, x)
	case timer.Cancel:
		return t.timers.Cancelled(at, name, true)
	}
	return nil
}

// others implements juror: every one who is told of a firing is told the same, and the timer fires once.
func (t *timerJuror) others(at history.Moment, said []Output) error {
	for i := range said {
		if !timer.DecodeResponse(said[i].Payload, &t.said) || t.said.Kind != timer.Fired {
			return fmt.Errorf("timer: session %x is told %+v", said[i].Session, t.said)
		}
		s := &t.said
		if payload, known := t.payloads[s.ID]; !known || payload != string(s.Payload) {
			return fmt.Errorf("timer: %q fires as %d, and was not started so", s.Name, s.ID)
		}
		if again := [2]uint64{at.Sequence, s.ID}; t.fired[again] {
			continue
		} else {
			t.fired[again] = true
		}
		if err := t.timers.Fires(at, string(s.Name), s.Number, s.Skipped, s.Due); err != nil {
			return err
		}
	}
	return nil
}

func (t *timerJuror) closed(at history.Moment, session wire.SessionID) {
	t.timers.SessionOver(at, uint64(session))
}

func (t *timerJuror) end(uint64) error { return nil }
