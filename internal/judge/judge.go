package judge

import (
	"bytes"
	"fmt"

	"lockstep/internal/history"
	"lockstep/service"
	"lockstep/wire"
)

// Output is a response that a record caused.
type Output struct {
	Service     uint16
	Session     wire.SessionID
	Correlation uint64 // of the message of this session that asked for it; 0: none did
	Number      uint64 // in its session
	Position    wire.Position
	Payload     []byte
}

// Judge is told what was asked and answered. Its services are made by Wrap.
type Judge struct {
	sessions map[wire.SessionID]*asked
	over     []wire.SessionID // closed by the record that is being applied
	outputs  []Output         // of that record
	all      map[wire.SessionID][]Output
	jurors   [service.MaxServices]juror
	stamp    uint64
	book     *bookJuror // nil: it is not judged
	// Applied counts messages that took effect, by service.
	Applied [service.MaxServices]int
	// Committed and Aborted count transactions.
	Committed, Aborted int
}

// asked is how far a session has come.
type asked struct {
	next uint64 // correlation
}

// juror judges one service.
type juror interface {
	// message is told of a command that the service carried out, and of all that the record had it say.
	message(at history.Moment, session wire.SessionID, payload []byte, said []Output) error
	// refuses says whether an answer means that nothing was done.
	refuses(answer []byte) bool
	// others is told of what the service said at a record that is no message for it: timers, ends of sessions.
	others(at history.Moment, said []Output) error
	// closed is told of a session that is over with the record that comes next: some of what the record says may come before.
	closed(at history.Moment, session wire.SessionID)
	// end is told of the last stamp of the log.
	end(stamp uint64) error
}

// New returns a judge of a log, from its beginning.
func New() *Judge {
	j := &Judge{sessions: map[wire.SessionID]*asked{}, all: map[wire.SessionID][]Output{}}
	j.jurors[service.KV] = newKV()
	j.jurors[service.Queue] = newQueue()
	j.jurors[service.Lock] = newLock()
	j.jurors[service.TimerService] = newTimer()
	return j
}

// probe is the echo service, which says when sessions begin and end.
type probe struct {
	service.Service
	j *Judge
}

// OnSession implements service.Service.
func (p *probe) OnSession(ctx *service.Context, session wire.SessionID, opened bool) {
	p.Service.OnSession(ctx, session, opened)
	if opened {
		p.j.sessions[session] = &asked{next: 1}
	} else {
		p.j.over = append(p.j.over, session)
	}
}

// Wrap has the services of a replay tell the judge of sessions. They put out what they would anyway.
func (j *Judge) Wrap(list [service.MaxServices]service.Service) [service.MaxServices]service.Service {
	list[service.Echo] = &probe{list[service.Echo], j}
	return list
}

// Output takes a response: service.Options.OnOutput.
func (j *Judge) Output(head *service.Egress, payload []byte) {
	o := Output{Service: head.Service, Session: head.Session, Correlation: head.Correlation, Number: head.Response,
		Position: head.Position, Payload: bytes.Clone(payload)}
	j.outputs = append(j.outputs, o)
	j.all[o.Session] = append(j.all[o.Session], o)
	if j.book != nil {
		j.book.said(head, payload)
	}
}

// Lost takes a response that goes nowhere: service.Options.OnLost. A service has said it all the same.
func (j *Judge) Lost(head *service.Egress, payload []byte) {
	j.outputs = append(j.outputs, Output{Service: head.Service, Session: head.Session, Payload: bytes.Clone(payload)})
	if j.book != nil {
		j.book.said(head, payload)
	}
}

// Response is what a session was to be told with a number; false: nothing.
func (j *Judge) Response(session wire.SessionID, number uint64) (Output, bool) {
	list := j.all[session]
	if number == 0 || number > uint64(len(list)) {
		return Output{}, false
	}
	return list[number-1], true
}

// Open says whether a session is open at the end of what was told.
func (j *Judge) Open(session wire.SessionID) bool { return j.sessions[session] != nil }

// Record takes a record that has just been applied.
func (j *Judge) Record(r *wire.Record, payload []byte) error {
	said, over := j.outputs, j.over
	j.outputs, j.over = nil, nil
	at := history.Moment{Sequence: r.Sequence, Stamp: r.Timestamp}
	j.stamp = r.Timestamp
	if j.book != nil {
		if err := j.book.record(r, payload); err != nil {
			return err
		}
	}
	for _, session := range over {
		for _, juror := range j.jurors {
			if juror != nil {
				juror.closed(at, session)
			}
		}
	}
	if err := j.record(at, r, payload, said); err != nil {
		return fmt.Errorf("record %d, kind %v, service %d, session %x: %w", r.Sequence, r.Kind, r.Service, r.Session, err)
	}
	for _, session := range over {
		delete(j.sessions, session)
	}
	return nil
}

func (j *Judge) record(at history.Moment, r *wire.Record, payload []byte, said []Output) error {
	to := service.None
	if r.Kind == wire.RecordMessage {
		s := j.sessions[r.Session]
		if s == nil || r.Correlation != s.next {
			if len(said) > 0 {
				return fmt.Errorf("message %d takes no effect, and has %d responses", r.Correlation, len(said))
			}
			return nil
		}
		s.next++
		if to = r.Service; to < service.MaxServices {
			j.Applied[to]++
		}
		if err := j.message(at, r.Session, to, payload, said); err != nil {
			return err
		}
	}
	for id, juror := range j.jurors {
		if juror == nil || uint16(id) == to || to == service.Transaction {
			continue
		}
		if list := of(uint16(id), said); len(list) > 0 {
			if err := juror.others(at, list); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *Judge) juror(id uint16) juror {
	if id >= service.MaxServices {
		return nil
	}
	return j.jurors[id]
}

// message has one service's juror, or those of a transaction's services, hear it.
func (j *Judge) message(at history.Moment, session wire.SessionID, id uint16, payload []byte, said []Output) error {
	if id == service.Transaction {
		return j.transaction(at, session, payload, said)
	}
	if juror := j.juror(id); juror != nil {
		return juror.message(at, session, payload, of(id, said))
	}
	return nil
}

// transaction has all of its services' jurors hear their commands when it was carried out; else the one whose service refused, and
// no service may have said anything.
func (j *Judge) transaction(at history.Moment, session wire.SessionID, payload []byte, said []Output) error {
	var parts [service.MaxCommands]service.Part
	var outcome service.Outcome
	n, ok := service.DecodeTransaction(payload, &parts)
	if len(said) == 0 || said[0].Service != service.Transaction || !service.DecodeOutcome(said[0].Payload, &outcome) {
		return fmt.Errorf("a transaction of %d commands (%v) has no outcome", n, ok)
	}
	if !outcome.Committed {
		j.Aborted++
		if len(said) != 1 {
			return fmt.Errorf("a transaction that came to nothing has %d responses", len(said))
		}
		if juror := j.juror(outcome.Service); juror != nil && len(outcome.Refusal) > 0 && outcome.Index < n {
			answer := []Output{{Service: outcome.Service, Session: session, Payload: outcome.Refusal}}
			if !juror.refuses(outcome.Refusal) {
				return fmt.Errorf("a transaction is refused by service %d with what is no refusal", outcome.Service)
			}
			return juror.message(at, session, parts[outcome.Index].Payload, answer)
		}
		return nil
	}
	j.Committed++
	if outcome.Count != n {
		return fmt.Errorf("a transaction of %d commands is carried out, it says, with %d", n, outcome.Count)
	}
	for _, part := range parts[:n] {
		list := of(part.Service, said)
		juror := j.juror(part.Service)
		if juror == nil {
			continue
		}
		if len(list) == 0 || juror.refuses(list[0].Payload) {
			return fmt.Errorf("a transaction is carried out, and service %d did not do its part", part.Service)
		}
		if err := juror.message(at, session, part.Payload, list); err != nil {
			return fmt.Errorf("transaction: %w", err)
		}
	}
	return nil
}

// of are the responses of one service.
func of(id uint16, said []Output) []Output {
	var list []Output
	for i := range said {
		if said[i].Service == id {
			list = append(list, said[i])
		}
	}
	return list
}

// Figures say how often what services do now and then was done.
type Figures struct {
	Committed, Aborted                                        int // transactions
	Changed, Conflicts, Told                                  int // key/value store: changes, conflicts, changes that watchers heard of
	Handed, Again, Once, Repeats, Returned, Dead, Done, Drops int // queues
	Grants, Refusals, Expiries, Waited, Lates                 int // locks
	Fired, Skipped                                            int // timers
}

// Figures are what was seen so far.
func (j *Judge) Figures() Figures {
	kv, q := j.jurors[service.KV].(*kvJuror), j.jurors[service.Queue].(*queueJuror)
	f := Figures{Committed: j.Committed, Aborted: j.Aborted, Told: kv.told, Handed: q.queues.Handed, Again: q.queues.Again,
		Once: q.queues.Once, Repeats: q.queues.Repeats, Returned: q.queues.Returns, Dead: q.queues.Dead, Done: q.queues.Done, Drops: q.drops}
	l, t := j.jurors[service.Lock].(*lockJuror), j.jurors[service.TimerService].(*timerJuror)
	f.Grants, f.Refusals, f.Expiries, f.Waited, f.Lates = l.locks.Grants, l.locks.Refusals, l.locks.Expiries, l.locks.Waited, l.locks.Lates
	f.Fired, f.Skipped = t.timers.Fired, t.timers.Skipped
	for i := range kv.ops {
		if op := &kv.ops[i]; op.Done {
			f.Changed++
		} else if op.Guarded {
			f.Conflicts++
		}
	}
	return f
}

// End takes the end of the log.
func (j *Judge) End() error {
	if j.book != nil {
		if err := j.book.end(); err != nil {
			return err
		}
	}
	for _, juror := range j.jurors {
		if juror == nil {
			continue
		}
		if err := juror.end(j.stamp); err != nil {
			return err
		}
	}
	return nil
}
