package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"lockstep/agent"
	"lockstep/wire"
)

// Watch is a process of clients that keeps a cluster busy and, whenever it is asked, says for how long a session was
// without an answer at most since it was last asked: what somebody does to the cluster meanwhile shows there.
type Watch struct {
	Target   Target
	Plan     Plan // open loop, of all sessions together; its measured time is not looked at
	Sessions int
	AcksFile string // every acknowledgement is written there
}

// What a Watch is asked for, a line each. It answers every one with what was seen since the one before.
const (
	WatchLook = "look"
	WatchFill = "fill" // keep every window full from now on
	WatchEase = "ease" // keep to the schedule from now on
)

// Outage is what the sessions saw since they were last asked.
type Outage struct {
	LongestNs int64  `json:"longest_ns"` // between two answers to one session, the time since its newest one included
	SilentNs  int64  `json:"silent_ns"`  // since the newest answer, of the session that waits longest
	Answers   uint64 `json:"answers"`    // of the session that had fewest
	Total     uint64 `json:"total"`      // of all sessions
	Rtt       Times  `json:"rtt"`        // from when a message was due to its acknowledgement
	Open      int    `json:"open"`       // messages under way: when windows were last filled, else at the moment
}

// Watched is what came out in the end.
type Watched struct {
	Transport  string `json:"transport"`
	Mode       string `json:"mode"`
	Sent       uint64 `json:"sent"`
	Acked      uint64 `json:"acked"`
	Duplicated uint64 `json:"duplicated"` // answers or responses that came twice
	Reordered  uint64 `json:"reordered"`
	Wrong      uint64 `json:"wrong"` // responses that are none to the message that they name

	Timeline []TimelinePoint `json:"timeline"` // of all sessions, from when the first line was written
}

// WatchEvent is one line that Run writes: an answer to a line that it read, or the end.
type WatchEvent struct {
	Outage *Outage  `json:"outage,omitempty"`
	Done   *Watched `json:"done,omitempty"`
}

// Run opens the sessions, writes one line, and sends. For every line read from in it writes what was seen; the end of in,
// or of ctx, ends it, once every message is answered.
func (w *Watch) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	f, err := newFleet(ctx, &w.Target, &w.Plan, max(1, w.Sessions), agent.System{}, agent.Yield{})
	if err != nil {
		return err
	}
	defer f.close()
	events := json.NewEncoder(out)
	orders := readOrders(in)
	if err := events.Encode(WatchEvent{Outage: &Outage{}}); err != nil {
		return err
	}
	for ended := false; !ended; {
		if err := f.cycle(); err != nil {
			return err
		}
		if ended, err = orders.obey(f, events); err != nil {
			return err
		}
		ended = ended || ctx.Err() != nil
	}
	if err := f.drain(); err != nil {
		return err
	}
	done := Watched{Transport: w.Target.Transport, Mode: f.mode, Timeline: f.times.Points()}
	for _, s := range f.sessions {
		done.Sent += s.sent
		done.Acked += s.acked
		done.Duplicated += s.duplicated
		done.Reordered += s.reordered
		done.Wrong += s.wrong
	}
	if err := WriteAcks(w.AcksFile, f.end()...); err != nil {
		return err
	}
	return events.Encode(WatchEvent{Done: &done})
}

// watchOrders are the lines that were read and not yet obeyed.
type watchOrders struct {
	mu    sync.Mutex
	lines []string
	ended bool
}

func readOrders(in io.Reader) *watchOrders {
	o := &watchOrders{}
	go func() {
		for lines := bufio.NewScanner(in); lines.Scan(); {
			o.mu.Lock()
			o.lines = append(o.lines, lines.Text())
			o.mu.Unlock()
		}
		o.mu.Lock()
		o.ended = true
		o.mu.Unlock()
	}()
	return o
}

// take returns what was read since the last time; ended: nothing more will be.
func (o *watchOrders) take() (lines []string, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines, o.lines = o.lines, nil
	return lines, o.ended
}

// obey does what was asked; true when nothing more will be.
func (o *watchOrders) obey(f *fleet, events *json.Encoder) (ended bool, err error) {
	lines, ended := o.take()
	for _, line := range lines {
		switch line {
		case WatchLook:
		case WatchFill, WatchEase:
			f.full = line == WatchFill
		default:
			return false, fmt.Errorf("bench: asked to %q: want %s, %s or %s", line, WatchLook, WatchFill, WatchEase)
		}
		outage := f.outage()
		if err := events.Encode(WatchEvent{Outage: &outage}); err != nil {
			return true, nil // nobody reads any more
		}
	}
	return ended, nil
}

// Check says what is wrong with a watch.
func (w *Watch) Check() error {
	const least = 100 // messages a second of a session: it is told by its answers that it is served
	switch {
	case w.Sessions < 1 || w.Sessions > 100:
		return fmt.Errorf("bench: %d sessions: want 1 to 100", w.Sessions)
	case w.Plan.Flow == FlowEcho && w.Plan.Payload < fleetHead:
		return fmt.Errorf("bench: payload of %d bytes: want %d or more, which say whose message it is", w.Plan.Payload, fleetHead)
	case w.Plan.Recording != nil && w.Plan.Recording.Speed > 0:
		return fmt.Errorf("bench: a recorded flow at the speed of its times is not kept through kills: want a rate")
	case w.Plan.Rate < float64(least*w.Sessions):
		return fmt.Errorf("bench: %g messages a second for %d sessions: want %d or more for each", w.Plan.Rate, w.Sessions, least)
	case w.Plan.Level == wire.LevelNone:
		return fmt.Errorf("bench: level none is never acknowledged")
	}
	return nil
}
