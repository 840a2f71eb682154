package replica

import (
	"testing"

	"lockstep/wire"
)

// hotPaths are the inputs of every batch: what they do to a core, one Step each.
func hotPaths(t *testing.T) map[string]func() {
	lead := newProbe(t, wire.RuleDurable, Restored{})
	lead.lead()
	lead.step(Input{Kind: InApplied, Position: firstConfig})
	lead.c.o.SnapshotBytes = 1 << 16 // it asks for snapshots as well
	quiet := newProbe(t, wire.RuleDurable, Restored{})
	quiet.lead()
	follow := newProbe(t, wire.RuleDurable, Restored{})
	follow.follow()
	at := wire.Position(firstConfig)
	appended := Input{Kind: InAppended, LastTerm: 1}
	status := statusOf(2, 1, 0, 0)
	durable := Input{Kind: InDurable}
	batch, received := 0, 0
	held := wire.Position(0)
	log := logOf(1, 0, 0, 0, 0)
	mine := Input{Kind: InAppended, LastTerm: 1}
	synced := Input{Kind: InDurable}
	beat := statusOf(3, 1, 0, 0)
	return map[string]func(){
		// InAppended, then InStatus, then InDurable, over and over: commit moves with each round.
		"leader": func() {
			switch batch % 3 {
			case 0:
				at += 1024
				appended.Position = at
				lead.c.Step(lead.now, &appended)
			case 1:
				status.Status.Append, status.Status.Durable = at, at
				lead.c.Step(lead.now, &status)
			case 2:
				durable.Position = at
				lead.c.Step(lead.now, &durable)
			}
			batch++
		},
		"leader status": func() { quiet.c.Step(quiet.now, &beat) },
		// InLog, InAppended, InDurable.
		"follower": func() {
			switch received % 3 {
			case 0:
				log.Log = wire.Log{Position: held, Append: held + 1024, Commit: held}
				log.LogLength = 1024
				follow.c.Step(follow.now, &log)
				held += 1024
			case 1:
				mine.Position = held
				follow.c.Step(follow.now, &mine)
			case 2:
				synced.Position = held
				follow.c.Step(follow.now, &synced)
			}
			received++
		},
	}
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	for name, step := range hotPaths(t) {
		if n := testing.AllocsPerRun(3000, step); n != 0 {
			t.Errorf("%s: %v allocations a Step", name, n)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for name, step := range hotPaths(&testing.T{}) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}
