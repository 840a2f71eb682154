package bookmodel

import (
	"fmt"
	"strings"

	"lockstep/service/orderbook/match"
)

// OpKind says which method an Op calls.
type OpKind uint8

// The kinds.
const (
	OpEnter OpKind = iota
	OpReplace
	OpCancel
	OpMassCancel
	OpLeave
	OpState
	OpDefine
	OpLimits
	OpKill
	OpExpire
	OpContinue
	OpSnapshot // the engine goes on as one restored from its snapshot
	OpCheck    // CheckEnter, CheckReplace, CheckCancel and CheckMassCancel with whatever the fields say
	numOps
)

var opNames = [numOps]string{"enter", "replace", "cancel", "mass-cancel", "leave", "state", "define", "limits", "kill", "expire",
	"continue", "snapshot", "check"}

// String is the kind's name.
func (k OpKind) String() string { return opNames[k] }

// Op is one call of an engine. The kind says which fields count.
type Op struct {
	Kind       OpKind
	Now        uint64 // stamp
	New        match.New
	Replace    match.Replace
	Cancel     match.Cancel
	Definition match.Definition
	Limits     match.Limits
	Account    match.Account
	Instrument match.Instrument
	Side       match.Side
	State      match.State
	On         bool
	Budget     int
}

// String is the call as a test would write it.
func (o *Op) String() string {
	switch o.Kind {
	case OpEnter:
		return fmt.Sprintf("Enter(%d, %s)", o.Now, fields(o.New))
	case OpReplace:
		return fmt.Sprintf("Replace(%d, %s)", o.Now, fields(o.Replace))
	case OpCancel:
		return fmt.Sprintf("Cancel(%s)", fields(o.Cancel))
	case OpMassCancel:
		return fmt.Sprintf("MassCancel(%d, %d, %d)", o.Account, o.Instrument, o.Side)
	case OpLeave:
		return fmt.Sprintf("Leave(%d)", o.Account)
	case OpState:
		return fmt.Sprintf("SetState(%d, %d, %d)", o.Now, o.Instrument, o.State)
	case OpDefine:
		return fmt.Sprintf("Define(%s)", fields(o.Definition))
	case OpLimits:
		return fmt.Sprintf("SetLimits(%d, %s)", o.Account, fields(o.Limits))
	case OpKill:
		return fmt.Sprintf("Kill(%d, %t)", o.Account, o.On)
	case OpExpire:
		return fmt.Sprintf("Expire(%d, %d)", o.Now, o.Budget)
	case OpContinue:
		return fmt.Sprintf("Continue(%d)", o.Now)
	case OpCheck:
		return fmt.Sprintf("Check...(%d, %s, %s, %s, %d, %d, %d)", o.Now, fields(o.New), fields(o.Replace), fields(o.Cancel), o.Account,
			o.Instrument, o.Side)
	}
	return o.Kind.String()
}

// fields prints a structure without what is zero.
func fields(v any) string {
	text := fmt.Sprintf("%+v", v)
	var kept []string
	for _, f := range strings.Fields(strings.Trim(text, "{}")) {
		if !strings.HasSuffix(f, ":0") && !strings.HasSuffix(f, ":false") {
			kept = append(kept, f)
		}
	}
	return "{" + strings.Join(kept, " ") + "}"
}

// Result is what a call returns.
type Result [4]uint64

// Apply makes the call, and returns what it returns.
func (o *Op) Apply(b match.Book) (r Result) {
	switch o.Kind {
	case OpEnter:
		r[0] = uint64(b.Enter(o.Now, &o.New))
	case OpReplace:
		r[0] = uint64(b.Replace(o.Now, &o.Replace))
	case OpCancel:
		r[0] = uint64(b.Cancel(&o.Cancel))
	case OpMassCancel:
		r[0] = uint64(b.MassCancel(o.Account, o.Instrument, o.Side))
	case OpLeave:
		b.Leave(o.Account)
	case OpState:
		r[0] = uint64(b.SetState(o.Now, o.Instrument, o.State))
	case OpDefine:
		r[0] = uint64(b.Define(&o.Definition))
	case OpLimits:
		r[0] = uint64(b.SetLimits(o.Account, o.Limits))
	case OpKill:
		r[0] = uint64(b.Kill(o.Account, o.On))
	case OpExpire:
		r[0] = uint64(b.Expire(o.Now, o.Budget))
	case OpContinue:
		b.Continue(o.Now)
	case OpCheck:
		r[0] = uint64(b.CheckEnter(o.Now, &o.New))
		r[1] = uint64(b.CheckReplace(o.Now, &o.Replace))
		r[2] = uint64(b.CheckCancel(&o.Cancel))
		r[3] = uint64(b.CheckMassCancel(o.Account, o.Instrument, o.Side))
	}
	return r
}
