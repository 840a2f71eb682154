package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"time"
)

// Files that a page has in it.
var (
	//go:embed page.gohtml
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
	//go:embed vendored/d3.min.js
	d3Script string
	//go:embed vendored/plot.umd.min.js
	plotScript string
)

var page = template.Must(template.New("page").Parse(pageText))

// Options of a page.
type Options struct {
	Title    string
	Written  time.Time // zero: the page does not say
	Revision string    // of the binary that writes it
}

// Report is what a page says.
type Report struct {
	Options
	Digest      string // of the rows, with their conditions
	Fingerprint string // of the conditions alone
	Files       []fileRows
	Rows        int
	UnfitRows   int
	Unfit       []string // all reasons
	Figures     []figure
	Left        int // figures that there are too many of
	Table       table
	Stages      table
	Audit       table
	Conditions  []looked

	rows []row
}

type fileRows struct {
	Name string
	Rows int
}

// ErrEmpty is that there is not one row.
var ErrEmpty = errors.New("no rows")

// New makes a report of rows.
func New(rs *Rows, o Options) (*Report, error) {
	if rs.Len() == 0 {
		return nil, fmt.Errorf("report: %w: write some with lockstep bench ... --json FILE", ErrEmpty)
	}
	r := &Report{Options: o, Digest: rs.Digest(), Rows: rs.Len(), rows: shortNames(rs.rows)}
	list := sortSeries(r.rows)
	r.Figures, r.Left = figures(list)
	r.Table, r.Stages, r.Audit = rowTable(r.rows), stageTable(list), auditTable(r.rows)
	r.Conditions, r.Fingerprint = lookedAt(r.rows)
	for i := range r.rows {
		at := slices.IndexFunc(r.Files, func(f fileRows) bool { return f.Name == r.rows[i].file })
		if at < 0 {
			at = len(r.Files)
			r.Files = append(r.Files, fileRows{Name: r.rows[i].file})
		}
		r.Files[at].Rows++
		judged := r.rows[i].Row
		if judged.Judge(); len(judged.Unfit) > 0 {
			r.UnfitRows++
		}
		for _, reason := range judged.Unfit {
			if !slices.Contains(r.Unfit, reason) {
				r.Unfit = append(r.Unfit, reason)
			}
		}
	}
	return r, nil
}

// shortNames leaves files' folders out where their names alone tell them apart.
func shortNames(rows []row) []row {
	short := map[string]string{} // by base name: whose
	for i := range rows {
		name := rows[i].file
		if other, ok := short[filepath.Base(name)]; ok && other != name {
			return rows
		}
		short[filepath.Base(name)] = name
	}
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].file = filepath.Base(rows[i].file)
	}
	return rows
}

// Contents are the first figures of each title.
func (r *Report) Contents() (first []figure) {
	for _, f := range r.Figures {
		if !slices.ContainsFunc(first, func(other figure) bool { return other.Title == f.Title }) {
			first = append(first, f)
		}
	}
	return first
}

// Write writes the page.
func (r *Report) Write(w io.Writer) error {
	drawn, err := json.Marshal(r.Figures) // which leaves nothing in it that would end a script
	if err != nil {
		return err
	}
	var lines bytes.Buffer
	for i := range r.rows {
		lines.Write(r.rows[i].line)
		lines.WriteByte('\n')
	}
	return page.Execute(w, map[string]any{"Report": r, "Style": template.CSS(pageStyle), "Script": template.JS(pageScript),
		"D3": template.JS(d3Script), "Plot": template.JS(plotScript), "Figures": template.JS(drawn),
		"Rows": template.HTML(rowsBegin + lines.String() + rowsEnd), "Digest": template.HTML(digestBegin + r.Digest + `">`)})
}
