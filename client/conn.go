package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"lockstep/agent"
	"lockstep/transport"
	"lockstep/wire"
)

// RefusedError says that the cluster refused a message, or a session, for good.
type RefusedError struct {
	Code wire.Refusal
}

// Error is the refusal's sentence and name.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("client: refused (%s): %s", e.Code.Name(), e.Code.Sentence())
}

// Result is what became of a submitted message.
type Result struct {
	Correlation uint64        // its number in the session
	Sequence    uint64        // number of its record in the log; 0 when the leader does not know it (see Ack)
	Position    wire.Position // of its record
	Timestamp   uint64        // of its record, ns since the Unix epoch
	Term        wire.Term     // of the leader that acknowledged it
	Response    []byte        // the first response to it; nil unless LevelApplied was asked for and there is one
	More        [][]byte      // the other responses, in order
	Services    []uint16      // the services that the responses are from: of Response, then of each of More
}

// Conn is a session for any number of goroutines. One of its own moves it along.
type Conn struct {
	clock  agent.Clock
	parker *agent.Parker
	owned  transport.Transport // opened by Dial; nil otherwise

	mu        sync.Mutex
	client    *Client
	submits   map[uint64]*submit // by correlation
	room      chan struct{}      // closed, and made anew, when a message is no longer open
	onEvent   func(Event)
	onAnswer  func(Response)
	connected chan struct{} // closed at the first EventConnected
	ended     error         // why the session is over
	over      chan struct{} // closed when it is
	stop      chan struct{}
	done      chan struct{}
	closing   sync.Once
}

// submit is one Submit under way, or a Void of what was submitted.
type submit struct {
	waiting int // for it
	level   wire.Level
	result  Result
	err     error
	done    chan struct{}
}

// Dial opens a session with the cluster. It returns when a leader has accepted it, when the cluster refuses it
// (*RefusedError), or when ctx ends.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	k := &Conn{
		clock:   agent.System{},
		submits: make(map[uint64]*submit), room: make(chan struct{}),
		onEvent: o.OnEvent, onAnswer: o.OnResponse,
		connected: make(chan struct{}), over: make(chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := k.prepare(&o); err != nil {
		return nil, err
	}
	go k.run()
	select {
	case <-k.connected:
		return k, nil
	case <-k.over:
		return nil, errors.Join(k.ended, k.Close())
	case <-ctx.Done():
		err := fmt.Errorf("client: no leader of cluster %x found at %v: %w", o.Cluster, o.Nodes, context.Cause(ctx))
		return nil, errors.Join(err, k.Close())
	}
}

// prepare opens what Dial needs, and what the options leave to it.
func (k *Conn) prepare(o *Options) (err error) {
	if o.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		o.Seed = binary.NativeEndian.Uint64(b[:]) | 1
	}
	if o.Transport == nil {
		if k.owned, err = openTowards(o.Nodes); err != nil {
			return err
		}
		o.Transport = k.owned
	}
	if k.client, err = New(*o, (*connHandler)(k)); err == nil {
		k.parker, err = agent.NewParker(o.Transport.Fds()...)
	}
	if err != nil && k.owned != nil {
		err = errors.Join(err, k.owned.Close())
	}
	return err
}

// openTowards opens kernel UDP on the address from which this machine reaches the first node.
func openTowards(nodes []transport.Addr) (transport.Transport, error) {
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: the address of at least one node is needed", ErrOptions)
	}
	probe, err := net.Dial("udp4", nodes[0].String()) // sends nothing
	if err != nil {
		return nil, fmt.Errorf("client: no way to node %s: %w", nodes[0], err)
	}
	local, err := transport.AddrFrom(probe.LocalAddr().(*net.UDPAddr).AddrPort())
	if err = errors.Join(err, probe.Close()); err != nil {
		return nil, fmt.Errorf("client: no way to node %s: %w", nodes[0], err)
	}
	return transport.OpenUDP(transport.UDPOptions{Local: transport.Addr{IP: local.IP}})
}

// run polls the client and blocks while there is nothing to do.
func (k *Conn) run() {
	defer close(k.done)
	for {
		if k.poll() == 0 {
			k.parker.Announce()
			if k.poll() == 0 {
				k.parker.Block(k.patienceNs())
			} else {
				k.parker.Withdraw()
			}
		}
		select {
		case <-k.stop:
			return
		default:
		}
	}
}

func (k *Conn) poll() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.pollLocked(k.clock.NowNs())
}

func (k *Conn) pollLocked(nowNs int64) int {
	open := k.client.Open()
	work := k.client.Poll(nowNs)
	if k.client.Open() < open {
		close(k.room)
		k.room = make(chan struct{})
	}
	return work
}

// patienceNs is how long nothing of the client's own can fall due.
func (k *Conn) patienceNs() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.client.port.transport.Fds()) == 0 {
		return 1e6 // nothing tells when a datagram arrives
	}
	return min(max(k.client.DueNs()-k.clock.NowNs(), 0), 1e9)
}

// Submit sends a message to a service and returns when the cluster has acknowledged it at the level. With LevelNone it
// returns as soon as the message is kept to be sent.
//
// A message that the cluster refused for good gives a *RefusedError. When ctx or Options.SubmitTimeoutNs ends first, or
// the session does, the error is ErrUnknown: the message may still take effect, and Void settles it. Before the message is
// taken (ErrWindow while ctx lasts waits for room) an error means that it never will.
func (k *Conn) Submit(ctx context.Context, service uint16, level wire.Level, payload []byte) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(k.client.o.SubmitTimeoutNs))
	defer cancel()
	s := &submit{level: level, done: make(chan struct{}), waiting: 1}
	if err := k.send(ctx, service, s, payload); err != nil {
		return Result{}, err
	}
	if level == wire.LevelNone {
		return s.result, nil
	}
	return k.await(ctx, s)
}

// send puts the message into the window, waiting for room there, and has it leave.
func (k *Conn) send(ctx context.Context, service uint16, s *submit, payload []byte) error {
	for {
		k.mu.Lock()
		nowNs := k.clock.NowNs()
		correlation, err := k.client.Send(nowNs, service, wire.LevelsOf(s.level), payload)
		room := k.room
		if err == nil {
			s.result.Correlation = correlation
			if s.level != wire.LevelNone {
				k.submits[correlation] = s
			}
			k.pollLocked(nowNs)
			k.parker.WakeIfParked() // under the lock: not after Close
		}
		longest := k.client.MaxMessage()
		k.mu.Unlock()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrTooLong):
			return fmt.Errorf("%w: %d bytes, at most %d fit", err, len(payload), longest)
		case !errors.Is(err, ErrWindow):
			return err
		}
		select {
		case <-room:
		case <-k.over:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrWindow, context.Cause(ctx))
		}
	}
}

// Session is the session's id.
func (k *Conn) Session() wire.SessionID {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client.Session()
}

// Leader is the node that leads, as far as is known, and its term.
func (k *Conn) Leader() (wire.NodeID, wire.Term) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client.Leader()
}

// Stats returns the counts so far.
func (k *Conn) Stats() Stats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.client.Stats()
}

// Close ends the session and waits until the cluster confirms it, for Options.SilenceNs at most. Submits under way
// return ErrUnknown. A second Close does nothing.
func (k *Conn) Close() (err error) {
	k.closing.Do(func() {
		k.mu.Lock()
		k.client.Close(k.clock.NowNs())
		k.mu.Unlock()
		k.parker.Wake()
		<-k.over
		close(k.stop)
		k.parker.Wake()
		<-k.done
		k.mu.Lock()
		err = k.parker.Close()
		k.mu.Unlock()
		if k.owned != nil {
			err = errors.Join(err, k.owned.Close())
		}
	})
	return err
}

// connHandler is a Conn as the handler of its client: called under the lock.
type connHandler Conn

// OnAck implements Handler.
func (k *connHandler) OnAck(a Ack) {
	s := k.submits[a.Correlation]
	if s == nil {
		return
	}
	s.result.Sequence, s.result.Position, s.result.Timestamp, s.result.Term = a.Sequence, a.Position, a.Timestamp, a.Term
	if a.Code != wire.RefusalNone {
		s.err = &RefusedError{Code: a.Code}
	}
	(*Conn)(k).finish(a.Correlation, s)
}

// OnResponse implements Handler.
func (k *connHandler) OnResponse(r Response) {
	s := k.submits[r.Correlation]
	if s == nil || s.level != wire.LevelApplied {
		if k.onAnswer != nil {
			k.onAnswer(r)
		}
		return
	}
	s.result.Services = append(s.result.Services, r.Service)
	if s.result.Response == nil {
		s.result.Response = append(make([]byte, 0, len(r.Payload)), r.Payload...)
		return
	}
	s.result.More = append(s.result.More, append([]byte(nil), r.Payload...))
}

// OnEvent implements Handler.
func (k *connHandler) OnEvent(e Event) {
	if e.Kind == EventConnected {
		select {
		case <-k.connected:
		default:
			close(k.connected)
		}
	}
	if e.Kind == EventClosed {
		k.ended = ErrClosed
		if e.Code != wire.RefusalNone {
			k.ended = &RefusedError{Code: e.Code}
		}
		for correlation, s := range k.submits {
			s.err = fmt.Errorf("message %d: %w: %w", correlation, ErrUnknown, k.ended)
			(*Conn)(k).finish(correlation, s)
		}
		close(k.over)
	}
	if k.onEvent != nil {
		k.onEvent(e)
	}
}

func (k *Conn) finish(correlation uint64, s *submit) {
	delete(k.submits, correlation)
	close(s.done)
}
