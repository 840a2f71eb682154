package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/bench"
)

// column is one of the table of rows.
type column struct {
	field, head string // of the JSON, and for people
	text        bool
	value       func(r *bench.Row) string
}

func words(field, head string, of func(*bench.Row) string) column {
	return column{field, head, true, of}
}

func counts[T uint64 | int](field, head string, of func(*bench.Row) T) column {
	return column{field, head, false, func(r *bench.Row) string { return fmt.Sprint(of(r)) }}
}

func figuresOf(field, head string, of func(*bench.Row) float64) column {
	return column{field, head, false, func(r *bench.Row) string { return number(of(r)) }}
}

// columns of the table of rows. One that no row has anything in is left out.
var columns = []column{
	words("scenario", "scenario", func(r *bench.Row) string { return r.Scenario }),
	words("transport", "over", func(r *bench.Row) string { return r.Transport }),
	words("mode", "mode", func(r *bench.Row) string { return r.Mode }),
	counts("nodes", "nodes", func(r *bench.Row) int { return r.Nodes }),
	words("commit", "commit", func(r *bench.Row) string { return r.Commit }),
	words("dir_fs", "on", func(r *bench.Row) string { return r.DirFS }),
	words("level", "level", func(r *bench.Row) string { return r.Level }),
	words("loop", "loop", func(r *bench.Row) string { return r.Loop }),
	figuresOf("rate", "rate", func(r *bench.Row) float64 { return r.Rate }),
	counts("burst", "burst", func(r *bench.Row) int { return r.Burst }),
	counts("payload", "payload", func(r *bench.Row) int { return r.Payload }),
	counts("clients", "clients", func(r *bench.Row) int { return r.Clients }),
	figuresOf("min_us", "min", func(r *bench.Row) float64 { return r.MinUs }),
	figuresOf("p50_us", "p50", func(r *bench.Row) float64 { return r.P50Us }),
	figuresOf("p90_us", "p90", func(r *bench.Row) float64 { return r.P90Us }),
	figuresOf("p99_us", "p99", func(r *bench.Row) float64 { return r.P99Us }),
	figuresOf("p999_us", "p99.9", func(r *bench.Row) float64 { return r.P999Us }),
	figuresOf("p9999_us", "p99.99", func(r *bench.Row) float64 { return r.P9999Us }),
	figuresOf("max_us", "max", func(r *bench.Row) float64 { return r.MaxUs }),
	counts("events", "events", func(r *bench.Row) int { return r.Events }),
	counts("sent", "sent", func(r *bench.Row) uint64 { return r.Sent }),
	counts("acked", "answered", func(r *bench.Row) uint64 { return r.Acked }),
	counts("lost", "lost", func(r *bench.Row) uint64 { return r.Lost }),
	counts("duplicated", "twice", func(r *bench.Row) uint64 { return r.Duplicated }),
	counts("reordered", "out of order", func(r *bench.Row) uint64 { return r.Reordered }),
	figuresOf("per_sec", "per second", func(r *bench.Row) float64 { return r.PerSec }),
	figuresOf("floor_p50_us", "floor p50", func(r *bench.Row) float64 { return r.FloorP50Us }),
	figuresOf("ratio_p50", "ratio", func(r *bench.Row) float64 { return r.RatioP50 }),
	figuresOf("steal_pct", "steal %", func(r *bench.Row) float64 { return r.StealPct }),
	figuresOf("jitter_p99_us", "pauses p99", func(r *bench.Row) float64 { return r.JitterP99Us }),
}

// always are the last columns: figures that a table has even when they are the same in all rows.
var always = slices.IndexFunc(columns, func(c column) bool { return c.field == "min_us" })

// table is one for the page.
type table struct {
	Same  string // what is the same in all lines
	Heads []head
	Lines []line
}

type head struct {
	Field, Name string
	Text        bool
}

type line struct {
	Median, Unfit bool
	Cells         []cell
}

type cell struct {
	Field, Value string
	Text         bool
}

// rowTable has a line a row, file by file.
func rowTable(rows []row) table {
	var t table
	var used []column
	for i, c := range columns {
		first := c.value(&rows[0].Row)
		same := !slices.ContainsFunc(rows, func(r row) bool { return c.value(&r.Row) != first })
		switch {
		case same && (first == "" || first == "0"):
		case same && 0 < i && i < always:
			t.Same += prefixed(", ", strings.TrimSpace(c.head+" "+first))
		default:
			used = append(used, c)
		}
	}
	t.Same = strings.TrimPrefix(t.Same, ", ")
	many := slices.ContainsFunc(rows, func(r row) bool { return r.file != rows[0].file })
	if many {
		t.Heads = append(t.Heads, head{"file", "file", true})
	}
	for _, c := range used {
		t.Heads = append(t.Heads, head{c.field, c.head, c.text})
	}
	for i := range rows {
		r := rows[i].Row
		r.Judge()
		l := line{Median: isMedian(&r), Unfit: len(r.Unfit) > 0}
		if many {
			l.Cells = append(l.Cells, cell{"file", rows[i].file, true})
		}
		for _, c := range used {
			l.Cells = append(l.Cells, cell{c.field, c.value(&r), c.text})
		}
		t.Lines = append(t.Lines, l)
	}
	return t
}

// stageTable has a line a part of each series that has parts.
func stageTable(list []*series) table {
	t := table{Heads: []head{{"series", "series", true}, {"stage", "stage", true}, {"count", "messages", false}, {"min_us", "min", false},
		{"p50_us", "p50", false}, {"p90_us", "p90", false}, {"p99_us", "p99", false}, {"p999_us", "p99.9", false}, {"max_us", "max", false}}}
	with := slices.DeleteFunc(slices.Clone(list), func(s *series) bool { return len(s.Stages) == 0 })
	names, _ := labels(with)
	for i, s := range with {
		for _, r := range s.Stages {
			l := line{Unfit: len(s.Unfit) > 0, Cells: []cell{{"series", names[i], true}, {"stage", r.Stage, true},
				{"count", strconv.FormatInt(r.Count, 10), false}}}
			for k, v := range []float64{r.MinUs, r.P50Us, r.P90Us, r.P99Us, r.P999Us, r.MaxUs} {
				l.Cells = append(l.Cells, cell{t.Heads[3+k].Field, number(v), false})
			}
			t.Lines = append(t.Lines, l)
		}
	}
	return t
}

// auditTable has a line for each run of kills, cuts and hand-overs.
func auditTable(rows []row) table {
	t := table{Heads: []head{{"file", "file", true}, {"sessions", "sessions", false}, {"messages", "in the journals", false},
		{"missing", "missing", false}, {"misplaced", "elsewhere than told", false}, {"duplicated", "twice", false},
		{"reordered", "out of order", false}, {"wrong", "wrong responses", false}, {"unanswered", "unanswered", false},
		{"linearizable", "linearizable", true}}}
	var last bench.FailoverAudit
	for i := range rows {
		a := rows[i].Audit
		if a == nil || *a == last {
			continue
		}
		last = *a
		t.Lines = append(t.Lines, line{Unfit: !a.Holds(), Cells: []cell{{"file", rows[i].file, true}, {"sessions", fmt.Sprint(a.Sessions), false},
			{"messages", fmt.Sprint(a.Messages), false}, {"missing", fmt.Sprint(a.Missing), false}, {"misplaced", fmt.Sprint(a.Misplaced), false},
			{"duplicated", fmt.Sprint(a.Duplicated), false}, {"reordered", fmt.Sprint(a.Reordered), false}, {"wrong", fmt.Sprint(a.Wrong), false},
			{"unanswered", fmt.Sprint(a.Unanswered), false}, {"linearizable", fmt.Sprint(a.Linearizable), true}}})
	}
	return t
}

// looked is one condition: what it was in the rows, how that was found out, and what is wrong with it.
type looked struct {
	Field, Name, How string
	Values           []valued
	Unfit            string
	of               func(*bench.Row) string
	reasons          []string
}

type valued struct {
	Value string
	Rows  int
}

// conditions are what was looked at, in all rows.
var conditions = []looked{
	{Field: "host", Name: "host", How: "processor, cores and kernel, with the beginning of their SHA-256", of: func(r *bench.Row) string { return r.Host }},
	{Field: "kernel", Name: "kernel", How: "uname", of: func(r *bench.Row) string { return r.Kernel }},
	{Field: "cores", Name: "cores", How: "those that the process may run on", of: func(r *bench.Row) string { return fmt.Sprint(r.Cores) }},
	{Field: "hypervisor", Name: "hypervisor", How: "the processor's flags; the firmware's name for the machine", of: func(r *bench.Row) string { return r.Hypervisor },
		reasons: []string{bench.UnfitHypervisor}},
	{Field: "isolated", Name: "isolated cores", How: "/sys/devices/system/cpu/isolated", of: func(r *bench.Row) string { return r.Isolated },
		reasons: []string{bench.UnfitIsolated}},
	{Field: "clock_source", Name: "clock source", How: "/sys/devices/system/clocksource", of: func(r *bench.Row) string { return r.ClockSource },
		reasons: []string{bench.UnfitClock}},
	{Field: "nic_driver", Name: "network driver", How: "what the interface is bound to", of: func(r *bench.Row) string { return r.NICDriver },
		reasons: []string{bench.UnfitNIC, bench.UnfitShared}},
	{Field: "nic_mode", Name: "packets", How: "the socket, as it was opened", of: func(r *bench.Row) string { return r.NICMode },
		reasons: []string{bench.UnfitMode}},
	{Field: "mtu", Name: "MTU", How: "the interface", of: func(r *bench.Row) string { return prefixed("", fmt.Sprint(r.MTU)) }},
	{Field: "disk", Name: "disk", How: "/sys/dev/block", of: func(r *bench.Row) string { return r.Disk }},
	{Field: "dir_fs", Name: "file system", How: "statfs of the nodes' directories", of: func(r *bench.Row) string { return r.DirFS }},
	{Field: "write_cache", Name: "write cache", How: "queue/write_cache of that disk", of: func(r *bench.Row) string { return r.WriteCache }},
	{Field: "sync", Name: "writes", How: "the nodes' status", of: func(r *bench.Row) string { return r.Sync }},
	{Field: "fsync", Name: "synced", How: "the nodes' config", of: func(r *bench.Row) string { return r.Fsync }},
	{Field: "layout", Name: "threads", How: "the nodes' status", of: func(r *bench.Row) string { return r.Layout }},
	{Field: "idle", Name: "idle strategy", How: "the nodes' status", of: func(r *bench.Row) string { return r.Idle }},
	{Field: "tuning_score", Name: "tuning score", How: "lockstep tune check", of: func(r *bench.Row) string { return scoreText(r.TuningScore) },
		reasons: []string{bench.UnfitTuning, bench.UnfitUnknown}},
	{Field: "steal_pct", Name: "steal, %", How: "/proc/stat, meanwhile", of: nil, reasons: []string{bench.UnfitSteal}},
	{Field: "jitter_p99_us", Name: "pauses, p99 in us", How: "a thread that spins, before each round", of: nil, reasons: []string{bench.UnfitJitter}},
	{Field: "revision", Name: "revision", How: "the binary", of: func(r *bench.Row) string { return r.Revision }},
}

func scoreText(score int) string {
	if score < 0 {
		return "not looked at"
	}
	return fmt.Sprint(score, " of 100")
}

// lookedAt says what every condition was. fingerprint is the same for reports whose conditions are, but for steal and pauses.
func lookedAt(rows []row) (all []looked, fingerprint string) {
	h := sha256.New()
	for _, c := range conditions {
		switch c.Field {
		case "steal_pct":
			c.Values = ranged(rows, func(r *bench.Row) float64 { return r.StealPct })
		case "jitter_p99_us":
			c.Values = ranged(rows, func(r *bench.Row) float64 { return r.JitterP99Us })
		default:
			c.Values = distinct(rows, c.of)
			for _, v := range c.Values {
				fmt.Fprintf(h, "%s=%s\n", c.Field, v.Value)
			}
		}
		var wrong []string
		for _, reason := range c.reasons {
			if n := unfitRows(rows, reason); n > 0 {
				wrong = append(wrong, fmt.Sprintf("%s (%s)", reason, counted(n, "row", "rows")))
			}
		}
		c.Unfit = strings.Join(wrong, ", ")
		all = append(all, c)
	}
	return all, hex.EncodeToString(h.Sum(nil)[:8])
}

// distinct are the values of a condition, most rows first; rows that do not have it are not counted.
func distinct(rows []row, of func(*bench.Row) string) (all []valued) {
	for i := range rows {
		v := of(&rows[i].Row)
		if v == "" {
			continue
		}
		at := slices.IndexFunc(all, func(x valued) bool { return x.Value == v })
		if at < 0 {
			at = len(all)
			all = append(all, valued{Value: v})
		}
		all[at].Rows++
	}
	slices.SortStableFunc(all, func(a, b valued) int { return b.Rows - a.Rows })
	return all
}

func ranged(rows []row, of func(*bench.Row) float64) []valued {
	low, high := of(&rows[0].Row), of(&rows[0].Row)
	for i := range rows {
		low, high = min(low, of(&rows[i].Row)), max(high, of(&rows[i].Row))
	}
	text := number(low)
	if low != high {
		text += " to " + number(high)
	}
	return []valued{{text, len(rows)}}
}

func unfitRows(rows []row, reason string) (n int) {
	for i := range rows {
		r := rows[i].Row
		if r.Judge(); slices.Contains(r.Unfit, reason) {
			n++
		}
	}
	return n
}
