package bench

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lockstep/client"
	"lockstep/wire"
)

// applied is an acknowledgement with stages as a leader under rule replicated tells them.
func applied(total uint64, atNs ...uint32) *client.Ack {
	a := &client.Ack{Level: wire.LevelApplied, Correlation: 7}
	a.Stages.TotalNs = total
	copy(a.Stages.AtNs[:], atNs)
	return a
}

const none = wire.NoStage

// TestStagesMustAddUp: message by message; one that does not fails the run, whatever the others say.
func TestStagesMustAddUp(t *testing.T) {
	good := applied(30_000, 100, 700, 4_000, 25_000, none, 26_000)
	for name, c := range map[string]struct {
		ack     *client.Ack
		roundNs int64
		want    string // in the error; empty: it adds up
	}{
		"a way of 20 us":                {good, 50_000, ""},
		"no way at all":                 {good, 30_000, ""},
		"clocks apart, within reason":   {good, 29_000, ""},
		"longer than the round trip":    {good, 28_900, "1 are longer than the round trip"},
		"a long one, clocks apart":      {applied(10_000_000, 1, 2, 3, 4, none, 5), 9_991_000, ""},
		"a long one, too far apart":     {applied(10_000_000, 1, 2, 3, 4, none, 5), 9_985_000, "1 are longer"},
		"out of order":                  {applied(30_000, 800, 700, 4_000, 25_000, none, 26_000), 50_000, "1 are out of order"},
		"a stage behind the end":        {applied(30_000, 100, 700, 4_000, 25_000, none, 36_000), 50_000, "1 are out of order"},
		"not replicated, and applied":   {applied(30_000, 100, 700, 4_000, none, none, 26_000), 50_000, "1 lack a stage"},
		"not applied":                   {applied(30_000, 100, 700, 4_000, 25_000, none, none), 50_000, "1 lack a stage"},
		"nothing known":                 {&client.Ack{Level: wire.LevelApplied}, 50_000, ""},
		"not sent, as a full frame may": {applied(30_000, 100, 700, none, 25_000, none, 26_000), 50_000, ""},
	} {
		s := NewStageTimes(wire.LevelApplied)
		for i := range int64(99) {
			s.Add(good, 0, 1_000+i, 101_000+i)
		}
		s.Add(c.ack, 5, 10, 10+c.roundNs)
		err := s.Check()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "message 7 at applied")):
			t.Errorf("%s: %v, want one that says %q and which message", name, err, c.want)
		}
	}
}

// TestALeaderMayForgetAFew: a hundredth, which is told, and no more.
func TestALeaderMayForgetAFew(t *testing.T) {
	s := NewStageTimes(wire.LevelApplied)
	for i := range 200 {
		ack := applied(30_000, 100, 700, 4_000, 25_000, none, 26_000)
		if i < 2 {
			ack = &client.Ack{Level: wire.LevelApplied}
		}
		s.Add(ack, 0, 3_000, 53_000)
	}
	rows := s.Rows()
	if last := rows[len(rows)-1]; s.Check() != nil || last.Stage != partForgotten || last.Count != 2 || rows[0].Count != 198 {
		t.Errorf("%v; %+v", s.Check(), rows)
	}
	s.Add(&client.Ack{Level: wire.LevelApplied}, 0, 3_000, 53_000)
	if err := s.Check(); err == nil || !strings.Contains(err.Error(), "no stages of 3") {
		t.Errorf("%v", err)
	}
}

// TestStageRowsAreTheParts of messages that are all alike: they add up in the table too.
func TestStageRowsAreTheParts(t *testing.T) {
	s := NewStageTimes(wire.LevelApplied)
	for range 10 {
		s.Add(applied(30_000, 100, 700, 4_000, 25_000, none, 26_000), 0, 3_000, 53_000)
	}
	want := map[string]float64{"wait": 3, "taken": 0.1, "sequenced": 0.6, "sent": 3.3, "replicated": 21, "applied": 1, "answered": 4,
		"wire": 20, "leader": 30, "round trip": 53}
	rows := s.Rows()
	for _, r := range rows {
		if off := r.P50Us - want[r.Stage]; want[r.Stage] == 0 || off > want[r.Stage]/500 || off < -want[r.Stage]/500 || r.Count != 10 {
			t.Errorf("%s: p50 %v of %d, want %v of 10", r.Stage, r.P50Us, r.Count, want[r.Stage])
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	m := Median([]Row{{Stages: rows}, {Stages: rows}, {Stages: s.Rows()}})
	if len(m.Stages) != len(rows) || m.Stages[3].P50Us != rows[3].P50Us || m.Stages[3].Count != 30 {
		t.Errorf("medians %+v", m.Stages)
	}
	var text bytes.Buffer
	if err := PrintStages(&text, rows); err != nil || !strings.Contains(text.String(), "replicated  21.01") {
		t.Errorf("%v: %s", err, text.String())
	}
}

// TestMeasuredStagesAddUp with a real node.
func TestMeasuredStagesAddUp(t *testing.T) {
	l := startLive(t)
	for _, level := range []wire.Level{wire.LevelSequenced, wire.LevelDurable, wire.LevelApplied} {
		p := Plan{Level: level, Loop: Open, Rate: 500, Burst: 5, Payload: 100, Flow: FlowEcho, Warmup: 50 * time.Millisecond,
			Measure: 200 * time.Millisecond, Window: 64, Stages: true}
		l.target.Stages = true
		result, _, _ := l.measure(t, &p, nil)
		if err := result.Stages.Check(); err != nil {
			t.Fatal(err)
		}
		rows := result.Stages.Rows()
		for _, r := range rows {
			if r.Count != int64(result.Acked) && r.Stage != "sent" && r.Stage != "sequenced" {
				t.Errorf("%v: %d messages in stage %s, %d acknowledged", level, r.Count, r.Stage, result.Acked)
			}
		}
		if len(rows) < 6 {
			t.Errorf("%v: stages %+v", level, rows)
		}
	}
}
