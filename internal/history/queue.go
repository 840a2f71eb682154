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
	keys     map[string]uint64 // queue and dedup key: the message that it made last
	// DedupNs is how long a key is remembered after the put; 0: as long as its message is there.
	DedupNs uint64
	// Puts, Repeats, Handed, Again, Done, Dead, Dropped count what was seen of each.
	Puts, Repeats, Handed, Again, Done, Dead, Dropped int
}

// Put describes a message that is put.
type Put struct {
	Queue    string
	Key      string // dedup key; "": none
	Payload  string
	From     uint64 // stamp before which it is handed to nobody
	Deadline uint64 // stamp after which it may be dropped; 0: none
}

// Lease is a message as it is handed to a consumer.
type Lease struct {
	ID      uint64
	Payload string
	Attempt uint32 // from 1
	Token   uint64
	Until   uint64 // stamp; 0: it is not to come back (at most once)
}

type taskState uint8

const (
	taskReady taskState = iota
	taskLeased
	taskOver // acknowledged, dropped, dead, or handed out at most once
)

type task struct {
	Put
	at      Moment
	state   taskState
	attempt uint32
	token   uint64
	until   uint64
	wasFor  string // how it ended
}

// NewQueues returns queues with nothing in them.
func NewQueues() *Queues { return &Queues{messages: map[uint64]*task{}, keys: map[string]uint64{}} }

func queueWrong(at Moment, id uint64, format string, args ...any) error {
	return fmt.Errorf("%w: queue message %d at sequence %d: %s", ErrViolation, id, at.Sequence, fmt.Sprintf(format, args...))
}

// remembered is the message that a dedup key stands for, and whether it must, or may, stand for it now.
func (q *Queues) remembered(at Moment, p *Put) (id uint64, must, may bool) {
	id, known := q.keys[p.Queue+"\x00"+p.Key]
	if p.Key == "" || !known {
		return 0, false, false
	}
	m := q.messages[id]
	if q.DedupNs == 0 {
		return id, m.state != taskOver, true
	}
	return id, at.Stamp < m.at.Stamp+q.DedupNs, at.Stamp <= m.at.Stamp+q.DedupNs
}

// Put takes a message that was put; id is its name.
func (q *Queues) Put(at Moment, id uint64, p Put) error {
	if id != at.Sequence {
		return queueWrong(at, id, "its name is not the sequence of its record")
	}
	if other, must, _ := q.remembered(at, &p); must {
		return queueWrong(at, id, "key %q makes it once more: it made message %d", p.Key, other)
	}
	q.messages[id] = &task{Put: p, at: at}
	if p.Key != "" {
		q.keys[p.Queue+"\x00"+p.Key] = id
	}
	q.Puts++
	return nil
}

// Repeat takes the answer that a dedup key was there already, for message id.
func (q *Queues) Repeat(at Moment, id uint64, p Put) error {
	if other, _, may := q.remembered(at, &p); !may || other != id {
		return queueWrong(at, id, "key %q of queue %q is said to stand for it, and stands for %d: %v", p.Key, p.Queue, other, may)
	}
	q.Repeats++
	return nil
}

// Hand takes a message that was handed out.
func (q *Queues) Hand(at Moment, queue string, l Lease) error {
	m := q.messages[l.ID]
	switch {
	case m == nil || m.Queue != queue:
		return queueWrong(at, l.ID, "it is handed out of queue %q, and nobody put it there", queue)
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
	case l.Until != 0 && l.Token <= m.token:
		return queueWrong(at, l.ID, "the token of its lease is %d after %d", l.Token, m.token)
	case l.Until != 0 && l.Until < at.Stamp:
		return queueWrong(at, l.ID, "its lease ends at %d, before it begins at %d", l.Until, at.Stamp)
	}
	q.Handed++
	if m.attempt > 0 {
		q.Again++
	}
	m.attempt, m.token, m.until, m.state = l.Attempt, l.Token, l.Until, taskLeased
	if l.Until == 0 {
		m.over("handed out at most once")
	}
	return nil
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

// Returned takes a message that its consumer gave back, to be handed out from a stamp on.
func (q *Queues) Returned(at Moment, id, token, from uint64) error {
	m, err := q.leased(at, id, token, "given back")
	if err == nil {
		m.state, m.From = taskReady, from
	}
	return err
}

// NotHeld takes the answer that a token does not hold a message.
func (q *Queues) NotHeld(at Moment, id, token uint64) error {
	if m := q.messages[id]; m != nil && m.state == taskLeased && m.token == token && at.Stamp < m.until {
		return queueWrong(at, id, "token %d is said not to hold it, and does until %d", token, m.until)
	}
	return nil
}

// Buried takes a message that went to another queue after so many attempts.
func (q *Queues) Buried(at Moment, id uint64, to string, attempts uint32) error {
	m := q.messages[id]
	if m == nil || m.state == taskOver || m.attempt < attempts {
		return queueWrong(at, id, "it goes to queue %q after %d attempts: %+v", to, attempts, m)
	}
	if m.state == taskLeased && at.Stamp < m.until {
		return queueWrong(at, id, "it goes to queue %q, and is leased until %d", to, m.until)
	}
	m.state, m.Queue, m.attempt, m.From, m.Deadline = taskReady, to, 0, 0, 0
	q.Dead++
	return nil
}

// Drop takes a message that came to nothing for its deadline.
func (q *Queues) Drop(at Moment, id uint64) error {
	m := q.messages[id]
	if m == nil || m.state == taskOver || m.Deadline == 0 || at.Stamp < m.Deadline {
		return queueWrong(at, id, "it is dropped at %d: %+v", at.Stamp, m)
	}
	m.over("dropped")
	q.Dropped++
	return nil
}

// Open are the messages of a queue that are still to be done, in order of their names.
func (q *Queues) Open(queue string) (ids []uint64) {
	for id, m := range q.messages {
		if m.Queue == queue && m.state != taskOver {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

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

// Count compares how many messages a queue says it has with what must be there: those that are open, but for what may have
// been dropped for its deadline without a word.
func (q *Queues) Count(at Moment, queue string, says int) error {
	open := q.Open(queue)
	least := 0
	for _, id := range open {
		if m := q.messages[id]; m.Deadline == 0 || at.Stamp < m.Deadline {
			least++
		}
	}
	if says < least || says > len(open) {
		return fmt.Errorf("%w: queue %q at sequence %d has %d messages, and must have %d to %d", ErrViolation, queue, at.Sequence, says,
			least, len(open))
	}
	return nil
}
