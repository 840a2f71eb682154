package command

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"lockstep/bench"
)

// seriesName is what --series calls what a row measured.
func seriesName(row *bench.Row) string {
	switch {
	case row.Loop == string(bench.Closed):
		return "closed"
	case row.Burst > 1:
		return fmt.Sprintf("%.0fx%d", row.Rate, row.Burst)
	}
	return fmt.Sprintf("%.0f", row.Rate)
}

func seriesOf(p *bench.Plan) string {
	return seriesName(&bench.Row{Loop: string(p.Loop), Rate: p.Rate, Burst: p.Burst})
}

// joinPeers prints the table of what earlier runs wrote.
func joinPeers(f *peersFlags) error {
	var rows []bench.Row
	for _, name := range f.from {
		read, err := readPeers(name)
		if err != nil {
			return err
		}
		rows = append(rows, read...)
	}
	return printPeers(os.Stdout, rows)
}

// readPeers reads the rows of a comparison.
func readPeers(name string) (rows []bench.Row, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: --from: %w", errUsage, err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		var row bench.Row
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%w: --from %s: line %d is no JSON line of a run: %w", errUsage, name, n, err)
		}
		if row.System != "" {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 && lines.Err() == nil {
		return nil, fmt.Errorf("%w: --from %s: no row of bench peers in it", errUsage, name)
	}
	return rows, lines.Err()
}

// peersKey is what rows of several rounds have in common.
type peersKey struct {
	commit, series string
	payload        int
	system         string
}

// peersTable is rows by what they measured.
type peersTable struct {
	rows   map[peersKey][]bench.Row
	series []peersKey // without system, in order of appearance
	order  []string   // systems, in order of appearance
}

func newPeersTable(rows []bench.Row) *peersTable {
	t := &peersTable{rows: map[peersKey][]bench.Row{}}
	for _, row := range rows {
		key := peersKey{commit: row.Commit, series: seriesName(&row), payload: row.Payload}
		if !slices.Contains(t.series, key) {
			t.series = append(t.series, key)
		}
		if !slices.Contains(t.order, row.System) {
			t.order = append(t.order, row.System)
		}
		key.system = row.System
		t.rows[key] = append(t.rows[key], row)
	}
	return t
}

// printPeers prints the medians, a table for each commit rule, in Markdown.
func printPeers(w io.Writer, rows []bench.Row) error {
	if len(rows) == 0 {
		return nil
	}
	t := newPeersTable(rows)
	for _, commit := range []string{"replicated", "durable"} {
		var columns []peersKey
		for _, s := range t.series {
			if s.commit == commit {
				columns = append(columns, s)
			}
		}
		if len(columns) == 0 {
			continue
		}
		if err := t.print(w, commit, columns); err != nil {
			return err
		}
	}
	return nil
}

func (t *peersTable) print(out io.Writer, commit string, columns []peersKey) error {
	fmt.Fprintf(out, "\n%s: p50 / p99 in microseconds, medians of rounds; x: against the first system\n\n", commit)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	head, rule := []string{"system", "version"}, []string{"---", "---"}
	for _, c := range columns {
		head, rule = append(head, fmt.Sprintf("%s, %d B", c.series, c.payload)), append(rule, "---:")
	}
	fmt.Fprintf(w, "| %s\t|\n| %s\t|\n", strings.Join(head, "\t| "), strings.Join(rule, "\t| "))
	for _, system := range t.order {
		line, any := []string{system, ""}, false
		for _, c := range columns {
			cell := t.cell(c, system)
			any = any || cell != ""
			line = append(line, cell)
			c.system = system
			if rows := t.rows[c]; len(rows) > 0 {
				line[1] = rows[0].Revision
			}
		}
		if any {
			fmt.Fprintf(w, "| %s\t|\n", strings.Join(line, "\t| "))
		}
	}
	return w.Flush()
}

// cell is what a system came to in a series: empty when it was not measured.
func (t *peersTable) cell(key peersKey, system string) string {
	key.system = t.order[0]
	first := t.rows[key]
	key.system = system
	rows := t.rows[key]
	if len(rows) == 0 {
		return ""
	}
	median := bench.Median(rows)
	if median.Lost > 0 {
		return "not kept up"
	}
	cell := fmt.Sprintf("%.0f / %.0f", median.P50Us, median.P99Us)
	if system != t.order[0] && len(first) > 0 {
		if of := bench.Median(first); of.Lost == 0 && of.P50Us > 0 {
			cell += fmt.Sprintf(" (%.1f x)", median.P50Us/of.P50Us)
		}
	}
	return cell
}
