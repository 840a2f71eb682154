package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/service"
	"lockstep/service/timer"
	"lockstep/service/timer/fb"
)

// timerShell is timers as the shell knows them.
func timerShell() *shellService {
	return &shellService{number: service.TimerService, name: "timer", print: printTimerAnswer,
		verbs: []func() shellVerb{timerStartVerb, timerCancelVerb, timerListVerb, timerWatchVerb}}
}

func timerCommand() *cobra.Command {
	var f shellFlags
	return shellGroup(timerShell(), &f, &cobra.Command{
		Use:   "timer",
		Short: "Start timers, and hear them fire",
		Long: `Start timers by name, that fire once or again and again, and hear them fire. A timer is kept by the cluster:
it fires whoever leads, and does not drift.`,
		Example: `  lockstep timer start tea --after 200ms --payload 'it is ready' --await`,
	})
}

func timerStartVerb() shellVerb {
	var after, every time.Duration
	var at, payload string
	var await bool
	q := &timer.Request{Kind: timer.Start}
	c := &cobra.Command{
		Use:   "start NAME",
		Short: "Start a timer",
		Long: `Start a timer. Without --await it is kept: it goes on when this command has ended, and who watches hears it.
With --await it belongs to this command's session, which stays until it has fired for the last time.

All timers with --every together may fire 50000 times in a second; one more is refused as TooManyFirings.`,
		Example: `  lockstep timer start report --every 24h --at 2026-01-01T06:00:00Z --replace
  lockstep timer start tick --every 100ms --times 3 --await`,
		Args: cobra.ExactArgs(1),
	}
	flags := c.Flags()
	flags.DurationVar(&after, "after", 0, "when it fires first, from now on; default: --every, or at once")
	flags.StringVar(&at, "at", "", "when it fires first, as in 2026-01-31T15:04:05Z; with --every it may have been")
	flags.DurationVar(&every, "every", 0, "how often it fires, 1ms or longer; 0: once")
	flags.Uint64Var(&q.Count, "times", 0, "how many times it fires, with --every; 0: without end")
	flags.StringVar(&payload, "payload", "", "said when it fires")
	flags.BoolVar(&q.Replace, "replace", false, "in place of the timer of that name, if there is one")
	flags.BoolVar(&await, "await", false, "stay until it has fired for the last time")
	verb := timerVerb(c, q, func() (err error) {
		q.Payload, q.Kept = []byte(payload), !await
		if at != "" {
			t, err := time.Parse(time.RFC3339Nano, at)
			if err != nil || t.UnixNano() <= 0 {
				return fmt.Errorf("%w: --at %q: want a time as 2026-01-31T15:04:05Z", errUsage, at)
			}
			q.At = uint64(t.UnixNano())
		}
		if q.AfterMs, err = millis("after", after); err != nil {
			return err
		}
		q.IntervalMs, err = millis("every", every)
		return err
	})
	verb.until = func(number uint16, answer []byte) bool {
		var r timer.Response
		return !await || number == service.TimerService && timer.DecodeResponse(answer, &r) &&
			r.Kind == timer.Fired && r.Last &&
			string(r.Name) == string(q.Name)
	}
	return verb
}

// timerVerb is a subcommand that sends a request about the name that is its argument.
func timerVerb(c *cobra.Command, q *timer.Request, fill func() error) shellVerb {
	return shellVerb{command: c, encode: func(args []string) ([]byte, error) {
		if len(args) > 0 {
			q.Name = []byte(args[0])
		}
		if fill != nil {
			if err := fill(); err != nil {
				return nil, err
			}
		}
		return timer.EncodeRequest(flatbuffers.NewBuilder(1024), q), nil
	}}
}

func timerCancelVerb() shellVerb {
	return timerVerb(&cobra.Command{
		Use:   "cancel NAME",
		Short: "Cancel a timer",
		Example: `  lockstep timer start alarm --after 1h
  lockstep timer cancel alarm`,
		Args: cobra.ExactArgs(1),
	}, &timer.Request{Kind: timer.Cancel}, nil)
}

func timerListVerb() shellVerb {
	var after string
	q := &timer.Request{Kind: timer.List}
	c := &cobra.Command{
		Use:     "list [PREFIX]",
		Short:   "Print timers whose names begin so",
		Example: "  lockstep timer list",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().StringVar(&after, "after", "", "names behind this one")
	c.Flags().Uint32Var(&q.Max, "max", 64, "timers at most, up to 64")
	return timerVerb(c, q, func() error {
		q.After = []byte(after)
		return nil
	})
}

func timerWatchVerb() shellVerb {
	q := &timer.Request{Kind: timer.Subscribe}
	c := &cobra.Command{
		Use:   "watch [NAME]",
		Short: "Print what fires",
		Long: `Print what fires until interrupted: the timer of that name, or with --prefix all whose names begin so; without
a name all.`,
		Example: `  lockstep timer start beat --every 100ms --replace
  lockstep timer watch beat --count 2
  lockstep timer cancel beat`,
		Args: cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&q.Prefix, "prefix", false, "NAME is what names begin with")
	verb := timerVerb(c, q, func() error {
		q.Prefix = q.Prefix || len(q.Name) == 0
		return nil
	})
	verb.watches = true
	return verb
}

// timerAnswer is an answer of the timer service as one JSON object.
type timerAnswer struct {
	Kind    string      `json:"kind"`
	Reason  string      `json:"reason,omitempty"`
	Name    string      `json:"name,omitempty"`
	ID      uint64      `json:"id,omitempty"`
	Due     string      `json:"due,omitempty"`
	Number  uint64      `json:"number,omitempty"`
	Skipped uint64      `json:"skipped,omitempty"`
	Last    bool        `json:"last,omitempty"`
	Text    string      `json:"text,omitempty"`    // the payload, if it is text
	Payload []byte      `json:"payload,omitempty"` // if it is not
	Timers  []timerView `json:"timers,omitempty"`
}

type timerView struct {
	Name       string `json:"name"`
	ID         uint64 `json:"id"`
	Due        string `json:"due"`
	IntervalMs uint64 `json:"interval_ms,omitempty"`
	Number     uint64 `json:"number"`
	Count      uint64 `json:"count,omitempty"`
	Owner      string `json:"owner,omitempty"`
}

// printTimerAnswer prints an answer of the timer service.
func printTimerAnswer(w io.Writer, payload []byte, asJSON bool) bool {
	var r timer.Response
	if !timer.DecodeResponse(payload, &r) {
		fmt.Fprintf(w, "%d bytes that are no answer of a timer\n", len(payload))
		return false
	}
	if asJSON {
		_ = json.NewEncoder(w).Encode(viewTimerAnswer(&r))
		return r.Kind != timer.Refused
	}
	switch r.Kind {
	case timer.Started:
		fmt.Fprintf(w, "timer %d started, due %s\n", r.ID, stamp(r.Due))
	case timer.Canceled:
		fmt.Fprintf(w, "timer %d canceled\n", r.ID)
	case timer.Subscribed:
		fmt.Fprintln(w, "watching")
	case timer.Listed:
		for i := range r.Timers {
			printTimer(w, &r.Timers[i])
		}
	case timer.Fired:
		fmt.Fprintf(w, "%s fired: number %d, due %s", r.Name, r.Number, stamp(r.Due))
		if r.Skipped > 0 {
			fmt.Fprintf(w, ", %d before it passed unnoticed", r.Skipped)
		}
		if r.Last {
			fmt.Fprint(w, ", for the last time")
		}
		if len(r.Payload) > 0 {
			fmt.Fprintf(w, ": %s", lineOf(r.Payload))
		}
		fmt.Fprintln(w)
	case timer.Refused:
		fmt.Fprintf(w, "refused: %s\n", r.Reason)
	}
	return r.Kind != timer.Refused
}

func printTimer(w io.Writer, x *timer.Timer) {
	fmt.Fprintf(w, "%s: timer %d, due %s", x.Name, x.ID, stamp(x.Due))
	if x.IntervalMs > 0 {
		fmt.Fprintf(w, ", every %v, number %d", time.Duration(x.IntervalMs)*time.Millisecond, x.Number)
	}
	if x.Count > 0 {
		fmt.Fprintf(w, " of %d", x.Count)
	}
	if x.Owner != 0 {
		fmt.Fprintf(w, ", of session %016x", x.Owner)
	}
	fmt.Fprintln(w)
}

func viewTimerAnswer(r *timer.Response) *timerAnswer {
	v := &timerAnswer{
		Kind: strings.ToLower(r.Kind.String()), Name: string(r.Name), ID: r.ID, Due: stamp(r.Due), Number: r.Number,
		Skipped: r.Skipped, Last: r.Last,
	}
	if r.Reason != fb.ReasonNone {
		v.Reason = r.Reason.String()
	}
	if utf8.Valid(r.Payload) {
		v.Text = string(r.Payload)
	} else {
		v.Payload = r.Payload
	}
	for i := range r.Timers {
		x := &r.Timers[i]
		view := timerView{Name: string(x.Name), ID: x.ID, Due: stamp(x.Due), IntervalMs: x.IntervalMs,
			Number: x.Number, Count: x.Count}
		if x.Owner != 0 {
			view.Owner = fmt.Sprintf("%016x", x.Owner)
		}
		v.Timers = append(v.Timers, view)
	}
	return v
}
