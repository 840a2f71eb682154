package command

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"lockstep/bench"
)

// TestBenchJournalMeasuresEverySeries runs the smallest measurement there is: every series has its row, ratios where
// there is a floor, and nothing stays behind.
func TestBenchJournalMeasuresEverySeries(t *testing.T) {
	dir := t.TempDir()
	r := lockstep(t, "bench", "journal", "--dir", dir, "--mib", "4", "--seconds", "0.05", "--rounds", "2", "--json", dir+"/rows")
	r.want(t, 0, "disk ", "journal-append-median")
	text, err := os.ReadFile(dir + "/rows")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bench.JournalRow{}
	for line := range bytes.Lines(text) {
		var row bench.JournalRow
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows[row.Scenario] = row
	}
	want := []string{"floor-bare-append", "journal-append", "journal-sustained", "floor-bare-durable", "journal-durable"}
	if _, err := exec.LookPath("fio"); err == nil {
		want = append(want, "floor-fio-append", "floor-fio-durable")
	} else {
		r.want(t, 0, "floor-fio-append     skipped: bench: fio is not installed")
	}
	for _, scenario := range want {
		row, ok := rows[scenario]
		if _, median := rows[scenario+"-median"]; !ok || !median || row.Bytes == 0 || row.Writes == 0 || row.P50Us <= 0 ||
			row.MaxUs < row.P50Us || row.MinUs > row.P50Us || row.MBPerSec <= 0 || row.Sync == "" || row.Disk == "" {
			t.Errorf("%s: %+v", scenario, row)
		}
		if row.Pattern == "append" && row.Bytes < 4<<20 {
			t.Errorf("%s stored %d bytes", scenario, row.Bytes)
		}
	}
	for _, scenario := range []string{"journal-append", "journal-durable"} {
		if rows[scenario].RatioBare <= 0 {
			t.Errorf("%s stands beside no floor: %+v", scenario, rows[scenario])
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("%v stay behind, %v", left, err)
	}
	lockstep(t, "bench", "journal", "--mib", "1").want(t, 2, "--mib 4 to 2048")
	lockstep(t, "bench", "journal", "--dir", dir+"/none").want(t, 1, "none")
}
