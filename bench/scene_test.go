package bench

import (
	"testing"
	"time"

	"lockstep/node"
	"lockstep/transport"
	"lockstep/wire"
)

// play runs a scene against a node in this process.
func (l *live) play(t *testing.T, s *Scene) []Row {
	t.Helper()
	l.clients++
	at := transport.Addr{IP: [4]byte{10, 0, 1, l.clients}, Port: 7600}
	s.Target = l.target
	s.Target.open = func() (transport.Transport, error) { return l.network.Join(at) }
	rows, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func whole(t *testing.T, row *Row) {
	t.Helper()
	if row.Acked == 0 || row.Lost+row.Duplicated+row.Reordered != 0 || row.P50Us <= 0 {
		t.Errorf("%s: %d sent, %d answered, %d twice, %d out of order, p50 %g us", row.Scenario, row.Sent, row.Acked,
			row.Duplicated, row.Reordered, row.P50Us)
	}
}

// Clients that arrive keep the rate that each has, and every message counts in the step in which it was due.
func TestSceneOfClientsThatArrive(t *testing.T) {
	l := startLive(t)
	const each, step = 50, 300 * time.Millisecond
	rows := l.play(t, &Scene{Name: "ramp", Arrivals: true, Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: each, Burst: 1,
		Flow: FlowEcho, Payload: 64, Window: 64}, Phases: []Phase{{Join: 4, For: step}, {Join: 4, For: step}, {For: step}}})
	if len(rows) != 3 {
		t.Fatalf("%d rows of 3 steps", len(rows))
	}
	for i := range rows {
		row := &rows[i]
		whole(t, row)
		if want := []int{4, 8, 8}[i]; row.Clients != want || row.Rate != float64(want*each) || row.Ramp == nil {
			t.Errorf("step %d: %+v", i+1, row)
		}
	}
	// Schedules do not drift: all that is due in whole steps is sent, but for a message a client that the end cuts off.
	least := uint64(112)
	if rows[1].Ramp.OpenedMs == 0 { // on a machine that is busy with something else
		least = 56
	}
	if first, last := rows[0].Sent, rows[2].Sent; first < 56 || first > 64 || last < least || last > 128 {
		t.Errorf("%d messages of 4 clients and %d of 8 in %v at %d/s each", first, last, step, each)
	}
	if f := rows[1].Ramp; f.Arrived != 4 || f.OpenedMs < 0 || f.Conflated != 0 || f.GaveUp {
		t.Errorf("%+v", f)
	}
}

// While a node stalls, clients that conflate drop all but the newest of what they cannot send, and those that do not have
// everything wait.
func TestSceneConflates(t *testing.T) {
	for _, conflated := range []bool{false, true} {
		l := startLive(t)
		s := &Scene{Name: "ramp", Conflated: conflated, Arrivals: true, Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 200,
			Burst: 1, Flow: FlowEcho, Payload: 64, Window: 1}, Phases: []Phase{{Join: 2, For: time.Second}}}
		s.OnPhase = func(int) error { l.stallNs.Store(int64(400 * time.Millisecond)); return nil }
		row := l.play(t, s)[0]
		whole(t, &row)
		due := row.Sent + row.Ramp.Conflated
		if due < 390 || due > 402 {
			t.Errorf("conflated %t: %d sent and %d dropped of 400 that were due", conflated, row.Sent, row.Ramp.Conflated)
		}
		if dropped := row.Ramp.Conflated; conflated != (dropped > 100) {
			t.Errorf("conflated %t: %d were dropped", conflated, dropped)
		}
	}
}

// What is due when the schedule is given up counts as lost, and no phase follows.
func TestSceneGivesUpWhatFallsBehind(t *testing.T) {
	l := startLive(t)
	s := &Scene{Name: "ramp", Arrivals: true, Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 500, Burst: 2, Flow: FlowEcho,
		Payload: 64, Window: 1, Behind: 50 * time.Millisecond}, Phases: []Phase{{Join: 2, For: time.Second}, {For: time.Second}}}
	s.OnPhase = func(phase int) error {
		if phase == 0 {
			l.stallNs.Store(int64(300 * time.Millisecond))
		}
		return nil
	}
	rows := l.play(t, s)
	if len(rows) != 1 || !rows[0].Ramp.GaveUp || rows[0].Sent < 980 || rows[0].Sent > 1004 || rows[0].Lost < 600 {
		t.Errorf("%d rows; of 1000 messages %d sent or given up, %d lost", len(rows), rows[0].Sent, rows[0].Lost)
	}
}

// Several clients in a closed loop have a message under way each.
func TestMeasureSeveralClients(t *testing.T) {
	l := startLive(t)
	l.target.open = func() (transport.Transport, error) {
		return l.network.Join(transport.Addr{IP: [4]byte{10, 0, 2, 1}, Port: 7600})
	}
	for _, loop := range []Loop{Closed, Open} {
		p := Plan{Level: wire.LevelApplied, Loop: loop, Rate: 900, Burst: 1, Flow: FlowOrders, Window: 16, Clients: 3,
			Warmup: 50 * time.Millisecond, Measure: 200 * time.Millisecond}
		row, err := Measure(t.Context(), &l.target, &p)
		if err != nil {
			t.Fatal(err)
		}
		whole(t, &row)
		if row.Clients != 3 || row.Scenario != "rtt" || loop == Open && (row.Rate != 900 || row.Sent < 170 || row.Sent > 183) {
			t.Errorf("%s loop: %d clients, %s, %g/s, %d sent", loop, row.Clients, row.Scenario, row.Rate, row.Sent)
		}
	}
}

// A payload above one datagram goes in fragments, there and back.
func TestMeasureLongMessages(t *testing.T) {
	l := startLive(t)
	p := Plan{Level: wire.LevelApplied, Loop: Closed, Burst: 1, Flow: FlowEcho, Payload: 20_000, Window: 4,
		Measure: 100 * time.Millisecond}
	r, _, _ := l.measure(t, &p, nil)
	if r.Acked == 0 || r.Lost() != 0 {
		t.Errorf("%d sent, %d answered", r.Sent, r.Acked)
	}
}

// Newcomers that knock at a full cluster are refused, while those that are in go on.
func TestSceneRefusesNewcomersOfAFullCluster(t *testing.T) {
	l := startLive(t, func(c *node.Config) { c.Cluster.Sessions = 6 })
	step := 300 * time.Millisecond
	rows := l.play(t, &Scene{Name: "saturation", Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 100, Burst: 1,
		Flow: FlowEcho, Payload: 64, Window: 64}, Phases: []Phase{{Name: "before", Join: 2, Idle: 3, For: step},
		{Name: "during", Newcomers: 9, For: step}, {Name: "after", For: step}}})
	for i := range rows {
		whole(t, &rows[i])
	}
	a := rows[1].Admission
	if a == nil || a.Held != 5 || a.Asked != 9 || a.Admitted != 1 || a.Refused != 8 || a.Refusals < 8 || a.Why != "busy-sessions" {
		t.Fatalf("%+v", a)
	}
	if rows[0].Admission != nil || rows[1].Scenario != "saturation-during" || rows[2].Sent < 56 {
		t.Errorf("%+v", rows)
	}
}

func TestSceneRefusesWhatItCannotPlay(t *testing.T) {
	good := Scene{Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 1, Burst: 1, Flow: FlowEcho, Window: 16}, InFlight: 1,
		Phases: []Phase{{Join: 1, For: time.Second}}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(s *Scene){
		"no phase":            func(s *Scene) { s.Phases = nil },
		"nothing measured":    func(s *Scene) { s.Phases[0].Unseen = true },
		"nobody":              func(s *Scene) { s.Phases[0].Join = 0 },
		"too many":            func(s *Scene) { s.Phases[0].Idle = MaxClients },
		"no time":             func(s *Scene) { s.Phases[0].For = 0 },
		"quiet after load":    func(s *Scene) { s.Phases = append(s.Phases, Phase{For: 1, Quiet: true}) },
		"nothing under way":   func(s *Scene) { s.Plan.Loop, s.InFlight = Closed, 0 },
		"conflated, no clock": func(s *Scene) { s.Plan.Loop, s.Conflated = Closed, true },
		"stages":              func(s *Scene) { s.Plan.Stages = true },
		"too long a payload":  func(s *Scene) { s.Plan.Payload = wire.MaxMessage + 1 },
	} {
		s := good
		s.Phases = append([]Phase(nil), good.Phases...)
		if spoil(&s); s.Check() == nil {
			t.Errorf("%s passes", what)
		}
	}
}
