package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync/atomic"
)

// library is a replicated log that a server makes a service of.
type library interface {
	// leader is the number of the member that leads, 0 when that is not known.
	leader() int
	// propose gives a message to the log, without waiting. The message is the log's from then on.
	propose(message []byte) (pending, error)
}

// pending waits for what became of a message: its place in the log once it is applied here.
type pending func() (position uint64, err error)

// inFlight bounds what a connection may have under way: above any client's window.
const inFlight = 8192

// server answers clients of one member.
type server struct {
	library library
	applied atomic.Uint64 // messages that the state machine has seen, of all clients
}

// serve takes connections until ctx is done.
func (s *server) serve(ctx context.Context, at string) error {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	for {
		c, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go s.connection(c)
	}
}

// sent is a message that was proposed.
type sent struct {
	correlation uint64
	payload     []byte
	wait        pending
	err         error
	leader      int // the answer to who leads
}

func (s *server) connection(c net.Conn) {
	defer c.Close()
	queue := make(chan sent, inFlight)
	go func() {
		defer close(queue)
		in := bufio.NewReaderSize(c, maxFrame)
		for {
			correlation, payload, err := readRequest(in)
			if err != nil {
				return
			}
			m := sent{correlation: correlation, payload: payload}
			if correlation == 0 {
				m.leader = s.library.leader()
			} else {
				m.wait, m.err = s.library.propose(payload)
			}
			queue <- m
		}
	}()
	s.answers(c, queue)
	_ = c.Close()
	for range queue { // so that the reader comes to its end
	}
}

// answers writes answers in the order of the messages. What is written leaves as soon as the next answer would have to be
// waited for, so that messages applied together are answered together and none waits for the next. It returns when either side
// has ended the connection.
func (s *server) answers(c net.Conn, queue <-chan sent) {
	out := bufio.NewWriterSize(c, maxFrame)
	var b []byte
	answered := s.applied.Load()
	for {
		if len(queue) == 0 {
			if out.Flush() != nil {
				return
			}
		}
		m, open := <-queue
		if !open {
			return
		}
		position, payload := uint64(m.leader), m.payload
		if m.wait != nil {
			if s.applied.Load() <= answered {
				if out.Flush() != nil {
					return
				}
			}
			answered++
			position, m.err = m.wait()
		}
		if m.err != nil {
			position, payload = refused, fmt.Append(nil, m.err)
		}
		b = appendAnswer(b[:0], m.correlation, position, payload)
		if _, err := out.Write(b); err != nil {
			return
		}
	}
}
