package report

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"lockstep/bench"
)

// Limits of what is read.
const (
	maxBytes = 256 << 20
	maxLine  = 4 << 20
	maxRows  = 20_000
)

// ErrRows is that what was given are no rows.
var ErrRows = errors.New("not rows of a bench")

// Rows are what several files had.
type Rows struct {
	rows  []row
	bytes int
}

type row struct {
	bench.Row
	file string
	line []byte // as it goes into the digest
}

// Read takes the lines of one more file, whose name is for people.
func (rs *Rows) Read(name string, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		if rs.bytes += len(text); rs.bytes > maxBytes || len(rs.rows) == maxRows {
			return fmt.Errorf("report: %s: line %d: more than %d rows or %d MiB: make reports of fewer files", name, n, maxRows, maxBytes>>20)
		}
		r := row{file: name, line: canonical(text)}
		if err := json.Unmarshal(text, &r.Row); err != nil || r.Scenario == "" {
			return fmt.Errorf("report: %s: line %d: %w (want lines of JSON with a scenario, as --json writes them): %.60q", name, n,
				errors.Join(ErrRows, err), text)
		}
		if _, err := bench.DecodeHistogram(r.Hist); err != nil {
			return fmt.Errorf("report: %s: line %d: %w", name, n, err)
		}
		rs.rows = append(rs.rows, r)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("report: %s: after %d rows: %w", name, len(rs.rows), err)
	}
	return nil
}

// Len is how many rows there are.
func (rs *Rows) Len() int { return len(rs.rows) }

// canonical is a line as it is digested and as a page has it: without spaces, and without what a page would take for its own.
func canonical(text []byte) []byte {
	var compact, escaped bytes.Buffer
	if json.Compact(&compact, text) != nil {
		return slices.Clone(text)
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes()
}

// Digest is the SHA-256 of all rows, whatever order they and their files were given in. A row has its conditions in it.
func (rs *Rows) Digest() string {
	lines := make([][]byte, 0, len(rs.rows))
	for i := range rs.rows {
		lines = append(lines, rs.rows[i].line)
	}
	slices.SortFunc(lines, bytes.Compare)
	h := sha256.New()
	for _, line := range lines {
		h.Write(line)
		h.Write([]byte{'\n'})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// What stands before and after the rows in a page, and before its digest.
const (
	rowsBegin   = `<script type="application/x-ndjson" id="rows">`
	rowsEnd     = `</script>`
	digestBegin = `<meta name="digest" content="`
)

// ErrPage is that a page's digest is not that of its rows, or that it has none.
var ErrPage = errors.New("not a report, or not as it was written")

// ReadPage gives back the rows of a page, and its digest, which is that of the rows or there is an error.
func ReadPage(name string, from io.Reader) (*Rows, string, error) {
	text, err := io.ReadAll(io.LimitReader(from, 2*maxBytes))
	if err != nil {
		return nil, "", fmt.Errorf("report: %s: %w", name, err)
	}
	_, after, ok := bytes.Cut(text, []byte(digestBegin))
	digest, _, closed := bytes.Cut(after, []byte(`"`))
	_, after, has := bytes.Cut(text, []byte(rowsBegin))
	lines, _, ended := bytes.Cut(after, []byte(rowsEnd))
	if !ok || !closed || !has || !ended {
		return nil, "", fmt.Errorf("report: %s: %w: it has no digest or no rows", name, ErrPage)
	}
	rs := &Rows{}
	if err := rs.Read(name, bytes.NewReader(lines)); err != nil {
		return nil, "", err
	}
	if got := rs.Digest(); got != string(digest) {
		return nil, "", fmt.Errorf("report: %s: %w: its rows have the digest %s, and it says %s", name, ErrPage, got, digest)
	}
	return rs, string(digest), nil
}
