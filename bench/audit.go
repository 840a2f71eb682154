package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"lockstep/internal/history"
	"lockstep/internal/vfs"
	"lockstep/journal"
	"lockstep/wire"
)

// Ack is one acknowledgement that a client was given.
type Ack struct {
	Correlation uint64
	Level       wire.Level
	Sequence    uint64 // 0 when the acknowledgement did not say (level received)
	Position    wire.Position
	SentNs      int64 // when the message was given to the client, on this machine's monotonic clock; 0: not known
	AckedNs     int64 // when the acknowledgement came
}

// WriteAcks writes acknowledgements as text, one a line.
func WriteAcks(path string, acks []Ack) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, a := range acks {
		fmt.Fprintln(w, a.Correlation, uint8(a.Level), a.Sequence, uint64(a.Position), a.SentNs, a.AckedNs)
	}
	return errors.Join(w.Flush(), f.Close())
}

// ReadAcks reads what WriteAcks wrote.
func ReadAcks(path string) ([]Ack, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var acks []Ack
	for r := bufio.NewReader(f); ; {
		var a Ack
		var level uint8
		var position uint64
		_, err := fmt.Fscanln(r, &a.Correlation, &level, &a.Sequence, &position, &a.SentNs, &a.AckedNs)
		if errors.Is(err, io.EOF) {
			return acks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("bench: %s, line %d: %w", path, len(acks)+1, err)
		}
		a.Level, a.Position = wire.Level(level), wire.Position(position)
		acks = append(acks, a)
	}
}

// CheckHistory says whether the acknowledgements of several clients of one machine could be those of a single log:
// nothing that was acknowledged for good before a message was sent has a place behind it. That sequences are the
// journals' is for RunAudit to say. Acknowledgements of one message stand for one operation, which returned with the
// first that was for good: durable or applied.
func CheckHistory(clients ...[]Ack) error {
	var ops []history.Op
	for i, acks := range clients {
		known := map[uint64]int{}
		for k := range acks {
			a := &acks[k]
			if a.SentNs == 0 || a.Sequence == 0 || a.Level < wire.LevelDurable {
				continue
			}
			at, seen := known[a.Correlation]
			if !seen {
				at, known[a.Correlation] = len(ops), len(ops)
				ops = append(ops, history.Op{Client: i, ID: fmt.Sprintf("client %d message %d", i, a.Correlation),
					InvokeNs: a.SentNs, ReturnNs: a.AckedNs, Sequence: a.Sequence})
			}
			ops[at].ReturnNs = min(ops[at].ReturnNs, a.AckedNs)
		}
	}
	return history.Check(ops)
}

// Audit is what the journals say about what a client was told. It reads nothing but the journals.
type Audit struct {
	Messages   uint64 // of the session, in the longest journal
	Missing    uint64 // acknowledged, and not in the journals of a majority
	Misplaced  uint64 // acknowledged with another position or sequence than the journals have
	Duplicated uint64 // in a journal more than once
	Reordered  uint64 // in a journal behind a later message of the session
	Differs    string // the first difference between two journals; "" when they agree as far as both go
}

// Holds says whether everything is as it must be.
func (a *Audit) Holds() bool {
	return a.Missing+a.Misplaced+a.Duplicated+a.Reordered == 0 && a.Differs == ""
}

// place is where a message stands in a journal.
type place struct {
	sequence uint64
	position wire.Position
}

// RunAudit holds the acknowledgements of one session against the journals in the node directories.
func RunAudit(dirs []string, session wire.SessionID, acks []Ack) (Audit, error) {
	var audit Audit
	copies := map[uint64]int{}
	places := map[uint64]place{}
	for _, dir := range dirs {
		if err := audit.read(dir, session, copies, places); err != nil {
			return audit, err
		}
	}
	majority := len(dirs)/2 + 1
	for _, a := range acks {
		at := places[a.Correlation]
		switch {
		case copies[a.Correlation] < majority:
			audit.Missing++
		case a.Position != 0 && (a.Position != at.position || a.Sequence != at.sequence):
			audit.Misplaced++
		}
	}
	audit.Messages = uint64(len(places))
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

// read walks one journal.
func (a *Audit) read(dir string, session wire.SessionID, copies map[uint64]int, places map[uint64]place) error {
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
	last := uint64(0)
	for {
		rec, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if rec.Kind != wire.RecordMessage || rec.Session != session {
			continue
		}
		switch {
		case rec.Correlation == last:
			a.Duplicated++
		case rec.Correlation < last:
			a.Reordered++
		}
		last = max(last, rec.Correlation)
		copies[rec.Correlation]++
		at := place{rec.Sequence, rec.Position}
		if was, ok := places[rec.Correlation]; ok && was != at {
			a.Misplaced++
		}
		places[rec.Correlation] = at
	}
}
