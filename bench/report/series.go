package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lockstep/bench"
)

const medianSuffix = "-median"

// A series is what was measured under the same conditions: a row a round, and one for all of them.
type series struct {
	bench.Row // for all rounds: the medians, or the only round
	file      string
	rounds    []bench.Row
	rows      []int // numbers of its rows in the report
}

// base is a row's scenario, whether of a round or of the medians.
func base(r *bench.Row) string { return strings.TrimSuffix(r.Scenario, medianSuffix) }

func isMedian(r *bench.Row) bool { return strings.HasSuffix(r.Scenario, medianSuffix) }

func isFloor(r *bench.Row) bool { return strings.HasPrefix(r.Scenario, "floor-") }

// property is one of the conditions by which series differ.
type property struct {
	name    string
	value   func(s *series) string // empty: nothing to say
	ofNodes bool                   // floors have none, or another one that says nothing
}

// properties are in the order in which labels name them.
var properties = []property{
	{"file", func(s *series) string { return s.file }, false},
	{"scenario", func(s *series) string { return base(&s.Row) }, false},
	{"transport", func(s *series) string { return s.Transport }, false},
	{"mode", func(s *series) string { return s.Mode }, false},
	{"core", func(s *series) string { return coreWords(s) }, false},
	{"flow", func(s *series) string { return flowWords(s) }, false},
	{"nodes", func(s *series) string { return counted(s.Nodes, "node", "nodes") }, true},
	{"commit", func(s *series) string { return s.Commit }, true},
	{"dir_fs", func(s *series) string { return prefixed("on ", s.DirFS) }, true},
	{"level", func(s *series) string { return s.Level }, true},
	{"loop", func(s *series) string { return s.Loop }, false},
	{"rate", func(s *series) string { return rateWords(s) }, false},
	{"burst", func(s *series) string { return burstWords(s.Burst) }, false},
	{"payload", func(s *series) string { return payloadWords(s) }, false},
	{"clients", func(s *series) string { return counted(s.Clients, "client", "clients") }, true},
	{"window", func(s *series) string { return prefixed("window ", number(float64(s.Window))) }, true},
	{"layout", func(s *series) string { return firstWord(s.Layout) }, true},
	{"idle", func(s *series) string { return prefixed("idle ", firstWord(s.Idle)) }, true},
	{"mtu", func(s *series) string { return prefixed("MTU ", number(float64(s.MTU))) }, true},
	{"host", func(s *series) string { return s.Host }, false},
}

func rateWords(s *series) string {
	switch {
	case s.Rate == 0 || base(&s.Row) == "throughput-max": // whose rate is what came out
		return ""
	case s.Rate >= 1000:
		return strconv.FormatFloat(s.Rate/1000, 'f', -1, 64) + "k/s"
	}
	return number(s.Rate) + "/s"
}

func burstWords(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprint("bursts of ", n)
}

func coreWords(s *series) string {
	if s.Jitter == nil {
		return ""
	}
	return fmt.Sprint("core ", s.Jitter.Core)
}

// flowWords name what is sent, if it is not echoes.
func flowWords(s *series) string {
	words := strings.TrimSpace(s.Flow + " " + s.FlowFile)
	if s.Flow == bench.FlowEcho {
		return ""
	}
	return words
}

func payloadWords(s *series) string {
	if s.Payload == 0 && s.Acked == 0 || s.Jitter != nil {
		return ""
	}
	return fmt.Sprint(s.Payload, " B")
}

func counted(n int, one, many string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func prefixed(prefix, word string) string {
	if word == "" || word == "0" {
		return ""
	}
	return prefix + word
}

func firstWord(s string) string { word, _, _ := strings.Cut(s, " "); return word }

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// key is the same for rows of the same conditions.
func (s *series) key(without ...string) string {
	var words []string
	for _, p := range properties {
		if !slices.Contains(without, p.name) {
			words = append(words, p.value(s))
		}
	}
	return strings.Join(words, "\x00")
}

// sortSeries puts rows together that belong together, in the order in which they were measured.
func sortSeries(rows []row) []*series {
	var list []*series
	found := map[string]*series{}
	for i := range rows {
		s := &series{Row: rows[i].Row, file: rows[i].file}
		k := s.key()
		if found[k] == nil {
			found[k] = s
			list = append(list, s)
		}
		s = found[k]
		s.rows = append(s.rows, i)
		if isMedian(&rows[i].Row) {
			s.Row = rows[i].Row
		} else {
			s.rounds = append(s.rounds, rows[i].Row)
		}
	}
	for _, s := range list {
		if len(s.rounds) > 1 && !isMedian(&s.Row) {
			s.Row = bench.Median(s.rounds)
		}
		s.Judge()
	}
	return list
}

// labels names series by what tells them from one another; the same for all of them goes into common.
func labels(list []*series) (names []string, common string) {
	names = make([]string, len(list))
	var shared []string
	for _, p := range properties {
		values, different := make([]string, len(list)), []string{}
		for i, s := range list {
			if p.ofNodes && isFloor(&s.Row) && !isFloor(&list[0].Row) {
				continue
			}
			values[i] = p.value(s)
			if !slices.Contains(different, values[i]) {
				different = append(different, values[i])
			}
		}
		if len(different) == 1 {
			if values[0] != "" && p.name != "file" && p.name != "host" {
				shared = append(shared, values[0])
			}
			continue
		}
		for i, v := range values {
			if v != "" {
				names[i] = strings.TrimSpace(names[i] + " " + v)
			}
		}
	}
	common = strings.Join(shared, ", ")
	seen := map[string]int{}
	for i, name := range names {
		if name == "" {
			name = base(&list[i].Row)
		}
		if seen[name]++; seen[name] > 1 {
			name += fmt.Sprintf(" (%d)", seen[name])
		}
		names[i] = name
	}
	return names, common
}

// groups puts series together whose keys are the same without some properties, in order; those alone are left out.
func groups(list []*series, least int, without ...string) [][]*series {
	var order []string
	found := map[string][]*series{}
	for _, s := range list {
		k := s.key(without...)
		if found[k] == nil {
			order = append(order, k)
		}
		found[k] = append(found[k], s)
	}
	var all [][]*series
	for _, k := range order {
		if len(found[k]) >= least {
			all = append(all, found[k])
		}
	}
	return all
}

// byNumber sorts series by a number of theirs; false when it is not another one for each.
func byNumber(list []*series, of func(*series) float64) bool {
	slices.SortStableFunc(list, func(a, b *series) int { return cmp.Compare(of(a), of(b)) })
	for i := 1; i < len(list); i++ {
		if of(list[i-1]) == of(list[i]) {
			return false
		}
	}
	return true
}
