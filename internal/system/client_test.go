package system

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/client"
	"lockstep/internal/judge"
	"lockstep/internal/mixflow"
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

// The client process: it sends until it is told to stop (a line on its standard input, or the end of it), and prints
// what it has seen so far as JSON, a line now and then and one at the end.

// flowOptions say what a client process does.
type flowOptions struct {
	Target  bench.Target
	Orders  bool         // orders for the order book; else payloads for the echo service
	Payload int          // bytes of an echo
	Levels  []wire.Level // asked for in turn, one a message
	Rate    float64      // messages a second; 0: as many as the window takes
	Count   uint64       // stop by itself after so many; 0: when told to
	Window  uint32
	Acks    string // file for the acknowledgements
	Mixed   uint64 // commands of all services, drawn from this seed; 0: none
	Only    uint16 // the one service that those are of; 0: all
	View    string // file for what a client of those saw
}

// seen is what a client process has seen so far.
type seen struct {
	Session     wire.SessionID
	Mode        string // of its transport
	Leader      wire.NodeID
	Term        wire.Term
	Sent        uint64
	Levels      [wire.LevelApplied + 1]uint64 // acknowledgements by level
	Acked       uint64                        // all of them
	Responses   uint64
	Wrong       uint64 // echoes that are not what was sent, events that do not decode
	Misnumbered uint64 // responses whose number is not the next
	Regressed   uint64 // acknowledgements of an older term than one before
	Rejected    uint64 // orders that the book rejected, cancels not among them
	Executed    uint64
	Connects    uint64
	Dropped     uint64
	Done        bool
}

const (
	progressEvery = 20 * time.Millisecond
	drainLimit    = 30 * time.Second
)

// flowRun is the client's handler and loop.
type flowRun struct {
	o      flowOptions
	client *client.Client
	clock  agent.System
	seen   seen
	acks   []bench.Ack
	sentNs []int64 // by correlation, from 1
	orders *orderflow.Generator
	kinds  map[uint64]orderflow.Kind // of open orders, by correlation
	buffer []byte
	next   []byte // payload due and not sent
	kind   orderflow.Kind
	number uint64
	closed string
	mix    *mixflow.Mix
	to     uint16
	view   judge.View
}

// runFlow is the client process.
func runFlow(text string) error {
	r := &flowRun{kinds: map[uint64]orderflow.Kind{}}
	if err := json.Unmarshal([]byte(text), &r.o); err != nil {
		return err
	}
	r.orders = orderflow.New(orderflow.Options{Seed: 1})
	r.buffer = make([]byte, r.o.Payload)
	if r.o.Mixed != 0 {
		r.mix = mixflow.NewMix(mixflow.Options{Rand: rand.New(rand.NewPCG(r.o.Mixed, 0)), Client: r.o.Mixed, TimeMs: mixedTimeMs, Only: r.o.Only,
			StampNs: func() uint64 { return uint64(time.Now().UnixNano()) }})
	}
	tr, mode, err := r.o.Target.OpenTransport()
	if err != nil {
		return err
	}
	defer tr.Close()
	r.seen.Mode = mode
	if r.client, err = r.o.Target.Connect(context.Background(), tr, "system test", r.o.Window, r, r.clock,
		agent.Yield{}); err != nil {
		return err
	}
	if err := r.send(); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.drain(); err != nil {
		return err
	}
	if err := r.writeView(); err != nil {
		return err
	}
	bench.CloseSession(r.client, r.clock, agent.Yield{})
	r.seen.Done = true
	if err := bench.WriteAcks(r.o.Acks, bench.Told{Session: r.client.Session(), Acks: r.acks}); err != nil {
		return err
	}
	return r.report()
}

// toldToStop is set when the test says stop or is gone.
func toldToStop() *atomic.Bool {
	var stop atomic.Bool
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		stop.Store(true)
	}()
	return &stop
}

// send sends until it is told to stop.
func (r *flowRun) send() error {
	stop := toldToStop()
	startNs := r.clock.NowNs()
	reportNs := startNs
	for !stop.Load() && (r.o.Count == 0 || r.seen.Sent < r.o.Count) {
		nowNs := r.clock.NowNs()
		due := r.seen.Sent + 1
		if r.o.Rate > 0 {
			due = uint64(float64(nowNs-startNs) / 1e9 * r.o.Rate)
		}
		if r.o.Count > 0 {
			due = min(due, r.o.Count)
		}
		for r.seen.Sent < due {
			sent, err := r.sendOne(nowNs)
			if err != nil {
				return err
			}
			if !sent {
				break
			}
		}
		if err := r.poll(nowNs, &reportNs); err != nil {
			return err
		}
	}
	return nil
}

func (r *flowRun) poll(nowNs int64, reportNs *int64) error {
	agent.Yield{}.Idle(r.client.Poll(nowNs))
	if r.closed != "" {
		return fmt.Errorf("the session was closed: %s", r.closed)
	}
	if nowNs-*reportNs < progressEvery.Nanoseconds() {
		return nil
	}
	*reportNs = nowNs
	return r.report()
}

func (r *flowRun) report() error {
	r.seen.Session, r.seen.Dropped = r.client.Session(), r.client.Stats().Dropped
	r.seen.Leader, r.seen.Term = r.client.Leader()
	return json.NewEncoder(os.Stdout).Encode(&r.seen)
}

// sendOne sends a message; false when the window is full.
func (r *flowRun) sendOne(nowNs int64) (bool, error) {
	id := uint16(service.Echo)
	if r.o.Orders {
		id = service.OrderBook
	}
	if r.next == nil {
		if r.mix != nil {
			r.to, r.next = r.mix.Next()
		} else if r.o.Orders {
			r.next, r.kind = r.orders.Next()
		} else {
			r.next = echoPayload(r.buffer, r.seen.Sent+1)
		}
	}
	if r.mix != nil {
		id = r.to
	}
	level := r.o.Levels[r.seen.Sent%uint64(len(r.o.Levels))]
	correlation, err := r.client.Send(nowNs, id, wire.LevelsOf(level), r.next)
	if errors.Is(err, client.ErrWindow) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r.seen.Sent++
	r.sentNs = append(r.sentNs, nowNs)
	if r.mix != nil {
		r.view.Send(nowNs, id, r.next)
	}
	r.next = nil
	if r.o.Orders {
		r.kinds[correlation] = r.kind
	}
	return true, nil
}

// echoPayload fills b with bytes that no other correlation has.
func echoPayload(b []byte, correlation uint64) []byte {
	x := correlation
	for i := range b {
		if i%8 == 0 {
			x = x*0x9E3779B97F4A7C15 + correlation
		}
		b[i] = byte(x >> (i % 8 * 8))
	}
	return b
}

// drain waits until every message is committed and answered.
func (r *flowRun) drain() error {
	deadline := r.clock.NowNs() + drainLimit.Nanoseconds()
	reportNs := int64(0)
	for {
		echoes := r.o.Orders || r.mix != nil || r.seen.Responses == r.seen.Sent
		if r.client.Open() == 0 && echoes {
			return nil
		}
		nowNs := r.clock.NowNs()
		if nowNs > deadline {
			return fmt.Errorf("%d messages are open, %d sent, %d responses after %v", r.client.Open(), r.seen.Sent,
				r.seen.Responses, drainLimit)
		}
		if err := r.poll(nowNs, &reportNs); err != nil {
			return err
		}
	}
}

// OnAck implements client.Handler.
func (r *flowRun) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		r.closed = fmt.Sprintf("message %d was refused: %s", a.Correlation, a.Code)
	}
	if a.Term < r.seen.Term {
		r.seen.Regressed++
	}
	r.seen.Acked++
	r.seen.Levels[a.Level]++
	r.acks = append(r.acks, bench.Ack{Correlation: a.Correlation, Level: a.Level, Sequence: a.Sequence,
		Position: a.Position, SentNs: r.sentNs[a.Correlation-1], AckedNs: r.clock.NowNs()})
}

// OnResponse implements client.Handler.
func (r *flowRun) OnResponse(x client.Response) {
	r.seen.Responses++
	if x.Number != r.number+1 {
		r.seen.Misnumbered++
	}
	r.number = x.Number
	if r.mix != nil {
		r.onMixed(&x)
		return
	}
	if r.o.Orders {
		r.onEvent(&x)
		return
	}
	if want := echoPayload(make([]byte, r.o.Payload), x.Correlation); !bytes.Equal(x.Payload, want) {
		r.seen.Wrong++
	}
}

func (r *flowRun) onEvent(x *client.Response) {
	var e orderbook.Event
	if !orderbook.DecodeEvent(x.Payload, &e) {
		r.seen.Wrong++
		return
	}
	switch {
	case e.Kind == orderbook.Rejected && r.kinds[x.Correlation] != orderflow.Cancel && r.kinds[x.Correlation] != orderflow.Replace:
		r.seen.Rejected++
	case e.Kind == orderbook.Executed:
		r.seen.Executed++
	}
	if x.Last {
		delete(r.kinds, x.Correlation)
	}
}

// OnEvent implements client.Handler.
func (r *flowRun) OnEvent(e client.Event) {
	switch e.Kind {
	case client.EventConnected:
		r.seen.Connects++
		r.seen.Term = max(r.seen.Term, e.Term)
	case client.EventClosed:
		if !r.seen.Done && e.Code != wire.RefusalSessionClosed && e.Code != wire.RefusalNone {
			r.closed = e.Code.Sentence()
		}
	}
}
