package sequencer

import (
	"fmt"
	"testing"

	"lockstep/internal/counters"
	"lockstep/wire"
	"pgregory.net/rapid"
)

// stagesOf has stages that are stamped by a clock that tests move.
func stagesOf(t interface{ Fatal(...any) }, nowNs *int64) (*stages, *counters.File) {
	f, err := counters.Create("", wire.NumStages*counters.HistogramSlots)
	if err != nil {
		t.Fatal(err)
	}
	s := newStages(func() int64 { return *nowNs }, f)
	s.reset()
	return &s, f
}

// TestMarksKnowWhatEachMessageDid compares marks with a list of every message, beyond what marks remember: what is found is right,
// and what is not found is too old or not there yet. The histogram has each message's time once.
func TestMarksKnowWhatEachMessageDid(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		nowNs := int64(1)
		s, f := stagesOf(r, &nowNs)
		defer f.Close()
		before, m := &s.at[wire.StageSent], &s.at[wire.StageReplicated]
		var beforeNs, atNs []int64
		sum, counted := uint64(0), 0
		for range rapid.SampledFrom([]int{10, 500, 3 * markSlots}).Draw(r, "marks") {
			nowNs += int64(rapid.IntRange(1, 5000).Draw(r, "time"))
			n := uint64(rapid.IntRange(1, 4).Draw(r, "messages"))
			if rapid.IntRange(0, 3).Draw(r, "which") < 3 || m.until == before.until {
				before.put(before.until+n, nowNs)
				for range n {
					beforeNs = append(beforeNs, nowNs)
				}
				continue
			}
			until := min(m.until+n, before.until)
			if rapid.IntRange(0, 3).Draw(r, "all") == 0 {
				until = before.until
			}
			first := len(atNs)
			for i := m.until; i < until; i++ {
				atNs = append(atNs, nowNs)
			}
			remembered := before.slots[before.oldest()%markSlots].from
			m.observe(before, until, nowNs)
			for i := max(uint64(first), remembered); i < until; i++ {
				sum += uint64(nowNs - beforeNs[i])
				counted++
			}
		}
		if d := m.histogram.Snapshot(); d.SumNs != sum || d.Count != uint64(counted) {
			r.Fatalf("%d times, %d ns; want %d, %d", d.Count, d.SumNs, counted, sum)
		}
		for i := range beforeNs {
			at, ok := before.find(uint64(i))
			if remembered := before.slots[before.oldest()%markSlots].from <= uint64(i); ok != remembered || ok && at != beforeNs[i] {
				r.Fatalf("message %d: found %d, %v; want %d, %v", i, at, ok, beforeNs[i], remembered)
			}
			if at, ok := m.find(uint64(i)); ok && (i >= len(atNs) || at != atNs[i]) {
				r.Fatalf("message %d: found %d, and it is not there", i, at)
			}
		}
	})
}

// TestAMessageThatWasPassedOverIsNotKnown: its stage is unknown, those around it are.
func TestAMessageThatWasPassedOverIsNotKnown(t *testing.T) {
	nowNs := int64(0)
	s, f := stagesOf(t, &nowNs)
	defer f.Close()
	m := &s.at[wire.StageDurable]
	m.put(10, 100)
	m.skip(20)
	if _, ok := m.find(15); ok {
		t.Error("a message that was passed over is found")
	}
	m.put(30, 200)
	for ordinal, want := range map[uint64]string{0: "100 true", 9: "100 true", 10: "200 false", 19: "200 false", 20: "200 true",
		29: "200 true", 30: "0 false"} {
		at, ok := m.find(ordinal)
		if got := fmt.Sprint(at, " ", ok); got != want {
			t.Errorf("message %d: %s, want %s", ordinal, got, want)
		}
	}
}

func TestTheNumberOfAMessageThatWasAskedAbout(t *testing.T) {
	s := &Sequencer{}
	for _, tail := range []uint64{1, 5, 1 << 20, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<40 + 7} {
		for _, back := range []uint64{1, 2, 3, 5, 4096} {
			if back > tail {
				continue
			}
			s.acks.tail = tail
			if n := asked(tail - back); n != 0 && s.ordinal(n) != tail-back {
				t.Errorf("message %d of %d is taken for %d", tail-back, tail, s.ordinal(n))
			}
		}
	}
}

// BenchmarkStages is what stamping costs a cycle that sequences, sends, and hears of so many messages.
func BenchmarkStages(b *testing.B) {
	for _, messages := range []uint64{1, 20} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) {
			nowNs := int64(0)
			s, f := stagesOf(b, &nowNs)
			defer f.Close()
			b.ReportAllocs()
			tail := uint64(0)
			for b.Loop() {
				nowNs += 1000
				tail += messages
				s.arrivedNs, s.takenNs = nowNs, 0
				s.take()
				s.sequenced(tail)
				for i := wire.StageSent; i < wire.NumStages; i++ {
					s.at[i].observe(&s.at[i-1], tail, s.stampNs())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(tail), "ns/message")
		})
	}
}
