package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lockstep/agent"
	"lockstep/bench/recorded"
	"lockstep/client"
	"lockstep/transport"
)

// Scene is a number of clients in one process, on one thread and one transport, that come and work in phases. In an open
// loop each client has a schedule of its own, Plan.Rate messages a second in bursts of Plan.Burst, and those that came
// together take turns, evenly spread; in a closed loop each keeps InFlight messages under way. Either way a round trip
// counts from the instant its message was due, and belongs to the phase in which that was.
type Scene struct {
	Target   Target `json:"-"`
	Name     string // scenario of the rows; that of a phase is appended
	Plan     Plan   // Rate is that of each client; Warmup, Measure and Clients do not matter
	InFlight int    // closed loop: messages that each client has under way
	Parks    bool   // the thread sleeps when nothing is due, instead of yielding

	// Conflated: a client drops what it has not been able to send when its next burst is due.
	Conflated bool
	Arrivals  bool // rows have RampFigures
	Costs     bool // rows have CostFigures, of this process
	Phases    []Phase

	// OnPhase, if set, is told that a phase begins, and that the last one is over (its number is then len(Phases)).
	OnPhase  func(phase int) error `json:"-"`
	Progress *Progress             `json:"-"`

	clock agent.Clock // of a check of the harness: instead of the machine's, with the idle strategy that makes it go on
	idle  agent.Idle
}

// Phase is a part of a scene.
type Phase struct {
	Name      string        // appended to the scenario, after a dash
	For       time.Duration // how long it is
	Join      int           // clients that come as it begins, and stay
	Idle      int           // sessions that come as well, and do nothing but live
	Newcomers int           // sessions that knock as it begins, and go when it ends
	Quiet     bool          // nobody sends
	Unseen    bool          // no row is made of it: warm-up
}

// RampFigures are what only a row of clients that arrive has.
type RampFigures struct {
	Step      int     `json:"step"`      // from 1
	RateEach  float64 `json:"rate_each"` // messages a second of each client
	Arrived   int     `json:"arrived"`   // clients that came as the step began
	OpenedMs  float64 `json:"opened_ms"` // until the last of them had a session; 0: not all had one as it ended
	Conflated uint64  `json:"conflated"` // messages dropped for the newest
	GaveUp    bool    `json:"gave_up"`   // the schedule fell so far behind that nothing more was sent
}

// AdmissionFigures are how sessions fared that wanted to come in.
type AdmissionFigures struct {
	Limit      int    `json:"limit"`      // sessions that the cluster takes
	Held       int    `json:"held"`       // open already
	Asked      int    `json:"asked"`      // newcomers
	Admitted   int    `json:"admitted"`   // that were let in
	Refused    int    `json:"refused"`    // that were told to come later, and were not let in
	Unanswered int    `json:"unanswered"` // that were told nothing
	Refusals   uint64 `json:"refusals"`   // answers that said so, in all
	Why        string `json:"why"`        // the last of them
}

// Bounds of a scene.
const (
	MaxClients  = 16384
	parkAtMost  = 5 * time.Millisecond
	maxInFlight = 4096
)

// Check says what is wrong with a scene.
func (s *Scene) Check() error {
	if s.Plan.Measure == 0 {
		s.Plan.Measure = time.Second // each phase has its own
	}
	if err := s.Plan.Check(); err != nil {
		return err
	}
	sessions, seen, busy := 0, false, false
	for i := range s.Phases {
		p := &s.Phases[i]
		if busy = busy || !p.Quiet; busy && p.Quiet {
			return fmt.Errorf("bench: phase %d is quiet after one that was not", i+1)
		}
		if p.For <= 0 || p.Join < 0 || p.Idle < 0 || p.Newcomers < 0 {
			return fmt.Errorf("bench: phase %d: want a time above 0, and no number below 0", i+1)
		}
		sessions += p.Join + p.Idle + p.Newcomers
		seen = seen || !p.Unseen
	}
	switch {
	case !seen || s.Phases[0].Join < 1:
		return errors.New("bench: want clients in the first phase, and a phase that is measured")
	case sessions > MaxClients:
		return fmt.Errorf("bench: %d sessions: want %d at most in one process", sessions, MaxClients)
	case s.Plan.Loop == Closed && (s.InFlight < 1 || s.InFlight > min(s.Plan.Window, maxInFlight)):
		return fmt.Errorf("bench: %d messages under way: want 1 to the window, %d", s.InFlight, s.Plan.Window)
	case s.Conflated && s.Plan.Loop != Open:
		return errors.New("bench: only an open loop can drop what it could not send for the newest")
	case s.Plan.Recording != nil && s.Plan.Recording.Speed > 0:
		return errors.New("bench: a recorded flow at the speed of its times is that of one session: want a rate for several")
	case s.Plan.Stages:
		return errors.New("bench: stages are told of one client at a time")
	}
	return nil
}

// scene is one that runs.
type scene struct {
	o       *Scene
	clock   agent.Clock
	idle    agent.Idle
	mux     *client.Mux
	parker  *agent.Parker
	waves   []*wave
	phases  []scenePhase
	now     int                // number of the phase
	members []*member          // those that work
	others  []*member          // those that do nothing but live
	players []*recorded.Player // of a recorded flow, by client
	names   int                // clients there have been
	sent    uint64
	acked   uint64
	nowNs   int64
	stopped bool // the schedule fell too far behind
	ending  bool
	err     error
}

// scenePhase is what a phase came to.
type scenePhase struct {
	Phase
	startNs, endNs int64
	arrivedNs      int64         // when those that join knocked
	openedNs       int64         // when the last of them had a session; 0: not yet
	cpu            time.Duration // of this process
	steal          CPUTimes
	stolen         float64
	result         Result
	conflated      uint64
	newcomers      []*member
	admission      *AdmissionFigures
	gaveUp         bool
	clients        int
}

// Run plays a scene and returns a row for every phase that is measured. Answers are awaited for as long as those of any
// load; what is not answered then is lost.
func (s *Scene) Run(ctx context.Context) (rows []Row, err error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	mux, tr, mode, err := s.Target.openMux(MaxClients)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tr.Close()) }()
	run := &scene{o: s, clock: agent.System{}, idle: agent.Yield{}, mux: mux}
	if s.clock != nil {
		run.clock, run.idle = s.clock, s.idle
	}
	if s.Parks {
		if run.parker, err = agent.NewParker(tr.Fds()...); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, run.parker.Close()) }()
	}
	if s.Plan.Recording != nil {
		if err := run.record(ctx); err != nil {
			return nil, err
		}
	}
	for _, p := range s.Phases {
		run.phases = append(run.phases, scenePhase{Phase: p, result: Result{Histogram: NewHistogram()}})
	}
	if err = run.play(ctx, tr); err == nil {
		err = run.drain(ctx)
	}
	run.end()
	if err != nil {
		return nil, err
	}
	return run.rows(s.Target.Transport, mode, tr.MaxPayload()+transport.HeaderBytes), nil
}

// record deals a recorded flow out to those that will come, and has the order book know its instruments.
func (r *scene) record(ctx context.Context) (err error) {
	clients := 0
	for _, p := range r.o.Phases {
		clients += p.Join
	}
	if r.players, err = r.o.Plan.Recording.split(clients); err != nil {
		return err
	}
	return r.o.Plan.Recording.prepare(ctx, r.mux, &r.o.Target, r.clock, r.idle)
}

// play runs the phases one after the other.
func (r *scene) play(ctx context.Context, tr transport.Transport) error {
	for i := range r.phases {
		r.nowNs = r.clock.NowNs()
		if err := r.begin(ctx, i, tr); err != nil {
			return err
		}
		p := &r.phases[i]
		for r.nowNs < p.endNs && !r.stopped {
			if err := r.cycle(ctx); err != nil {
				return err
			}
		}
		r.finish(p)
		if r.stopped {
			r.phases = r.phases[:i+1]
		}
		if r.stopped || i == len(r.phases)-1 {
			break
		}
	}
	if r.o.OnPhase != nil {
		return r.o.OnPhase(len(r.o.Phases))
	}
	return nil
}

// begin has those come that come with a phase. The first phase begins when they are there; the others when they knock.
func (r *scene) begin(ctx context.Context, i int, tr transport.Transport) error {
	p := &r.phases[i]
	w := r.arrive(p)
	for deadline := r.nowNs + crowdOpening.Nanoseconds(); i == 0 && p.openedNs == 0; {
		if r.nowNs > deadline {
			return fmt.Errorf("bench: %d of %d sessions were opened by any node of %v within %v (%s)", w.connected,
				p.Join+p.Idle, r.o.Target.Nodes, crowdOpening, tr.Describe())
		}
		if err := r.turn(ctx); err != nil {
			return err
		}
	}
	if r.o.OnPhase != nil {
		if err := r.o.OnPhase(i); err != nil {
			return err
		}
	}
	r.now, p.steal, p.cpu = i, ReadCPUTimes(), OwnCPU()
	p.startNs = r.clock.NowNs()
	r.nowNs, p.endNs = p.startNs, p.startNs+p.For.Nanoseconds()
	p.result.Timeline = NewTimeline(p.startNs, p.For)
	for _, w := range r.waves {
		if !p.Quiet && w.opened() && !w.running {
			w.start(p.startNs)
		}
	}
	return r.knock(p)
}

// finish notes what a phase took, and sends newcomers away.
func (r *scene) finish(p *scenePhase) {
	if r.o.Plan.Loop == Open && !r.stopped {
		for _, w := range r.waves { // what was due while this thread was kept off its core as the phase ended
			if w.running {
				w.turn(r.nowNs)
			}
		}
	}
	p.cpu = OwnCPU() - p.cpu
	p.stolen = StealPct(p.steal, ReadCPUTimes())
	p.result.Elapsed = time.Duration(min(r.nowNs, p.endNs) - p.startNs)
	p.gaveUp = r.stopped
	p.clients = len(r.members)
	for _, w := range r.waves {
		if r.stopped && w.running && len(w.members) > 0 { // the rest of the schedule is lost
			p.result.Sent += uint64(float64(max(0, p.endNs-w.nextNs()))/w.spacingNs) * uint64(r.o.Plan.Burst)
		}
	}
	if p.Newcomers > 0 {
		r.leave(p)
	}
}

// cycle has everybody send what is due, and moves everything along.
func (r *scene) cycle(ctx context.Context) error {
	for _, w := range r.waves {
		if w.running {
			w.turn(r.nowNs)
		}
	}
	return r.turn(ctx)
}

// turn moves everything along.
func (r *scene) turn(ctx context.Context) error {
	for _, w := range r.waves {
		w.feed()
	}
	work := r.mux.Poll(r.nowNs)
	if r.parker != nil && work == 0 {
		r.park()
	} else if r.parker == nil {
		r.idle.Idle(work)
	}
	if p := r.o.Progress; p != nil {
		p.set(r.now, r.sent, r.acked)
	}
	if r.nowNs = r.clock.NowNs(); r.err == nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.err
}

// park sleeps until something comes or is due.
func (r *scene) park() {
	r.parker.Announce()
	nowNs := r.clock.NowNs()
	if r.mux.Poll(nowNs) > 0 {
		r.parker.Withdraw()
		return
	}
	due := min(r.mux.DueNs()-nowNs, parkAtMost.Nanoseconds())
	for _, w := range r.waves {
		if w.running {
			due = min(due, w.nextNs()-nowNs)
		}
	}
	r.parker.Block(max(0, due))
}

// drain waits for the last answers: to what was due, and has not been sent, as well.
func (r *scene) drain(ctx context.Context) error {
	for _, w := range r.waves {
		w.running = false
	}
	deadline := r.nowNs + drainLimit.Nanoseconds()
	for waiting := true; waiting && r.nowNs <= deadline; {
		waiting = false
		for _, m := range r.members {
			if !r.stopped {
				m.push(r.nowNs)
			}
			waiting = waiting || m.open > 0 || !r.stopped && m.behind()
		}
		if err := r.turn(ctx); err != nil {
			return err
		}
	}
	for _, m := range r.members {
		m.giveUp()
	}
	return nil
}

// end closes all sessions, so that the cluster is left as it was.
func (r *scene) end() {
	deadline := r.clock.NowNs() + crowdEnding.Nanoseconds()
	r.ending = true
	left := slices.Concat(r.members, r.others)
	for r.mux.Len() > 0 && r.nowNs < deadline {
		for range min(crowdStep, len(left)) {
			left[len(left)-1].client.Close(r.nowNs)
			left = left[:len(left)-1]
		}
		_ = r.turn(context.Background()) // what went wrong is known
	}
}

// phaseOf is the phase in which something was due: this one, or one of before for what could not be sent in time.
func (r *scene) phaseOf(dueNs int64) *scenePhase {
	i := r.now
	for i > 0 && dueNs < r.phases[i].startNs {
		i--
	}
	return &r.phases[i]
}

func (r *scene) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("bench: "+format, args...)
	}
}

// rows says what the phases came to.
func (r *scene) rows(transportKind, mode string, mtu int) (rows []Row) {
	for i := range r.phases {
		p := &r.phases[i]
		if p.Unseen {
			continue
		}
		name := r.o.Name
		if p.Name != "" {
			name += "-" + p.Name
		}
		row := NewRow(name, transportKind, mode, &r.o.Plan, &p.result)
		row.Clients, row.MTU, row.StealPct = p.clients, mtu, p.stolen
		row.Rate = r.o.Plan.Rate * float64(p.clients)
		row.SetNIC(r.o.Target.nicDriver())
		row.Admission = p.admission
		if r.o.Arrivals {
			row.Ramp = r.ramp(i, p)
		}
		if r.o.Costs {
			row.Cost = &CostFigures{}
			row.Cost.Add("client", p.cpu, row.Acked)
		}
		rows = append(rows, row)
	}
	return rows
}

// ramp is what only clients that arrive have.
func (r *scene) ramp(i int, p *scenePhase) *RampFigures {
	f := &RampFigures{Step: i + 1, RateEach: r.o.Plan.Rate, Arrived: p.Join, Conflated: p.conflated, GaveUp: p.gaveUp}
	if p.openedNs != 0 && p.openedNs <= p.endNs && p.Join > 0 {
		f.OpenedMs = round(float64(p.openedNs-p.arrivedNs) / 1e6)
	}
	return f
}

// measureClients runs a plan of several clients and returns its row.
func measureClients(ctx context.Context, t *Target, p *Plan) (Row, error) {
	s := Scene{Target: *t, Name: "rtt", Plan: *p, InFlight: 1, Progress: p.Progress}
	s.Plan.Rate /= float64(p.Clients)
	first := Phase{Join: p.Clients, For: p.Measure}
	if p.Warmup > 0 {
		s.Phases = append(s.Phases, Phase{Join: p.Clients, For: p.Warmup, Unseen: true})
		first.Join = 0
	}
	s.Phases = append(s.Phases, first)
	rows, err := s.Run(ctx)
	if err != nil {
		return Row{}, err
	}
	if len(rows) == 0 {
		return Row{}, fmt.Errorf("bench: at %.0f messages/s the schedule is %v behind within the warm-up", p.Rate, p.Behind)
	}
	return rows[0], nil
}

// medianFigures has what rows of scenes have beside their round trips: sums of counts, medians of costs.
func medianFigures(m *Row, rows []Row) {
	m.Cost = medianCosts(rows)
	if m.Ramp != nil {
		ramp := *m.Ramp
		var opened []float64
		for i, r := range rows {
			if r.Ramp != nil {
				opened = append(opened, r.Ramp.OpenedMs)
				ramp.GaveUp = ramp.GaveUp || r.Ramp.GaveUp
				if i > 0 {
					ramp.Conflated += r.Ramp.Conflated
				}
			}
		}
		ramp.OpenedMs = medianOf(opened)
		m.Ramp = &ramp
	}
	if m.Admission != nil {
		all := *m.Admission
		for _, r := range rows[1:] {
			if a := r.Admission; a != nil {
				all.Asked, all.Admitted, all.Refused = all.Asked+a.Asked, all.Admitted+a.Admitted, all.Refused+a.Refused
				all.Unanswered, all.Refusals = all.Unanswered+a.Unanswered, all.Refusals+a.Refusals
			}
		}
		m.Admission = &all
	}
}
