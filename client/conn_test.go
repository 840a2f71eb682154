package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockstep/client"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// patience is for what is expected to come, on a machine as busy as it may be.
const patience = 2 * time.Minute

// live runs a world in real time in the background until the test ends. With the lock held, the world stands still.
func live(t *testing.T, w *world) *sync.Mutex {
	var mu sync.Mutex
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				mu.Lock()
				w.step()
				mu.Unlock()
				time.Sleep(20 * time.Microsecond)
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return &mu
}

func dial(t *testing.T, w *world, host byte, o client.Options) *client.Conn {
	t.Helper()
	o.Cluster, o.Transport = clusterID, w.join(addrOf(host))
	o.Name = fmt.Sprint("conn-", host)
	for _, n := range w.nodes {
		o.Nodes = append(o.Nodes, addrOf(byte(n.id)))
	}
	// A loaded machine must not look like a silent leader.
	if o.ConnectTimeoutNs, o.SubmitTimeoutNs = 1e9, patience.Nanoseconds(); o.SilenceNs == 0 {
		o.SilenceNs = 5e9
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, err := client.Dial(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestSubmitAtEveryLevel(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	live(t, w)
	k := dial(t, w, 101, client.Options{})
	ctx := context.Background()
	last := uint64(0)
	for _, level := range allLevels {
		r, err := k.Submit(ctx, service.Echo, level, []byte(level.String()))
		if err != nil {
			t.Fatalf("%v: %v", level, err)
		}
		if r.Sequence <= last || r.Term != 1 || r.Timestamp == 0 || r.Correlation == 0 {
			t.Errorf("%v: %+v", level, r)
		}
		last = r.Sequence
		if want := level == wire.LevelApplied; (string(r.Response) == "applied") != want || r.More != nil {
			t.Errorf("%v: response %q, %q", level, r.Response, r.More)
		}
	}
	if r, err := k.Submit(ctx, service.Echo, wire.LevelNone, nil); err != nil || r.Correlation != 6 {
		t.Errorf("none: %+v, %v", r, err)
	}
	r, err := k.Submit(ctx, sink, wire.LevelApplied, number(2))
	if err != nil || string(r.Response) != string(number(20)) || len(r.More) != 1 ||
		string(r.More[0]) != string(number(21)) {
		t.Errorf("two responses: %+v, %v", r, err)
	}
	if leader, term := k.Leader(); leader != 1 || term != 1 || k.Session() == 0 {
		t.Errorf("leader %d of term %d, session %x", leader, term, k.Session())
	}
}

// Many goroutines, a small window: everything is applied once.
func TestSubmitFromManyGoroutines(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	mu := live(t, w)
	var unasked atomic.Int64
	k := dial(t, w, 101, client.Options{Window: 4, OnResponse: func(client.Response) { unasked.Add(1) }})
	var wg sync.WaitGroup
	var seen sync.Map
	for g := range 16 {
		wg.Go(func() {
			for i := range 20 {
				level := allLevels[i%len(allLevels)]
				r, err := k.Submit(context.Background(), sink, level, number(uint64(g*20+i)*3+1))
				if err != nil {
					t.Error(err)
				}
				if _, twice := seen.LoadOrStore(r.Sequence, true); twice {
					t.Errorf("record %d for two messages", r.Sequence)
				}
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if n := len(w.sink.applied[k.Session()]); n != 320 {
		t.Errorf("%d messages applied", n)
	}
	for end := time.Now().Add(patience); unasked.Load() < 256 && time.Now().Before(end); {
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
	}
	if unasked.Load() != 256 {
		t.Errorf("%d responses that no Submit waited for, want 256", unasked.Load())
	}
}

// overdue is a context whose deadline comes when the test says so.
type overdue struct {
	context.Context
	done chan struct{}
}

func (o *overdue) Done() <-chan struct{} { return o.done }

func (o *overdue) Err() error {
	select {
	case <-o.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// The outcome that does not come in time is unknown, not a failure and not a success.
func TestSubmitUnknownOutcome(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	mu := live(t, w)
	k := dial(t, w, 101, client.Options{Window: 1})
	mu.Lock()
	w.holdReplicated, w.holdDurable = true, true
	mu.Unlock()
	ctx := &overdue{context.Background(), make(chan struct{})}
	go func() { // the deadline comes when the message is under way
		defer close(ctx.done)
		for k.Stats().Sent == 0 {
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := k.Submit(ctx, service.Echo, wire.LevelDurable, nil)
	if !errors.Is(err, client.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer in time: %v", err)
	}
	if _, err = k.Submit(ctx, service.Echo, wire.LevelDurable, nil); !errors.Is(err, client.ErrWindow) {
		t.Errorf("no room in time: %v", err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if _, err = k.Submit(context.Background(), service.Echo, wire.LevelDurable, nil); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestSubmitRefused(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	live(t, w)
	k := dial(t, w, 101, client.Options{})
	_, err := k.Submit(context.Background(), 9, wire.LevelDurable, nil)
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Code != wire.RefusalUnknownService {
		t.Errorf("unknown service: %v", err)
	}
	_, err = k.Submit(context.Background(), service.Echo, wire.LevelDurable, make([]byte, 2000))
	if !errors.Is(err, client.ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
}

// Events reach the application, and a session that ends under a Submit leaves its outcome unknown.
func TestSessionEndsUnderSubmit(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	mu := live(t, w)
	events := make(chan client.Event, 16)
	k := dial(t, w, 101, client.Options{SilenceNs: 300e6, OnEvent: func(e client.Event) { events <- e }})
	if e := <-events; e.Kind != client.EventConnected || e.Leader != 1 || e.Session != k.Session() {
		t.Errorf("first event: %+v", e)
	}
	mu.Lock()
	w.holdReplicated, w.holdDurable = true, true
	mu.Unlock()
	closed := make(chan error, 1)
	go func() {
		for k.Stats().Sent == 0 {
			time.Sleep(time.Millisecond)
		}
		closed <- k.Close()
	}()
	_, err := k.Submit(context.Background(), service.Echo, wire.LevelApplied, nil)
	if !errors.Is(err, client.ErrUnknown) || !errors.Is(err, client.ErrClosed) {
		t.Errorf("outcome: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	e := <-events
	for e.Kind != client.EventClosed { // a slow machine may disconnect first
		e = <-events
	}
	if e.First != 1 || e.Last != 1 {
		t.Errorf("last event: %+v", e)
	}
}

func TestDialFails(t *testing.T) {
	w := newWorld(t, config{}) // nobody leads
	live(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	o := client.Options{Cluster: clusterID, Nodes: []transport.Addr{addrOf(1)}, Name: "x", Transport: w.join(addrOf(101))}
	if _, err := client.Dial(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no leader: %v", err)
	}
	o.Name = ""
	if _, err := client.Dial(ctx, o); !errors.Is(err, client.ErrOptions) {
		t.Errorf("no name: %v", err)
	}
	o.Transport, o.Nodes = nil, nil
	if _, err := client.Dial(ctx, o); !errors.Is(err, client.ErrOptions) {
		t.Errorf("no nodes: %v", err)
	}
}

// Without a transport Dial opens kernel UDP on the address that leads to the first node.
func TestDialOverKernelUDP(t *testing.T) {
	w := newWorld(t, config{})
	u, err := transport.OpenUDP(transport.UDPOptions{Local: transport.Addr{IP: [4]byte{127, 0, 0, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	w.nodes[0] = w.newNodeOver(1, u, sequencer.Limits{}, wire.MaxMessage)
	w.lead(1)
	live(t, w)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k, err := client.Dial(ctx, client.Options{
		Cluster: clusterID, Nodes: []transport.Addr{u.Local()}, Name: "udp", SilenceNs: 5e9, ConnectTimeoutNs: 1e9,
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.Submit(ctx, service.Echo, wire.LevelApplied, []byte("over loopback"))
	if err != nil || string(r.Response) != "over loopback" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// A message of unknown outcome is settled by a void: it never takes effect if the void came first, and else has its own
// result.
func TestC2VoidSettlesASubmit(t *testing.T) {
	for _, sequenced := range []bool{false, true} {
		w := newWorld(t, config{})
		w.lead(1)
		mu := live(t, w)
		k := dial(t, w, 101, client.Options{})
		mu.Lock()
		if sequenced {
			w.holdReplicated, w.holdDurable = true, true
		} else {
			w.net.SetFilter(func(from, _ transport.Addr, _ []byte) bool { return from != addrOf(101) })
		}
		mu.Unlock()
		ctx := &overdue{context.Background(), make(chan struct{})}
		go func() {
			defer close(ctx.done)
			for there := false; !there; time.Sleep(time.Millisecond) {
				mu.Lock()
				there = k.Stats().Sent > 0 && (!sequenced || w.chain.Sequence == 3)
				mu.Unlock()
			}
		}()
		r, err := k.Submit(ctx, service.Echo, wire.LevelDurable, []byte("in doubt"))
		if !errors.Is(err, client.ErrUnknown) || r.Correlation != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		ended := make(chan error)
		go func() {
			result, err := k.Void(context.Background(), r.Correlation)
			var refused *client.RefusedError
			voided := errors.As(err, &refused) && refused.Code == wire.RefusalVoided
			if voided == sequenced || sequenced && string(result.Response) != "in doubt" {
				ended <- fmt.Errorf("sequenced before: %v; the void: %+v, %w", sequenced, result, err)
			}
			close(ended)
		}()
		mu.Lock()
		w.holdReplicated, w.holdDurable = false, false
		mu.Unlock()
		w.net.SetFilter(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err = k.Void(context.Background(), r.Correlation); !errors.Is(err, client.ErrNotOpen) {
			t.Errorf("a void of what is settled: %v", err)
		}
	}
}

// A Submit whose time ends leaves the Void that waits for the same message alone.
func TestVoidOutlivesItsSubmit(t *testing.T) {
	w := newWorld(t, config{})
	w.lead(1)
	mu := live(t, w)
	k := dial(t, w, 101, client.Options{})
	mu.Lock()
	w.holdReplicated, w.holdDurable = true, true
	mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	submitted, voided := make(chan error), make(chan error)
	go func() {
		_, err := k.Submit(ctx, service.Echo, wire.LevelDurable, []byte("late"))
		submitted <- err
	}()
	for k.Stats().Sent == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() {
		_, err := k.Void(context.Background(), 1)
		voided <- err
	}()
	for sent := k.Stats().Sent; k.Stats().Sent < sent+3; { // the void is, whatever is sent again besides
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-submitted; !errors.Is(err, client.ErrUnknown) {
		t.Errorf("the submit: %v", err)
	}
	mu.Lock()
	w.holdReplicated, w.holdDurable = false, false
	mu.Unlock()
	if err := <-voided; err != nil {
		t.Errorf("the void, too late: %v", err)
	}
}
