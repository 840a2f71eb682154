package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Bounds of a file of rows.
const (
	maxRowLine = 8 << 20 // bytes of one line
	maxRows    = 100_000
)

// ReadRowsFile reads the JSON lines that a run has written.
func ReadRowsFile(path string) ([]Row, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bench: rows: %w", err)
	}
	defer file.Close()
	rows, err := readRows(file)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w: want the lines that a bench command writes with --json", path, err)
	}
	return rows, nil
}

func readRows(r io.Reader) (rows []Row, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1<<16), maxRowLine)
	number := 0
	for ; lines.Scan(); number++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		var row Row
		if err := json.Unmarshal(text, &row); err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		if row.Scenario == "" {
			return nil, fmt.Errorf("line %d: it has no scenario", number+1)
		}
		if len(rows) == maxRows {
			return nil, fmt.Errorf("line %d: more than %d rows", number+1, maxRows)
		}
		rows = append(rows, row)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if len(rows) == 0 {
		return nil, errors.New("it is empty")
	}
	return rows, nil
}

// Series is what rows of two runs must have in common to be compared.
type Series struct {
	Scenario  string  `json:"scenario"`
	System    string  `json:"system,omitempty"`
	Transport string  `json:"transport"`
	Mode      string  `json:"mode"`
	Nodes     int     `json:"nodes"`
	Commit    string  `json:"commit"`
	Memory    bool    `json:"memory"` // the nodes' directories are on a file system in memory
	Level     string  `json:"level"`
	Loop      string  `json:"loop"`
	Rate      float64 `json:"rate"`
	Payload   int     `json:"payload"`
	Burst     int     `json:"burst"`
	Clients   int     `json:"clients"`
	Flow      string  `json:"flow,omitempty"`
	FlowFile  string  `json:"flow_file,omitempty"`
	FlowSpeed float64 `json:"flow_speed,omitempty"`
}

// rateScenario has rows of the largest rate that was sustained: it is what is measured, not what was asked for.
const rateScenario = "throughput-max"

// seriesOf is the series that a row is of.
func seriesOf(r *Row) Series {
	s := Series{Scenario: r.Scenario, System: r.System, Transport: r.Transport, Mode: r.Mode, Nodes: r.Nodes, Commit: r.Commit,
		Memory: r.DirFS == "tmpfs" || r.DirFS == "ramfs", Level: r.Level, Loop: r.Loop, Rate: r.Rate, Payload: r.Payload,
		Burst: r.Burst, Clients: r.Clients, Flow: r.Flow, FlowFile: r.FlowFile, FlowSpeed: r.FlowSpeed}
	if s.Scenario == rateScenario {
		s.Rate = 0
	}
	return s
}

// String is how people read it.
func (s Series) String() string {
	text := fmt.Sprintf("%s %s %s %s %s %s", s.Scenario, s.System, s.Transport, s.Mode, s.Level, s.Loop)
	if s.Rate > 0 {
		text += fmt.Sprintf(" %.0f/s", s.Rate)
	}
	if s.Burst > 1 {
		text += fmt.Sprintf(" in bursts of %d", s.Burst)
	}
	if s.Flow == "" || s.Flow == FlowEcho {
		text += fmt.Sprintf(" %d B", s.Payload)
	} else {
		text += fmt.Sprintf(" %s %s", s.Flow, s.FlowFile)
	}
	if s.Clients > 1 {
		text += fmt.Sprintf(" %d clients", s.Clients)
	}
	if s.Commit != "" {
		text += fmt.Sprintf(" (%s, %s)", s.Commit, map[bool]string{true: "in memory", false: "on disk"}[s.Memory])
	}
	return strings.Join(strings.Fields(text), " ")
}

// seriesRows are the rounds of each series, and the series in the order in which they come. Medians are left out: the
// rounds that they are of say more; so are single rates of a search.
func seriesRows(rows []Row) (by map[Series][]Row, order []Series) {
	by = map[Series][]Row{}
	for i := range rows {
		if strings.HasSuffix(rows[i].Scenario, "-median") || rows[i].Scenario == "throughput" {
			continue
		}
		s := seriesOf(&rows[i])
		if by[s] == nil {
			order = append(order, s)
		}
		by[s] = append(by[s], rows[i])
	}
	return by, order
}
