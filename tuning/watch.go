package tuning

import (
	"fmt"
	"io"
	"strings"
)

// Shift is what has become of an item from one look to the next.
type Shift struct {
	Item string `json:"item"`
	From State  `json:"from"`
	To   State  `json:"to"`
	Was  string `json:"was"`
	Is   string `json:"is"`
	Fix  string `json:"fix,omitempty"`
}

// String is the shift as a line.
func (s Shift) String() string {
	line := fmt.Sprintf("%s: %s (%s) -> %s (%s)", s.Item, s.From, s.Was, s.To, s.Is)
	if s.Fix != "" {
		line += ": " + s.Fix
	}
	return line
}

// Watch looks at a host again and again. It is one goroutine's.
type Watch struct {
	Host   *Host
	Target Target
	last   []Finding
}

// Look checks the host: the items whose state is another than at the look before, and the score.
func (w *Watch) Look() (shifts []Shift, score int) {
	now := Check(w.Host, w.Target)
	for i, f := range now {
		if w.last != nil && w.last[i].State != f.State { // Check finds the same items in the same order every time
			shifts = append(shifts, Shift{Item: f.Item, From: w.last[i].State, To: f.State, Was: w.last[i].Current,
				Is: f.Current, Fix: f.Fix})
		}
	}
	w.last = now
	return shifts, Score(now)
}

// Export writes the last look in the format that Prometheus reads.
func (w *Watch) Export(out io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# HELP lockstep_tuning_score how fit the host is, 0 to 100\n# TYPE lockstep_tuning_score gauge\n"+
		"lockstep_tuning_score %d\n", Score(w.last))
	fmt.Fprint(&text, "# HELP lockstep_tuning_item 1 at the state that an item has\n# TYPE lockstep_tuning_item gauge\n")
	for _, f := range w.last {
		fmt.Fprintf(&text, "lockstep_tuning_item{item=%q,state=%q} 1\n", f.Item, f.State)
	}
	_, err := io.WriteString(out, text.String())
	return err
}
