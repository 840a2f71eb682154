package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/agent"
	"lockstep/bench/recorded"
	"lockstep/client"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/service/orderbook/fb"
	"lockstep/service/orderbook/match"
	"lockstep/wire"
)

// Recording is a recorded flow to be played.
type Recording struct {
	Path    string
	Options recorded.Options
	Speed   float64        // times as fast as it was recorded; 0: at the rate of the plan
	Flow    *recorded.Flow `json:"-"`
}

// UnmarshalJSON implements json.Unmarshaler: it opens the recording anew.
func (r *Recording) UnmarshalJSON(b []byte) error {
	type plain Recording
	var told plain
	if err := json.Unmarshal(b, &told); err != nil {
		return err
	}
	opened, err := OpenRecording(told.Path, told.Options, told.Speed)
	if err == nil {
		*r = *opened
	}
	return err
}

// maxSpeed bounds how much faster than recorded a flow may be played, and maxRecordedRate what that may come to.
const (
	maxSpeed        = 1e6
	maxRecordedRate = 1e8
)

// OpenRecording reads the file.
func OpenRecording(path string, o recorded.Options, speed float64) (*Recording, error) {
	if !(speed >= 0 && speed <= maxSpeed) {
		return nil, fmt.Errorf("bench: a recorded flow %g times as fast: want 0 (at the rate) to %.0f", speed, float64(maxSpeed))
	}
	flow, err := recorded.ReadFile(path, o)
	if err != nil {
		return nil, err
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole // for processes elsewhere
	}
	if speed > 0 && (flow.Span() == 0 || flow.PerSec()*speed > maxRecordedRate) {
		return nil, fmt.Errorf("bench: recorded flow %s has %d messages in %v: too many to be sent as they were recorded: "+
			"want a rate instead of a speed", path, flow.Len(), flow.Span())
	}
	return &Recording{Path: path, Options: o, Speed: speed, Flow: flow}, nil
}

// play makes a load that of a session's share.
func (r *Recording) play(o *LoadOptions, player *recorded.Player) {
	o.Service, o.Next = service.OrderBook, player.Next
	o.Rejected = rejectedOrder()
	if r.Speed > 0 {
		o.Due = func(n uint64) int64 { return int64(float64(player.DueNs(n)) / r.Speed) }
	}
}

// split is what each of n sessions plays.
func (r *Recording) split(n int) ([]*recorded.Player, error) {
	if r.Speed > 0 && n > 1 {
		return nil, errors.New("bench: a recorded flow at the speed of its times is that of one session: want a rate for several")
	}
	players, err := r.Flow.Players(n)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	return players, nil
}

// rejectedOrder tells whether a response of the order book is a refusal.
func rejectedOrder() func(payload []byte) bool {
	var e orderbook.Event
	return func(payload []byte) bool { return orderbook.DecodeEvent(payload, &e) && e.Kind == orderbook.Rejected }
}

// roomyOrders is how many open orders an account may have without being asked for more room.
const roomyOrders = 1000

// definedAtOnce is how many instruments one message defines.
const definedAtOnce = 64

// beforehand is what is to be asked of the order book before sessions play the flow: to know its instruments, and to let
// accounts have as many open orders as an account ever may, if the flow has many.
func (r *Recording) beforehand(sessions ...wire.SessionID) (requests [][]byte) {
	list := r.Flow.Definitions()
	for len(list) > 0 {
		n := min(len(list), definedAtOnce)
		requests = append(requests, encodeBook(&orderbook.Request{Command: orderbook.DefineInstruments, Definitions: list[:n]}))
		list = list[n:]
	}
	return append(requests, r.limits(match.MaxOpen, sessions)...)
}

// afterwards gives the accounts back the limits that all have.
func (r *Recording) afterwards(sessions ...wire.SessionID) (requests [][]byte) {
	return r.limits(0, sessions)
}

func (r *Recording) limits(open uint32, sessions []wire.SessionID) (requests [][]byte) {
	if r.Flow.PeakOpen <= roomyOrders {
		return nil
	}
	for _, s := range sessions {
		requests = append(requests, encodeBook(&orderbook.Request{Command: orderbook.SetLimits,
			Account: orderbook.OwnAccount(s), Limits: match.Limits{MaxOpen: open}}))
	}
	return requests
}

// encodeBook encodes a request for the order book, in memory of its own.
func encodeBook(q *orderbook.Request) []byte {
	return orderbook.EncodeRequest(flatbuffers.NewBuilder(1024), q)
}

// errand asks the order book one thing after the other through a session, and waits for each. It is the handler of the
// session's client, or is told by that.
type errand struct {
	acked  uint64 // correlation that is applied
	refuse error
}

// errandLimit bounds the wait for each.
const errandLimit = 10 * time.Second

// run asks all of it.
func (e *errand) run(s Session, clock agent.Clock, idle agent.Idle, requests [][]byte) error {
	for _, payload := range requests {
		deadline := clock.NowNs() + errandLimit.Nanoseconds()
		correlation, err := s.Send(clock.NowNs(), service.OrderBook, wire.LevelsOf(wire.LevelApplied), payload)
		for err == nil && e.refuse == nil && e.acked != correlation {
			nowNs := clock.NowNs()
			if nowNs > deadline {
				err = errors.New("no answer within 10 s")
			}
			idle.Idle(s.Poll(nowNs))
		}
		if err = errors.Join(err, e.refuse); err != nil {
			return fmt.Errorf("bench: what a recorded flow needs of the order book before it can be played: %w", err)
		}
	}
	return nil
}

// OnAck implements client.Handler.
func (e *errand) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		e.refuse = errors.New(a.Code.Sentence())
	}
	if a.Level == wire.LevelApplied {
		e.acked = a.Correlation
	}
}

// OnResponse implements client.Handler.
func (e *errand) OnResponse(x client.Response) {
	var event orderbook.Event
	if !orderbook.DecodeEvent(x.Payload, &event) || event.Kind != orderbook.Rejected {
		return
	}
	e.refuse = fmt.Errorf("refused: %s", fb.Reject(event.Reason))
	if event.Reason == match.BadInstrument {
		e.refuse = fmt.Errorf("instrument %d is refused: it is in use by others, or beyond what the book takes: choose another first "+
			"number (--flow-first)", event.ClientOrder)
	}
}

// OnEvent implements client.Handler.
func (e *errand) OnEvent(v client.Event) {
	if v.Kind == client.EventClosed && v.Code != wire.RefusalNone {
		e.refuse = fmt.Errorf("the session was closed: %s", v.Code.Sentence())
	}
}

// prepare asks the order book beforehand in a session of its own, which the mux has room for.
func (r *Recording) prepare(ctx context.Context, mux *client.Mux, t *Target, clock agent.Clock, idle agent.Idle,
	sessions ...wire.SessionID) error {
	e := &errand{}
	c, err := mux.Add(client.Options{Nodes: t.Nodes, Name: "bench", Window: 16}, e)
	if err != nil {
		return err
	}
	for deadline := clock.NowNs() + connectLimit.Nanoseconds(); !c.Connected(); {
		nowNs := clock.NowNs()
		if nowNs > deadline || ctx.Err() != nil {
			return fmt.Errorf("bench: no node of %v opened a session within %v", t.Nodes, connectLimit)
		}
		idle.Idle(mux.Poll(nowNs))
	}
	err = e.run(muxSession{c, mux}, clock, idle, r.beforehand(sessions...))
	c.Close(clock.NowNs())
	return err
}

// muxSession is a client of a mux as a Session: everybody is moved along with it.
type muxSession struct {
	*client.Client
	mux *client.Mux
}

// Poll implements Session.
func (s muxSession) Poll(nowNs int64) int { return s.mux.Poll(nowNs) }
