package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// HGRM takes the JSON lines of rows, one a Write, and makes a file of percentiles of each series, with the round trips of all its
// rounds so far, in microseconds: the form that plotters of HdrHistogram read.
type HGRM struct {
	dir    string
	series map[string]*hdrhistogram.Histogram
}

// hgrmTicks is how many lines there are for every half of the distance to 100 %.
const hgrmTicks = 5

// NewHGRM makes the folder, if it is not there.
func NewHGRM(dir string) (*HGRM, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("bench: files of percentiles: %w", err)
	}
	return &HGRM{dir: dir, series: map[string]*hdrhistogram.Histogram{}}, nil
}

// Write implements io.Writer.
func (g *HGRM) Write(line []byte) (int, error) {
	var row Row
	if err := json.Unmarshal(line, &row); err != nil {
		return 0, fmt.Errorf("bench: files of percentiles: %w", err)
	}
	if strings.HasSuffix(row.Scenario, "-median") {
		return len(line), nil // its rounds are there
	}
	h, err := DecodeHistogram(row.Hist)
	if err != nil {
		return 0, err
	}
	if h == nil {
		return len(line), nil
	}
	name := hgrmName(&row)
	if g.series[name] == nil {
		g.series[name] = NewHistogram()
	}
	g.series[name].Merge(h)
	return len(line), g.file(name)
}

// unfitForNames is what file names do not get.
var unfitForNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// hgrmName is the file of a row's series.
func hgrmName(r *Row) string {
	s := seriesOf(r)
	parts := []string{s.Scenario, s.System, s.Transport, s.Mode, s.Commit, r.DirFS, s.Level, s.Loop}
	if r.Rate > 0 {
		parts = append(parts, fmt.Sprintf("%.0f", r.Rate))
	}
	if s.Burst > 1 {
		parts = append(parts, fmt.Sprintf("burst%d", s.Burst))
	}
	if s.Clients > 1 {
		parts = append(parts, fmt.Sprintf("clients%d", s.Clients))
	}
	if s.Flow == "" || s.Flow == FlowEcho {
		parts = append(parts, fmt.Sprintf("%dB", s.Payload))
	} else {
		parts = append(parts, s.Flow, s.FlowFile)
	}
	name := strings.Join(strings.Fields(strings.Join(parts, " ")), "-")
	return unfitForNames.ReplaceAllString(name, "_") + ".hgrm"
}

// file writes a series' file.
func (g *HGRM) file(name string) error {
	var text bytes.Buffer
	if _, err := g.series[name].PercentilesPrint(&text, hgrmTicks, 1000); err != nil {
		return fmt.Errorf("bench: %s: %w", name, err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, name), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("bench: files of percentiles: %w", err)
	}
	return nil
}
