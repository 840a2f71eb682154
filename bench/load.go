package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/wire"
)

// Loop says how messages are sent.
type Loop string

// The loops.
const (
	Closed Loop = "closed" // the next message when the one before is answered
	Open   Loop = "open"   // on a fixed schedule, whatever is answered
)

// LoadOptions say what to send and for how long.
type LoadOptions struct {
	Service uint16
	Level   wire.Level // the acknowledgement that ends a round trip
	Loop    Loop
	Rate    float64 // open loop: messages a second
	Burst   int     // open loop: messages that are due at the same instant
	Warmup  time.Duration
	Measure time.Duration
	Drain   time.Duration // how long to wait for the last answers; what is then unanswered is lost
	// Behind is how far an open loop's schedule may fall behind before nothing more is sent: what was still due is then lost.
	// 0: one that falls behind for as long as Drain beyond the end is an error.
	Behind time.Duration
	Stages bool // the client asks where the time of messages goes: Result.Stages says
	// Due, if set, says when the n-th message of an open loop is due, from 0, in ns since the beginning: instead of Rate and Burst.
	Due func(n uint64) int64
	// Rejected, if set, tells whether a response is a refusal of the service: Result.Rejected counts those.
	Rejected func(payload []byte) bool
	// Progress, if set, is told how far it is.
	Progress *Progress
	// Next returns the payload of the next message; it may reuse its memory.
	Next func() []byte
	// OnSend, if set, is told of every message that was given to the client.
	OnSend func(correlation uint64, nowNs int64)
}

// Result is what a load saw. Only messages that were due within the measured time count.
type Result struct {
	Histogram  *hdrhistogram.Histogram // nanoseconds
	Sent       uint64
	Acked      uint64
	Duplicated uint64 // acknowledged twice at the level asked for
	Reordered  uint64 // acknowledged with a position not above the one of the message before
	Rejected   uint64 // responses since the warm-up that are refusals of the service
	Elapsed    time.Duration
	Stages     *StageTimes // nil unless asked for
	Timeline   *Timeline
	// Outage is the longest time between two answers.
	Outage time.Duration
}

// Lost is how many were sent and not answered.
func (r *Result) Lost() uint64 { return r.Sent - r.Acked }

// PerSec is the rate of answers.
func (r *Result) PerSec() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return round(float64(r.Acked) / r.Elapsed.Seconds())
}

// flights bounds the messages under way: twice the largest window.
const flights = 8192

type flight struct {
	correlation uint64
	dueNs       int64
	sentNs      int64 // given to the client
	measured    bool
}

// Session is what a load sends through: a client of ours, or one of another system that is measured beside it. It belongs to
// the load's thread, and tells the load's OnAck of every answer, out of Poll.
type Session interface {
	// Send takes a message that is to be acknowledged at one level and returns its correlation, which counts from 1 without
	// gaps; client.ErrWindow when as many as the session allows are unanswered.
	Send(nowNs int64, service uint16, levels wire.Levels, payload []byte) (correlation uint64, err error)
	// Poll takes in what has come, and returns how much that was.
	Poll(nowNs int64) (work int)
}

// Load drives one session. It is its client's Handler.
type Load struct {
	o        LoadOptions
	clock    agent.Clock
	session  Session
	flights  [flights]flight // by correlation
	open     int             // sent and not answered
	failed   error
	result   Result
	position wire.Position // of the newest answer
	newest   uint64        // correlation of it
	answerNs int64
	idle     agent.Idle
	payload  []byte  // of the message that is due and not sent; nil: to be asked for
	errand   *errand // under way: it is told instead
}

// NewLoad returns a load; make the client with it as handler, then call Run.
func NewLoad(o LoadOptions, clock agent.Clock, idle agent.Idle) *Load {
	l := &Load{o: o, clock: clock, idle: idle}
	l.result.Histogram = NewHistogram()
	if o.Stages {
		l.result.Stages = NewStageTimes(o.Level)
	}
	return l
}

// OnAck implements client.Handler.
func (l *Load) OnAck(a client.Ack) {
	if l.errand != nil {
		l.errand.OnAck(a)
		return
	}
	if a.Level == l.o.Level {
		l.answered(&a)
	}
}

// OnResponse implements client.Handler.
func (l *Load) OnResponse(x client.Response) {
	if l.errand != nil {
		l.errand.OnResponse(x)
		return
	}
	if l.o.Rejected != nil && l.result.Sent > 0 && l.o.Rejected(x.Payload) {
		l.result.Rejected++
	}
}

// OnEvent implements client.Handler.
func (l *Load) OnEvent(e client.Event) {
	if e.Kind == client.EventClosed {
		l.failed = fmt.Errorf("bench: the session was closed: %s", e.Code.Sentence())
	}
}

func (l *Load) answered(a *client.Ack) {
	nowNs, correlation, position := l.clock.NowNs(), a.Correlation, a.Position
	f := &l.flights[correlation%flights]
	if f.correlation != correlation {
		if correlation <= l.newest {
			l.result.Duplicated++
		}
		return
	}
	if position != 0 && correlation > l.newest {
		if position <= l.position {
			l.result.Reordered++
		}
		l.position, l.newest = position, correlation
	}
	if f.measured {
		l.result.Acked++
		record(l.result.Histogram, nowNs-f.dueNs)
		l.result.Timeline.Add(f.dueNs, nowNs-f.dueNs)
		if l.result.Stages != nil {
			l.result.Stages.Add(a, f.dueNs, f.sentNs, nowNs)
		}
		if l.answerNs != 0 {
			l.result.Outage = max(l.result.Outage, time.Duration(nowNs-l.answerNs))
		}
	}
	l.answerNs = nowNs
	f.correlation = 0
	l.open--
}

// ask asks the order book for what the load needs of it, before or after its run.
func (l *Load) ask(s Session, requests [][]byte) error {
	l.errand = &errand{}
	defer func() { l.errand = nil }()
	return l.errand.run(s, l.clock, l.idle, requests)
}

// Run sends and records until the measured time is over and the answers are in. The session must be open.
func (l *Load) Run(s Session) (*Result, error) {
	l.session = s
	startNs := l.clock.NowNs()
	measureNs := startNs + l.o.Warmup.Nanoseconds()
	endNs := measureNs + l.o.Measure.Nanoseconds()
	l.result.Timeline = NewTimeline(measureNs, l.o.Measure)
	var err error
	if l.o.Loop == Closed {
		err = l.closed(measureNs, endNs)
	} else {
		err = l.scheduled(startNs, measureNs, endNs)
	}
	l.result.Elapsed = time.Duration(min(l.clock.NowNs(), endNs) - measureNs)
	if err == nil {
		err = l.drain()
	}
	return &l.result, err
}

// closed sends the next message when the one before is answered.
func (l *Load) closed(measureNs, endNs int64) error {
	for {
		nowNs := l.clock.NowNs()
		if nowNs >= endNs {
			return nil
		}
		if l.open == 0 {
			if _, err := l.send(nowNs, nowNs, nowNs >= measureNs); err != nil {
				return err
			}
		}
		if err := l.poll(nowNs); err != nil {
			return err
		}
	}
}

// scheduled sends bursts at fixed instants. What the window does not take now stays due: its latency has begun.
func (l *Load) scheduled(startNs, measureNs, endNs int64) error {
	due := l.o.Due
	if due == nil {
		burst, intervalNs := uint64(l.o.Burst), float64(l.o.Burst)/l.o.Rate*1e9
		due = func(n uint64) int64 { return int64(float64(n/burst) * intervalNs) }
	}
	next := uint64(0)
	for {
		nowNs := l.clock.NowNs()
		dueNs := startNs + due(next)
		if dueNs >= endNs {
			return nil
		}
		for nowNs >= dueNs && dueNs < endNs {
			sent, err := l.send(nowNs, dueNs, dueNs >= measureNs)
			if err != nil {
				return err
			}
			if !sent {
				break
			}
			next++
			dueNs = startNs + due(next)
		}
		if l.o.Behind > 0 && nowNs-dueNs > l.o.Behind.Nanoseconds() {
			for ; dueNs < endNs; dueNs = startNs + due(next) { // what was still due counts as sent, and so as lost
				if next++; dueNs >= measureNs {
					l.result.Sent++
				}
			}
			return nil
		}
		if nowNs > endNs+l.o.Drain.Nanoseconds() {
			return fmt.Errorf("bench: at %.0f messages/s the schedule is %v behind: beyond what the cluster takes",
				l.o.Rate, time.Duration(nowNs-dueNs))
		}
		if err := l.poll(nowNs); err != nil {
			return err
		}
	}
}

// send sends one message; false when the window has no room for it now.
func (l *Load) send(nowNs, dueNs int64, measured bool) (bool, error) {
	if l.payload == nil {
		l.payload = l.o.Next()
	}
	correlation, err := l.session.Send(nowNs, l.o.Service, wire.LevelsOf(l.o.Level), l.payload)
	if errors.Is(err, client.ErrWindow) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	l.payload = nil
	if l.o.OnSend != nil {
		l.o.OnSend(correlation, nowNs)
	}
	l.flights[correlation%flights] = flight{correlation, dueNs, nowNs, measured}
	l.open++
	if measured {
		l.result.Sent++
	}
	return true, nil
}

func (l *Load) poll(nowNs int64) error {
	if p := l.o.Progress; p != nil {
		p.set(0, l.result.Sent, l.result.Acked)
	}
	l.idle.Idle(l.session.Poll(nowNs))
	return l.failed
}

// drain waits for the last answers.
func (l *Load) drain() error {
	deadline := l.clock.NowNs() + l.o.Drain.Nanoseconds()
	for l.open > 0 {
		nowNs := l.clock.NowNs()
		if nowNs > deadline {
			return nil
		}
		if err := l.poll(nowNs); err != nil {
			return err
		}
	}
	return nil
}
