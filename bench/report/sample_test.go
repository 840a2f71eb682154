package report

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"lockstep/bench"
)

// measured is a row as a bench writes one: a row of round trips around a median, in nanoseconds, with a tail.
func measured(seed uint64, scenario string, medianUs float64, change func(*bench.Row)) bench.Row {
	random := rand.New(rand.NewPCG(seed, 7))
	h, line := bench.NewHistogram(), bench.NewTimeline(0, 0)
	const count = 20_000
	for i := range int64(count) {
		took := medianUs * 1e3 * math.Exp(0.25*random.NormFloat64())
		if random.Float64() < 0.002 {
			took *= 20 * random.Float64()
		}
		_ = h.RecordValue(int64(took))
		line.Add(i*200_000, int64(took))
	}
	r := bench.Row{Scenario: scenario, Transport: "xdp", Mode: "generic", Nodes: 3, Commit: "replicated", Level: "applied", Loop: "closed", Burst: 1,
		Payload: 200, Sent: count, Acked: count, PerSec: 5000, Fsync: "every 10 ms", DirFS: "tmpfs", Layout: "shared", Idle: "yield (no cores)",
		Cores: 2, Kernel: "6.1", NIC: "veth", MTU: 1500, Clients: 1, Window: 256, Revision: "abc", Host: "cpu x2 0badcafe", Timeline: line.Points(),
		Conditions: bench.Conditions{Isolated: "none", ClockSource: "tsc", Hypervisor: "KVM", NICDriver: "veth", NICMode: "xdp generic",
			WriteCache: "none", TuningScore: 35}}
	r.SetTimes(h)
	if change != nil {
		change(&r)
	}
	return r
}

// sample is a run of everything that has a figure, as JSON lines.
func sample(t *testing.T) string {
	var out strings.Builder
	add := func(rows ...bench.Row) {
		for i := range rows {
			if err := rows[i].Write(&out); err != nil {
				t.Fatal(err)
			}
		}
	}
	seed := uint64(0)
	floor := func(r *bench.Row) { r.Level, r.Commit, r.DirFS, r.Window, r.Timeline = "", "", "", 1, nil }
	levels := map[string][]bench.Row{}
	for range 3 { // rounds
		seed++
		two := measured(seed, "floor-two-hop", 26, floor)
		add(two)
		for i, level := range bench.LevelNames {
			seed++
			r := measured(seed, "rtt", 30+20*float64(i), func(r *bench.Row) { r.Level = level.String() })
			r.SetFloor(two.P50Us)
			if i == len(bench.LevelNames)-1 {
				r.Stages = parts(&r)
			}
			levels[r.Level] = append(levels[r.Level], r)
			add(r)
		}
	}
	for _, level := range bench.LevelNames {
		add(bench.Median(levels[level.String()]))
	}
	for _, payload := range []int{125, 500, 1000, 2000} {
		seed++
		add(measured(seed, "sweep", 40+float64(payload)/50, func(r *bench.Row) { r.Payload, r.Timeline = payload, nil }))
	}
	for i, rate := range []float64{25e3, 50e3, 100e3, 200e3, 150e3, 125e3} {
		seed++
		add(measured(seed, "throughput", 80*math.Exp2(float64(i)), func(r *bench.Row) {
			r.Loop, r.Rate, r.Burst, r.Timeline = "open", rate, 20, nil
			if rate == 200e3 {
				r.Lost, r.Acked = 1234, r.Acked-1234
			}
		}))
	}
	add(measured(90, "throughput-max", 2500, func(r *bench.Row) { r.Loop, r.Rate, r.Burst, r.Timeline = "open", 125e3, 20, nil }))
	outages := func(r *bench.Row) {
		r.Loop, r.Rate, r.Events = "open", 2000, 20
		r.Audit = &bench.FailoverAudit{Sessions: 1, Operations: 500, Linearizable: true}
	}
	kill := measured(91, "failover-kill", 210_000, outages)
	kill.Timeline, kill.Marks = disturbed()
	add(kill, measured(92, "failover-transfer", 900, func(r *bench.Row) { outages(r); r.Timeline = nil }))
	return out.String()
}

// parts of a row's round trips.
func parts(r *bench.Row) []bench.StageRow {
	var list []bench.StageRow
	for i, name := range []string{"wait", "taken", "sequenced", "replicated", "applied", "answered", "wire", "leader", "round trip"} {
		share := []float64{0.01, 0.04, 0.1, 0.4, 0.1, 0.05, 0.3, 0.69, 1}[i]
		list = append(list, bench.StageRow{Stage: name, Times: bench.Times{Count: int64(r.Acked), MinUs: share * r.MinUs, P50Us: share * r.P50Us,
			P90Us: share * r.P90Us, P99Us: share * r.P99Us, P999Us: share * r.P999Us, MaxUs: share * r.MaxUs}})
	}
	return list
}

// disturbed is a timeline with two leaders killed in it.
func disturbed() (line []bench.TimelinePoint, marks []bench.Mark) {
	for i := range 80 {
		p := bench.TimelinePoint{AtS: float64(i) / 10, Count: 200, P50Us: 60, P99Us: 140, MaxUs: 300 + float64(i%7)*40}
		if i == 25 || i == 60 {
			p.P50Us, p.P99Us, p.MaxUs = 9000, 180_000, 210_000
		}
		line = append(line, p)
	}
	for i, at := range []float64{2.55, 6.03} {
		marks = append(marks, bench.Mark{AtS: at, What: fmt.Sprintf("kill of leader, node %d", i+1)})
	}
	return line, marks
}

// sampleReport is the report of the sample.
func sampleReport(t *testing.T) (*Rows, *Report) {
	t.Helper()
	rs := &Rows{}
	if err := rs.Read("run.json", strings.NewReader(sample(t))); err != nil {
		t.Fatal(err)
	}
	r, err := New(rs, Options{Title: "A sample"})
	if err != nil {
		t.Fatal(err)
	}
	return rs, r
}

func pageOf(t *testing.T, r *Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
