package report

import (
	"context"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// reportEnv names the folder for the screenshots; the test that starts a browser runs when it is set.
const reportEnv = "LOCKSTEP_REPORT"

// browser is a Chromium without a window and without services of its own, each time as if it were new.
type browser struct {
	t       *testing.T
	program string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	if os.Getenv(reportEnv) == "" {
		t.Skipf("%s is not set: make report-check sets it", reportEnv)
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return &browser{t, program}
		}
	}
	t.Skip("no Chromium on this machine: scripts/install-packages chromium:chromium installs it on Debian")
	return nil
}

// run opens a page, and returns what the browser prints.
func (b *browser) run(page string, flags ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--user-data-dir=" + filepath.Join(b.t.TempDir(), "profile")}, flags...)
	var errs strings.Builder
	cmd := exec.CommandContext(ctx, b.program, append(args, "file://"+page)...)
	cmd.Stderr, cmd.WaitDelay = &errs, 5*time.Second
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("%s: %v: %s", b.program, err, errs.String())
	}
	return string(out)
}

func (b *browser) screenshot(page, name string, height int, flags ...string) image.Image {
	b.t.Helper()
	b.run(page, append(flags, "--window-size=1440,"+strconv.Itoa(height), "--screenshot="+name)...)
	f, err := os.Open(name)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return picture
}

var (
	drawnFigure = regexp.MustCompile(`(?s)<figure id="(figure-\d+)" class="(\w+)".*?<div class="chart">(.*?)</div>\s*</figure>`)
	rootData    = regexp.MustCompile(`data-(drawn|failed|height)="(\d+)"`)
	svg         = regexp.MustCompile(`(?s)<svg.*?</svg>`)
)

// TestReportInABrowser opens a report in a real browser: every figure is drawn with as many curves as it has series and with points
// that are numbers, the tables have the rows' numbers, and curves are to be seen, light and dark.
func TestReportInABrowser(t *testing.T) {
	b := newBrowser(t)
	out, err := filepath.Abs(os.Getenv(reportEnv))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	rs, r := sampleReport(t)
	page := filepath.Join(out, "report.html")
	if err := os.WriteFile(page, []byte(pageOf(t, r)), 0o644); err != nil {
		t.Fatal(err)
	}
	dom := b.run(page, "--dump-dom", "--window-size=1440,1000")
	data := map[string]int{}
	for _, m := range rootData.FindAllStringSubmatch(dom, -1) {
		data[m[1]], _ = strconv.Atoi(m[2])
	}
	if data["drawn"] != len(r.Figures) || data["failed"] != 0 || data["height"] < 2000 {
		t.Fatalf("%d figures are drawn and %d failed, of %d; the page is %d pixels high", data["drawn"], data["failed"], len(r.Figures), data["height"])
	}
	figures := drawnFigure.FindAllStringSubmatch(dom, -1)
	if len(figures) != len(r.Figures) {
		t.Fatalf("%d figures are in the page, want %d", len(figures), len(r.Figures))
	}
	for i, m := range figures {
		checkDrawn(t, &r.Figures[i], m[3])
	}
	for i := range rs.rows {
		if want := ">" + number(rs.rows[i].P50Us) + "<"; !strings.Contains(dom, want) {
			t.Errorf("row %d: its p50 %s is not in the page", i, want)
		}
	}
	light := b.screenshot(page, filepath.Join(out, "report.png"), data["height"])
	dark := b.screenshot(page, filepath.Join(out, "report-dark.png"), data["height"], "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
	wantColours(t, "light", light, color.RGBA{0xff, 0xff, 0xff, 0xff}, color.RGBA{0x0b, 0x62, 0xb3, 0xff}, color.RGBA{0xc2, 0x41, 0x0c, 0xff})
	wantColours(t, "dark", dark, color.RGBA{0x12, 0x16, 0x1b, 0xff}, color.RGBA{0x6c, 0xb6, 0xff, 0xff}, color.RGBA{0xff, 0x9a, 0x5c, 0xff})
	paper := filepath.Join(out, "report.pdf")
	b.run(page, "--no-pdf-header-footer", "--print-to-pdf="+paper)
	if info, err := os.Stat(paper); err != nil || info.Size() < 20_000 {
		t.Errorf("printed: %v, %v", info, err)
	}
}

// checkDrawn looks at what the page's script made of a figure.
func checkDrawn(t *testing.T, f *figure, html string) {
	t.Helper()
	curves, marks, dots, bars := 0, 0, 0, 0
	for _, drawing := range svg.FindAllString(html, -1) {
		in := ""
		for d := xml.NewDecoder(strings.NewReader(drawing)); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", f.Title, err)
			}
			e, ok := token.(xml.StartElement)
			if !ok {
				continue
			}
			at := map[string]string{}
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
				if strings.Contains(a.Value, "NaN") {
					t.Errorf("%s: a drawn number is none: %s=%.80q", f.Title, a.Name.Local, a.Value)
				}
			}
			if e.Name.Local == "g" && at["aria-label"] != "" {
				in = at["aria-label"] + at["class"]
			} else if e.Name.Local == "g" && at["class"] != "" {
				in = at["class"]
			}
			switch {
			case e.Name.Local == "path" && in == "line" && strings.Count(at["d"], "L")+strings.Count(at["d"], ",") > 2:
				curves++
			case e.Name.Local == "circle" || e.Name.Local == "path" && in == "dot":
				dots++
			case e.Name.Local == "rect" && strings.HasPrefix(in, "bar"):
				bars++
			case e.Name.Local == "line" && strings.Contains(in, "marks"):
				marks++
			}
		}
	}
	points := 0
	for _, s := range f.Series {
		points += len(s.Points)
	}
	ok := true
	switch f.Kind {
	case kindCurves:
		ok = curves == len(f.Series)
	case kindTimeline:
		ok = curves == len(f.Series) && marks == len(f.Marks)
	case kindLadder, kindOver:
		ok = curves == len(f.Series) && dots == points
	case kindRates:
		ok = curves == len(f.Series) && dots == points && marks == len(f.Marks)
	case kindStages:
		ok = bars == points
	case kindRatio:
		ok = bars == len(f.Series) && dots == points-bars
	}
	if !ok {
		t.Errorf("%s (%s): %d curves, %d marks, %d dots, %d bars of %d series with %d points and %d marks", f.Title, f.Kind, curves, marks, dots,
			bars, len(f.Series), points, len(f.Marks))
	}
}

// wantColours wants a picture's ground all over, and some of each curve's colour.
func wantColours(t *testing.T, name string, picture image.Image, ground color.RGBA, curves ...color.RGBA) {
	t.Helper()
	found := map[color.RGBA]int{}
	size := picture.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			found[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	if all := size.Dx() * size.Dy(); found[ground] < all/5 {
		t.Errorf("%s: %d of %d pixels are the ground", name, found[ground], all)
	}
	for _, c := range curves {
		if found[c] < 500 {
			t.Errorf("%s: only %d pixels of the curves' colour %v", name, found[c], c)
		}
	}
}
