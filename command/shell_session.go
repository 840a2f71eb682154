package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"lockstep/client"
	"lockstep/wire"
)

// shell is one session of a command that speaks with services. Its callbacks run on the connection's goroutine.
type shell struct {
	flags    *shellFlags
	conn     *client.Conn
	level    wire.Level
	newest   uint64                                   // correlation of the message sent last
	until    func(service uint16, answer []byte) bool // not nil: what has to come before the session may end
	watching bool                                     // until interrupted
	wanted   int                                      // answers to no message of this session after which that ends, too; 0: none
	taken    func(r *client.Response) bool            // not nil: takes an answer; true: it is not to be printed

	mu      sync.Mutex
	out     io.Writer
	said    io.Writer
	last    map[uint64]chan struct{} // by correlation: closed when the last answer to a message is there
	refused int                      // answers that say no
	pushed  int                      // answers to no message of this session
	met     bool                     // until is fulfilled, or wanted is reached
	enough  chan struct{}            // closed when met
	ended   bool
	over    chan struct{} // closed when the session is over
}

// call submits a message and returns what comes of it: nothing is printed. For commands that do more than to print
// answers.
func (s *shell) call(ctx context.Context, service uint16, payload []byte) (client.Result, error) {
	return s.conn.Submit(ctx, service, s.level, payload)
}

// send submits a message, and prints its acknowledgement, and its answers as far as they come with that.
func (s *shell) send(ctx context.Context, service uint16, payload []byte) error {
	started := time.Now()
	result, err := s.call(ctx, service, payload)
	if err != nil {
		return err
	}
	s.newest = result.Correlation
	s.acknowledged(&result, time.Since(started))
	if s.level == wire.LevelApplied {
		s.answered(&result)
	}
	return nil
}

// answered prints the answers that came with an acknowledgement.
func (s *shell) answered(result *client.Result) {
	answers := result.More
	if result.Response != nil {
		answers = append([][]byte{result.Response}, answers...)
	}
	for i, answer := range answers {
		s.onResponse(client.Response{Correlation: result.Correlation, Service: result.Services[i], Sequence: result.Sequence,
			Position: result.Position, Timestamp: result.Timestamp, Payload: answer, Last: i == len(answers)-1})
	}
	if len(answers) == 0 {
		s.settle(result.Correlation)
	}
}

// acknowledged prints an acknowledgement.
func (s *shell) acknowledged(r *client.Result, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flags.asJSON {
		_ = json.NewEncoder(s.out).Encode(&clientRecord{Kind: "ack", Message: r.Correlation, Level: s.level.String(),
			Us: micros(took.Nanoseconds()), Sequence: r.Sequence, Position: uint64(r.Position), Term: uint64(r.Term),
			Time: stamp(r.Timestamp)})
		return
	}
	fmt.Fprintf(s.said, "message %d is %s after %v: sequence %d, position %d, term %d, time %s\n", r.Correlation, s.level,
		took.Round(time.Microsecond), r.Sequence, r.Position, r.Term, stamp(r.Timestamp))
}

// shellAnswer is a response as one line of JSON.
type shellAnswer struct {
	Kind     string          `json:"kind"` // response
	Message  uint64          `json:"message"`
	Service  string          `json:"service"`
	Sequence uint64          `json:"sequence,omitempty"`
	Position uint64          `json:"position,omitempty"`
	Time     string          `json:"time,omitempty"`
	Response json.RawMessage `json:"response"`
}

// onResponse is given every answer: those that no submission waits for by the connection.
func (s *shell) onResponse(r client.Response) {
	if s.taken != nil && s.taken(&r) {
		return
	}
	s.mu.Lock()
	done := s.printAnswer(&r)
	if r.Correlation == 0 {
		s.pushed++
	}
	awaited := s.until != nil && s.until(r.Service, r.Payload)
	if !s.met && (awaited || s.wanted > 0 && s.pushed >= s.wanted) {
		s.met = true
		close(s.enough)
	}
	if !done && (r.Correlation != 0 || awaited) {
		s.refused++
	}
	s.mu.Unlock()
	if r.Last && r.Correlation != 0 {
		s.settle(r.Correlation)
	}
}

// printAnswer prints an answer as its service says. It reports false when the answer says no.
func (s *shell) printAnswer(r *client.Response) (done bool) {
	v := shellServiceOf(r.Service)
	if !s.flags.asJSON {
		if v != nil {
			return v.print(s.out, r.Payload, false)
		}
		fmt.Fprintf(s.out, "service %d: %q\n", r.Service, r.Payload)
		return true
	}
	a := shellAnswer{Kind: "response", Message: r.Correlation, Service: fmt.Sprint(r.Service), Sequence: r.Sequence,
		Position: uint64(r.Position), Time: stamp(r.Timestamp)}
	var text bytes.Buffer
	done = true
	if v != nil {
		a.Service = v.name
		done = v.print(&text, r.Payload, true)
	}
	if a.Response = bytes.TrimSpace(text.Bytes()); !json.Valid(a.Response) {
		a.Response, _ = json.Marshal(string(a.Response)) // a string can always be said
	}
	_ = json.NewEncoder(s.out).Encode(&a)
	return done
}

// onEvent says what happens to the session.
func (s *shell) onEvent(e client.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case client.EventConnected:
		fmt.Fprintf(s.said, "connected: session %016x, node %d leads term %d\n", uint64(e.Session), e.Leader, e.Term)
	case client.EventDisconnected:
		fmt.Fprintln(s.said, "disconnected: looking for the leader")
	case client.EventLeaderChanged:
		fmt.Fprintf(s.said, "leader-changed: node %d leads term %d\n", e.Leader, e.Term)
	case client.EventClosed:
		fmt.Fprintf(s.said, "closed: session %016x, %s\n", uint64(e.Session), e.Code.Name())
		if !s.ended {
			s.ended = true
			close(s.over)
		}
	default:
		fmt.Fprintf(s.said, "%s: messages %d to %d\n", e.Kind, e.First, e.Last)
	}
}

// stay waits until the answers to every message are there, and what else the command waits for, then as long as
// --hold says. It ends early, without an error, when the command is interrupted. The error says when a service has
// refused something.
func (s *shell) stay(ctx context.Context) error {
	limit := time.NewTimer(s.flags.timeout)
	defer limit.Stop()
	for correlation := uint64(1); correlation <= s.newest; correlation++ {
		select {
		case <-s.lastOf(correlation):
		case <-s.over:
			return errOver
		case <-limit.C:
			return fmt.Errorf("message %d: no answer within %v", correlation, s.flags.timeout)
		case <-ctx.Done():
			return s.verdict()
		}
	}
	if s.refusals() == 0 {
		if err := s.linger(ctx); err != nil {
			return err
		}
	}
	return s.verdict()
}

// errOver says that the cluster ended the session.
var errOver = errors.New("the session is over")

// linger waits for what may come after the answers to the messages.
func (s *shell) linger(ctx context.Context) error {
	var held <-chan time.Time // never, if nothing is said
	if s.flags.hold > 0 && s.watching {
		held = time.After(s.flags.hold)
	}
	if s.watching || s.until != nil {
		select {
		case <-s.enough:
		case <-held:
		case <-s.over:
			return errOver
		case <-ctx.Done(): // that is enough, too
		}
	}
	if s.watching || s.flags.hold == 0 {
		return nil
	}
	select {
	case <-time.After(s.flags.hold):
	case <-s.over:
		return errOver
	case <-ctx.Done():
	}
	return nil
}

// verdict is an error when a service has refused something.
func (s *shell) verdict() error {
	if n := s.refusals(); n > 0 {
		return fmt.Errorf("%w: %d answers say no", errRefused, n)
	}
	return nil
}

func (s *shell) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

// lastOf is closed when the last answer to a message is there.
func (s *shell) lastOf(correlation uint64) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.last[correlation]
	if c == nil {
		c = make(chan struct{})
		s.last[correlation] = c
	}
	return c
}

func (s *shell) settle(correlation uint64) { close(s.lastOf(correlation)) }
