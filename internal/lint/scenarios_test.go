package lint

import (
	"regexp"
	"strings"
	"testing"
)

// faults are the scenarios that must be played, and the tiers at which each must be: U unit or script, S simulator,
// N real processes, C crash consistency.
var faults = map[string]string{
	"E1": "US", "E2": "USN", "E3": "US", "E4": "SN", "E5": "USN", "E6": "SC", "E7": "US", "E8": "U", "E9": "US",
	"E10": "SN",
	"L1":  "US", "L2": "US", "L3": "SN", "L4": "U", "L5": "USN", "L6": "CS", "L7": "US", "L8": "SC", "L9": "US",
	"L10": "US", "L11": "SN", "L12": "S", "L13": "US", "L14": "S",
	"P1": "UC", "P2": "SCN", "P3": "CS", "P4": "CS", "P5": "S", "P6": "C", "P7": "SC", "P8": "CN", "P9": "C", "P10": "C",
	"P11": "US", "P12": "C",
	"T1": "US", "T2": "US", "T3": "N", "N1": "SN", "N2": "USN", "N3": "UN", "N4": "N", "N5": "N", "N6": "SN", "N7": "SN",
	"C1": "USN", "C2": "SN", "C3": "US", "C4": "SN", "C5": "SN", "U1": "UN",
}

var (
	scenarioRow = regexp.MustCompile(`(?m)^\| ([A-Z]\d+) \|(.*)\|$`)
	ofScenario  = regexp.MustCompile("`Test((?:[A-Z]\\d+)+)[A-Z]")
	scriptName  = regexp.MustCompile("`([a-z][a-z0-9]*_[a-z0-9_]+)`")
	cells       = map[byte]int{'U': 1, 'S': 2, 'N': 3, 'C': 4}
)

// TestEveryScenarioIsPlayedAtItsTiers holds the table of scenarios: no fault is missing, each has a test or a script
// at each of its tiers or says what it waits for, and tests that carry ids stand in the rows of those ids.
func TestEveryScenarioIsPlayedAtItsTiers(t *testing.T) {
	text, scripts := "", map[string]bool{}
	for _, s := range readTree(t) {
		if s.path == "docs/testing.md" {
			text = string(s.text)
		}
		if name, is := strings.CutPrefix(s.path, "replica/testdata/scripts/"); is {
			scripts[strings.TrimSuffix(name, ".txt")] = true
		}
	}
	rows := map[string]string{}
	for _, m := range scenarioRow.FindAllStringSubmatch(text, -1) {
		rows[m[1]] = m[2]
		if faults[m[1]] == "" {
			t.Errorf("the table has a row %s, which is no fault", m[1])
		}
		for _, of := range ofScenario.FindAllStringSubmatch(m[2], -1) {
			if !regexp.MustCompile(m[1]+`($|[A-Z])`).MatchString(of[1]) && m[1] != "L8" {
				t.Errorf("row %s has a test of %s", m[1], of[1])
			}
		}
		for _, name := range scriptName.FindAllStringSubmatch(m[2], -1) {
			if len(scripts) > 0 && !scripts[name[1]] {
				t.Errorf("row %s names the script %s, which is not there", m[1], name[1])
			}
		}
	}
	for id, tiers := range faults {
		row := strings.Split(rows[id], "|")
		for i := range len(tiers) {
			at := cells[tiers[i]]
			if len(row) <= at || !strings.Contains(row[at], "`") && !strings.Contains(row[at], "pending: ") {
				t.Errorf("scenario %s has no test at tier %c, and does not say why", id, tiers[i])
			}
		}
	}
}
