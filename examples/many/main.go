// Command many opens thousands of sessions from one process, over one socket, on one thread, and sends a message in each. It
// is how a gateway begins that has a session for everybody behind it.
//
//	lockstep lab up
//	lockstep lab exec -- go run ./examples/many -sessions 1000
//
// Elsewhere the environment says where the cluster is: LOCKSTEP_NODES (addresses, with commas between) and
// LOCKSTEP_CLUSTER (its id, as `lockstep status` prints it).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

func main() {
	sessions := flag.Int("sessions", 1000, "how many to open")
	flag.Parse()
	if err := run(os.Stdout, *sessions); err != nil {
		log.Fatal(err)
	}
}

// gateway counts what its sessions are told.
type gateway struct{ open, answered, closed int }

// one is a session of it, and its client's handler.
type one struct {
	gateway *gateway
	client  *client.Client
	open    bool
	got     string
}

// OnAck implements client.Handler: the response says as much.
func (s *one) OnAck(client.Ack) {}

// OnResponse implements client.Handler. The payload is good during the call only.
func (s *one) OnResponse(r client.Response) {
	s.got = string(r.Payload)
	s.gateway.answered++
}

// OnEvent implements client.Handler.
func (s *one) OnEvent(e client.Event) {
	switch e.Kind {
	case client.EventConnected: // once more after each time that it had lost its leader
		if !s.open {
			s.open = true
			s.gateway.open++
		}
	case client.EventClosed:
		s.gateway.closed++
	}
}

func run(out io.Writer, n int) (err error) {
	o, err := cluster()
	if err != nil {
		return err
	}
	local, err := transport.LocalFor(o.Nodes[0])
	if err != nil {
		return err
	}
	udp, err := transport.OpenUDP(transport.UDPOptions{Local: transport.Addr{IP: local}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, udp.Close()) }()
	mux, err := client.NewMux(client.MuxOptions{Cluster: o.Cluster, Transport: udp, Seed: rand.Uint64() | 1, Clients: n})
	if err != nil {
		return err
	}
	g := &gateway{}
	sessions := make([]*one, n)
	clock := agent.System{}
	o.Window = 4 // small, as most of them are idle
	for i := range sessions {
		s := &one{gateway: g}
		o.Name = fmt.Sprint("example ", i)
		if s.client, err = mux.Add(o, s); err != nil {
			return err
		}
		sessions[i] = s
		if _, err = s.client.Send(clock.NowNs(), service.Echo, wire.LevelsOf(wire.LevelApplied), []byte(o.Name)); err != nil {
			return err
		}
	}
	poll(mux, clock, func() bool { return g.answered == n || g.closed > 0 })
	fmt.Fprintf(out, "%d sessions open, %d messages answered\n", g.open, g.answered)
	for i, s := range sessions {
		if want := fmt.Sprint("example ", i); s.got != want {
			err = errors.Join(err, fmt.Errorf("session %d was answered %q, not %q", i, s.got, want))
		}
		s.client.Close(clock.NowNs())
	}
	poll(mux, clock, func() bool { return mux.Len() == 0 })
	fmt.Fprintf(out, "%d sessions closed\n", g.closed)
	return err
}

// poll is the loop. It sleeps while there is nothing to do; with Transport.Fds it could wait for the next datagram.
func poll(mux *client.Mux, clock agent.System, done func() bool) {
	for !done() {
		if nowNs := clock.NowNs(); mux.Poll(nowNs) == 0 {
			time.Sleep(min(time.Duration(mux.DueNs()-nowNs), 100*time.Microsecond))
		}
	}
}

// cluster is where the environment says that the cluster is.
func cluster() (o client.Options, err error) {
	if o.Cluster, err = strconv.ParseUint(os.Getenv("LOCKSTEP_CLUSTER"), 16, 64); err != nil {
		return o, fmt.Errorf("LOCKSTEP_CLUSTER: %w", err)
	}
	for _, text := range strings.Split(os.Getenv("LOCKSTEP_NODES"), ",") {
		a, err := transport.ParseAddr(text)
		if err != nil {
			return o, fmt.Errorf("LOCKSTEP_NODES: %w", err)
		}
		o.Nodes = append(o.Nodes, a)
	}
	return o, nil
}
