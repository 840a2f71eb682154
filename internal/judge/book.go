package judge

import (
	"encoding/json"
	"fmt"

	"lockstep/internal/bookaudit"
	"lockstep/internal/inspect"
	"lockstep/service"
	"lockstep/wire"
)

// bookJuror has the order book audited: it writes the lines that `lockstep journal dump --outputs` prints.
type bookJuror struct {
	auditor *bookaudit.Auditor
	outputs []inspect.Output // of the record that is being applied
}

// AuditBook has the order book judged as well, from here on, which is the beginning of the log.
func (j *Judge) AuditBook() { j.book = &bookJuror{auditor: bookaudit.New()} }

// Closed takes the end of a session, or of one that was refused: service.Options.OnClosed.
func (j *Judge) Closed(head *service.Egress) {
	if j.book != nil {
		j.book.outputs = append(j.book.outputs, inspect.ViewClosed(head))
	}
}

// said takes a response. What is not of the book counts only as one.
func (b *bookJuror) said(head *service.Egress, payload []byte) {
	if head.Service != service.OrderBook {
		payload = nil
	}
	b.outputs = append(b.outputs, inspect.ViewOutput(head, payload))
}

// record has a record audited.
func (b *bookJuror) record(r *wire.Record, payload []byte) error {
	if r.Kind == wire.RecordMessage && r.Service != service.OrderBook {
		payload = nil
	}
	view := inspect.View(r, payload)
	view.Outputs, b.outputs = b.outputs, b.outputs[:0]
	line, err := json.Marshal(view)
	if err != nil {
		return err
	}
	return b.auditor.Line(line)
}

// end says what does not add up.
func (b *bookJuror) end() error {
	if result := b.auditor.End(); result.Count > 0 {
		return fmt.Errorf("orderbook: %d things do not add up, the first: %v", result.Count, result.Findings[0])
	}
	return nil
}
