package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"lockstep/client"
	"lockstep/internal/judge"
	"lockstep/internal/mixflow"
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// The order book of a small world.
const (
	bookInstruments = 2
	bookPrices      = 512
)

// sent is a message as its client remembers it.
type sent struct {
	service  uint16
	levels   wire.Levels
	acked    wire.Levels
	code     wire.Refusal
	payload  []byte
	invokeNs int64
	returnNs int64 // when it was acknowledged for good; 0: not
	answered int   // responses
	doubted  bool  // its client was told that what becomes of it is unknown
	voided   bool  // its client asked for it to have no effect
	restarts uint64
	promises []promise
}

// promise is an acknowledgement that must stay true.
type promise struct {
	level    wire.Level
	ack      client.Ack
	restarts uint64 // of nodes, before the message was sent
}

// session is one session of a client.
type session struct {
	owner     *load
	client    *client.Client
	id        wire.SessionID
	sent      []sent // correlation-1
	responses uint64
	closed    bool
	event     client.Event // that closed it
	acks      []client.Ack // all of them, in worlds that count what survives
	view      judge.View   // what the verdict is to know of it
}

// load is a client of the cluster: it has one session at a time.
type load struct {
	w       *World
	number  int
	end     *endpoint
	rng     *rand.Rand
	flow    *orderflow.Generator
	mix     *mixflow.Mix // commands for the other services
	mixed   *rand.Rand
	session *session
	left    int // messages to be sent
	burst   int
	sendNs  int64 // when the next is due
	dueNs   int64
	stopped bool
	dead    bool        // its process is gone: it sends nothing again
	only    wire.Levels // that it asks for; 0: whatever is drawn
}

// newSession begins a session.
func (l *load) newSession() {
	s := &session{owner: l, view: judge.View{Client: l.number}}
	var err error
	o := l.w.o.Clients
	s.client, err = client.New(client.Options{
		Cluster: clusterID, Nodes: l.w.addrs, Name: fmt.Sprintf("load-%d", l.number), Transport: l.end.reopen(),
		Window: o.Window, Seed: l.rng.Uint64() | 1, OutcomeNs: o.OutcomeNs, GiveUpNs: o.GiveUpNs,
	}, s)
	if err != nil {
		l.w.fail("client %d: %v", l.number, err)
		return
	}
	l.session = s
	l.w.sessions = append(l.w.sessions, s)
}

func (l *load) schedule(atNs int64) {
	if l.dueNs >= 0 && l.dueNs <= atNs {
		return
	}
	l.dueNs = atNs
	l.w.queue.push(event{atNs: atNs, kind: eventClient, who: int32(l.number)})
}

// turn sends what is due and polls.
func (l *load) turn(e *event) {
	if e.atNs != l.dueNs || l.dead {
		return
	}
	l.dueNs = -1
	now := l.w.nowNs
	s := l.session
	l.send(now)
	work := s.client.Poll(clientEpochNs + now)
	l.w.trace.add(l.w, "client", l.number, -1, uint64(work), uint64(len(s.sent)), s.responses)
	next := now + 2e6
	if work > 0 {
		next = now + 5e3
	}
	if l.left > 0 && !l.stopped {
		next = min(next, max(l.sendNs, now+1e3))
	}
	if s.closed && (l.left > 0 && !l.stopped) {
		l.newSession()
	}
	l.schedule(next)
}

// clientEpochNs is what a client's clock shows when the world begins: never 0.
const clientEpochNs = int64(5e9)

func (l *load) send(now int64) {
	s := l.session
	for l.left > 0 && !l.stopped && now >= l.sendNs && !s.closed {
		to, payload := l.message(s)
		levels := l.levels()
		_, err := s.client.Send(clientEpochNs+now, to, levels, payload)
		if err != nil {
			l.sendNs = now + 200e3
			return
		}
		s.sent = append(s.sent, sent{service: to, levels: levels, payload: bytes.Clone(payload), invokeNs: now,
			restarts: l.w.restarts()})
		s.view.Send(now, to, payload)
		l.w.count.Messages++
		l.left--
		if l.w.o.Clients.Reconnect && l.rng.IntN(60) == 0 {
			s.client.Close(clientEpochNs + now)
			return
		}
		if l.rng.IntN(100) == 0 {
			l.void(s)
		}
		if l.burst--; l.burst <= 0 {
			l.burst = 1 + l.rng.IntN(l.w.o.Clients.Burst)
			l.sendNs = now + l.rng.Int64N(2*l.w.o.Clients.PauseNs)
		}
	}
}

// void has one of the newest messages have no effect, if that is not too late.
func (l *load) void(s *session) {
	n := len(s.sent) - l.rng.IntN(min(len(s.sent), 8))
	x := &s.sent[n-1]
	if !x.acked.Has(wire.LevelApplied) && s.client.Void(uint64(n)) == nil {
		x.levels, x.voided = x.levels|wire.LevelsOf(wire.LevelApplied), true
		l.w.count.Voids++
	}
}

// message makes the next one: it says whose it is, so that nobody else's can be taken for it.
func (l *load) message(s *session) (to uint16, payload []byte) {
	if l.mixed.IntN(100) < l.w.o.Clients.Mixed {
		return l.mix.Next()
	}
	switch n := l.rng.IntN(100); {
	case n < l.w.o.Clients.Books:
		b, _ := l.flow.Next()
		return service.OrderBook, b
	case n < 99 && n >= 99-l.w.o.Clients.Alarms:
		return alarmID, l.alarmMessage()
	case n == 99:
		return 9, []byte("for a service that nobody runs")
	}
	n := 16 + l.rng.IntN(l.w.o.Clients.Payload)
	if o := &l.w.o.Clients; o.Long > 0 && l.rng.IntN(100) < o.Long {
		n = l.w.o.MTU + l.rng.IntN(o.LongBytes)
	}
	b := make([]byte, n)
	binary.LittleEndian.PutUint64(b, uint64(l.number)<<48|uint64(len(l.w.sessions))<<32|uint64(len(s.sent)))
	for i := 8; i < len(b); i++ {
		b[i] = byte(l.rng.Uint32())
	}
	return service.Echo, b
}

var levelMixes = [3][]wire.Levels{
	{wire.LevelsOf(wire.LevelApplied), wire.LevelsOf(wire.LevelDurable),
		wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied)},
	{wire.LevelsOf(wire.LevelReplicated), wire.LevelsOf(wire.LevelDurable), wire.LevelsOf(wire.LevelApplied)},
	{0, wire.LevelsOf(wire.LevelReceived), wire.LevelsOf(wire.LevelSequenced),
		wire.LevelsOf(wire.LevelReplicated, wire.LevelDurable), wire.LevelsOf(wire.LevelDurable), wire.LevelsOf(wire.LevelApplied)},
}

func (l *load) levels() wire.Levels {
	if l.only != 0 {
		return l.only
	}
	return pick(l.rng, levelMixes[l.w.o.Clients.Levels]...)
}

// OnAck implements client.Handler.
func (s *session) OnAck(a client.Ack) {
	if s.owner.only != 0 {
		s.acks = append(s.acks, a)
	}
	s.owner.w.check.onAck(s, a)
}

// OnResponse implements client.Handler.
func (s *session) OnResponse(r client.Response) { s.owner.w.check.onResponse(s, r) }

// OnEvent implements client.Handler.
func (s *session) OnEvent(e client.Event) {
	w := s.owner.w
	switch e.Kind {
	case client.EventConnected:
		if s.id != 0 && s.id != e.Session {
			w.fail("client %d: session %x became %x", s.owner.number, s.id, e.Session)
		}
		s.id = e.Session
		w.check.byID[s.id] = s
		if w.check.model[s.id] == nil {
			w.fail("client %d: session %x is accepted, and its record is not committed", s.owner.number, s.id)
		}
	case client.EventUnknown:
		w.check.onUnknown(s, e)
	case client.EventClosed:
		s.closed, s.event = true, e
		if e.Settled {
			w.sometimes(sometimesEnded)
		}
		w.count.SessionsClosed++
	}
	w.trace.add(w, "session", s.owner.number, -1, uint64(e.Kind), uint64(e.Code), uint64(e.Term))
}
