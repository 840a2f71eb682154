package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/wire"
)

// selectFlags say which records are meant.
type selectFlags struct {
	from, to string
	count    uint64
	kinds    []string
	sessions []string
	services []string
}

// placeHelp is how a place in a log is given.
const placeHelp = "a position (4096), a record number (seq:17) or a time (2026-01-02T15:04:05.5Z, ns:N)"

func (f *selectFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.from, "from", "", "the first record is at or behind this place: "+placeHelp)
	c.Flags().StringVar(&f.to, "to", "", "the last record is at or before this place")
	c.Flags().Uint64Var(&f.count, "count", 0, "how many at most; 0: all")
	c.Flags().StringSliceVar(&f.kinds, "kind", nil,
		"only records of this kind: message, session-open, session-close, acks, timer, term, config, snapshot, skip")
	c.Flags().StringSliceVar(&f.sessions, "session", nil, "only records of this session, hexadecimal as dump prints it")
	c.Flags().StringSliceVar(&f.services, "service", nil, "only messages to this service: "+inspect.ServiceNames()+", none or a number")
}

// selection is what the flags say.
func (f *selectFlags) selection() (*inspect.Selection, error) {
	s := &inspect.Selection{Count: f.count}
	var err error
	if s.From, err = parseBound("from", f.from); err != nil {
		return nil, err
	}
	if s.To, err = parseBound("to", f.to); err != nil {
		return nil, err
	}
	if s.Kinds, err = parseAll("kind", f.kinds, inspect.ParseKind); err != nil {
		return nil, err
	}
	if s.Sessions, err = parseAll("session", f.sessions, inspect.ParseSession); err != nil {
		return nil, err
	}
	s.Services, err = parseAll("service", f.services, inspect.ParseService)
	return s, err
}

func parseBound(flag, text string) (inspect.Bound, error) {
	if text == "" {
		return inspect.Bound{}, nil
	}
	b, err := inspect.ParseBound(text)
	if err != nil {
		return b, fmt.Errorf("%w: --%s: %w", errUsage, flag, err)
	}
	return b, nil
}

// parseTime is parseBound for what must be a time.
func parseTime(flag, text string) (inspect.Bound, error) {
	b, err := parseBound(flag, text)
	if err == nil && !b.IsTime() {
		err = fmt.Errorf("%w: --%s: %q is no time: want 2026-01-02T15:04:05.5Z, or ns:N", errUsage, flag, text)
	}
	return b, err
}

func parseAll[T any](flag string, texts []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, text := range texts {
		v, err := parse(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%w: --%s: %w", errUsage, flag, err)
		}
		list = append(list, v)
	}
	return list, nil
}

// jsonLines prints records as JSON, one a line.
func jsonLines(w io.Writer) func(*wire.Record, []byte) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return func(r *wire.Record, payload []byte) error { return encoder.Encode(inspect.View(r, payload)) }
}
