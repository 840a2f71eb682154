package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/bench"
)

// errWorse is what a comparison ends with that finds the second run worse.
var errWorse = errors.New("the second run is worse")

// compareFlags say what is compared, and what counts as slower.
type compareFlags struct {
	metrics   []string
	threshold float64
	resamples int
	seed      uint64
	jsonFile  string
}

func benchCompareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two runs, percentile by percentile, with confidence intervals; exit code 1 if the second is slower",
		Long: `Compare the rows that two runs wrote with --json: series by series, percentile by percentile, the median of B's rounds over the
median of A's, and the interval in which that ratio lies with 95 % confidence, by bootstrap over the rounds. B is slower where the
ratio is above 1 by more than --threshold and the interval has no 1 in it. With fewer than three rounds in either run the
interval is by bootstrap over all round trips: it says nothing of what differs from round to round.
Exit code 1 if anything is slower, or B has lost messages and A none; 2 if the files have nothing in common.`,
		Example: `  lockstep bench rtt --lab --commit replicated --dir /dev/shm --rounds 5 --json a.json
  lockstep bench rtt --lab --commit replicated --dir /dev/shm --rounds 5 --json b.json
  lockstep bench compare a.json b.json --threshold 0.1
  lockstep bench compare a.json b.json --threshold 0.1 --percentiles p50,p99,p999 --json comparison.json`,
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.OutOrStdout(), c.ErrOrStderr(), args[0], args[1])
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&f.metrics, "percentiles", []string{"p50", "p90", "p99"}, "to compare: "+strings.Join(bench.CompareMetrics, ", "))
	flags.Float64Var(&f.threshold, "threshold", 0.05, "by how much B may be slower: 0.05 is a twentieth")
	flags.IntVar(&f.resamples, "resamples", 10000, "of the bootstrap")
	flags.Uint64Var(&f.seed, "seed", 1, "of the bootstrap: the same seed gives the same intervals")
	flags.StringVar(&f.jsonFile, "json", "", "write one JSON line a comparison to this file (- for standard output)")
	return c
}

func (f *compareFlags) run(stdout, stderr io.Writer, pathA, pathB string) error {
	o := bench.CompareOptions{Metrics: f.metrics, Threshold: f.threshold, Resamples: f.resamples, Seed: f.seed}
	if err := o.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	a, err := bench.ReadRowsFile(pathA)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	b, err := bench.ReadRowsFile(pathB)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	compared, err := bench.Compare(a, b, o)
	if err != nil {
		return fmt.Errorf("%w: %s and %s: %w", errUsage, pathA, pathB, err)
	}
	out, err := (&benchFlags{jsonFile: f.jsonFile}).output()
	if err != nil {
		return err
	}
	text := stdout
	if f.jsonFile == "-" {
		text = stderr
	}
	printWhose(text, "A", pathA, &a[0])
	printWhose(text, "B", pathB, &b[0])
	if a[0].Host != b[0].Host {
		fmt.Fprintf(text, "the two runs are of different hosts: their times do not compare\n")
	}
	worse := printCompared(text, compared)
	if out != nil {
		encoder := json.NewEncoder(out)
		for i := range compared.List {
			err = errors.Join(err, encoder.Encode(&compared.List[i]))
		}
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
	if worse > 0 {
		return fmt.Errorf("%w in %d of %d comparisons", errWorse, worse, len(compared.List))
	}
	return nil
}

// printWhose says what a run is of.
func printWhose(w io.Writer, name, path string, r *bench.Row) {
	fmt.Fprintf(w, "%s  %s: revision %s, kernel %s, host %s\n", name, path, r.Revision, r.Kernel, r.Host)
}

// printCompared prints all comparisons, and returns how many are worse.
func printCompared(w io.Writer, c *bench.Compared) (worse int) {
	for i := range c.List {
		x := &c.List[i]
		if i == 0 || x.Series != c.List[i-1].Series {
			fmt.Fprintf(w, "\n%v, %d and %d rounds\n", x.Series, x.RoundsA, x.RoundsB)
		}
		if x.Worse() {
			worse++
		}
		if x.Metric == "lost" {
			fmt.Fprintf(w, "  %-6s %12.0f -> %12.0f %41s\n", x.Metric, x.A, x.B, x.Verdict)
			continue
		}
		unit, interval := "us", "no interval"
		if x.Metric == "rate" {
			unit = "/s"
		}
		if x.Method != bench.ByNothing {
			interval = fmt.Sprintf("%.3f .. %.3f", x.Low, x.High)
		}
		fmt.Fprintf(w, "  %-6s %12.1f -> %12.1f %s  %6.3f x  %-16s %-10s by %s\n", x.Metric, x.A, x.B, unit, x.Ratio, interval,
			x.Verdict, x.Method)
	}
	fmt.Fprintln(w)
	for i, list := range [][]bench.Series{c.OnlyA, c.OnlyB} {
		for _, s := range list {
			fmt.Fprintf(w, "only in %c: %v\n", 'A'+i, s)
		}
	}
	return worse
}
