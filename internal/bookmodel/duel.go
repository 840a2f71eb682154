package bookmodel

import (
	"fmt"
	"slices"
	"strings"

	"lockstep/service/orderbook/match"
)

// Engines makes what is compared with the model.
type Engines struct {
	New func(match.Options) (match.Book, error)
	// Again returns an engine restored from the snapshot of one. nil: there is none.
	Again func(match.Book) (match.Book, error)
}

// Duel gives the same calls to an engine and to the model.
type Duel struct {
	engines Engines
	engine  match.Book
	model   *Model
	steps   int
	often   bool   // whether a hash changes is looked at after every call
	Events  uint64 // that were the same
}

// Beside what every call puts out, all that can be asked for is compared so often, and so often whether a hash changes.
const (
	everything = 64
	hashes     = 8
)

// NewDuel returns a duel that has not begun.
func NewDuel(e Engines, o match.Options) (*Duel, error) {
	engine, err := e.New(o)
	return &Duel{engines: e, engine: engine, model: New(o)}, err
}

// Pending says whether work is left.
func (d *Duel) Pending() bool { return d.model.Pending() }

// Step makes a call and says how the two differ; "" when they do not.
func (d *Duel) Step(op *Op) string {
	d.steps++
	if op.Kind == OpSnapshot {
		return d.restore()
	}
	d.engine.Reset()
	d.model.Reset()
	hashed := d.often || d.steps%hashes == 0
	engine, model := d.engine.Hash(), uint64(0)
	if hashed {
		model = d.model.Hash()
	}
	if got, want := op.Apply(d.engine), op.Apply(d.model); got != want {
		return fmt.Sprintf("it returns %v, not %v", got, want)
	}
	same := d.engine.Hash() == engine
	switch {
	case op.Kind == OpCheck && (!same || len(d.engine.Events()) > 0):
		return "it has changed something"
	case hashed && same && d.model.Hash() != model:
		return "something has changed, and its hash is the same"
	}
	if diff := events(d.engine.Events(), d.model.Events()); diff != "" {
		return diff
	}
	d.Events += uint64(len(d.model.Events()))
	if diff := d.glance(); diff != "" {
		return diff
	}
	if d.steps%everything == 0 {
		return d.look()
	}
	return ""
}

// events compares what was put out.
func events(got, want []match.Event) string {
	if slices.Equal(got, want) {
		return ""
	}
	var b strings.Builder
	b.WriteString("events differ:\n")
	for i := range max(len(got), len(want)) {
		mark := " "
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			mark = "*"
		}
		if i < len(got) {
			fmt.Fprintf(&b, "%s engine %s\n", mark, fields(got[i]))
		}
		if mark == "*" && i < len(want) {
			fmt.Fprintf(&b, "* model  %s\n", fields(want[i]))
		}
	}
	return b.String()
}

// glance compares what is cheap to ask for.
func (d *Duel) glance() string {
	if got, want := d.engine.Pending(), d.model.Pending(); got != want {
		return fmt.Sprintf("work is left: %t, not %t", got, want)
	}
	at, ok := d.engine.NextExpiry()
	if wantAt, want := d.model.NextExpiry(); ok != want || ok && at != wantAt {
		return fmt.Sprintf("the next expiry is %d, %t, not %d, %t", at, ok, wantAt, want)
	}
	return ""
}

// look compares everything that can be asked for.
func (d *Duel) look() string {
	highest := d.model.o.MaxInstruments
	for id := match.Instrument(0); id <= match.Instrument(highest); id++ {
		got, want := lookup(d.engine, id), lookup(d.model, id)
		if got != want {
			return fmt.Sprintf("instrument %d: %s, not %s", id, got, want)
		}
	}
	if id := d.model.crossed(); id != 0 {
		return fmt.Sprintf("both leave instrument %d crossed", id)
	}
	for _, a := range d.model.accounts {
		got, want := d.engine.OpenOrders(nil, a.id), d.model.OpenOrders(nil, a.id)
		if !slices.Equal(got, want) {
			return fmt.Sprintf("open orders of account %d:\n  engine %+v\n  model  %+v", a.id, got, want)
		}
	}
	return ""
}

// lookup is all that can be asked of an instrument.
func lookup(b match.Book, id match.Instrument) string {
	d, s, busy, last, ok := b.Lookup(id)
	text := fmt.Sprintf("%+v state %d busy %t last %d %t", d, s, busy, last, ok)
	for _, side := range []match.Side{match.Buy, match.Sell} {
		text += fmt.Sprintf(" %+v %+v", b.Depth(nil, id, side, 2), b.Depth(nil, id, side, 1000))
	}
	return text
}

// restore has the engine go on from its snapshot.
func (d *Duel) restore() string {
	if d.engines.Again == nil {
		return ""
	}
	again, err := d.engines.Again(d.engine)
	if err != nil {
		return "snapshot: " + err.Error()
	}
	if again.Hash() != d.engine.Hash() {
		return "restored, it has another hash"
	}
	d.engine = again
	return d.look()
}

// Difference is a flow at whose end an engine differs from the model.
type Difference struct {
	World World
	Ops   []Op
	What  string
}

// String is the flow, and what is wrong at its end.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "world %q, options %+v\n", d.World.Name, d.World.Options)
	for i := range d.Ops {
		fmt.Fprintf(&b, "%3d %s\n", i+1, d.Ops[i].String())
	}
	return b.String() + d.What
}

// Run has a flow of so many calls go on in a world. It returns how many events were compared, and the difference, if
// there is one, with the shortest flow it could find for it.
func Run(e Engines, w World, draw Source, steps int) (compared uint64, _ *Difference, err error) {
	d, err := NewDuel(e, w.Options)
	if err != nil {
		return 0, nil, err
	}
	flow := NewFlow(w, draw, d.model)
	ops := make([]Op, 0, steps)
	for range steps {
		ops = append(ops, flow.Next())
		if what := d.Step(&ops[len(ops)-1]); what != "" {
			return d.Events, shrink(e, &Difference{World: w, Ops: ops, What: what}), nil
		}
	}
	if what := d.look(); what != "" {
		return d.Events, &Difference{World: w, Ops: ops, What: what}, nil
	}
	return d.Events, nil, nil
}

// shrink leaves calls out of a flow as long as a difference stays.
func shrink(e Engines, d *Difference) *Difference {
	for part := len(d.Ops) / 2; part > 0; {
		smaller := false
		for from := 0; from+part <= len(d.Ops); {
			ops := slices.Concat(d.Ops[:from], d.Ops[from+part:])
			if again := replay(e, d.World, ops); again != nil {
				d, smaller = again, true
			} else {
				from += part
			}
		}
		if !smaller || part > len(d.Ops) {
			part /= 2
		}
	}
	return d
}

// replay makes the calls again, and returns the difference up to where it shows.
func replay(e Engines, w World, ops []Op) *Difference {
	d, err := NewDuel(e, w.Options)
	if err != nil {
		return nil
	}
	d.often = true
	for i := range ops {
		what := d.Step(&ops[i])
		if what == "" && i == len(ops)-1 {
			what = d.look()
		}
		if what != "" {
			return &Difference{World: w, Ops: ops[:i+1], What: what}
		}
	}
	return nil
}
