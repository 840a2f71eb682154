package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"runtime"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// A program of its own, over kernel UDP: the one that the README shows.
func ExampleDial_network() {
	a, err := transport.ParseAddr("10.0.0.1:7400")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := client.Dial(ctx, client.Options{
		Cluster: 0x1f2e3d4c5b6a7988, // as `lockstep status` prints it
		Nodes:   []transport.Addr{a},
		Name:    "example",
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	result, err := conn.Submit(ctx, service.Echo, wire.LevelApplied, []byte("hello"))
	var refused *client.RefusedError
	switch {
	case errors.As(err, &refused):
		log.Fatal(refused.Code.Sentence())
	case errors.Is(err, client.ErrUnknown):
		log.Fatal("it may or may not have taken effect")
	case err != nil:
		log.Fatal(err)
	}
	fmt.Printf("record %d: %s\n", result.Sequence, result.Response)
}

// Submit messages and wait until the service has answered each. Without a transport, Dial opens kernel UDP.
func ExampleDial() {
	cluster := startCluster() // in this process; yours is elsewhere
	defer cluster.stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.Dial(ctx, client.Options{
		Cluster:   cluster.id, // as `lockstep status` prints it
		Nodes:     cluster.nodes,
		Name:      "example",
		Transport: cluster.join(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	for _, text := range []string{"hello", "again"} {
		result, err := conn.Submit(ctx, service.Echo, wire.LevelApplied, []byte(text))
		var refused *client.RefusedError
		switch {
		case errors.As(err, &refused): // it certainly took no effect
			log.Fatal(refused.Code.Sentence())
		case errors.Is(err, client.ErrUnknown): // it may have taken effect, or still do so
			log.Fatal(err)
		case err != nil: // it was not sent
			log.Fatal(err)
		}
		fmt.Printf("message %d: %s\n", result.Correlation, result.Response)
	}
	// Output:
	// message 1: hello
	// message 2: again
}

// What the cluster refuses for good is an error of its own; the session goes on.
func ExampleRefusedError() {
	cluster := startCluster()
	defer cluster.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := client.Dial(ctx, client.Options{
		Cluster: cluster.id, Nodes: cluster.nodes, Name: "example", Transport: cluster.join(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	_, err = conn.Submit(ctx, 9, wire.LevelDurable, []byte("nobody runs that service"))
	var refused *client.RefusedError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code.Name())
	}
	// Output:
	// unknown-service
}

// printer prints what happens. All of it is called by Poll.
type printer struct{}

func (printer) OnAck(a client.Ack) { fmt.Println("message", a.Correlation, "is", a.Level) }

func (printer) OnResponse(r client.Response) { fmt.Printf("response %d: %s\n", r.Number, r.Payload) }

func (printer) OnEvent(e client.Event) { fmt.Println(e.Kind, "by node", e.Leader) }

// Drive a client from a loop of one's own, which never blocks.
func ExampleClient() {
	cluster := startCluster()
	defer cluster.stop()

	c, err := client.New(client.Options{
		Cluster:   cluster.id,
		Nodes:     cluster.nodes,
		Name:      "example",
		Transport: cluster.join(), // transport.OpenUDP or transport.OpenXDP
		Seed:      20261122,       // a random number, another one for every client
		SilenceNs: 10e9,           // the cluster shares a machine with who knows what
	}, printer{})
	if err != nil {
		log.Fatal(err)
	}
	clock := agent.System{}
	levels := wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied)
	if _, err := c.Send(clock.NowNs(), service.Echo, levels, []byte("tick")); err != nil {
		log.Fatal(err) // ErrWindow, where more is sent: poll, then try again
	}
	for !c.Closed() {
		c.Poll(clock.NowNs())
		if c.Open() == 0 {
			c.Close(clock.NowNs())
		}
		runtime.Gosched()
	}
	// Output:
	// connected by node 1
	// message 1 is sequenced
	// response 1: tick
	// message 1 is applied
	// closed by node 1
}

// settler voids what is not applied in time.
type settler struct {
	client *client.Client
	done   bool
}

func (s *settler) OnResponse(client.Response) {}

func (s *settler) OnEvent(e client.Event) {
	if e.Kind != client.EventUnknown {
		return
	}
	fmt.Println("nobody can tell yet what becomes of messages", e.First, "to", e.Last)
	for n := e.First; n <= e.Last; n++ {
		_ = s.client.Void(n) // ErrNotOpen: it has been acknowledged meanwhile
	}
}

func (s *settler) OnAck(a client.Ack) {
	if a.Code == wire.RefusalVoided {
		fmt.Println("message", a.Correlation, "never takes effect")
	} else {
		fmt.Println("message", a.Correlation, "is", a.Level)
	}
	s.done = true
}

// A message that nobody answers for is settled by a void: it either takes the message's place, or comes too late. Here
// nobody leads when the message is sent.
func ExampleClient_Void() {
	cluster := startCluster()
	defer cluster.stop()
	cluster.resign()

	s := &settler{}
	var err error
	s.client, err = client.New(client.Options{
		Cluster: cluster.id, Nodes: cluster.nodes, Name: "example", Transport: cluster.join(), Seed: 20261122,
		OutcomeNs: 20e6, // 20 ms
	}, s)
	if err != nil {
		log.Fatal(err)
	}
	clock := agent.System{}
	if _, err := s.client.Send(clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("late")); err != nil {
		log.Fatal(err)
	}
	for begin := clock.NowNs(); !s.done; {
		nowNs := clock.NowNs()
		if nowNs-begin > 100e6 {
			cluster.lead()
		}
		s.client.Poll(nowNs)
		runtime.Gosched()
	}
	// Output:
	// nobody can tell yet what becomes of messages 1 to 1
	// message 1 never takes effect
}

// Have many sessions on one thread, over one transport.
func ExampleMux() {
	cluster := startCluster()
	defer cluster.stop()

	mux, err := client.NewMux(client.MuxOptions{Cluster: cluster.id, Transport: cluster.join(), Seed: 20261122})
	if err != nil {
		log.Fatal(err)
	}
	clock := agent.System{}
	answered := &discard{} // a handler that counts; each client may have one of its own
	var clients []*client.Client
	for i := range 10 {
		c, err := mux.Add(client.Options{Nodes: cluster.nodes, Name: fmt.Sprint("example ", i), Window: 4}, answered)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := c.Send(clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), []byte("hello")); err != nil {
			log.Fatal(err)
		}
		clients = append(clients, c)
	}
	for answered.responses < len(clients) {
		nowNs := clock.NowNs()
		if mux.Poll(nowNs) == 0 { // nothing is due before DueNs, unless a datagram comes
			time.Sleep(min(time.Duration(mux.DueNs()-nowNs), 50*time.Microsecond))
		}
	}
	fmt.Println(answered.responses, "answers in", mux.Len(), "sessions")
	// Output:
	// 10 answers in 10 sessions
}
