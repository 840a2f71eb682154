package tuning

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestDocumentHasEveryItem: docs/tuning.md has a row for each item, with its weight in the score, and none for others.
func TestDocumentHasEveryItem(t *testing.T) {
	text, err := os.ReadFile("../docs/tuning.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		weight, err := strconv.Atoi(strings.TrimSpace(cells[2]))
		if err != nil {
			continue
		}
		for name := range strings.SplitSeq(cells[1], ",") {
			rows[strings.TrimSpace(name)] = weight
		}
	}
	for _, it := range Items() {
		if weight, there := rows[it.Name]; !there || weight != it.Weight {
			t.Errorf("%s has weight %d; docs/tuning.md has a row for it: %v, with weight %d", it.Name, it.Weight, there, weight)
		}
		delete(rows, it.Name)
	}
	for name := range rows {
		t.Errorf("docs/tuning.md has a row for %q, which is no item", name)
	}
}
