package mixflow

import (
	"lockstep/service/timer"
)

// timerFlow starts timers and takes some back.
type timerFlow struct {
	draw
}

// NewTimer draws commands for timers.
func NewTimer(o Options) Flow { return &timerFlow{draw: newDraw(o)} }

// Periods of periodic timers, of which all have an end, so that a cluster comes to rest. With so few names they stay far below
// what all timers together may fire in a second (timer.Options.Firings).
const (
	minPeriodMs = 20
	maxPeriods  = 5
)

// Next implements Flow.
func (f *timerFlow) Next() []byte {
	q := timer.Request{Name: f.name("timer-")}
	switch n := f.IntN(100); {
	case n < 60:
		q.Kind, q.AfterMs, q.Kept, q.Replace, q.Payload = timer.Start, f.time(), f.odds(50), f.odds(30), f.value()
		if f.odds(50) {
			q.IntervalMs, q.Count = minPeriodMs+f.time(), 1+f.Uint64N(maxPeriods)
		}
		if f.odds(5) {
			q.AfterMs, q.At = 0, 1 // long ago
		}
	case n < 80:
		q.Kind = timer.Cancel
	case n < 90:
		q.Kind, q.Prefix, q.Off = timer.Subscribe, f.odds(50), f.odds(50)
	default:
		q = timer.Request{Kind: timer.List, Max: f.Uint32N(4)}
	}
	return timer.EncodeRequest(f.builder, &q)
}

// Heard implements Flow.
func (f *timerFlow) Heard(_, _ []byte) {}
