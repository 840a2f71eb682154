package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/bench"
)

// TestBenchReport makes a report of rows and holds it against them.
func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	rows, page := filepath.Join(dir, "rows.json"), filepath.Join(dir, "page.html")
	h := bench.NewHistogram()
	_ = h.RecordValues(25_000, 100)
	row := bench.Row{Scenario: "rtt", Transport: "udp", Level: "applied", Loop: "closed"}
	row.SetTimes(h)
	f, err := os.Create(rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := row.Write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	lockstep(t, "bench", "report", rows, "-o", page, "--title", "Of this test").want(t, 0, "1 figures of 1 rows", "not fit")
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "<h1>Of this test</h1>") {
		t.Fatalf("%v: %.200s", err, html)
	}
	lockstep(t, "bench", "report", rows, "--check", page).want(t, 0, "is of these 1 rows")
	lockstep(t, "bench", "report", rows, rows, "--check", page).want(t, 1, "the rows are not those of the report")
	lockstep(t, "bench", "report", page).want(t, 1, "line 1", "not rows of a bench")
	lockstep(t, "bench", "report", filepath.Join(dir, "none.json")).want(t, exitUsage, "none.json")
	lockstep(t, "bench", "report", rows, "-o", filepath.Join(dir, "none", "x.html")).want(t, exitUsage, "--output")
	lockstep(t, "bench", "report").want(t, exitUsage, "")
	if left, _ := filepath.Glob(filepath.Join(dir, ".lockstep-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
