package journal

import "lockstep/wire"

// noPosition is no position that a log has: it makes the next durable report due.
const noPosition = ^wire.Position(0)

// publish offers the core what it has not been told yet, oldest first, and returns how much it took.
func (w *Writer) publish() int {
	n := 0
	for len(w.pending) > 0 && w.port.reports.Offer(&w.pending[0]) {
		w.pending = w.pending[1:]
		n++
	}
	if len(w.pending) == 0 && w.reported != w.j.written && w.err == nil {
		r := Report{Kind: ReportDurable, Position: w.j.written, Generation: w.j.generation}
		if w.port.reports.Offer(&r) {
			w.reported = w.j.written
			n++
		}
	}
	if n > 0 {
		w.port.reports.Publish()
		if w.port.OnReport != nil {
			w.port.OnReport()
		}
	}
	return n
}

// tell queues a report that must not be merged or lost. Cold.
func (w *Writer) tell(r Report) {
	r.Generation = w.j.generation
	w.pending = append(w.pending, r)
}

// fail ends the journal: nothing is written any more. A failed write or sync is never tried again.
func (w *Writer) fail(err error) {
	w.err = err
	w.tell(Report{Kind: ReportFailed, Position: w.j.written, Err: err})
	w.j.options.Log("journal: stopped: " + err.Error())
}
