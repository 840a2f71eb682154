package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"lockstep/service/queue"
	"lockstep/service/queue/fb"
)

// queueAnswer is an answer of a queue as one JSON object.
type queueAnswer struct {
	Kind       string         `json:"kind"`
	Reason     string         `json:"reason,omitempty"`
	ID         uint64         `json:"id,omitempty"`
	Duplicate  bool           `json:"duplicate,omitempty"`
	Waiting    bool           `json:"waiting,omitempty"`
	Dead       bool           `json:"dead,omitempty"`
	Until      string         `json:"until,omitempty"`
	Request    uint64         `json:"request,omitempty"`
	Dropped    uint32         `json:"dropped,omitempty"`
	Queue      string         `json:"queue,omitempty"`
	DeadLetter string         `json:"dead_letter,omitempty"`
	Counts     *queueCounts   `json:"counts,omitempty"`
	Messages   []queueMessage `json:"messages,omitempty"`
	Queues     []string       `json:"queues,omitempty"`
}

// queueCounts are what a queue holds and has seen, in JSON.
type queueCounts struct {
	Ready       uint64 `json:"ready"`
	Delayed     uint64 `json:"delayed"`
	Leased      uint64 `json:"leased"`
	Waiting     uint64 `json:"waiting"`
	Keys        uint64 `json:"keys"`
	Put         uint64 `json:"put"`
	Duplicates  uint64 `json:"duplicates"`
	Delivered   uint64 `json:"delivered"`
	Deleted     uint64 `json:"deleted"`
	Released    uint64 `json:"released"`
	Expired     uint64 `json:"expired"`
	Dead        uint64 `json:"dead"`
	Late        uint64 `json:"late"`
	MaxAttempts uint32 `json:"max_attempts"`
	LeaseMs     uint64 `json:"lease_ms"`
	DedupMs     uint64 `json:"dedup_ms"`
}

// queueMessage is a message of a queue in JSON.
type queueMessage struct {
	ID       uint64 `json:"id"`
	Token    uint64 `json:"token,omitempty"`
	State    string `json:"state"`
	Attempts uint32 `json:"attempts,omitempty"`
	Put      string `json:"put"`
	Until    string `json:"until,omitempty"`
	Deadline string `json:"deadline,omitempty"`
	Origin   string `json:"origin,omitempty"`
	Text     string `json:"text,omitempty"`    // the payload, if it is text
	Payload  []byte `json:"payload,omitempty"` // if it is not
}

// printQueueAnswer prints an answer of the queue service.
func printQueueAnswer(w io.Writer, payload []byte, asJSON bool) bool {
	var r queue.Response
	if !queue.DecodeResponse(payload, &r) {
		fmt.Fprintf(w, "%d bytes that are no answer of a queue\n", len(payload))
		return false
	}
	if asJSON {
		_ = json.NewEncoder(w).Encode(viewQueueAnswer(&r))
		return r.Kind != queue.Refused
	}
	switch r.Kind {
	case queue.Stored:
		if r.Duplicate {
			fmt.Fprintf(w, "message %d: its key is known, nothing was put\n", r.ID)
		} else {
			fmt.Fprintf(w, "message %d put\n", r.ID)
		}
	case queue.Leased:
		printLeased(w, &r)
	case queue.Extended:
		fmt.Fprintf(w, "message %d leased until %s\n", r.ID, stamp(r.Until))
	case queue.Deleted:
		fmt.Fprintf(w, "message %d deleted\n", r.ID)
	case queue.Released:
		if r.Dead {
			fmt.Fprintf(w, "message %d given back, and dead: it has had all its attempts\n", r.ID)
		} else {
			fmt.Fprintf(w, "message %d given back\n", r.ID)
		}
	case queue.Configured:
		fmt.Fprintln(w, "configured")
	case queue.Removed:
		fmt.Fprintln(w, "removed")
	case queue.Counted:
		printCounts(w, &r)
	case queue.Listed:
		for _, name := range r.Names {
			fmt.Fprintf(w, "%s\n", name)
		}
	case queue.Peeked:
		printMessages(w, &r)
	case queue.Refused:
		fmt.Fprintf(w, "refused: %s\n", r.Reason)
	}
	return r.Kind != queue.Refused
}

func printLeased(w io.Writer, r *queue.Response) {
	if r.Dropped > 0 {
		fmt.Fprintf(w, "%d messages dropped past their deadline\n", r.Dropped)
	}
	switch {
	case r.Waiting:
		fmt.Fprintln(w, "nothing is ready: waiting")
	case len(r.Messages) == 0:
		fmt.Fprintln(w, "nothing is ready")
	}
	printMessages(w, r)
}

func printMessages(w io.Writer, r *queue.Response) {
	for i := range r.Messages {
		m := &r.Messages[i]
		fmt.Fprintf(w, "message %d token %d %s, attempts %d", m.ID, m.Token, strings.ToLower(m.State.String()),
			m.Attempts)
		if m.Until != 0 {
			fmt.Fprintf(w, ", until %s", stamp(m.Until))
		}
		if m.Deadline != 0 {
			fmt.Fprintf(w, ", deadline %s", stamp(m.Deadline))
		}
		if len(m.Origin) > 0 {
			fmt.Fprintf(w, ", died in %s", m.Origin)
		}
		fmt.Fprintf(w, ": %s\n", lineOf(m.Payload))
	}
}

func printCounts(w io.Writer, r *queue.Response) {
	c := &r.Counts
	dead := "dropped"
	if len(r.DeadLetter) > 0 {
		dead = "to queue " + string(r.DeadLetter)
	}
	attempts := "without limit"
	if c.MaxAttempts > 0 {
		attempts = strconv.Itoa(int(c.MaxAttempts))
	}
	fmt.Fprintf(w, `queue %s
  ready %d, delayed %d, leased %d, requests that wait %d, dedup keys %d
  since it began: put %d, duplicates %d, delivered %d, deleted %d, given back %d, leases over %d, dead %d, late %d
  attempts %s, dead messages %s, leases %dms, dedup keys for %dms
`, r.Queue, c.Ready, c.Delayed, c.Leased, c.Waiting, c.Keys, c.Put, c.Duplicates, c.Delivered, c.Deleted, c.Released,
		c.Expired, c.Dead, c.Late, attempts, dead, c.LeaseMs, c.DedupMs)
}

// lineOf is a payload as one line: as it is if that can be, else quoted.
func lineOf(payload []byte) string {
	s := string(payload)
	if utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0 {
		return s
	}
	return strconv.Quote(s)
}

func viewQueueAnswer(r *queue.Response) *queueAnswer {
	v := &queueAnswer{
		Kind: strings.ToLower(r.Kind.String()), ID: r.ID, Duplicate: r.Duplicate, Waiting: r.Waiting, Dead: r.Dead,
		Until: stamp(r.Until), Request: r.Request, Dropped: r.Dropped, Queue: string(r.Queue),
		DeadLetter: string(r.DeadLetter),
	}
	if r.Reason != fb.ReasonNone {
		v.Reason = r.Reason.String()
	}
	if r.Kind == queue.Counted {
		v.Counts = (*queueCounts)(&r.Counts)
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		x := queueMessage{
			ID: m.ID, Token: m.Token, State: strings.ToLower(m.State.String()), Attempts: m.Attempts, Put: stamp(m.Put),
			Until: stamp(m.Until), Deadline: stamp(m.Deadline), Origin: string(m.Origin),
		}
		if utf8.Valid(m.Payload) {
			x.Text = string(m.Payload)
		} else {
			x.Payload = m.Payload
		}
		v.Messages = append(v.Messages, x)
	}
	for _, name := range r.Names {
		v.Queues = append(v.Queues, string(name))
	}
	return v
}
