package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"lockstep/client"
	"lockstep/wire"
)

// frames is a session with a server of frames. It reads and writes on the load's own thread, as a client of ours does.
type frames struct {
	o           *loadOptions
	conn        *net.TCPConn
	fd          int
	correlation uint64
	open        int
	out         []byte // not yet written
	in          []byte // not yet understood
	buffer      [64 << 10]byte
	failure
}

// dialFrames opens a session with the member that leads.
func dialFrames(ctx context.Context, o *loadOptions) (session, error) {
	s := &frames{o: o}
	err := until(ctx, "no member leads", func(ctx context.Context) (err error) {
		leader := 0
		for i := range o.members {
			if leader, err = askLeader(ctx, o.members[i]); err == nil && leader > 0 && leader <= len(o.members) {
				break
			}
		}
		if err != nil || leader < 1 || leader > len(o.members) {
			return errors.Join(errors.New("none says who leads"), err)
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", o.members[leader-1].clients())
		if err != nil {
			return err
		}
		s.conn = c.(*net.TCPConn)
		return nil
	})
	if err != nil {
		return nil, err
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return s, raw.Control(func(fd uintptr) { s.fd = int(fd) })
}

// askLeader asks one member who leads.
func askLeader(ctx context.Context, m member) (int, error) {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", m.clients())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(appendRequest(nil, 0, nil)); err != nil {
		return 0, err
	}
	var answer [answerHeader]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint64(answer[requestHeader:])), nil
}

// Send implements bench.Session. Messages of one burst leave together.
func (s *frames) Send(_ int64, _ uint16, _ wire.Levels, payload []byte) (uint64, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.open >= s.o.window {
		return 0, client.ErrWindow
	}
	s.correlation++
	s.open++
	s.out = appendRequest(s.out, s.correlation, payload)
	return s.correlation, nil
}

// Poll implements bench.Session.
func (s *frames) Poll(int64) (work int) {
	if s.err != nil {
		return 0
	}
	if len(s.out) > 0 {
		n, err := unix.Write(s.fd, s.out)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			s.set(fmt.Errorf("write to the leader: %w", err))
			return 0
		}
		s.out = s.out[:copy(s.out, s.out[max(n, 0):])]
		work++
	}
	n, err := unix.Read(s.fd, s.buffer[:])
	switch {
	case n > 0:
		s.in = append(s.in, s.buffer[:n]...)
		return work + s.take()
	case err == nil:
		s.set(errors.New("the leader closed the connection"))
	case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
		s.set(fmt.Errorf("read from the leader: %w", err))
	}
	return work
}

// take tells of every answer that is whole.
func (s *frames) take() (n int) {
	rest := s.in
	for {
		frame, behind, err := cutFrame(rest, answerHeader)
		if err != nil {
			s.set(err)
		}
		if frame == nil {
			break
		}
		rest = behind
		position := binary.LittleEndian.Uint64(frame[requestHeader:])
		if position == refused {
			s.set(fmt.Errorf("a message was refused: %s", frame[answerHeader:]))
			continue
		}
		s.open--
		s.o.answer(client.Ack{Correlation: binary.LittleEndian.Uint64(frame[frameLength:]), Level: wire.LevelApplied,
			Position: wire.Position(position)})
		n++
	}
	s.in = s.in[:copy(s.in, rest)]
	return n
}

// Err is why the session came to an end before its time.
func (s *frames) Err() error { return s.err }

// Close closes the connection.
func (s *frames) Close() error { return s.conn.Close() }
