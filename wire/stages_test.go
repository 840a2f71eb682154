package wire

import "testing"

func TestStepsAreTheTimesBetweenStages(t *testing.T) {
	x := Stages{TotalNs: 50_000, AtNs: [StageAnswered]uint32{100, 700, 4_000, 30_000, NoStage, 31_000}}
	want := [NumStages]int64{100, 600, 3_300, 26_000, NoStep, 1_000, 19_000}
	steps, ok := x.Steps()
	if !ok || steps != want {
		t.Errorf("%v %v, want %v", steps, ok, want)
	}
	total := int64(0)
	for _, ns := range steps {
		total += max(0, ns)
	}
	if total != 50_000 {
		t.Errorf("the steps are %d ns together", total)
	}
	for name, x := range map[string]Stages{
		"a stage before the one before it": {TotalNs: 50_000, AtNs: [StageAnswered]uint32{100, 99, NoStage, NoStage, NoStage, NoStage}},
		"a stage beyond the total":         {TotalNs: 50, AtNs: [StageAnswered]uint32{10, 51, NoStage, NoStage, NoStage, NoStage}},
	} {
		if _, ok := x.Steps(); ok {
			t.Errorf("%s is taken", name)
		}
	}
	if x := (Stages{}); x.Known() {
		t.Error("nothing is known of a zero value")
	}
}

// TestStagesAreFilledLate finds the room of every answer that was packed with stages, among others, and no other room.
func TestStagesAreFilledLate(t *testing.T) {
	b := make([]byte, 1024)
	n := 0
	for i, a := range []Answer{
		{Kind: AnswerAck, Level: LevelSequenced, Correlation: 1},
		{Kind: AnswerAck, Level: LevelReplicated, Correlation: 2, Timed: true, Stages: Stages{TotalNs: 2}},
		{Kind: AnswerResponse, Level: LevelApplied, Correlation: 3, Response: 1, Timed: true, Stages: Stages{TotalNs: 3}},
		{Kind: AnswerFragment, Level: LevelApplied, Correlation: 4, Response: 2, Fragment: Fragment{Total: 90}, Timed: true},
	} {
		n += PutAnswer(b[n:], &a, b[:10*i])
	}
	var levels []Level
	for rest := b[:n]; ; {
		room, level, behind, ok := NextTimed(rest)
		if !ok {
			break
		}
		var x Stages
		x.Decode(room)
		x.TotalNs *= 1000
		x.Put(room)
		levels, rest = append(levels, level), behind
	}
	if len(levels) != 2 || levels[0] != LevelReplicated || levels[1] != LevelApplied {
		t.Fatalf("levels %v", levels)
	}
	totals := [5]uint64{}
	for rest := b[:n]; len(rest) > 0; {
		var a Answer
		payload, behind, ok := NextAnswer(rest, &a)
		if !ok || a.Kind != AnswerFragment && len(payload) != 10*int(a.Correlation-1) {
			t.Fatalf("answer %+v, %d bytes, %v", a, len(payload), ok)
		}
		totals[a.Correlation], rest = a.Stages.TotalNs, behind
	}
	if totals != [5]uint64{0, 0, 2000, 3000, 0} {
		t.Errorf("totals %v", totals)
	}
	for cut := range n { // whatever was cut off, nothing is read beyond
		for rest, ok := b[:cut:cut], true; ok; {
			_, _, rest, ok = NextTimed(rest)
		}
	}
}
