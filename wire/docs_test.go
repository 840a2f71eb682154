package wire

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// docRow is one row of a table in docs/wire.md; cells are trimmed.
type docRow []string

// readDocs returns the tables of docs/wire.md: the rows of the first table under each heading, header rows left out.
// A second table under one heading is filed under the heading and " 2".
func readDocs(t testing.TB) map[string][]docRow {
	t.Helper()
	b, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]docRow{}
	heading, count, inside := "", 0, false
	for _, line := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(line, "#") {
			heading, count = strings.TrimLeft(line, "# "), 0
		}
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		if !inside {
			inside = true
			count++
			continue
		}
		if strings.Trim(line, "|-: ") == "" {
			continue
		}
		key := heading
		if count > 1 {
			key += " " + strconv.Itoa(count)
		}
		var row docRow
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			row = append(row, strings.TrimSpace(cell))
		}
		tables[key] = append(tables[key], row)
	}
	return tables
}

func number(t testing.TB, cell string) int {
	t.Helper()
	n, err := strconv.Atoi(cell)
	if err != nil {
		t.Fatalf("docs/wire.md: %q is not a number", cell)
	}
	return n
}

func TestDocsListEveryRefusal(t *testing.T) {
	rows := readDocs(t)["Refusals"]
	if len(rows) != NumRefusals {
		t.Fatalf("docs list %d refusals, the code has %d", len(rows), NumRefusals)
	}
	names := map[string]bool{}
	for i, row := range rows {
		r := Refusal(i)
		if number(t, row[0]) != i || row[1] != r.Name() || row[2] != r.Sentence() {
			t.Errorf("docs: %q; code: %d %q %q", row, i, r.Name(), r.Sentence())
		}
		if names[row[1]] {
			t.Errorf("two refusals are named %q", row[1])
		}
		names[row[1]] = true
		if r.Busy() != strings.HasPrefix(row[1], "busy-") {
			t.Errorf("%s: Busy() = %v", r, r.Busy())
		}
	}
}

func TestDocsListEveryKindAndLevel(t *testing.T) {
	docs := readDocs(t)
	byNumber := map[string]func(n int) string{
		"Kinds":          func(n int) string { return DatagramKind(n).String() },
		"Levels":         func(n int) string { return Level(n).String() },
		"RecordHeader 2": func(n int) string { return RecordKind(n).String() },
		"AnswerHeader 2": func(n int) string { return AnswerKind(n).String() },
	}
	counts := map[string]int{"Kinds": 21, "Levels": NumLevels, "RecordHeader 2": numRecordKinds - 1,
		"AnswerHeader 2": numAnswerKinds - 1}
	for table, name := range byNumber {
		if len(docs[table]) != counts[table] {
			t.Errorf("%s: docs list %d, the code has %d", table, len(docs[table]), counts[table])
		}
		for _, row := range docs[table] {
			if got := name(number(t, row[0])); got != row[1] {
				t.Errorf("%s: docs call %s %q, the code %q", table, row[0], row[1], got)
			}
		}
	}
}

// TestDocsNameEveryBody checks that the first body that docs name for a kind is as long as Validate wants it.
func TestDocsNameEveryBody(t *testing.T) {
	docs := readDocs(t)
	for _, row := range docs["Kinds"] {
		kind := DatagramKind(number(t, row[0]))
		body := strings.SplitN(row[3], ",", 2)
		fields := docs[body[0]]
		if len(fields) == 0 {
			t.Errorf("%s: docs have no table %q", kind, body[0])
			continue
		}
		last := fields[len(fields)-1]
		want := bodySize{fixed: uint16(number(t, last[0]) + number(t, last[1])), more: len(body) == 2}
		if bodySizes[kind] != want {
			t.Errorf("%s: docs say %v, Validate wants %v", kind, want, bodySizes[kind])
		}
	}
}
