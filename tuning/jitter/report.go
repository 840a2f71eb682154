package jitter

import (
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what was measured.
type Report struct {
	Seconds float64 `json:"seconds"`
	Clock   string  `json:"clock"` // what was read
	// Signals says that the Go runtime's preemption signals were among the pauses: GODEBUG=asyncpreemptoff=1 was not set.
	Signals bool   `json:"signals"`
	Cores   []Core `json:"cores"`
}

// Core is what was measured on one core. Times are microseconds.
type Core struct {
	Core        int      `json:"core"`
	Isolated    bool     `json:"isolated"` // the kernel schedules nothing on it by itself
	ThresholdUs float64  `json:"threshold_us"`
	Count       uint64   `json:"count"` // pauses
	PerSec      float64  `json:"per_sec"`
	MinUs       float64  `json:"min_us"`
	P50Us       float64  `json:"p50_us"`
	MeanUs      float64  `json:"mean_us"`
	P90Us       float64  `json:"p90_us"`
	P99Us       float64  `json:"p99_us"`
	P999Us      float64  `json:"p999_us"`
	P9999Us     float64  `json:"p9999_us"`
	MaxUs       float64  `json:"max_us"`
	PausedPct   float64  `json:"paused_pct"` // of the time that was looked at
	SeenPct     float64  `json:"seen_pct"`   // of the time: the rest lies between two slices of readings
	WaitedPct   float64  `json:"waited_pct"` // of the time the thread was ready and another one had its core
	StealPct    float64  `json:"steal_pct"`  // of the time the hypervisor ran somebody else, as far as it says so
	Histogram   []Bar    `json:"histogram"`
	Causes      []Cause  `json:"causes"`           // what was counted meanwhile, most frequent first
	Unread      []string `json:"unread,omitempty"` // what could not be read of the causes

	Pauses *hdrhistogram.Histogram `json:"-"` // nanoseconds
}

// Bar is how many pauses were of some length: a power of two of microseconds.
type Bar struct {
	FromUs float64 `json:"from_us"` // 0: shorter than a microsecond
	ToUs   float64 `json:"to_us"`
	Count  uint64  `json:"count"`
}

// bars sums a histogram up, from the shortest to the longest, with those in between that are empty.
func bars(h *hdrhistogram.Histogram) (all []Bar) {
	for _, d := range h.Distribution() {
		if d.Count == 0 {
			continue
		}
		i := bits.Len64(uint64(d.From) / 1000)
		for len(all) <= i {
			to := float64(uint64(1) << len(all))
			from := to / 2
			if len(all) == 0 {
				from = 0
			}
			all = append(all, Bar{FromUs: from, ToUs: to})
		}
		all[i].Count += uint64(d.Count)
	}
	return all
}

// shownCauses is how many causes of a core the text has; the JSON has all.
const shownCauses = 8

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	fmt.Fprintf(w, "%.1f s, %s\n\n", r.Seconds, r.Clock)
	if err := r.printTable(w); err != nil {
		return err
	}
	fmt.Fprintln(w, "\npauses by length")
	if err := r.printHistogram(w); err != nil {
		return err
	}
	for i := range r.Cores {
		r.Cores[i].printCauses(w)
	}
	r.printUnread(w)
	if r.Signals {
		_, err := fmt.Fprintln(w, "\nthe Go runtime's preemption signals are among the pauses: set GODEBUG=asyncpreemptoff=1")
		return err
	}
	return nil
}

func (r *Report) printTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "core\tisolated\tlonger than\tpauses/s\tmin\tmedian\tmean\tp90\tp99\tp99.9\tp99.99\tmax\ttime\t")
	for i := range r.Cores {
		c := &r.Cores[i]
		isolated := "no"
		if c.Isolated {
			isolated = "yes"
		}
		fmt.Fprintf(table, "%d\t%s\t%.1f us\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f us\t%.3f %%\t\n", c.Core, isolated,
			c.ThresholdUs, c.PerSec, c.MinUs, c.P50Us, c.MeanUs, c.P90Us, c.P99Us, c.P999Us, c.P9999Us, c.MaxUs, c.PausedPct)
	}
	return table.Flush()
}

// printHistogram has a row for a length and a column for a core.
func (r *Report) printHistogram(w io.Writer) error {
	rows, most := 0, uint64(1)
	for i := range r.Cores {
		rows = max(rows, len(r.Cores[i].Histogram))
		for _, b := range r.Cores[i].Histogram {
			most = max(most, b.Count)
		}
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "below\t")
	for i := range r.Cores {
		fmt.Fprintf(table, "core %d\t\t", r.Cores[i].Core)
	}
	fmt.Fprintln(table)
	for row := range rows {
		fmt.Fprintf(table, "%.0f us\t", float64(uint64(1)<<row))
		for i := range r.Cores {
			n := uint64(0)
			if row < len(r.Cores[i].Histogram) {
				n = r.Cores[i].Histogram[row].Count
			}
			fmt.Fprintf(table, "%d\t%-12s\t", n, bar(n, most))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// bar draws a count beside the greatest: a mark for each doubling, so that rare ones are seen.
func bar(n, most uint64) string {
	if n == 0 {
		return ""
	}
	return strings.Repeat("#", 1+11*(bits.Len64(n)-1)/max(1, bits.Len64(most)-1))
}

func (c *Core) printCauses(w io.Writer) {
	fmt.Fprintf(w, "\ncore %d: another thread had it for %.3f %% of the time, the hypervisor for %.3f %%; %.1f %% of the time was looked at;\n"+
		"counted meanwhile, a second:\n", c.Core, c.WaitedPct, c.StealPct, c.SeenPct)
	for i, cause := range c.Causes {
		if i == shownCauses {
			fmt.Fprintf(w, "  and %d more kinds, less frequent (--json has them)\n", len(c.Causes)-shownCauses)
			break
		}
		fmt.Fprintf(w, "  %10.1f  %-9s  %s\n", cause.PerSec, cause.Kind, cause.Name)
	}
}

// printUnread names what could not be read, once for all cores.
func (r *Report) printUnread(w io.Writer) {
	var all []string
	for i := range r.Cores {
		for _, what := range r.Cores[i].Unread {
			if what = ofOne.ReplaceAllString(what, "${1}N${2}"); !slices.Contains(all, what) {
				all = append(all, what)
			}
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(w, "\nnot to be read here, and not counted:\n  %s\n", strings.Join(all, "\n  "))
	}
}

// ofOne finds the number of a core or a thread in the path of what is counted for it.
var ofOne = regexp.MustCompile(`(/cpu|/cpu/|/task/)\d+(/)`)
