package sim

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"lockstep/wire"
)

// promised says whether an acknowledgement is to outlive a loss: the table of docs/wire.md.
func promised(rule string, level wire.Level, loss int) bool {
	durable := level == wire.LevelDurable || level == wire.LevelApplied && rule == "durable"
	switch loss {
	case lossMajorityDisks:
		return false
	case lossProcesses:
		return durable
	case lossHolder, lossMinorityDisks:
		return durable || level == wire.LevelApplied || level == wire.LevelReplicated && rule == "replicated"
	}
	return level >= wire.LevelReplicated
}

// spared says whether nothing is ever lost although nothing is promised: a lost disk is one that may have forgotten, and
// such a node has no say, so that without all others, a holder among them, nobody leads.
func spared(level wire.Level, loss int) bool {
	return loss == lossMinorityDisks && level == wire.LevelReplicated
}

// LevelTable is what became of acknowledgements, by rule, fault and level.
type LevelTable struct {
	Failed  []error // worlds that failed a check of the simulator
	counts  [len(levelRules)][numLosses]levelCounts
	elapsed time.Duration
}

// levelWorldOf names a world of the table.
type levelWorldOf struct {
	rule, loss int
	seed       uint64
}

// Run plays so many worlds of each commit rule and fault, several at once.
func (t *LevelTable) Run(from uint64, worlds, workers int) {
	var list []levelWorldOf
	for i := range uint64(worlds) {
		for rule := range levelRules {
			for loss := range numLosses {
				list = append(list, levelWorldOf{rule, loss, from + i})
			}
		}
	}
	t.run(list, workers)
}

// Insist plays more worlds, up to one, of the faults that have not shown yet what they can do.
func (t *LevelTable) Insist(from, upTo uint64, workers int) {
	for ; from <= upTo; from++ {
		var list []levelWorldOf
		for rule := range levelRules {
			for loss := range numLosses {
				if len(t.tame(rule, loss)) > 0 {
					list = append(list, levelWorldOf{rule, loss, from})
				}
			}
		}
		t.run(list, workers)
	}
}

func (t *LevelTable) run(list []levelWorldOf, workers int) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		next  int
		begin = time.Now()
	)
	take := func() (x levelWorldOf, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(list) {
			return x, false
		}
		next++
		return list[next-1], true
	}
	for range max(workers, 1) {
		wg.Go(func() {
			for x, ok := take(); ok; x, ok = take() {
				c, err := runLevels(x.seed, levelRules[x.rule], x.loss)
				mu.Lock()
				t.counts[x.rule][x.loss].add(&c)
				if err != nil {
					t.Failed = append(t.Failed, fmt.Errorf("rule %s, %s, world %d: %w", levelRules[x.rule], lossNames[x.loss],
						x.seed, err))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.elapsed += time.Since(begin)
}

// Broken names the acknowledgements that do not stand where they must.
func (t *LevelTable) Broken() (list []string) {
	for rule, name := range levelRules {
		for loss := range numLosses {
			c := &t.counts[rule][loss]
			for l := wire.LevelReceived; l <= wire.LevelApplied; l++ {
				if (promised(name, l, loss) || spared(l, loss)) && c.lost[l] > 0 {
					list = append(list, fmt.Sprintf("rule %s, %s: %d of %d acknowledgements at level %v are lost", name,
						lossNames[loss], c.lost[l], c.acked[l], l))
				}
			}
		}
	}
	return list
}

// Tame names the cells that prove nothing: nothing was acknowledged, or nothing promised and yet nothing lost.
func (t *LevelTable) Tame() (list []string) {
	for rule := range levelRules {
		for loss := range numLosses {
			list = append(list, t.tame(rule, loss)...)
		}
	}
	return list
}

func (t *LevelTable) tame(rule, loss int) (list []string) {
	c, name := &t.counts[rule][loss], levelRules[rule]
	for l := wire.LevelReceived; l <= wire.LevelApplied; l++ {
		if c.acked[l] == 0 || !promised(name, l, loss) && !spared(l, loss) && c.lost[l] == 0 {
			list = append(list, fmt.Sprintf("rule %s, %s: %d acknowledged at level %v, none lost: the worlds are too tame", name,
				lossNames[loss], c.acked[l], l))
		}
	}
	return list
}

// Print writes the table, in Markdown: acknowledged, and how many of those were lost; in bold where none may be.
func (t *LevelTable) Print(out io.Writer) {
	worlds, orders := 0, 0
	for rule, name := range levelRules {
		fmt.Fprintf(out, "| rule %s | %s |\n|---|%s\n", name, strings.Join(lossNames[:], " | "), strings.Repeat("---|", numLosses))
		for l := wire.LevelReceived; l <= wire.LevelApplied; l++ {
			fmt.Fprintf(out, "| %v |", l)
			for loss := range numLosses {
				c := &t.counts[rule][loss]
				format := " %d: %d |"
				if promised(name, l, loss) {
					format = " %d: **%d** |"
				}
				fmt.Fprintf(out, format, c.acked[l], c.lost[l])
			}
			fmt.Fprintln(out)
		}
		fmt.Fprintln(out)
		for loss := range numLosses {
			worlds += t.counts[rule][loss].worlds
			orders += t.counts[rule][loss].orders
		}
	}
	fmt.Fprintf(out, "%d worlds, %d orders to recover, %.1f s\n", worlds, orders, t.elapsed.Seconds())
}
