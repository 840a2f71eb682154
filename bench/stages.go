package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"

	"lockstep/client"
	"lockstep/wire"
)

// What a message's stages may be off its round trip by, since two clocks tell them: a microsecond for their readings, and a
// thousandth of the round trip for their rates.
const (
	stageToleranceNs    = 1000
	stageToleranceParts = 1000
)

// Parts of a round trip beside the leader's stages.
const (
	partWait      = "wait"       // from when the message was due until the client was given it
	partWire      = "wire"       // of the round trip, what the leader does not see: the way there and back, and the client's own time
	partLeader    = "leader"     // all stages together
	partForgotten = "forgotten"  // messages of which the leader knew nothing any more; a count, without times
	partAll       = "round trip" // from when the message was due: wait, leader, and wire
)

// StageTimes are where the time of messages went, and whether that adds up, message by message.
type StageTimes struct {
	level                   wire.Level
	wait, wire, leader, all *hdrhistogram.Histogram
	steps                   [wire.NumStages]*hdrhistogram.Histogram

	messages  uint64
	forgotten uint64 // the leader knew nothing any more: its answer had got lost, and was given again much later
	unknown   uint64 // stages on the way to the level were missing
	disorder  uint64 // stages were not in order, or not together what the leader says
	beyond    uint64 // the leader says that it took longer than the round trip, by more than the tolerance
	firstText string // what was wrong with the first message with which anything was
}

// NewStageTimes is for messages that are acknowledged at a level.
func NewStageTimes(level wire.Level) *StageTimes {
	t := &StageTimes{level: level, wait: NewHistogram(), wire: NewHistogram(), leader: NewHistogram(), all: NewHistogram()}
	for i := range t.steps {
		t.steps[i] = NewHistogram()
	}
	return t
}

// needed are the stages that an acknowledgement at the level cannot come without.
func (t *StageTimes) needed(stage wire.Stage) bool {
	switch stage {
	case wire.StageTaken:
		return true
	case wire.StageReplicated:
		return t.level >= wire.LevelReplicated
	case wire.StageDurable:
		return t.level == wire.LevelDurable
	case wire.StageApplied:
		return t.level == wire.LevelApplied
	}
	return false
}

// Add takes a message that was due, given to the client and acknowledged at these times of the client's clock.
func (t *StageTimes) Add(ack *client.Ack, dueNs, sentNs, ackedNs int64) {
	t.messages++
	if !ack.Stages.Known() {
		t.forgotten++
		return
	}
	steps, ok := ack.Stages.Steps()
	total, sum := int64(ack.Stages.TotalNs), int64(0)
	for stage, ns := range steps {
		switch {
		case ns != wire.NoStep:
			sum += ns
		case t.needed(wire.Stage(stage)):
			t.wrong(&t.unknown, ack, "stage %v is not known", wire.Stage(stage))
			return
		}
	}
	roundTrip := ackedNs - sentNs
	wireNs := roundTrip - total
	switch tolerance := stageToleranceNs + roundTrip/stageToleranceParts; {
	case !ok || sum != total:
		t.wrong(&t.disorder, ack, "its stages %v are not in order, or not %d ns together", ack.Stages.AtNs, total)
		return
	case wireNs < -tolerance:
		t.wrong(&t.beyond, ack, "its leader had it for %d ns of a round trip of %d ns", total, roundTrip)
	}
	for stage, ns := range steps {
		if ns != wire.NoStep {
			_ = t.steps[stage].RecordValue(ns)
		}
	}
	_ = t.wait.RecordValue(sentNs - dueNs)
	_ = t.wire.RecordValue(max(0, wireNs))
	_ = t.leader.RecordValue(total)
	_ = t.all.RecordValue(ackedNs - dueNs)
}

func (t *StageTimes) wrong(count *uint64, ack *client.Ack, format string, args ...any) {
	if *count++; t.firstText == "" {
		t.firstText = fmt.Sprintf("message %d at %v: ", ack.Correlation, ack.Level) + fmt.Sprintf(format, args...)
	}
}

// forgottenPart is the part of all messages of which the leader may know nothing.
const forgottenPart = 100

// Check is an error unless every message's stages, with the time on the wire, are its round trip, and the leader knew them of all
// but a hundredth.
func (t *StageTimes) Check() error {
	if t.forgotten*forgottenPart > t.messages {
		return fmt.Errorf("bench: of %d messages the leader knows no stages of %d: more than a %dth", t.messages, t.forgotten, forgottenPart)
	}
	if t.unknown+t.disorder+t.beyond == 0 {
		return nil
	}
	return fmt.Errorf("bench: the stages of messages do not add up to their round trips, which they must within %d ns and a %dth: of "+
		"%d messages %d lack a stage, %d are out of order, %d are longer than the round trip; the first: %s",
		stageToleranceNs, stageToleranceParts, t.messages, t.unknown, t.disorder, t.beyond, t.firstText)
}

// StageRow is one part of the round trips, in microseconds.
type StageRow struct {
	Stage string `json:"stage"`
	Times
}

// Rows are all parts, in the order in which they follow one another; then the leader's together, and all.
func (t *StageTimes) Rows() []StageRow {
	rows := []StageRow{{partWait, NewTimes(t.wait)}}
	for i, h := range t.steps {
		if h.TotalCount() > 0 {
			rows = append(rows, StageRow{wire.Stage(i).String(), NewTimes(h)})
		}
	}
	rows = append(rows, StageRow{partWire, NewTimes(t.wire)}, StageRow{partLeader, NewTimes(t.leader)}, StageRow{partAll, NewTimes(t.all)})
	if t.forgotten > 0 {
		rows = append(rows, StageRow{Stage: partForgotten, Times: Times{Count: int64(t.forgotten)}})
	}
	return rows
}

// PrintStages prints a line a part. Percentiles of parts do not add up to those of the whole; each message's parts do.
func PrintStages(w io.Writer, rows []StageRow) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "us\tp50\tp90\tp99\tmax\tmessages\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%.1f\t%d\t\n", r.Stage, r.P50Us, r.P90Us, r.P99Us, r.MaxUs, r.Count)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "each message's stages, wait and wire are its round trip, within %d ns and a %dth of it\n",
		stageToleranceNs, stageToleranceParts)
	return err
}

// medianStages is the rows of the medians over several rounds.
func medianStages(rounds [][]StageRow) []StageRow {
	rows := slices.Clone(rounds[0])
	for i := range rows {
		for _, get := range []func(*Times) *float64{
			func(t *Times) *float64 { return &t.MinUs }, func(t *Times) *float64 { return &t.P50Us },
			func(t *Times) *float64 { return &t.P90Us }, func(t *Times) *float64 { return &t.P99Us },
			func(t *Times) *float64 { return &t.P999Us }, func(t *Times) *float64 { return &t.P9999Us },
			func(t *Times) *float64 { return &t.MaxUs },
		} {
			var values []float64
			for _, round := range rounds {
				if at := slices.IndexFunc(round, func(r StageRow) bool { return r.Stage == rows[i].Stage }); at >= 0 {
					values = append(values, *get(&round[at].Times))
				}
			}
			*get(&rows[i].Times) = medianOf(values)
		}
		rows[i].Count = 0
		for _, round := range rounds {
			for k := range round {
				if round[k].Stage == rows[i].Stage {
					rows[i].Count += round[k].Count
				}
			}
		}
	}
	return rows
}
