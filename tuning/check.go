package tuning

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Check looks at every item that the target's profile wants.
func Check(h *Host, t Target) []Finding {
	var findings []Finding
	for _, it := range Items() {
		if it.For.Has(t.Profile) {
			findings = append(findings, it.look(h, t))
		}
	}
	return findings
}

// Score is how fit a host is, 0 to 100: the weights of what is as wanted, out of those of all that this machine has.
// A host of which nothing is known scores 0.
func Score(findings []Finding) int {
	good, all := 0, 0
	for _, f := range findings {
		switch {
		case f.State == OK:
			good, all = good+f.Weight, all+f.Weight
		case f.State.Wrong():
			all += f.Weight
		}
	}
	if all == 0 {
		return 0
	}
	return good * 100 / all
}

// Wrong is what is not as wanted and counts, the heaviest first.
func Wrong(findings []Finding) []Finding {
	var wrong []Finding
	for _, f := range findings {
		if f.State.Wrong() && f.Weight > 0 {
			wrong = append(wrong, f)
		}
	}
	slices.SortStableFunc(wrong, func(a, b Finding) int { return cmp.Compare(b.Weight, a.Weight) })
	return wrong
}

// BootLine is what to add to the kernel command line; empty when nothing is missing.
func BootLine(findings []Finding) string {
	var words []string
	for _, f := range findings {
		if f.State == NeedsReboot {
			words = append(words, f.Boot...)
		}
	}
	return joinWords(words)
}

func joinWords(words []string) string { return strings.Join(words, " ") }

// Print writes the findings as a table, with what mends them under it, and the score.
func Print(w io.Writer, findings []Finding) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	group := ""
	for _, f := range findings {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(table, "%s\tSTATE\tCURRENT\tWANTED\n", strings.ToUpper(group))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Item, f.State, f.Current, f.Wanted)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong := Wrong(findings); len(wrong) > 0 {
		fmt.Fprintln(w, "\nWHAT MENDS IT, the heaviest first")
		for _, f := range wrong {
			fmt.Fprintf(w, "%s: %s\n    %s\n", f.Item, f.Why, f.Fix)
		}
	}
	if line := BootLine(findings); line != "" {
		fmt.Fprintf(w, "\nadd to the kernel command line (in the boot loader's config; nothing here edits it):\n    %s\n", line)
	}
	good, wrong := 0, 0
	for _, f := range findings {
		good += count(f.State == OK)
		wrong += count(f.State.Wrong())
	}
	_, err := fmt.Fprintf(w, "\nscore %d of 100: %d as wanted, %d not, %d not here\n", Score(findings), good, wrong,
		len(findings)-good-wrong)
	return err
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
