package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"lockstep/bench/report"
	"lockstep/node"
)

func benchReportCommand() *cobra.Command {
	var out, title, check string
	c := &cobra.Command{
		Use:   "report FILE...",
		Short: "One HTML file with charts and tables of the rows that benches wrote with --json",
		Long: `Make one HTML file of rows: percentile curves, round trips as time went by with what was done to the cluster, stages, guarantee
levels, ratios to the floor, searches for the largest rate, all rows, and the conditions that they were measured in. It needs no
network and nothing beside it. Figures of a host that is not fit are marked, with the reasons.

The report has the digest of its rows: with --check, nothing is written, and the exit code is 1 if the rows of the files are not those
of that report, or the report is not as it was written.`,
		Example: `  lockstep bench rtt --lab --commit replicated --dir /dev/shm --rounds 5 --with-floor --stages --json rtt.json
  lockstep bench report rtt.json -o report.html
  lockstep bench report rtt.json --check report.html`,
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, files []string) error {
			rows, err := readRows(c.InOrStdin(), files)
			if err != nil {
				return err
			}
			if check != "" {
				return checkReport(c.OutOrStdout(), check, rows)
			}
			return writeReport(c.OutOrStdout(), out, rows, report.Options{Title: title, Written: time.Now(), Revision: node.Revision})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "report.html", "file to write")
	c.Flags().StringVar(&title, "title", "Lockstep: measured", "what the report is called")
	c.Flags().StringVar(&check, "check", "", "write nothing, and say whether the files' rows are those of this report")
	return c
}

// readRows reads all files; - is standard input.
func readRows(in io.Reader, files []string) (*report.Rows, error) {
	rows := &report.Rows{}
	for _, name := range files {
		if name == "-" {
			if err := rows.Read("standard input", in); err != nil {
				return nil, err
			}
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		err = rows.Read(name, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// writeReport writes a report in the place of what was there, whole or not at all.
func writeReport(w io.Writer, out string, rows *report.Rows, o report.Options) (err error) {
	r, err := report.New(rows, o)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".lockstep-report-")
	if err != nil {
		return fmt.Errorf("%w: --output: %w", errUsage, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err = errors.Join(r.Write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), out); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %d figures of %d rows, digest %s\n", out, len(r.Figures), r.Rows, r.Digest)
	if r.UnfitRows > 0 {
		fmt.Fprintf(w, "%d rows were measured on a host that is not fit: %v\n", r.UnfitRows, r.Unfit)
	}
	return nil
}

// errNotTheRows: exit code 1.
var errNotTheRows = errors.New("the rows are not those of the report")

func checkReport(w io.Writer, name string, rows *report.Rows) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%w: --check: %w", errUsage, err)
	}
	defer f.Close()
	had, digest, err := report.ReadPage(name, f)
	if err != nil {
		return err
	}
	if got := rows.Digest(); got != digest {
		return fmt.Errorf("%w: %s has %d rows with the digest %s, the files have %d with %s", errNotTheRows, name, had.Len(), digest,
			rows.Len(), got)
	}
	fmt.Fprintf(w, "%s is of these %d rows, digest %s\n", name, rows.Len(), digest)
	return nil
}
