package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// The fields that scripts rely on.
var fields = strings.Fields(`scenario transport mode nodes commit level loop rate burst payload sent acked lost duplicated
	reordered per_sec min_us p50_us p90_us p99_us p999_us p9999_us max_us floor_p50_us ratio_p50 steal_pct jitter_p99_us
	fsync dir_fs sync layout idle cores kernel nic disk mtu clients window gc_cycles events election_min_ms
	election_max_ms heartbeat_ms elections_more revision host isolated clock_source hypervisor nic_driver nic_mode write_cache tuning_score
	unfit hist`)

func TestRowIsOneLineWithEveryField(t *testing.T) {
	h := NewHistogram()
	for us := int64(1); us <= 1000; us++ {
		_ = h.RecordValue(us * 1000)
	}
	row := Row{Scenario: "rtt", Level: "applied"}
	row.SetTimes(h)
	row.SetFloor(250)
	var out bytes.Buffer
	if err := row.Write(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Fatalf("%d lines: %s", n, out.String())
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if _, ok := got[f]; !ok {
			t.Errorf("field %s is missing", f)
		}
	}
	if len(got) != len(fields) {
		t.Errorf("%d fields, want %d", len(got), len(fields))
	}
	if p50 := got["p50_us"].(float64); p50 < 499 || p50 > 501 {
		t.Errorf("p50 of 1..1000 us is %v", p50)
	}
	if ratio := got["ratio_p50"].(float64); ratio < 1.99 || ratio > 2.01 {
		t.Errorf("ratio to a floor of 250 us is %v", ratio)
	}
}

func TestMedianIsOfEachPercentileAndSumsCounts(t *testing.T) {
	rows := []Row{
		{Scenario: "rtt", P50Us: 30, P99Us: 900, Sent: 10, Acked: 10},
		{Scenario: "rtt", P50Us: 10, P99Us: 100, Sent: 20, Acked: 19, Lost: 1},
		{Scenario: "rtt", P50Us: 20, P99Us: 500, Sent: 30, Acked: 30, Duplicated: 2, Reordered: 3},
	}
	m := Median(rows)
	if m.P50Us != 20 || m.P99Us != 500 {
		t.Errorf("medians %v and %v, want 20 and 500", m.P50Us, m.P99Us)
	}
	if m.Sent != 60 || m.Acked != 59 || m.Lost != 1 || m.Duplicated != 2 || m.Reordered != 3 {
		t.Errorf("counts %+v", m)
	}
	if m.Scenario != "rtt-median" || rows[0].P50Us != 30 {
		t.Errorf("scenario %q; the rows themselves must stay", m.Scenario)
	}
	if even := Median(rows[:2]); even.P50Us != 20 {
		t.Errorf("median of 30 and 10 is %v", even.P50Us)
	}
}

func TestStealIsAShareOfAllTime(t *testing.T) {
	if got := StealPct(CPUTimes{total: 1000, steal: 10}, CPUTimes{total: 1200, steal: 20}); got != 5 {
		t.Errorf("10 of 200 ticks are %v %%", got)
	}
	if got := StealPct(CPUTimes{}, CPUTimes{}); got != 0 {
		t.Errorf("no time at all: %v %%", got)
	}
}

func TestHostFactsAreStable(t *testing.T) {
	a, b := ThisHost(), ThisHost()
	if a != b || a.Kernel == "unknown" || a.Cores < 1 || a.Host == "" {
		t.Errorf("%+v, then %+v", a, b)
	}
	if fs := FileSystem("/proc"); !strings.HasPrefix(fs, "0x") {
		t.Errorf("/proc is on %s", fs)
	}
	if fs := FileSystem("/nowhere"); fs != "unknown" {
		t.Errorf("/nowhere is on %s", fs)
	}
}

func TestPlanRefusesWhatCannotBeMeasured(t *testing.T) {
	good := Plan{Level: 5, Loop: Closed, Burst: 1, Flow: FlowEcho, Payload: 200, Measure: 1, Window: 1}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(*Plan){
		"level none":    func(p *Plan) { p.Level = 0 },
		"unknown loop":  func(p *Plan) { p.Loop = "round" },
		"no rate":       func(p *Plan) { p.Loop = Open },
		"no burst":      func(p *Plan) { p.Loop, p.Rate, p.Burst = Open, 10, 0 },
		"unknown flow":  func(p *Plan) { p.Flow = "music" },
		"long payload":  func(p *Plan) { p.Payload = 1 << 20 },
		"no time":       func(p *Plan) { p.Measure = 0 },
		"no window":     func(p *Plan) { p.Window = 0 },
		"negative warm": func(p *Plan) { p.Warmup = -1 },
	} {
		p := good
		damage(&p)
		if p.Check() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
