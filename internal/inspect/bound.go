package inspect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lockstep/journal"
	"lockstep/wire"
)

// boundKind says what a Bound counts in.
type boundKind uint8

const (
	boundNone boundKind = iota
	boundPosition
	boundSequence
	boundTime
)

// Bound is one end of a range of records: a position, a record number or a time. The zero value is no bound.
type Bound struct {
	kind  boundKind
	value uint64
}

// At is a bound at a position.
func At(position wire.Position) Bound { return Bound{boundPosition, uint64(position)} }

// Sequence is a bound at a record number.
func Sequence(n uint64) Bound { return Bound{boundSequence, n} }

// Time is a bound at a stamp, ns since the Unix epoch.
func Time(ns uint64) Bound { return Bound{boundTime, ns} }

// ErrBound says that a text names no place in a log.
var ErrBound = errors.New("want a position (4096), a record number (seq:17), or a time (2026-01-02T15:04:05.000000001Z, ns:N)")

// ParseBound reads a position (4096), a record number (seq:17), a time (RFC 3339; ns:N for ns since the epoch).
func ParseBound(text string) (Bound, error) {
	number := func(kind boundKind, digits string) (Bound, error) {
		v, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return Bound{}, fmt.Errorf("%q: %w", text, ErrBound)
		}
		return Bound{kind, v}, nil
	}
	if rest, ok := strings.CutPrefix(text, "seq:"); ok {
		return number(boundSequence, rest)
	}
	if rest, ok := strings.CutPrefix(text, "ns:"); ok {
		return number(boundTime, rest)
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil && at.UnixNano() >= 0 {
		return Time(uint64(at.UnixNano())), nil
	}
	return number(boundPosition, text)
}

// IsTime says whether the bound is a time.
func (b Bound) IsTime() bool { return b.kind == boundTime }

// IsSet says whether there is a bound.
func (b Bound) IsSet() bool { return b.kind != boundNone }

// String is the bound as ParseBound reads it.
func (b Bound) String() string {
	switch b.kind {
	case boundPosition:
		return strconv.FormatUint(b.value, 10)
	case boundSequence:
		return "seq:" + strconv.FormatUint(b.value, 10)
	case boundTime:
		return Stamp(b.value)
	}
	return ""
}

// Seek has a reader begin with the first record that begins at or behind the bound; without one, with the first there is.
func (b Bound) Seek(r *journal.Reader) error {
	switch b.kind {
	case boundPosition:
		return r.SeekFrom(wire.Position(b.value))
	case boundSequence:
		return r.SeekSequence(b.value)
	case boundTime:
		return r.SeekTime(b.value)
	}
	return r.SeekFirst()
}

// Reaches says whether a range that begins at the bound has records of the log that ends at c. Without a bound it has.
func (b Bound) Reaches(c *wire.Chain) bool {
	switch b.kind {
	case boundNone:
		return c.Position > 0
	case boundPosition:
		return b.value < uint64(c.Position)
	case boundSequence:
		return c.Position > 0 && b.value <= c.Sequence
	case boundTime:
		return c.Position > 0 && b.value <= c.Timestamp
	}
	return false
}

// Covers says whether a record lies wholly before the bound as an upper end, which belongs to the range: it ends at or
// before the position, its number or stamp is not higher. Without a bound every record does.
func (b Bound) Covers(r *wire.Record) bool {
	switch b.kind {
	case boundPosition:
		return uint64(r.End()) <= b.value
	case boundSequence:
		return r.Sequence <= b.value
	case boundTime:
		return r.Timestamp <= b.value
	}
	return true
}

// Stamp is a record's timestamp for people, UTC.
func Stamp(ns uint64) string { return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339Nano) }
