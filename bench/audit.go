package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"lockstep/internal/history"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// Audit is what the journals say about what clients were told. It reads nothing but the journals.
type Audit struct {
	Messages   uint64 `json:"messages"`   // of the sessions, in the journals
	Missing    uint64 `json:"missing"`    // acknowledged, and not in the journals of a majority
	Misplaced  uint64 `json:"misplaced"`  // acknowledged with another position or sequence than the journals have
	Duplicated uint64 `json:"duplicated"` // in a journal more than once
	Reordered  uint64 `json:"reordered"`  // in a journal behind a later message of the session
	Differs    string `json:"differs"`    // the first difference between two journals; "" when they agree as far as both go
}

// Holds says whether everything is as it must be.
func (a *Audit) Holds() bool {
	return a.Missing+a.Misplaced+a.Duplicated+a.Reordered == 0 && a.Differs == ""
}

// place is where a message of a session stands in the journals.
type place struct {
	sequence uint64
	position wire.Position
	copies   uint8 // journals that have it
}

// ledger is what the journals have of one session, by correlation: those are dense.
type ledger struct {
	places []place
	last   uint64 // correlation of the newest one in the journal being read
}

// at returns the place of a correlation, nil when no journal has it.
func (l *ledger) at(correlation uint64) *place {
	if correlation >= uint64(len(l.places)) || l.places[correlation].copies == 0 {
		return nil
	}
	return &l.places[correlation]
}

// maxCorrelation bounds what is believed of a journal: no client of a bench sends more.
const maxCorrelation = 1 << 32

// RunAudit holds the acknowledgements of sessions against the journals in the node directories. What an acknowledgement
// does not say of its message's place is filled in from there.
func RunAudit(dirs []string, told ...Told) (Audit, error) {
	var audit Audit
	ledgers := make(map[wire.SessionID]*ledger, len(told))
	for i := range told {
		ledgers[told[i].Session] = &ledger{}
	}
	for _, dir := range dirs {
		if err := audit.read(dir, ledgers); err != nil {
			return audit, err
		}
	}
	for i := range told {
		audit.hold(ledgers[told[i].Session], told[i].Acks, uint8(len(dirs)/2+1))
	}
	for _, l := range ledgers {
		for i := range l.places {
			if l.places[i].copies > 0 {
				audit.Messages++
			}
		}
	}
	for i := 1; i < len(dirs); i++ {
		d, err := journal.Diff(vfs.Real{}, dirs[0], dirs[i])
		if err != nil {
			return audit, err
		}
		if d.Differs && audit.Differs == "" {
			audit.Differs = fmt.Sprintf("%s and %s differ at position %d", dirs[0], dirs[i], d.Position)
		}
	}
	return audit, nil
}

// hold compares one session's acknowledgements with what the journals have of it.
func (a *Audit) hold(l *ledger, acks []Ack, majority uint8) {
	for i := range acks {
		ack := &acks[i]
		at := l.at(ack.Correlation)
		switch {
		case at == nil || at.copies < majority:
			a.Missing++
		case ack.Position != 0 && (ack.Position != at.position || ack.Sequence != at.sequence):
			a.Misplaced++
		case ack.Sequence == 0:
			ack.Position, ack.Sequence = at.position, at.sequence
		}
	}
}

// read walks one journal.
func (a *Audit) read(dir string, ledgers map[wire.SessionID]*ledger) error {
	summary, err := journal.Verify(vfs.Real{}, dir)
	if err != nil {
		return err
	}
	r, err := journal.NewReader(vfs.Real{}, dir)
	if err != nil {
		return err
	}
	defer r.Close()
	r.SetLimit(summary.Chain.Position)
	if err := r.Seek(summary.Floor); err != nil {
		return err
	}
	for _, l := range ledgers {
		l.last = 0
	}
	for {
		rec, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l := ledgers[rec.Session]
		if rec.Kind != wire.RecordMessage || l == nil {
			continue
		}
		if rec.Correlation > maxCorrelation {
			return fmt.Errorf("bench: %s, position %d: correlation %d is beyond belief", dir, rec.Position, rec.Correlation)
		}
		a.note(l, &rec)
	}
}

// note takes a session's message in a journal.
func (a *Audit) note(l *ledger, rec *wire.Record) {
	switch {
	case rec.Correlation == l.last:
		a.Duplicated++
	case rec.Correlation < l.last:
		a.Reordered++
	}
	l.last = max(l.last, rec.Correlation)
	if n := int(rec.Correlation) + 1; n > len(l.places) {
		l.places = slices.Grow(l.places, n-len(l.places))[:n]
	}
	at := &l.places[rec.Correlation]
	if at.copies > 0 && (at.sequence != rec.Sequence || at.position != rec.Position) {
		a.Misplaced++
	}
	at.sequence, at.position = rec.Sequence, rec.Position
	at.copies++
}

// What porcupine, which searches, looks at of a history.
const (
	searchedWindow  = 256
	searchedWindows = 64
)

// CheckHistory says whether the acknowledgements of several clients of one machine could be those of a single log:
// nothing that was acknowledged for good before a message was sent has a place behind it. That sequences are the
// journals' is for RunAudit to say, which comes before. Acknowledgements of one message stand for one operation, which
// returned with the first that was for good: durable or applied. It returns how many operations were looked at.
func CheckHistory(told ...Told) (operations int, err error) {
	var ops []history.Op
	for i := range told {
		ops = appendOps(ops, i, told[i].Acks)
	}
	if err := history.Check(ops); err != nil {
		return len(ops), err
	}
	return len(ops), history.CheckWindows(ops, searchedWindow, searchedWindows)
}

// appendOps makes operations of one client's acknowledgements.
func appendOps(ops []history.Op, client int, acks []Ack) []history.Op {
	var known []int32 // by correlation: index into ops of this client's, from 1
	first := len(ops)
	for k := range acks {
		a := &acks[k]
		if a.SentNs == 0 || a.Sequence == 0 || a.Level < wire.LevelDurable {
			continue
		}
		if n := int(a.Correlation) + 1; n > len(known) {
			known = slices.Grow(known, n-len(known))[:n]
		}
		if known[a.Correlation] == 0 {
			ops = append(ops, history.Op{Client: client, Number: a.Correlation, InvokeNs: a.SentNs, ReturnNs: a.AckedNs,
				Sequence: a.Sequence})
			known[a.Correlation] = int32(len(ops) - first)
		}
		op := &ops[first+int(known[a.Correlation])-1]
		op.ReturnNs = min(op.ReturnNs, a.AckedNs)
	}
	return ops
}
