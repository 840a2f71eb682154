package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lockstep/internal/inspect"
	"lockstep/internal/replay"
	"lockstep/internal/vfs"
	"lockstep/wire"
)

// replayFlags say how far a journal is replayed and what is shown of it.
type replayFlags struct {
	to, until, hash   string
	points, fromStart bool
}

func journalReplayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay DIR",
		Short: "Run a journal through the services, offline, and print the state's hash",
		Long: `Run a journal through the services of this build, offline, as a node does, and print the hash of their
state at the end. It is what a live node shows as state_hash at state_position.

It begins with the newest snapshot at or below that end, or, where there is none, at position 0; the state is the
same either way. With --from-start it begins as early as it can: at position 0, or, where the log no longer goes back so
far, with the oldest snapshot. So it does with --until, --until-hash and --points, which look at what lies between.

It stops at a place (--to), behind the first record that fits (--until), or where the state or the chained hash of the
outputs has a value (--until-hash). --points prints the hashes at every point at which nodes compare themselves: the
first record end at or past each MiB. A record at which a service fails is named with the service and what it failed
with, and a place at which the state comes out otherwise than the log says that a majority of the nodes had it: exit
code 1.

--until takes session=HEX, correlation=N, order=N, kind=NAME, service=NAME, joined by commas.`,
		Example: `  lockstep journal replay /var/lib/lockstep
  lockstep journal replay /var/lib/lockstep --to 1048576
  lockstep journal replay /var/lib/lockstep --to 1048576 --from-start
  lockstep journal replay /var/lib/lockstep --to 2026-01-02T15:04:05Z --points
  lockstep journal replay /var/lib/lockstep --until session=5f0c4b1e8d2a9673,correlation=17`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: onDir(func(c *cobra.Command, dir string) error {
			r, err := f.plan()
			if err != nil {
				return err
			}
			r.out, r.errors = c.OutOrStdout(), c.ErrOrStderr()
			done := progress(os.Stderr, "replaying "+dir)
			defer done()
			return r.run(dir)
		}),
	}
	c.Flags().StringVar(&f.to, "to", "", "stop at this place: "+placeHelp)
	c.Flags().StringVar(&f.until, "until", "", "stop behind the first record that fits")
	c.Flags().StringVar(&f.hash, "until-hash", "", "stop where the state or the outputs have this hash, hexadecimal")
	c.Flags().BoolVar(&f.points, "points", false, "print the hashes at every fixed point")
	c.Flags().BoolVar(&f.fromStart, "from-start", false, "begin as early as possible, not with the newest snapshot")
	return c
}

// replayRun is a replay under way.
type replayRun struct {
	out, errors io.Writer
	to          inspect.Bound
	until       *inspect.Selection // nil: no predicate
	hash        uint64
	wantHash    bool
	points      bool
	fromStart   bool
	player      *replay.Player
	last        wire.Record
	payload     []byte // of last, if it is to be shown
	state       replay.State
	found       bool
}

func (f *replayFlags) plan() (*replayRun, error) {
	r := &replayRun{points: f.points, fromStart: f.fromStart || f.points || f.until != "" || f.hash != ""}
	var err error
	if r.to, err = parseBound("to", f.to); err != nil {
		return nil, err
	}
	if f.hash != "" {
		r.wantHash = true
		if r.hash, err = strconv.ParseUint(f.hash, 16, 64); err != nil {
			return nil, fmt.Errorf("%w: --until-hash: %q is no hash", errUsage, f.hash)
		}
	}
	if f.until != "" {
		if r.until, err = parsePredicate(f.until); err != nil {
			return nil, fmt.Errorf("%w: --until: %w", errUsage, err)
		}
	}
	return r, nil
}

// parsePredicate reads what a record must fit.
func parsePredicate(text string) (*inspect.Selection, error) {
	s := &inspect.Selection{}
	for _, term := range strings.Split(text, ",") {
		key, value, _ := strings.Cut(term, "=")
		var err error
		switch key {
		case "session":
			s.Sessions, err = parseAll("until", []string{value}, inspect.ParseSession)
		case "kind":
			s.Kinds, err = parseAll("until", []string{value}, inspect.ParseKind)
		case "service":
			s.Services, err = parseAll("until", []string{value}, inspect.ParseService)
		case "correlation":
			s.Correlation, err = strconv.ParseUint(value, 10, 64)
		case "order":
			var order uint64
			order, err = strconv.ParseUint(value, 10, 64)
			s.Order = &order
		default:
			err = fmt.Errorf("%q: want session=, correlation=, order=, kind= or service=", term)
		}
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

// errStop ends a walk where the replay is to stop.
var errStop = errors.New("stop")

func (r *replayRun) run(dir string) error {
	end, err := logEnd(dir)
	if err != nil {
		return err
	}
	r.player, err = replay.New(replay.Options{FS: vfs.Real{}, Dir: dir, End: end.Position, FromStart: r.fromStart,
		Covers: r.to.Covers, Services: productionServices})
	if err != nil {
		return err
	}
	defer r.player.Close()
	l, err := inspect.Open(vfs.Real{}, dir)
	if err != nil {
		return err
	}
	defer l.Close()
	start := r.begin()
	e, err := l.Walk(&inspect.Selection{From: start, To: inspect.At(end.Position)}, r.apply)
	if errors.Is(err, replay.ErrHalted) {
		return r.halted()
	}
	if errors.Is(err, replay.ErrOtherState) {
		printState(r.out, "before it", &r.state)
	}
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	printState(r.out, dir, &r.state)
	if r.last.Sequence > 0 {
		fmt.Fprintf(r.out, "behind sequence %d, term %d, %s\n", r.last.Sequence, r.last.Term, inspect.Stamp(r.last.Timestamp))
	}
	if r.found {
		return jsonLines(r.out)(&r.last, r.payload)
	}
	if r.until != nil || r.wantHash {
		return errors.New("the journal ends before that: no record fits")
	}
	if errors.Is(err, errStop) {
		return nil
	}
	if e.Log, err = l.Ending(end); err != nil {
		return err
	}
	tellEnd(r.errors, dir, &e)
	return nil
}

// begin says where the replay begins.
func (r *replayRun) begin() inspect.Bound {
	for _, err := range r.player.PassedOver {
		fmt.Fprintf(r.errors, "lockstep: passed over: %v\n", err)
	}
	c := r.player.Start()
	if c.Position == 0 {
		return inspect.Bound{}
	}
	fmt.Fprintf(r.out, "begun with the snapshot at position %d, sequence %d, %s\n", c.Position, c.Sequence,
		inspect.Stamp(c.Timestamp))
	r.state = r.player.State()
	r.last = wire.Record{Sequence: c.Sequence, Term: c.Term, Timestamp: c.Timestamp}
	return inspect.At(c.Position)
}

// apply applies one record and decides whether to stop behind it.
func (r *replayRun) apply(rec *wire.Record, payload []byte) error {
	if !r.to.Covers(rec) {
		return errStop
	}
	state, err := r.player.Apply(rec.End())
	if err != nil {
		return err
	}
	r.last, r.state = *rec, state
	if r.points && state.AtPoint {
		fmt.Fprintf(r.out, "point %d: sequence %d, outputs %016x, state %016x\n", state.Point, rec.Sequence, state.PointHash,
			state.Hash)
	}
	if r.until != nil && r.until.Matches(rec, payload) ||
		r.wantHash && (state.Hash == r.hash || state.AtPoint && state.PointHash == r.hash) {
		r.found, r.payload = true, payload
		return errStop
	}
	return nil
}

// halted says where and why apply halted.
func (r *replayRun) halted() error {
	h := r.player.Halt()
	printState(r.out, "before it", &r.state)
	if h.Stack != "" {
		fmt.Fprint(r.errors, h.Stack)
	}
	return errors.New(h.String())
}

func printState(w io.Writer, name string, s *replay.State) {
	fmt.Fprintf(w, "%s: position %d, state %016x", name, s.Position, s.Hash)
	if s.Point > 0 {
		fmt.Fprintf(w, ", outputs %016x at point %d", s.PointHash, s.Point)
	}
	fmt.Fprintln(w)
}
