package bench

import (
	"context"
	"fmt"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Drive is a client that drives generated order flow through the order book in one session: first a closed loop at each
// guarantee level, then an open loop during which somebody else may kill the leader.
type Drive struct {
	Target    Target
	LevelTime time.Duration // measured at each level
	FlowTime  time.Duration // of the open loop
	FlowRate  float64       // orders a second in it
	AcksFile  string        // every acknowledgement is written there

	// OnRow is given a row a level, and OnFlow says that the open loop has begun, led by that node.
	OnRow  func(Row) error
	OnFlow func(leader wire.NodeID) error
}

// Driven is what came out of it.
type Driven struct {
	Session    wire.SessionID `json:"session"`
	Sent       uint64         `json:"sent"`
	Duplicated uint64         `json:"duplicated"`
	Term       wire.Term      `json:"term"`
	Failover   Row            `json:"failover"`
}

// levelPause is how long a level is warmed up.
const levelWarmup = 200 * time.Millisecond

// Run drives.
func (d *Drive) Run(ctx context.Context) (out Driven, err error) {
	clock, idle := agent.System{}, agent.Yield{}
	tr, mode, err := d.Target.OpenTransport()
	if err != nil {
		return out, err
	}
	defer tr.Close()
	rec := &Recorder{}
	c, err := d.Target.Connect(ctx, tr, "demo", 256, rec, clock, idle)
	if err != nil {
		return out, err
	}
	flow := orderflow.New(orderflow.Options{Seed: flowSeed})
	next := func() []byte { payload, _ := flow.Next(); return payload }
	run := &driveRun{d: d, client: c, rec: rec, clock: clock, idle: idle, next: next, mode: mode, tr: tr}
	if err := run.levels(); err != nil {
		return out, err
	}
	if out.Failover, err = run.flow(); err != nil {
		return out, err
	}
	if err := run.settle(); err != nil {
		return out, err
	}
	out.Session, out.Term, out.Duplicated = c.Session(), rec.Term, rec.Duplicated
	sent := c.Stats()
	out.Sent = sent.Sent - sent.Resent
	CloseSession(c, clock, idle)
	return out, WriteAcks(d.AcksFile, Told{Session: c.Session(), Acks: rec.Acks})
}

type driveRun struct {
	d      *Drive
	client *client.Client
	rec    *Recorder
	clock  agent.Clock
	idle   agent.Idle
	next   func() []byte
	mode   string
	tr     transport.Transport
}

func (r *driveRun) plan(level wire.Level) Plan {
	return Plan{Level: level, Loop: Closed, Burst: 1, Flow: FlowOrders, Window: 256, Warmup: levelWarmup,
		Measure: r.d.LevelTime}
}

func (r *driveRun) load(p *Plan) (*Result, error) {
	o := LoadOptions{Service: service.OrderBook, Level: p.Level, Loop: p.Loop, Rate: p.Rate, Burst: p.Burst,
		Warmup: p.Warmup, Measure: p.Measure, Drain: drainLimit, Next: r.next, OnSend: r.rec.Sent}
	l := NewLoad(o, r.clock, r.idle)
	r.rec.Use(l)
	defer r.rec.Use(nil)
	return l.Run(r.client)
}

// levels measures each level in a closed loop.
func (r *driveRun) levels() error {
	for _, level := range LevelNames {
		p := r.plan(level)
		result, err := r.load(&p)
		if err != nil {
			return err
		}
		if err := r.settle(); err != nil {
			return err
		}
		row := NewRow("demo", r.d.Target.Transport, r.mode, &p, result)
		row.MTU = r.tr.MaxPayload() + transport.HeaderBytes
		if err := r.d.OnRow(row); err != nil {
			return err
		}
	}
	return nil
}

// flow runs the open loop and reports the longest time without an answer as the outage.
func (r *driveRun) flow() (Row, error) {
	if err := r.d.OnFlow(r.rec.Leader); err != nil {
		return Row{}, err
	}
	p := r.plan(wire.LevelApplied)
	p.Loop, p.Rate, p.Warmup, p.Measure = Open, r.d.FlowRate, 0, r.d.FlowTime
	result, err := r.load(&p)
	if err != nil {
		return Row{}, err
	}
	row := NewRow("failover", r.d.Target.Transport, r.mode, &p, result)
	us := round(float64(result.Outage.Nanoseconds()) / 1e3)
	row.MinUs, row.P50Us, row.P90Us, row.P99Us, row.P999Us, row.P9999Us, row.MaxUs = us, us, us, us, us, us, us
	row.Hist = "" // of round trips, which these are not
	return row, nil
}

// settle waits until nothing is open: every message is committed and answered.
func (r *driveRun) settle() error {
	deadline := r.clock.NowNs() + drainLimit.Nanoseconds()
	for r.client.Open() > 0 {
		nowNs := r.clock.NowNs()
		if nowNs > deadline {
			return fmt.Errorf("bench: %d messages are still not committed after %v", r.client.Open(), drainLimit)
		}
		r.idle.Idle(r.client.Poll(nowNs))
	}
	return nil
}
