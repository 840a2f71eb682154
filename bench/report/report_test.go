package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/bench"
)

func TestEveryKindOfFigureIsMade(t *testing.T) {
	_, r := sampleReport(t)
	kinds := map[string]int{}
	for _, f := range r.Figures {
		kinds[f.Kind]++
		if len(f.Series) == 0 || len(f.Unfit) == 0 {
			t.Errorf("%s: %d series, unfit for %v", f.Title, len(f.Series), f.Unfit)
		}
		for _, s := range f.Series {
			if len(s.Points) == 0 || s.Label == "" {
				t.Errorf("%s: series %q has %d points", f.Title, s.Label, len(s.Points))
			}
		}
	}
	for kind, want := range map[string]int{kindCurves: 4, kindTimeline: 6, kindStages: 1, kindLadder: 1, kindRatio: 1, kindRates: 1, kindOver: 1} {
		if kinds[kind] != want {
			t.Errorf("%d figures of kind %s, want %d: %v", kinds[kind], kind, want, kinds)
		}
	}
	if first := r.Figures[slices.IndexFunc(r.Figures, func(f figure) bool { return f.Kind == kindTimeline })]; len(first.Marks) != 2 {
		t.Errorf("the first timeline has the marks %v, not those of the kills", first.Marks)
	}
}

func TestCurvesAreWhatTheHistogramSays(t *testing.T) {
	h := bench.NewHistogram()
	for us := int64(1); us <= 10_000; us++ {
		_ = h.RecordValue(us * 1000)
	}
	points := curvePoints(bench.EncodeHistogram(h))
	for _, want := range []point{{X: 10, Y: 9000}, {X: 100, Y: 9900}, {X: 1000, Y: 9990}, {X: 10_000, Y: 10_000}} {
		at := slices.IndexFunc(points, func(p point) bool { return p.X == want.X })
		if at < 0 || points[at].Y < 0.998*want.Y || points[at].Y > 1.002*want.Y {
			t.Errorf("all but one in %v are within %v us: %v", want.X, want.Y, points)
		}
	}
	if last := points[len(points)-1]; last.X != 10_000 {
		t.Errorf("the curve ends at %v", last)
	}
}

func TestRoundsAreOneSeries(t *testing.T) {
	_, r := sampleReport(t)
	list := sortSeries(r.rows)
	at := slices.IndexFunc(list, func(s *series) bool { return s.Scenario == "rtt-median" && s.Level == "applied" })
	if at < 0 || len(list[at].rounds) != 3 || len(list[at].rows) != 4 {
		t.Fatalf("no series of three rounds and their medians")
	}
	floor := slices.IndexFunc(list, func(s *series) bool { return isFloor(&s.Row) })
	if s := list[floor]; s.Scenario != "floor-two-hop-median" || len(s.rounds) != 3 {
		t.Errorf("rounds without a row of medians: %q of %d", s.Scenario, len(s.rounds))
	}
}

func TestLabelsSayWhatDiffers(t *testing.T) {
	row := func(level string, rate float64, scenario string) *series {
		return &series{file: "a", Row: bench.Row{Scenario: scenario, Transport: "xdp", Level: level, Rate: rate, Payload: 200, Nodes: 3, Idle: "yield"}}
	}
	names, common := labels([]*series{row("applied", 20000, "rtt"), row("durable", 20000, "rtt-median"), row("", 20000, "floor-two-hop")})
	if want := []string{"rtt applied", "rtt durable", "floor-two-hop"}; !slices.Equal(names, want) || common != "xdp, 3 nodes, 20k/s, 200 B, idle yield" {
		t.Errorf("%q, in common %q", names, common)
	}
	if names, _ := labels([]*series{row("applied", 1, "rtt"), row("applied", 1, "rtt")}); names[0] == names[1] {
		t.Errorf("two have one name: %q", names)
	}
}

var cells = regexp.MustCompile(`<td data-field="([a-z0-9_]+)"[^>]*>([^<]*)`)

func TestTableHasEveryFigureOfEveryRow(t *testing.T) {
	rs, r := sampleReport(t)
	html := pageOf(t, r)
	_, html, _ = strings.Cut(html, `id="rows-table"`)
	html, _, _ = strings.Cut(html, `</section>`)
	lines := strings.Split(html, "<tr")[2:] // after the heads
	if len(lines) != rs.Len() {
		t.Fatalf("%d lines for %d rows", len(lines), rs.Len())
	}
	for i, line := range lines {
		got := map[string]string{}
		for _, m := range cells.FindAllStringSubmatch(line, -1) {
			got[m[1]] = m[2]
		}
		row := &rs.rows[i].Row
		for field, want := range map[string]string{"scenario": row.Scenario, "p50_us": number(row.P50Us), "p9999_us": number(row.P9999Us),
			"max_us": number(row.MaxUs), "ratio_p50": number(row.RatioP50), "level": row.Level, "per_sec": number(row.PerSec)} {
			if got[field] != want {
				t.Errorf("row %d: %s is %q, want %q", i, field, got[field], want)
			}
		}
		if !strings.Contains(line, "†") {
			t.Errorf("row %d is of an unfit host and not marked", i)
		}
	}
}

func TestPageAsksForNothing(t *testing.T) {
	_, r := sampleReport(t)
	html := pageOf(t, r)
	for _, bad := range []string{"<link", "<img", "<iframe", "src=", "@import", "url("} {
		at := strings.Index(html, bad)
		if script := strings.Index(html, "<script>"); at >= 0 && at < script {
			t.Errorf("%q: %.80q", bad, html[at:])
		}
	}
	if n := strings.Count(html, "<script"); n != 5 || !strings.Contains(html, "default-src 'none'") {
		t.Errorf("%d scripts", n)
	}
}

func TestDigestBelongsToTheRows(t *testing.T) {
	rs, r := sampleReport(t)
	html := pageOf(t, r)
	had, digest, err := ReadPage("page", strings.NewReader(html))
	if err != nil || digest != rs.Digest() || had.Len() != rs.Len() {
		t.Fatalf("%v, %s", err, digest)
	}
	lines := strings.SplitAfter(strings.TrimSpace(sample(t))+"\n", "\n")
	slices.Reverse(lines)
	other := &Rows{}
	if err := other.Read("b", strings.NewReader(strings.Join(lines, ""))); err != nil || other.Digest() != digest {
		t.Errorf("another order of the same rows: %v", err)
	}
	better := &Rows{}
	changed := strings.Replace(sample(t), `"hypervisor":"KVM"`, `"hypervisor":"none"`, 1)
	if err := better.Read("c", strings.NewReader(changed)); err != nil || better.Digest() == digest {
		t.Errorf("a row with another condition has the same digest: %v", err)
	}
	forged := strings.ReplaceAll(html, `"lost":1234`, `"lost":0`)
	if _, _, err := ReadPage("page", strings.NewReader(forged)); !errors.Is(err, ErrPage) {
		t.Errorf("a page with another row: %v", err)
	}
	if _, _, err := ReadPage("page", strings.NewReader("<html>")); !errors.Is(err, ErrPage) {
		t.Errorf("no page: %v", err)
	}
}

func TestRowsCannotEndTheirScript(t *testing.T) {
	rs := &Rows{}
	if err := rs.Read("</script>.json", strings.NewReader(`{"scenario":"</script><b>", "mode":"<!--", "p50_us":5}`)); err != nil {
		t.Fatal(err)
	}
	r, err := New(rs, Options{Title: "</title><script>"})
	if err != nil {
		t.Fatal(err)
	}
	html := pageOf(t, r)
	if n := strings.Count(html, "</script>"); n != 5 || strings.Contains(html, "<b>") || strings.Contains(html, "<!--") {
		t.Errorf("%d scripts end", n)
	}
	if _, _, err := ReadPage("page", strings.NewReader(html)); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoRowIsRefused(t *testing.T) {
	for name, text := range map[string]string{"no JSON": "p50 7", "no scenario": `{"p50_us":3}`, "text for a number": `{"scenario":"rtt","p50_us":"3"}`,
		"broken histogram": `{"scenario":"rtt","hist":"HISTFAAA"}`, "long line": `{"scenario":"` + strings.Repeat("x", maxLine) + `"}`} {
		rs := &Rows{}
		if err := rs.Read("file.json", strings.NewReader("{\"scenario\":\"rtt\"}\n\n"+text+"\n")); err == nil || !strings.Contains(err.Error(), "file.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(&Rows{}, Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("no rows: %v", err)
	}
}

func TestVendoredFilesAreWhatTheirTableSays(t *testing.T) {
	text, err := os.ReadFile("vendored/README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("vendored/*.js")
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		script, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(script)
		if !bytes.Contains(text, []byte(hex.EncodeToString(sum[:]))) || bytes.Contains(script, []byte("</script")) {
			t.Errorf("%s has the sum %x", name, sum)
		}
	}
}

// FuzzRead has rows of anything made into a page, or refused.
func FuzzRead(f *testing.F) {
	f.Add(`{"scenario":"rtt","p50_us":3,"level":"applied"}`)
	f.Add(`{"scenario":"failover-kill","timeline":[{"t_s":1,"count":2},{"t_s":2,"count":0}],"marks":[{"t_s":1,"what":"kill"}]}`)
	f.Add(`{"scenario":"throughput","rate":1e300,"stages":[{"stage":"wait","max_us":1}],"ratio_p50":-1}`)
	f.Fuzz(func(t *testing.T, text string) {
		rs := &Rows{}
		if rs.Read("fuzz", strings.NewReader(text)) != nil || rs.Len() == 0 {
			return
		}
		r, err := New(rs, Options{Title: "fuzz"})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := r.Write(&out); err != nil {
			t.Fatal(err)
		}
		if _, digest, err := ReadPage("fuzz", &out); err != nil || digest != rs.Digest() {
			t.Fatal(digest, err)
		}
	})
}
