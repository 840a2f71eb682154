package bench

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"lockstep/agent"
	"lockstep/bench/recorded"
	"lockstep/client"
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// fleetHead is what begins every echo of a fleet: session and correlation, so that a response says whose it is.
const fleetHead = 16

// ackChunk is how many acknowledgements are kept in one piece of memory.
const ackChunk = 8192

// fleet is a number of sessions in one process, moved along by one thread. Each sends either as many messages as its
// window takes, or its share of a schedule; what it is told it remembers, and what is wrong in itself it counts.
type fleet struct {
	plan     *Plan
	clock    agent.Clock
	idle     agent.Idle
	sessions []*fleetSession
	tr       transport.Transport
	mux      *client.Mux
	mode     string

	full  bool                    // windows are kept full
	under int                     // messages under way when they were last filled
	dueNs int64                   // when the next message of the schedule is due
	turn  int                     // whose it is
	rtts  *hdrhistogram.Histogram // since last asked
	times *Timeline               // since the sessions are open
	err   error
}

// fleetSession is one session: the handler of its client.
type fleetSession struct {
	f      *fleet
	client *client.Client
	index  int
	next   func() []byte // the next payload; nil: echoes that say whose they are
	buffer []byte        // of the next echo
	want   []byte        // of an echo

	sent   uint64
	acked  uint64
	newest uint64  // correlation acknowledged last
	sentNs []int64 // by correlation, as many as can be open; 0: answered
	dueNs  []int64 // likewise
	acks   [][]Ack
	number uint64 // of the newest response

	duplicated, reordered, wrong uint64

	lastNs  int64 // when the newest answer came
	longest int64 // between two answers, since last asked
	answers uint64
}

// tellsWhose says that messages of a plan say whose they are: then responses can be told from one another.
func (p *Plan) tellsWhose() bool { return p.Flow == FlowEcho && p.Payload >= fleetHead }

// newFleet opens n sessions with a cluster and waits until all are open.
func newFleet(ctx context.Context, t *Target, p *Plan, n int, clock agent.Clock, idle agent.Idle) (*fleet, error) {
	f := &fleet{plan: p, clock: clock, idle: idle, rtts: NewHistogram()}
	var err error
	if f.mux, f.tr, f.mode, err = t.openMux(n + 1); err != nil {
		return nil, err
	}
	var players []*recorded.Player
	if p.Recording != nil {
		if players, err = p.Recording.split(n); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	for i := range n {
		if err := f.add(t, i, players); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	deadline := clock.NowNs() + connectLimit.Nanoseconds()
	for waiting := n; waiting > 0; {
		nowNs := clock.NowNs()
		if nowNs > deadline || ctx.Err() != nil || f.err != nil {
			return nil, errors.Join(fmt.Errorf("bench: %d of %d sessions were not opened by any node of %v within %v", waiting,
				n, t.Nodes, connectLimit), f.err, f.close())
		}
		idle.Idle(f.poll(nowNs))
		waiting = 0
		for _, s := range f.sessions {
			if !s.client.Connected() {
				waiting++
			}
			s.lastNs = nowNs
		}
	}
	if p.Recording != nil {
		if err := f.prepare(ctx, t); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	f.dueNs = clock.NowNs()
	f.times = NewTimeline(f.dueNs, 0)
	return f, nil
}

// openMux opens the transport of so many clients, and what moves them along.
func (t *Target) openMux(clients int) (*client.Mux, transport.Transport, string, error) {
	tr, mode, err := t.OpenTransport()
	if err != nil {
		return nil, nil, "", err
	}
	var seed [8]byte
	_, _ = crand.Read(seed[:]) // never fails (crypto/rand)
	mux, err := client.NewMux(client.MuxOptions{Cluster: t.Cluster, Transport: tr, Clients: clients,
		Seed: binary.LittleEndian.Uint64(seed[:]) | 1})
	if err != nil {
		return nil, nil, "", errors.Join(err, tr.Close())
	}
	return mux, tr, mode, nil
}

// prepare asks the order book for what a recorded flow needs.
func (f *fleet) prepare(ctx context.Context, t *Target) error {
	sessions := make([]wire.SessionID, len(f.sessions))
	for i, s := range f.sessions {
		sessions[i] = s.client.Session()
	}
	err := f.plan.Recording.prepare(ctx, f.mux, t, f.clock, f.idle, sessions...)
	for _, s := range f.sessions {
		s.lastNs = f.clock.NowNs()
	}
	return err
}

// add makes a session's client.
func (f *fleet) add(t *Target, i int, players []*recorded.Player) (err error) {
	open := 1 << bits.Len(uint(f.plan.Window))
	s := &fleetSession{f: f, index: i, sentNs: make([]int64, open), dueNs: make([]int64, open),
		buffer: make([]byte, f.plan.Payload), want: make([]byte, f.plan.Payload)}
	if f.plan.Flow == FlowOrders {
		flow := orderflow.New(orderflow.Options{Seed: flowSeed + uint64(i)})
		s.next = func() []byte { payload, _ := flow.Next(); return payload }
	}
	if players != nil {
		s.next = players[i].Next
	}
	s.client, err = f.mux.Add(client.Options{Nodes: t.Nodes, Name: fmt.Sprintf("bench %d", i+1),
		Window: uint32(f.plan.Window)}, s)
	if err == nil {
		f.sessions = append(f.sessions, s)
	}
	return err
}

// cycle sends what is due and moves everything along.
func (f *fleet) cycle() error {
	nowNs := f.clock.NowNs()
	if f.full {
		f.fill(nowNs)
	} else {
		f.pace(nowNs)
	}
	f.idle.Idle(f.poll(nowNs))
	return f.err
}

func (f *fleet) poll(nowNs int64) (work int) { return f.mux.Poll(nowNs) }

// fill keeps all windows full.
func (f *fleet) fill(nowNs int64) {
	f.under = 0
	for _, s := range f.sessions {
		for s.send(nowNs, nowNs) {
		}
		f.under += s.client.Open()
	}
	f.dueNs = nowNs
}

// pace sends what the schedule has due, to one session after the other; what no window takes now stays due.
func (f *fleet) pace(nowNs int64) {
	for nowNs >= f.dueNs {
		refused := 0
		for ; refused < len(f.sessions); refused++ {
			s := f.sessions[f.turn]
			f.turn = (f.turn + 1) % len(f.sessions)
			if s.send(nowNs, f.dueNs) {
				break
			}
		}
		if refused == len(f.sessions) {
			return
		}
		f.dueNs += int64(1e9 / f.plan.Rate)
	}
}

// send sends one message; false when the window has no room for it.
func (s *fleetSession) send(nowNs, dueNs int64) bool {
	if s.client.Open() >= s.f.plan.Window {
		return false
	}
	kind, payload := uint16(service.Echo), s.buffer
	if s.next != nil {
		kind, payload = service.OrderBook, s.next()
	} else if s.f.plan.tellsWhose() {
		s.head(payload, s.sent+1)
	}
	correlation, err := s.client.Send(nowNs, kind, wire.LevelsOf(s.f.plan.Level), payload)
	if err != nil {
		s.f.fail(s, err)
		return false
	}
	s.sent++
	if correlation != s.sent {
		s.f.fail(s, fmt.Errorf("its message %d was given number %d", s.sent, correlation))
	}
	at := correlation & uint64(len(s.sentNs)-1)
	s.sentNs[at], s.dueNs[at] = nowNs, dueNs
	return true
}

// head writes whose echo it is.
func (s *fleetSession) head(b []byte, correlation uint64) {
	binary.LittleEndian.PutUint64(b, uint64(s.index))
	binary.LittleEndian.PutUint64(b[8:], correlation)
}

// OnAck implements client.Handler.
func (s *fleetSession) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		s.f.fail(s, fmt.Errorf("message %d was refused: %s", a.Correlation, a.Code.Sentence()))
	}
	if a.Level != s.f.plan.Level {
		return
	}
	nowNs := s.f.clock.NowNs()
	at := a.Correlation & uint64(len(s.sentNs)-1)
	sent := &s.sentNs[at]
	switch {
	case *sent == 0:
		s.duplicated++
		return
	case a.Correlation < s.newest:
		s.reordered++
	}
	s.newest = max(s.newest, a.Correlation)
	s.keep(Ack{Correlation: a.Correlation, Level: a.Level, Sequence: a.Sequence, Position: a.Position, SentNs: *sent,
		AckedNs: nowNs})
	*sent = 0
	record(s.f.rtts, nowNs-s.dueNs[at])
	s.f.times.Add(s.dueNs[at], nowNs-s.dueNs[at])
	s.acked++
	s.answers++
	s.longest = max(s.longest, nowNs-s.lastNs)
	s.lastNs = nowNs
}

// keep remembers an acknowledgement. Memory grows by pieces: nothing is copied while answers are awaited.
func (s *fleetSession) keep(a Ack) {
	n := len(s.acks)
	if n == 0 || len(s.acks[n-1]) == ackChunk {
		s.acks = append(s.acks, make([]Ack, 0, ackChunk))
		n++
	}
	s.acks[n-1] = append(s.acks[n-1], a)
}

// OnResponse implements client.Handler. Response numbers are dense; every echo is caused by the message whose number it
// has, and says so.
func (s *fleetSession) OnResponse(x client.Response) {
	if x.Number != s.number+1 {
		s.duplicated++
	}
	s.number = x.Number
	if s.next != nil || !s.f.plan.tellsWhose() {
		return
	}
	s.head(s.want, x.Number)
	if x.Correlation != x.Number || !bytes.Equal(x.Payload, s.want) {
		s.wrong++
	}
}

// OnEvent implements client.Handler.
func (s *fleetSession) OnEvent(e client.Event) {
	if e.Kind == client.EventClosed && e.Code != wire.RefusalNone {
		s.f.fail(s, fmt.Errorf("it was closed: %s", e.Code.Sentence()))
	}
}

func (f *fleet) fail(s *fleetSession, err error) {
	if f.err == nil {
		f.err = fmt.Errorf("bench: session %d: %w", s.index+1, err)
	}
}

// outage is what the sessions saw since last asked: the longest of any, the fewest answers of any.
func (f *fleet) outage() (o Outage) {
	nowNs := f.clock.NowNs()
	for i, s := range f.sessions {
		silent := nowNs - s.lastNs
		o.SilentNs = max(o.SilentNs, silent)
		o.LongestNs = max(o.LongestNs, s.longest, silent)
		if i == 0 || s.answers < o.Answers {
			o.Answers = s.answers
		}
		o.Total += s.answers
		s.longest, s.answers = 0, 0
	}
	o.Rtt = NewTimes(f.rtts)
	f.rtts.Reset()
	if o.Open = f.under; !f.full {
		o.Open = f.waiting()
	}
	return o
}

// waiting is how many messages are open.
func (f *fleet) waiting() (open int) {
	for _, s := range f.sessions {
		open += s.client.Open()
	}
	return open
}

// drain waits until every message is answered and committed.
func (f *fleet) drain() error {
	for deadline := f.clock.NowNs() + drainLimit.Nanoseconds(); ; {
		open, nowNs := f.waiting(), f.clock.NowNs()
		switch {
		case f.err != nil || open == 0:
			return f.err
		case nowNs > deadline:
			return fmt.Errorf("bench: %d messages are still open after %v", open, drainLimit)
		}
		f.idle.Idle(f.poll(nowNs))
	}
}

// end closes the sessions, and says what was told in each.
func (f *fleet) end() (told []Told) {
	for _, s := range f.sessions {
		t := Told{Session: s.client.Session(), Acks: make([]Ack, 0, s.acked)}
		for _, piece := range s.acks {
			t.Acks = append(t.Acks, piece...)
		}
		told = append(told, t)
		s.client.Close(f.clock.NowNs())
	}
	for deadline := f.clock.NowNs() + time.Second.Nanoseconds(); f.clock.NowNs() < deadline; {
		open := false
		for _, s := range f.sessions {
			open = open || !s.client.Closed()
		}
		if !open {
			break
		}
		f.idle.Idle(f.poll(f.clock.NowNs()))
	}
	return told
}

func (f *fleet) close() error { return f.tr.Close() }
