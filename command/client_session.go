package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/client"
	"lockstep/wire"
)

// Errors that have an exit code of their own.
var (
	errRefused = errors.New("refused")
	errUnknown = errors.New("outcome unknown")
)

// maxLine bounds a line on standard input: as many hexadecimal digits as the longest message has.
const maxLine = 4 * wire.MaxMessage

// sentMessage is a message whose acknowledgements are awaited.
type sentMessage struct {
	sentNs  int64
	waiting wire.Levels
	times   [wire.LevelApplied + 1]int64 // from sending to the acknowledgement; 0: none came
	refused wire.Refusal
}

// clientSession sends lines in a session. It is its client's handler; all of it runs on one goroutine.
type clientSession struct {
	flags   *sendFlags
	printer printer
	client  *client.Client
	clock   agent.System
	service uint16
	levels  wire.Levels
	out     io.Writer // what is acknowledged and answered
	said    io.Writer // events

	open      map[uint64]*sentMessage
	movedNs   int64 // when anything last came or was sent
	connected bool
	closed    *client.Event
	refused   int
}

// clientLines gives the arguments, or the lines of a text as they come. An error comes last.
func clientLines(ctx context.Context, args []string, in io.Reader) <-chan clientLine {
	lines := make(chan clientLine, 64)
	give := func(l clientLine) bool {
		select {
		case lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(lines)
		for _, a := range args {
			if !give(clientLine{text: a}) {
				return
			}
		}
		if len(args) > 0 {
			return
		}
		text := bufio.NewScanner(in)
		text.Buffer(nil, maxLine)
		for text.Scan() {
			if !give(clientLine{text: text.Text()}) {
				return
			}
		}
		if err := text.Err(); err != nil {
			give(clientLine{err: fmt.Errorf("standard input: %w", err)})
		}
	}()
	return lines
}

type clientLine struct {
	text string
	err  error
}

// run sends all lines and waits until everything that was asked for has come.
func (s *clientSession) run(ctx context.Context, lines <-chan clientLine) error {
	s.movedNs = s.clock.NowNs()
	if err := s.await(ctx, func() bool { return s.connected }); err != nil {
		return err
	}
	for {
		if s.flags.window > 1 || len(s.open) == 0 {
			select {
			case line, more := <-lines:
				if !more {
					return s.end(ctx)
				}
				if err := s.send(ctx, line); err != nil {
					return s.unsettled(err)
				}
				continue
			default: // none yet
			}
		}
		if err := s.trouble(ctx); err != nil {
			return s.unsettled(err)
		}
		s.rest(ctx)
	}
}

// rest polls, and sleeps a little when nothing is awaited: nobody is to heat a core while he thinks what to type.
func (s *clientSession) rest(ctx context.Context) {
	switch {
	case s.poll() > 0:
	case s.client.Open() > 0 || !s.connected:
		agent.Yield{}.Idle(0)
	default:
		s.movedNs = s.clock.NowNs()
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// poll moves the session along.
func (s *clientSession) poll() int { return s.client.Poll(s.clock.NowNs()) }

// trouble is why there is nothing more to be waited for; nil when there may be.
func (s *clientSession) trouble(ctx context.Context) error {
	switch {
	case s.closed != nil && s.closed.Code != wire.RefusalNone:
		return fmt.Errorf("%w: the session: %s: %s", errRefused, s.closed.Code.Name(), s.closed.Code.Sentence())
	case s.closed != nil:
		return client.ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case s.clock.NowNs()-s.movedNs > s.flags.timeout.Nanoseconds():
		return fmt.Errorf("nothing came for %v", s.flags.timeout)
	}
	return nil
}

// await polls until something holds, or there is trouble.
func (s *clientSession) await(ctx context.Context, holds func() bool) error {
	for !holds() {
		if err := s.trouble(ctx); err != nil {
			return err
		}
		s.rest(ctx)
	}
	return nil
}

// send sends a line, once there is room for it.
func (s *clientSession) send(ctx context.Context, line clientLine) error {
	if line.err != nil {
		return line.err
	}
	payload, err := s.flags.payload(line.text)
	if err != nil {
		return err
	}
	for {
		nowNs := s.clock.NowNs()
		correlation, err := s.client.Send(nowNs, s.service, s.levels, payload)
		switch {
		case errors.Is(err, client.ErrWindow):
			before := s.client.Open()
			if err := s.await(ctx, func() bool { return s.client.Open() < before }); err != nil {
				return err
			}
			continue
		case errors.Is(err, client.ErrTooLong):
			return fmt.Errorf("%w: %d bytes, at most %d", err, len(payload), s.client.MaxMessage())
		case err != nil:
			return err
		}
		if s.client.Open() == 1 {
			s.movedNs = nowNs
		}
		if s.levels != 0 {
			s.open[correlation] = &sentMessage{sentNs: nowNs, waiting: s.levels}
		}
		s.poll()
		return nil
	}
}

// end waits for what is still to come, holds the session open as long as was asked, closes it, and says how it went.
func (s *clientSession) end(ctx context.Context) error {
	err := s.await(ctx, func() bool { return len(s.open) == 0 && s.client.Open() == 0 })
	until := s.clock.NowNs() + s.flags.hold.Nanoseconds()
	for err == nil && s.clock.NowNs() < until && ctx.Err() == nil && s.closed == nil {
		s.rest(ctx)
	}
	s.printer.end(s)
	if err != nil {
		return s.unsettled(err)
	}
	bench.CloseSession(s.client, s.clock, agent.Yield{})
	if s.refused > 0 {
		return fmt.Errorf("%w: %d messages", errRefused, s.refused)
	}
	return nil
}

// unsettled says which messages have an unknown outcome, after err.
func (s *clientSession) unsettled(err error) error {
	if err == nil || len(s.open) == 0 && s.client.Open() == 0 {
		return err
	}
	if s.closed != nil && s.closed.Settled {
		return fmt.Errorf("%w: %w: messages up to %d took effect, those beyond never will", errRefused, err, s.closed.Applied)
	}
	var list []uint64
	for correlation := range s.open {
		list = append(list, correlation)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return fmt.Errorf("%w: %d messages that asked for no acknowledgement: %w", errUnknown, s.client.Open(), err)
	}
	return fmt.Errorf("%w: %d messages, %d to %d: %w", errUnknown, len(list), list[0], list[len(list)-1], err)
}

// OnAck implements client.Handler.
func (s *clientSession) OnAck(a client.Ack) {
	nowNs := s.clock.NowNs()
	s.movedNs = nowNs
	m := s.open[a.Correlation]
	if m == nil {
		return
	}
	took := nowNs - m.sentNs
	if a.Code != wire.RefusalNone {
		m.refused, m.waiting = a.Code, 0
		s.refused++
	} else {
		m.times[a.Level] = took
		m.waiting &^= 2<<a.Level - 1
	}
	s.printer.ack(s, &a, took)
	if m.waiting == 0 {
		s.printer.settled(s, a.Correlation, m)
		delete(s.open, a.Correlation)
	}
}

// OnResponse implements client.Handler.
func (s *clientSession) OnResponse(x client.Response) {
	nowNs := s.clock.NowNs()
	s.movedNs = nowNs
	s.printer.response(s, &x)
}

// OnEvent implements client.Handler.
func (s *clientSession) OnEvent(e client.Event) {
	switch e.Kind {
	case client.EventConnected:
		s.connected = true
		fmt.Fprintf(s.said, "connected: session %016x, node %d leads term %d\n", uint64(e.Session), e.Leader, e.Term)
	case client.EventDisconnected:
		fmt.Fprintln(s.said, "disconnected: looking for the leader")
	case client.EventLeaderChanged:
		fmt.Fprintf(s.said, "leader-changed: node %d leads term %d\n", e.Leader, e.Term)
	case client.EventClosed:
		s.closed = &e
		fmt.Fprintf(s.said, "closed: session %016x, %s\n", uint64(e.Session), e.Code.Name())
	default:
		fmt.Fprintf(s.said, "%s: messages %d to %d\n", e.Kind, e.First, e.Last)
	}
}
