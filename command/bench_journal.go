package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/journal"
	"lockstep/node"
	"lockstep/wire"
)

// journalFlags are what bench journal takes.
type journalFlags struct {
	plan     bench.JournalPlan
	mib      int64
	seconds  float64
	rounds   int
	jsonFile string
}

func benchJournalCommand() *cobra.Command {
	var f journalFlags
	c := &cobra.Command{
		Use:   "journal",
		Short: "The journal alone: throughput and durable latency, beside bare writes and fio on the same disk",
		Example: `  lockstep bench journal --dir /var/lib --rounds 5 --json journal.json
  lockstep bench journal --buffered`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if f.mib < 4 || f.mib > 2048 || f.rounds < 1 || f.seconds <= 0 || f.plan.Payload < 0 ||
				f.plan.Payload > wire.MaxMessage {
				return fmt.Errorf("%w: want --mib 4 to 2048, --rounds 1 or more, --seconds above 0, --payload 0 to %d",
					errUsage, wire.MaxMessage)
			}
			f.plan.Bytes, f.plan.Measure = f.mib<<20, seconds(f.seconds)
			f.plan.Pinned = c.Flags().Changed("core")
			return runBenchJournal(c.Context(), &f, c.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.plan.Dir, "dir", os.TempDir(), "directory on the disk to measure; what is made there is taken away")
	flags.IntVar(&f.plan.Payload, "payload", 200, "bytes of a durable record's payload (appended ones have 16000)")
	flags.Int64Var(&f.mib, "mib", 512, "MiB that a round of appending writes")
	flags.Float64Var(&f.seconds, "seconds", 2, "time of a round of durable records")
	flags.IntVar(&f.rounds, "rounds", 3, "rounds; a last line of each series has the medians")
	flags.BoolVar(&f.plan.Buffered, "buffered", false, "write and fdatasync even where direct I/O works")
	flags.IntVar(&f.plan.Core, "core", 0,
		"pin the journal thread to this core: the one that takes the disk's interrupts wakes it soonest")
	flags.StringVar(&f.jsonFile, "json", "", "write one JSON line a series to this file (- for standard output)")
	return c
}

// journalBench is a run: series of rows, a round after the other, floors in turn with the journal.
type journalBench struct {
	flags *journalFlags
	text  io.Writer
	json  io.Writer
	rows  map[string][]bench.JournalRow
	order []string
}

func runBenchJournal(ctx context.Context, f *journalFlags, text io.Writer) error {
	out, err := (&benchFlags{jsonFile: f.jsonFile}).output()
	if err != nil {
		return err
	}
	b := &journalBench{flags: f, text: text, rows: map[string][]bench.JournalRow{}}
	if out != nil {
		defer out.Close()
		b.json = out
	}
	fmt.Fprintf(text, "disk %s, %s\n", bench.DiskName(f.plan.Dir), bench.FileSystem(f.plan.Dir))
	for range f.rounds {
		if err := b.round(ctx); err != nil {
			return err
		}
	}
	return b.medians()
}

// round measures every series once. The journal's row comes after its floors, and is set beside them.
func (b *journalBench) round(ctx context.Context) error {
	p := &b.flags.plan
	record := int(wire.Padded(uint32(wire.RecordHeaderSize + p.Payload)))
	steps := []struct {
		scenario string
		measure  func(scenario string) (bench.JournalRow, error)
	}{
		{"floor-bare-append", func(s string) (bench.JournalRow, error) { return bench.BareAppend(p, s) }},
		{"floor-fio-append", func(s string) (bench.JournalRow, error) {
			return bench.Fio(ctx, p, s, "append", journal.MaxBatch, p.Bytes)
		}},
		{"journal-append", func(s string) (bench.JournalRow, error) {
			return bench.JournalAppend(p, s, p.Bytes+journal.MaxBatch*64)
		}},
		{"journal-sustained", func(s string) (bench.JournalRow, error) { return bench.JournalAppend(p, s, 64<<20) }},
		{"floor-bare-durable", func(s string) (bench.JournalRow, error) { return bench.BareDurable(p, s, record) }},
		{"floor-fio-durable", func(s string) (bench.JournalRow, error) {
			return bench.Fio(ctx, p, s, "durable", 4096, 64<<20)
		}},
		{"journal-durable", func(s string) (bench.JournalRow, error) { return bench.JournalDurable(p, s) }},
	}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := bench.ReadCPUTimes()
		row, err := step.measure(step.scenario)
		if errors.Is(err, bench.ErrNoFio) {
			fmt.Fprintf(b.text, "%-20s skipped: %v (scripts/install-packages fio:fio)\n", step.scenario, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.scenario, err)
		}
		row.StealPct = bench.StealPct(before, bench.ReadCPUTimes())
		b.compare(&row)
		if err := b.emit(&row); err != nil {
			return err
		}
	}
	return nil
}

// compare sets a journal's row beside the floors of the same round: throughput over theirs, or p50 over theirs.
func (b *journalBench) compare(row *bench.JournalRow) {
	if len(b.rows[row.Scenario]) == 0 {
		b.order = append(b.order, row.Scenario)
	}
	round := len(b.rows[row.Scenario])
	ratio := func(floor string) float64 {
		rows := b.rows[floor+row.Pattern]
		if round >= len(rows) || row.Scenario == floor+row.Pattern {
			return 0
		}
		of, by := row.MBPerSec, rows[round].MBPerSec
		if row.Pattern == "durable" {
			of, by = row.P50Us, rows[round].P50Us
		}
		return math.Round(of/by*1000) / 1000
	}
	row.RatioBare, row.RatioFio = ratio("floor-bare-"), ratio("floor-fio-")
	b.rows[row.Scenario] = append(b.rows[row.Scenario], *row)
}

// medians prints, for each series of several rounds, the median of every figure.
func (b *journalBench) medians() error {
	if b.flags.rounds < 2 {
		return nil
	}
	for _, scenario := range b.order {
		rows := b.rows[scenario]
		median := rows[0]
		median.Scenario += "-median"
		for _, field := range []func(*bench.JournalRow) *float64{
			func(r *bench.JournalRow) *float64 { return &r.MBPerSec }, func(r *bench.JournalRow) *float64 { return &r.PerSec },
			func(r *bench.JournalRow) *float64 { return &r.MinUs },
			func(r *bench.JournalRow) *float64 { return &r.P50Us }, func(r *bench.JournalRow) *float64 { return &r.P99Us },
			func(r *bench.JournalRow) *float64 { return &r.MaxUs }, func(r *bench.JournalRow) *float64 { return &r.RatioBare },
			func(r *bench.JournalRow) *float64 { return &r.RatioFio }, func(r *bench.JournalRow) *float64 { return &r.StealPct },
		} {
			var values []float64
			for i := range rows {
				values = append(values, *field(&rows[i]))
			}
			slices.Sort(values)
			*field(&median) = values[len(values)/2]
		}
		if err := b.emit(&median); err != nil {
			return err
		}
	}
	return nil
}

// emit prints a row, and writes it as JSON.
func (b *journalBench) emit(row *bench.JournalRow) error {
	facts := bench.ThisHost()
	row.DirFS, row.Disk = bench.FileSystem(b.flags.plan.Dir), bench.DiskName(b.flags.plan.Dir)
	row.Kernel, row.Cores, row.Host, row.Revision = facts.Kernel, facts.Cores, facts.Host, node.Revision
	ratios := ""
	if row.RatioBare > 0 {
		ratios = fmt.Sprintf("  %.2f x bare", row.RatioBare)
	}
	if row.RatioFio > 0 {
		ratios += fmt.Sprintf("  %.2f x fio", row.RatioFio)
	}
	fmt.Fprintf(b.text, "%-26s %8.1f MB/s %8.0f writes/s  min %7.1f  p50 %8.1f  p99 %8.1f  max %9.1f us%s\n", row.Scenario, row.MBPerSec,
		row.PerSec, row.MinUs, row.P50Us, row.P99Us, row.MaxUs, ratios)
	if b.json == nil {
		return nil
	}
	return row.Write(b.json)
}
