package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Submit one message and wait until the service has answered it.
func ExampleDial() {
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

// printer prints what happens.
type printer struct{}

func (printer) OnAck(a client.Ack) { fmt.Println("message", a.Correlation, "is", a.Level) }

func (printer) OnResponse(r client.Response) { fmt.Printf("response %d: %s\n", r.Number, r.Payload) }

func (printer) OnEvent(e client.Event) { fmt.Println(e.Kind, "leader", e.Leader) }

// Drive a client from a loop of one's own, which never blocks.
func ExampleClient() {
	udp, err := transport.OpenUDP(transport.UDPOptions{Local: transport.Addr{IP: [4]byte{10, 0, 0, 9}}})
	if err != nil {
		log.Fatal(err)
	}
	defer udp.Close()
	c, err := client.New(client.Options{
		Cluster:   0x1f2e3d4c5b6a7988,
		Nodes:     []transport.Addr{{IP: [4]byte{10, 0, 0, 1}, Port: 7400}},
		Name:      "example",
		Transport: udp,
		Seed:      uint64(time.Now().UnixNano()),
	}, printer{})
	if err != nil {
		log.Fatal(err)
	}
	clock := agent.System{}
	levels := wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied)
	for !c.Closed() {
		nowNs := clock.NowNs()
		if c.Connected() {
			if _, err := c.Send(nowNs, service.Echo, levels, []byte("tick")); err != nil && err != client.ErrWindow {
				log.Print(err)
			}
		}
		c.Poll(nowNs)
	}
}
