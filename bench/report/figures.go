package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"lockstep/bench"
	"lockstep/wire"
)

// Limits of what is drawn.
const (
	maxFigures = 60
	maxSeries  = 12
	maxLines   = 8 // timelines of one kind
)

// Kinds of figures, each drawn by a function of its name in the page's script.
const (
	kindCurves   = "curves"   // percentiles, and the time to each
	kindTimeline = "timeline" // time, and the round trips then
	kindStages   = "stages"   // parts of a round trip
	kindLadder   = "ladder"   // guarantee levels
	kindRatio    = "ratio"    // p50 over the floor's
	kindRates    = "rates"    // rates tried, and the round trips at each
	kindOver     = "over"     // a number that was varied, and the round trips for each
)

// figure is what the page's script draws.
type figure struct {
	ID     string     `json:"id"`
	Kind   string     `json:"kind"`
	Title  string     `json:"title"`
	Note   string     `json:"note"`
	XLabel string     `json:"x,omitempty"`
	Series []plotted  `json:"series"`
	Marks  []markedAt `json:"marks,omitempty"`
	Unfit  []string   `json:"-"`
	Desc   string     `json:"-"` // in words, for who cannot see it
}

// plotted is one series of a figure.
type plotted struct {
	Label  string  `json:"label"`
	Floor  bool    `json:"floor,omitempty"`
	Points []point `json:"points"`
}

// point has what its kind of figure wants. Times are microseconds.
type point struct {
	X     float64 `json:"x"`
	Y     float64 `json:"y"`
	Name  string  `json:"name,omitempty"` // which of several lines, or which part
	Lost  float64 `json:"lost,omitempty"`
	Until float64 `json:"until,omitempty"` // of an interval: its end
}

type markedAt struct {
	X    float64 `json:"x"`
	What string  `json:"what"`
}

// figures makes all figures of series.
func figures(list []*series) (all []figure, left int) {
	for _, of := range []func([]*series) []figure{curves, ladders, ratios, stages, rates, overs, timelines} {
		all = append(all, of(list)...)
	}
	if left = len(all) - maxFigures; left > 0 {
		all = all[:maxFigures]
	}
	for i := range all {
		all[i].ID = fmt.Sprintf("figure-%d", i+1)
	}
	return all, max(0, left)
}

// newFigure is one without points, with a name for each series.
func newFigure(kind, title string, list []*series) (f figure, names []string) {
	names, common := labels(list)
	f = figure{Kind: kind, Title: title, Note: common, Desc: title + ": " + strings.Join(names, "; ")}
	for _, s := range list {
		for _, reason := range s.Unfit {
			if !slices.Contains(f.Unfit, reason) {
				f.Unfit = append(f.Unfit, reason)
			}
		}
	}
	return f, names
}

// fewFigure is the same for the first series, if there are too many to be told apart.
func fewFigure(kind, title string, list []*series) (f figure, shown []*series, names []string) {
	shown = list[:min(len(list), maxSeries)]
	f, names = newFigure(kind, title, shown)
	if len(list) > len(shown) {
		f.Note += fmt.Sprintf(" (the first %d of %d series; the table has all)", len(shown), len(list))
	}
	return f, shown, names
}

// family says what kind of thing a series is, as figures go.
func family(s *series) string {
	switch b := base(&s.Row); {
	case isFloor(&s.Row):
		return "floor"
	case strings.HasPrefix(b, "throughput"):
		return "throughput"
	case strings.HasPrefix(b, "failover"), s.Events > 0:
		return "outage"
	case b == "jitter":
		return "jitter"
	}
	return "trip"
}

// titles of the curves of a family.
var titles = map[string]string{"trip": "Round trips by percentile", "floor": "Floors by percentile", "outage": "Outages by percentile",
	"throughput": "Round trips at the largest rate", "jitter": "Pauses by percentile"}

// curves are percentile curves: one figure for what was measured in one way, with the floors of the same file.
func curves(list []*series) (all []figure) {
	drawn := slices.DeleteFunc(slices.Clone(list), func(s *series) bool {
		return s.Hist == "" || base(&s.Row) == "throughput" // every rate tried: rates has them
	})
	floors := slices.DeleteFunc(slices.Clone(drawn), func(s *series) bool { return !isFloor(&s.Row) })
	rest := slices.DeleteFunc(slices.Clone(drawn), func(s *series) bool { return isFloor(&s.Row) })
	with := map[string]bool{}
	varied := []string{"transport", "mode", "level", "loop", "rate", "burst", "payload", "clients", "window", "mtu", "idle", "layout", "nodes", "core"}
	rank := func(s *series) int { return slices.Index([]string{"trip", "throughput", "jitter"}, family(s)) }
	sorted := groups(rest, 1, varied...)
	slices.SortStableFunc(sorted, func(a, b []*series) int { return cmp.Compare(rank(a[0]), rank(b[0])) })
	for _, group := range sorted {
		kind := family(group[0])
		if kind == "outage" { // all that was done
			continue
		}
		for _, f := range floors {
			if f.file == group[0].file && group[0].RatioP50 > 0 && len(group) < maxSeries {
				group = append(group, f)
				with[f.key()] = true
			}
		}
		all = append(all, curve(titles[kind], group))
	}
	outages := slices.DeleteFunc(slices.Clone(rest), func(s *series) bool { return family(s) != "outage" })
	for _, group := range groups(outages, 1, append(varied, "scenario")...) {
		all = append(all, curve(titles["outage"], group))
	}
	alone := slices.DeleteFunc(floors, func(s *series) bool { return with[s.key()] })
	for _, group := range groups(alone, 1, append(varied, "scenario", "commit", "dir_fs")...) {
		all = append(all, curve(titles["floor"], group))
	}
	return all
}

func curve(title string, list []*series) figure {
	f, shown, names := fewFigure(kindCurves, title, list)
	for i, s := range shown {
		f.Series = append(f.Series, plotted{Label: names[i], Floor: isFloor(&s.Row), Points: curvePoints(s.Hist)})
	}
	return f
}

// pointsADecade is how closely percentiles are looked at: from one nine to the next.
const pointsADecade = 12

// curvePoints are the times that all but one in x messages were within, x from 1 on.
func curvePoints(hist string) (points []point) {
	h, err := bench.DecodeHistogram(hist)
	if h == nil || err != nil { // Read has refused those that cannot be read
		return nil
	}
	total := float64(h.TotalCount())
	for i := 0; ; i++ {
		x := math.Pow(10, float64(i)/pointsADecade)
		if x >= total {
			break
		}
		points = append(points, point{X: roundTo(x), Y: us(h.ValueAtQuantile(100 * (1 - 1/x)))})
	}
	return append(points, point{X: total, Y: us(h.Max())})
}

func us(ns int64) float64 { return float64(ns) / 1e3 }

func roundTo(f float64) float64 { return math.Round(f*1e6) / 1e6 }

// timelines are round trips as time went by: of what was disturbed first, then of one round of each series.
func timelines(list []*series) (all []figure) {
	for _, marked := range []bool{true, false} {
		drawn := 0
		for _, s := range list {
			i := slices.IndexFunc(s.rounds, func(r bench.Row) bool { return len(r.Timeline) > 1 && (len(r.Marks) > 0) == marked })
			if i < 0 || drawn == maxLines || base(&s.Row) == "throughput" { // its search says what can be said
				continue
			}
			drawn++
			all = append(all, timeline(s, i))
		}
	}
	return all
}

func timeline(s *series, round int) figure {
	f, _ := newFigure(kindTimeline, "Round trips as time went by", []*series{s})
	switch {
	case family(s) == "outage": // the first of its rows has the timeline
		f.Note = strings.Replace(f.Note, base(&s.Row), "the whole run", 1)
	case len(s.rounds) > 1:
		f.Note += fmt.Sprintf(", round %d of %d", round+1, len(s.rounds))
	}
	f.XLabel = "seconds"
	lines := []plotted{{Label: "p50"}, {Label: "p99"}, {Label: "max"}}
	all := s.rounds[round].Timeline
	interval := all[1].AtS - all[0].AtS
	for _, p := range all {
		if p.Count == 0 {
			continue
		}
		for i, y := range []float64{p.P50Us, p.P99Us, p.MaxUs} {
			lines[i].Points = append(lines[i].Points, point{X: p.AtS, Y: y, Until: roundTo(p.AtS + interval)})
		}
	}
	f.Series = lines
	for _, m := range s.rounds[round].Marks {
		f.Marks = append(f.Marks, markedAt{m.AtS, m.What})
	}
	return f
}

// stages are the parts of round trips.
func stages(list []*series) (all []figure) {
	for _, s := range list {
		if len(s.Stages) == 0 {
			continue
		}
		f, _ := newFigure(kindStages, "Where the time of a round trip goes", []*series{s})
		for _, q := range []struct {
			name string
			of   func(*bench.StageRow) float64
		}{{"p50", func(r *bench.StageRow) float64 { return r.P50Us }}, {"p99", func(r *bench.StageRow) float64 { return r.P99Us }}} {
			line := plotted{Label: q.name}
			for i := range s.Stages {
				if r := &s.Stages[i]; r.MaxUs > 0 {
					line.Points = append(line.Points, point{X: float64(i), Y: q.of(r), Name: r.Stage})
				}
			}
			f.Series = append(f.Series, line)
		}
		all = append(all, f)
	}
	return all
}

// quantiles are the lines of figures that show several.
var quantiles = []struct {
	name string
	of   func(*bench.Row) float64
}{
	{"p50", func(r *bench.Row) float64 { return r.P50Us }},
	{"p99", func(r *bench.Row) float64 { return r.P99Us }},
	{"p99.9", func(r *bench.Row) float64 { return r.P999Us }},
}

// ladders hold the guarantee levels against one another.
func ladders(list []*series) (all []figure) {
	trips := slices.DeleteFunc(slices.Clone(list), func(s *series) bool { return family(s) != "trip" || s.Level == "" })
	for _, group := range groups(trips, 2, "level") {
		slices.SortStableFunc(group, func(a, b *series) int { return cmp.Compare(levelOf(a), levelOf(b)) })
		f, _ := newFigure(kindLadder, "What each guarantee costs", group)
		f.Series = quantileLines(group, func(s *series) point { return point{X: float64(levelOf(s)), Name: s.Level} })
		all = append(all, f)
	}
	return all
}

func levelOf(s *series) int {
	if level, ok := wire.ParseLevel(s.Level); ok {
		return int(level)
	}
	return math.MaxInt
}

// quantileLines are a line for each quantile, through all series.
func quantileLines(list []*series, at func(*series) point) (lines []plotted) {
	for _, q := range quantiles {
		line := plotted{Label: q.name}
		for _, s := range list {
			p := at(s)
			p.Y = q.of(&s.Row)
			line.Points = append(line.Points, p)
		}
		lines = append(lines, line)
	}
	return lines
}

// ratios are how many times the floor's p50 a candidate's is: of each round, and the median.
func ratios(list []*series) (all []figure) {
	held := slices.DeleteFunc(slices.Clone(list), func(s *series) bool { return s.RatioP50 == 0 })
	if len(held) == 0 {
		return nil
	}
	f, shown, names := fewFigure(kindRatio, "p50 as a multiple of the floor's", held)
	for i, s := range shown {
		line := plotted{Label: names[i], Points: []point{{Y: s.RatioP50, Name: "median"}}}
		for k := range s.rounds {
			line.Points = append(line.Points, point{X: float64(k + 1), Y: s.rounds[k].RatioP50, Name: fmt.Sprint("round ", k+1)})
		}
		f.Series = append(f.Series, line)
	}
	return []figure{f}
}

// rates are the searches for the largest rate.
func rates(list []*series) (all []figure) {
	tried := slices.DeleteFunc(slices.Clone(list), func(s *series) bool { return base(&s.Row) != "throughput" })
	for _, group := range groups(tried, 1, "rate") {
		f, _ := newFigure(kindRates, "The search for the largest rate", group)
		f.XLabel = "messages a second"
		for _, q := range quantiles[:2] {
			line := plotted{Label: q.name}
			for _, s := range group {
				for i := range s.rounds {
					r := &s.rounds[i]
					line.Points = append(line.Points, point{X: r.Rate, Y: q.of(r), Lost: float64(r.Lost)})
				}
			}
			f.Series = append(f.Series, line)
		}
		for _, s := range list {
			if base(&s.Row) == "throughput-max" && s.key("scenario", "rate") == group[0].key("scenario", "rate") {
				f.Marks = append(f.Marks, markedAt{s.Rate, "sustained " + rateText(s.Rate)})
			}
		}
		all = append(all, f)
	}
	return all
}

func rateText(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

// overs are what was measured for several values of one number.
func overs(list []*series) (all []figure) {
	trips := slices.DeleteFunc(slices.Clone(list), func(s *series) bool { return family(s) != "trip" })
	for _, n := range []struct {
		name, title, label string
		of                 func(*series) float64
	}{
		{"payload", "Round trips by size of a message", "bytes", func(s *series) float64 { return float64(s.Payload) }},
		{"clients", "Round trips by clients", "clients", func(s *series) float64 { return float64(s.Clients) }},
		{"burst", "Round trips by size of a burst", "messages at once", func(s *series) float64 { return float64(s.Burst) }},
		{"rate", "Round trips by rate", "messages a second", func(s *series) float64 { return s.Rate }},
	} {
		without := []string{n.name}
		if n.name == "clients" {
			without = append(without, "rate") // which grows with them
		}
		for _, group := range groups(trips, 3, without...) {
			if !byNumber(group, n.of) {
				continue
			}
			f, _ := newFigure(kindOver, n.title, group)
			f.XLabel = n.label
			f.Series = quantileLines(group, func(s *series) point { return point{X: n.of(s)} })
			all = append(all, f)
		}
	}
	return all
}
