package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"sync/atomic"
	"time"

	"lockstep/agent"
	"lockstep/wire"
)

// Watch is a client that keeps a cluster busy in one session and, whenever it is asked, says for how long it was without
// an answer at most since it was last asked: what somebody does to the cluster meanwhile shows there.
type Watch struct {
	Target   Target
	Plan     Plan   // open loop; its measured time is not looked at
	AcksFile string // every acknowledgement is written there
}

// Outage is what a client saw since it was last asked.
type Outage struct {
	LongestNs int64  `json:"longest_ns"` // between two answers, the time since the newest one included
	SilentNs  int64  `json:"silent_ns"`  // since the newest answer
	Answers   uint64 `json:"answers"`
}

// Watched is what came out in the end.
type Watched struct {
	Session    wire.SessionID `json:"session"`
	Transport  string         `json:"transport"`
	Mode       string         `json:"mode"`
	Sent       uint64         `json:"sent"`
	Acked      uint64         `json:"acked"`
	Duplicated uint64         `json:"duplicated"` // answers or responses that came twice
	Reordered  uint64         `json:"reordered"`
}

// WatchEvent is one line that Run writes: an answer to a line that it read, or the end.
type WatchEvent struct {
	Outage *Outage  `json:"outage,omitempty"`
	Done   *Watched `json:"done,omitempty"`
}

// Run connects, writes one line, and sends. For every line read from in it writes what the client saw; the end of in, or of
// ctx, ends it, once every message is answered.
func (w *Watch) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	clock, idle := agent.System{}, agent.Yield{}
	tr, mode, err := w.Target.OpenTransport()
	if err != nil {
		return err
	}
	defer tr.Close()
	rec := &Recorder{}
	c, err := w.Target.Connect(ctx, tr, "failover", uint32(w.Plan.Window), rec, clock, idle)
	if err != nil {
		return err
	}
	events := json.NewEncoder(out)
	watch := &watching{events: events}
	go watch.read(in)
	o := w.Plan.LoadOptions()
	o.Warmup, o.Measure, o.OnSend = 0, 24*time.Hour, rec.Sent
	o.OnCycle = func(nowNs int64) bool { return watch.look(nowNs) || ctx.Err() != nil }
	watch.load = NewLoad(o, clock, idle)
	watch.load.onAnswer = watch.answered
	rec.Use(watch.load)
	watch.lastNs = clock.NowNs()
	if err := events.Encode(WatchEvent{Outage: &Outage{}}); err != nil {
		return err
	}
	result, err := watch.load.Run(c)
	if err != nil {
		return err
	}
	done := Watched{Session: c.Session(), Transport: w.Target.Transport, Mode: mode, Sent: result.Sent, Acked: result.Acked,
		Duplicated: result.Duplicated + rec.Duplicated, Reordered: result.Reordered}
	rec.Use(nil)
	CloseSession(c, clock, idle)
	if err := WriteAcks(w.AcksFile, rec.Acks); err != nil {
		return err
	}
	return events.Encode(WatchEvent{Done: &done})
}

// watching is a Watch that runs: the load's thread looks, another reads.
type watching struct {
	load   *Load
	events *json.Encoder
	wanted atomic.Uint64 // lines read
	ended  atomic.Bool   // no more will be

	told    uint64 // lines answered
	lastNs  int64  // when the newest answer came
	longest int64
	answers uint64
}

func (w *watching) read(in io.Reader) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		w.wanted.Add(1)
	}
	w.ended.Store(true)
}

// answered notes an answer.
func (w *watching) answered(nowNs int64) {
	w.longest = max(w.longest, nowNs-w.lastNs)
	w.lastNs = nowNs
	w.answers++
}

// look answers what was asked; true when nothing more will be.
func (w *watching) look(nowNs int64) (ended bool) {
	if w.told < w.wanted.Load() {
		w.told++
		silent := nowNs - w.lastNs
		o := Outage{LongestNs: max(w.longest, silent), SilentNs: silent, Answers: w.answers}
		w.longest, w.answers = 0, 0
		if w.events.Encode(WatchEvent{Outage: &o}) != nil {
			return true // nobody reads any more
		}
	}
	return w.ended.Load() && w.told == w.wanted.Load()
}
