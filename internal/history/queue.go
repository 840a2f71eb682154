package history

import (
	"fmt"
	"slices"
)

// Queues holds what a work queue answers against what it promises: what was put is handed out, or dropped for a reason; again only
// after its lease or when it was given back; at most once where that was asked for; in an acknowledgement nothing is lost, and one
// dedup key makes one message. Whoever reads the log tells it, record by record.
type Queues struct {
	messages map[uint64]*task
	keys     map[[2]string]uint64 // queue and dedup key: the message that it made last
	ends     map[string][]deadEnd // of each queue, the newest last
	// Puts, Repeats, Handed, Again, Once, Done, Returns, Dead, Late count what was seen of each.
	Puts, Repeats, Handed, Again, Once, Done, Returns, Dead, Late int
}

// deadEnd is what a queue does with messages that have been tried often enough.
type deadEnd struct {
	since    Moment
	attempts uint32 // 0: there is no end
	to       string // "": they are dropped
}

// Put describes a message that is put.
type Put struct {
	Queue      string
	Key        string // dedup key; "": none
	Remembered uint64 // stamp until which the key is
	Payload    string
	From       uint64 // stamp before which it is handed to nobody
	Deadline   uint64 // stamp from which on it may be dropped; 0: none
}

// Lease is a message as it is handed to a consumer.
type Lease struct {
	ID      uint64
	Payload string
	Attempt uint32 // from 1
	Token   uint64
	Until   uint64 // stamp; 0: it is not to come back (at most once)
	Origin  string // the queue where it died; "": it did not
}

type taskState uint8

const (
	taskReady taskState = iota
	taskLeased
	taskOver // acknowledged, dropped, dead, or handed out at most once
)

type task struct {
	Put
	origin  string
	state   taskState
	leased  Moment // last
	attempt uint32
	token   uint64
	until   uint64
	wasFor  string // how it ended
}

// NewQueues returns queues with nothing in them.
func NewQueues() *Queues {
	return &Queues{messages: map[uint64]*task{}, keys: map[[2]string]uint64{}, ends: map[string][]deadEnd{}}
}

// Configured takes how a queue ends messages from now on.
func (q *Queues) Configured(at Moment, queue string, attempts uint32, to string) {
	q.ends[queue] = append(q.ends[queue], deadEnd{at, attempts, to})
}

// deaths says where a message goes, or may go, when its present lease ends by itself or is given back: is is nil if it may stay.
func (q *Queues) deaths(m *task) (is *deadEnd, may []deadEnd) {
	list := q.ends[m.Queue]
	for i := range list {
		e := &list[i]
		if i+1 < len(list) && list[i+1].since.Sequence < m.leased.Sequence {
			continue // it was over before
		}
		if e.attempts > 0 && m.attempt >= e.attempts {
			may = append(may, *e)
			if i == len(list)-1 && e.since.Sequence < m.leased.Sequence {
				is = e
			}
		}
	}
	return is, may
}

// ended says whether the lease of a message is, or may be, over.
func (m *task) ended(at Moment) bool { return m.state == taskLeased && at.Stamp >= m.until }

func queueWrong(at Moment, id uint64, format string, args ...any) error {
	return fmt.Errorf("%w: queue message %d at sequence %d: %s", ErrViolation, id, at.Sequence, fmt.Sprintf(format, args...))
}

// remembered is the message that a dedup key stands for, and whether it must do so now.
func (q *Queues) remembered(at Moment, p *Put) (id uint64, must, known bool) {
	id, known = q.keys[[2]string{p.Queue, p.Key}]
	if p.Key == "" || !known {
		return 0, false, false
	}
	return id, at.Stamp < q.messages[id].Remembered, true
}

// Put takes a message that was put; id is its name.
func (q *Queues) Put(at Moment, id uint64, p Put) error {
	if id != at.Sequence {
		return queueWrong(at, id, "its name is not the sequence of its record")
	}
	if other, must, _ := q.remembered(at, &p); must {
		return queueWrong(at, id, "key %q makes it once more: it made message %d", p.Key, other)
	}
	q.messages[id] = &task{Put: p}
	if p.Key != "" {
		q.keys[[2]string{p.Queue, p.Key}] = id
	}
	q.Puts++
	return nil
}

// Repeat takes the answer that a dedup key was there already, for message id.
func (q *Queues) Repeat(at Moment, id uint64, p Put) error {
	if other, _, known := q.remembered(at, &p); !known || other != id {
		return queueWrong(at, id, "key %q of queue %q is said to stand for it, and stands for %d", p.Key, p.Queue, other)
	}
	q.Repeats++
	return nil
}

// Hand takes a message that was handed out.
func (q *Queues) Hand(at Moment, queue string, l Lease) error {
	m := q.messages[l.ID]
	if m == nil {
		return queueWrong(at, l.ID, "it is handed out of queue %q, and nobody put it there", queue)
	}
	if err := q.died(at, m, queue, l); err != nil {
		return err
	}
	switch {
	case m.Queue != queue || m.origin != l.Origin:
		return queueWrong(at, l.ID, "it is handed out of queue %q, from %q, and is in %q, from %q", queue, l.Origin, m.Queue, m.origin)
	case m.state == taskOver:
		return queueWrong(at, l.ID, "it is handed out, and was %s", m.wasFor)
	case m.state == taskLeased && at.Stamp < m.until:
		return queueWrong(at, l.ID, "it is handed out at %d, and is leased until %d", at.Stamp, m.until)
	case at.Stamp < m.From:
		return queueWrong(at, l.ID, "it is handed out at %d, and is not to be before %d", at.Stamp, m.From)
	case l.Payload != m.Payload:
		return queueWrong(at, l.ID, "it has another payload than was put")
	case l.Attempt != m.attempt+1:
		return queueWrong(at, l.ID, "it is handed out with attempt %d after %d", l.Attempt, m.attempt)
	case l.Until != 0 && l.Token != at.Sequence:
		return queueWrong(at, l.ID, "the token of its lease is %d", l.Token)
	case l.Until != 0 && l.Until < at.Stamp:
		return queueWrong(at, l.ID, "its lease ends at %d, before it begins at %d", l.Until, at.Stamp)
	}
	q.Handed++
	if m.attempt > 0 {
		q.Again++
	}
	m.attempt, m.token, m.until, m.leased, m.state = l.Attempt, l.Token, l.Until, at, taskLeased
	if l.Until == 0 {
		q.Once++
		m.over("handed out at most once")
	}
	return nil
}

// died finds out whether a message that is handed out has died since it was last heard of, which nobody was told.
func (q *Queues) died(at Moment, m *task, queue string, l Lease) error {
	if !m.ended(at) {
		return nil
	}
	is, may := q.deaths(m)
	for _, e := range may {
		if e.to != "" && e.to == queue && l.Origin == m.Queue && l.Attempt == 1 {
			q.bury(m, e.to)
			return nil
		}
	}
	if is != nil {
		return queueWrong(at, l.ID, "it is handed out of queue %q with attempt %d, and died in %q with %d", queue, l.Attempt, m.Queue, m.attempt)
	}
	return nil
}

func (q *Queues) bury(m *task, to string) {
	m.origin, m.Queue, m.attempt, m.From, m.state = m.Queue, to, 0, 0, taskReady
	q.Dead++
}

func (m *task) over(why string) { m.state, m.wasFor = taskOver, why }

// leased is a message that a token holds.
func (q *Queues) leased(at Moment, id, token uint64, what string) (*task, error) {
	m := q.messages[id]
	if m == nil || m.state != taskLeased || m.token != token {
		return nil, queueWrong(at, id, "token %d has it %s, and does not hold it: %+v", token, what, m)
	}
	return m, nil
}

// Acknowledged takes a message that its consumer has done.
func (q *Queues) Acknowledged(at Moment, id, token uint64) error {
	m, err := q.leased(at, id, token, "deleted")
	if err == nil {
		m.over("acknowledged")
		q.Done++
	}
	return err
}

// Extended takes a lease that goes on until another stamp.
func (q *Queues) Extended(at Moment, id, token, until uint64) error {
	m, err := q.leased(at, id, token, "extended")
	if err == nil {
		m.until = until
	}
	return err
}

// Returned takes a message that its consumer gave back, to be handed out from a stamp on, or that is dead with that.
func (q *Queues) Returned(at Moment, id, token, from uint64, dead bool) error {
	m, err := q.leased(at, id, token, "given back")
	if err != nil {
		return err
	}
	q.Returns++
	is, may := q.deaths(m)
	switch {
	case dead && len(may) == 0:
		return queueWrong(at, id, "it is said to be dead after %d attempts", m.attempt)
	case !dead && is != nil:
		return queueWrong(at, id, "it goes on after %d attempts of %d", m.attempt, is.attempts)
	case dead && may[len(may)-1].to == "":
		m.over("dropped, dead")
		q.Dead++
	case dead:
		q.bury(m, may[len(may)-1].to)
	default:
		m.state, m.From = taskReady, from
	}
	return nil
}

// Removed takes a message that was deleted while nobody had it.
func (q *Queues) Removed(at Moment, id uint64) error {
	m := q.messages[id]
	if m == nil || m.state == taskOver || m.state == taskLeased && at.Stamp < m.until {
		return queueWrong(at, id, "it is deleted without a token: %+v", m)
	}
	m.over("deleted")
	q.Done++
	return nil
}

// NotHeld takes the answer that a token does not hold a message of a queue.
func (q *Queues) NotHeld(at Moment, queue string, id, token uint64) error {
	if m := q.messages[id]; m != nil && m.Queue == queue && m.state == taskLeased && m.token == token && at.Stamp < m.until {
		return queueWrong(at, id, "token %d is said not to hold it, and does until %d", token, m.until)
	}
	return nil
}

// Counted compares how many messages a queue says it has with what must be there. Nobody is told when a lease ends by itself, when
// a message dies with that, and which messages are dropped because they are late: those may be there or not.
func (q *Queues) Counted(at Moment, queue string, says int) error {
	least, most := 0, 0
	for _, m := range q.messages {
		if m.state == taskOver {
			continue
		}
		is, may := (*deadEnd)(nil), []deadEnd(nil)
		if m.ended(at) {
			is, may = q.deaths(m)
		}
		comes := false
		for _, e := range may {
			comes = comes || e.to == queue
		}
		late := m.Deadline != 0 && at.Stamp >= m.Deadline
		switch {
		case m.Queue == queue:
			most++
			if len(may) == 0 && !late {
				least++
			}
		case comes:
			most++
			if is != nil && is.to == queue && !late && at.Stamp > m.until+settleNs {
				least++
			}
		}
	}
	if says < least || says > most {
		return fmt.Errorf("%w: queue %q at sequence %d has %d messages, and must have %d to %d", ErrViolation, queue, at.Sequence, says,
			least, most)
	}
	return nil
}

// Peeked takes a message that a queue shows.
func (q *Queues) Peeked(at Moment, queue string, id uint64, payload string) error {
	m := q.messages[id]
	if m == nil || m.state == taskOver || m.Payload != payload {
		return queueWrong(at, id, "it is shown: %+v", m)
	}
	if m.Queue == queue {
		return nil
	}
	if _, may := q.deaths(m); m.ended(at) {
		for _, e := range may {
			if e.to == queue {
				return nil
			}
		}
	}
	return queueWrong(at, id, "it is shown in queue %q, and is in %q", queue, m.Queue)
}

// settleNs is how long what is due may take.
const settleNs = uint64(60e9)

// Names are the queues that anything was put into.
func (q *Queues) Names() (names []string) {
	for _, m := range q.messages {
		if !slices.Contains(names, m.Queue) {
			names = append(names, m.Queue)
		}
	}
	slices.Sort(names)
	return names
}
