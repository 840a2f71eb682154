package bookaudit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// ErrNoDump says that what was read is no dump of a log.
var ErrNoDump = errors.New("bookaudit: not the output of lockstep journal dump --outputs")

// keptFindings are kept, of all that are counted.
const keptFindings = 100

// Finding is something that does not add up.
type Finding struct {
	Sequence uint64 // of the record
	What     string
}

// String is the finding as a line.
func (f Finding) String() string { return fmt.Sprintf("record %d: %s", f.Sequence, f.What) }

// Result is what an audit came to.
type Result struct {
	Records    uint64
	Orders     uint64 // accepted, and replaced by one with a number of its own
	Executions uint64
	Quantity   uint64 // executed, in lots
	Canceled   uint64 // orders, or parts of them
	Open       int    // orders at the end
	Count      uint64 // of what does not add up
	Findings   []Finding
}

// account is whose an order is: a number that a session has logged in to, or the session itself.
type account struct {
	number  uint64
	session string
}

// name is what an account calls an order.
type name struct {
	account account
	order   uint64
}

// order is an open order, as it must stand after what its owner was told.
type order struct {
	number     uint64
	name       name
	instrument uint32
	side       string
	limit      uint64 // price that it must not execute beyond; 0: none is known
	accepted   uint64 // as accepted or last replaced
	executed   uint64
	canceled   uint64 // since
	open       uint64
}

// session is one that is open.
type session struct {
	applied uint64 // number of its last message that was carried out
	account account
	stay    bool
}

// side is one side of an execution that was seen in a record.
type side struct {
	execution uint64
	order     uint64
	side      string
	report    report
}

// Auditor reads records in order.
type Auditor struct {
	result     Result
	sequence   uint64 // of the last record
	orders     map[uint64]*order
	names      map[name]uint64
	sessions   map[string]*session
	unanswered map[uint64]Finding // messages without an answer, by position: a later record may say that they are passed over
	lastOrder  uint64
	sides      []side // seen in this record
	events     []event
	last       uint64 // execution
}

// New returns an auditor of a log's beginning.
func New() *Auditor {
	return &Auditor{orders: map[uint64]*order{}, names: map[name]uint64{}, sessions: map[string]*session{},
		unanswered: map[uint64]Finding{}}
}

// Read audits a whole dump.
func Read(r io.Reader) (Result, error) {
	a := New()
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			if err := a.Line(text); err != nil {
				return a.result, err
			}
		}
		if errors.Is(err, io.EOF) && a.result.Records == 0 {
			return a.result, fmt.Errorf("%w: it is empty", ErrNoDump)
		}
		if errors.Is(err, io.EOF) {
			return a.End(), nil
		}
		if err != nil {
			return a.result, err
		}
	}
}

// Line audits one record.
func (a *Auditor) Line(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil || l.Sequence == 0 || l.Kind == "" {
		return errors.Join(fmt.Errorf("%w: line %d", ErrNoDump, a.result.Records+1), err)
	}
	a.result.Records++
	if l.Sequence != a.sequence+1 {
		a.find(l.Sequence, "it follows record %d: the dump is not of a whole log, from its first record on", a.sequence)
	}
	a.sequence = l.Sequence
	a.sides, a.events = a.sides[:0], a.events[:0]
	var closed []string
	answers := 0
	applied := a.begin(&l)
	for i := range l.Outputs {
		switch o := &l.Outputs[i]; {
		case o.Report != nil:
			answers += a.report(&l, o.Session, o.Report)
		case o.Closed != "":
			closed = append(closed, o.Session)
		}
	}
	if applied {
		a.answered(&l, answers)
	}
	a.executions(l.Sequence)
	for _, session := range closed {
		a.left(&l, session)
	}
	return nil
}

func (a *Auditor) find(sequence uint64, format string, args ...any) {
	a.result.Count++
	if len(a.result.Findings) < keptFindings {
		a.result.Findings = append(a.result.Findings, Finding{sequence, fmt.Sprintf(format, args...)})
	}
}

// begin keeps account of sessions. It says whether the record is a message to the book that must be carried out: the next
// of a session that is open.
func (a *Auditor) begin(l *line) bool {
	if l.Skips != nil {
		delete(a.unanswered, *l.Skips)
	}
	s := a.sessions[l.Session]
	switch {
	case l.Kind == "session-open" && s == nil:
		a.sessions[l.Session] = &session{account: account{session: l.Session}}
	case l.Kind != "message" || s == nil || l.Number != s.applied+1:
		if len(l.Outputs) > 0 && l.Kind == "message" {
			a.find(l.Sequence, "it is not the next message of an open session, and has %d responses", len(l.Outputs))
		}
	default:
		s.applied = l.Number
		return l.Order != nil
	}
	return false
}

// answered checks that a message had its one answer.
func (a *Auditor) answered(l *line, answers int) {
	want := map[string]bool{"new": true, "cancel": true, "replace": true, "mass-cancel": true}[l.Order.Action]
	switch {
	case want && answers == 0:
		a.unanswered[l.Position] = Finding{l.Sequence, fmt.Sprintf("%s of client order %d has no answer", l.Order.Action,
			l.Order.ClientOrder)}
	case want && answers > 1:
		a.find(l.Sequence, "%s of client order %d has %d answers", l.Order.Action, l.Order.ClientOrder, answers)
	}
}

// left checks that nothing is left of a session that ended.
func (a *Auditor) left(l *line, id string) {
	s := a.sessions[id]
	delete(a.sessions, id)
	if s == nil || s.stay {
		return
	}
	for _, n := range a.numbers() {
		if o := a.orders[n]; o.name.account == s.account {
			a.find(l.Sequence, "order %d of the session that ends stays open", n)
		}
	}
}

// numbers are those of all open orders, ascending.
func (a *Auditor) numbers() []uint64 {
	list := make([]uint64, 0, len(a.orders))
	for n := range a.orders {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// End says what the audit came to.
func (a *Auditor) End() Result {
	positions := make([]uint64, 0, len(a.unanswered))
	for at := range a.unanswered {
		positions = append(positions, at)
	}
	slices.Sort(positions)
	for _, at := range positions {
		f := a.unanswered[at]
		a.find(f.Sequence, "%s", f.What)
	}
	a.result.Open = len(a.orders)
	a.result.Orders, a.result.Executions = a.lastOrder, a.last
	return a.result
}
