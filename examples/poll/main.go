// Command poll keeps many messages under way in one session, from a loop of its own that never blocks, and prints how long
// each guarantee level took. It is how a program begins for which microseconds count.
//
//	lockstep lab up
//	lockstep lab exec -- go run ./examples/poll -messages 10000
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
	"runtime"
	"slices"
	"strconv"
	"strings"

	"lockstep/agent"
	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

func main() {
	messages := flag.Int("messages", 1000, "how many to send")
	window := flag.Uint("window", 64, "how many may be open at once")
	flag.Parse()
	if err := run(os.Stdout, *messages, uint32(*window)); err != nil {
		log.Fatal(err)
	}
}

// levels are the acknowledgements that every message asks for: where it stands in the order, early, and that it has been
// applied, at the end.
var levels = wire.LevelsOf(wire.LevelSequenced, wire.LevelApplied)

// flow is a session and what has come of it. Its client calls it back from Poll, so it needs no lock.
type flow struct {
	client    *client.Client
	clock     agent.System
	out       io.Writer
	sentNs    []int64 // by correlation, from 1
	tookNs    [wire.LevelApplied + 1][]int64
	responses int
	err       error
}

// OnAck implements client.Handler: a message has reached a level, or is refused for good.
func (f *flow) OnAck(a client.Ack) {
	if a.Code != wire.RefusalNone {
		f.err = errors.Join(f.err, fmt.Errorf("message %d: %s", a.Correlation, a.Code.Sentence()))
		return
	}
	f.tookNs[a.Level] = append(f.tookNs[a.Level], f.clock.NowNs()-f.sentNs[a.Correlation])
}

// OnResponse implements client.Handler. The payload is good during the call only.
func (f *flow) OnResponse(client.Response) { f.responses++ }

// OnEvent implements client.Handler. Failover needs nothing done: what is open is sent again, and nothing twice.
func (f *flow) OnEvent(e client.Event) {
	fmt.Fprintf(f.out, "%v: leader %d, term %d\n", e.Kind, e.Leader, e.Term)
	if e.Kind == client.EventClosed && e.First != 0 {
		f.err = errors.Join(f.err, fmt.Errorf("the session is over: nobody can tell what became of messages %d to %d",
			e.First, e.Last))
	}
}

func run(out io.Writer, messages int, window uint32) (err error) {
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
	o.Name, o.Transport, o.Window, o.Seed = "example poll", udp, window, rand.Uint64()|1
	f := &flow{out: out, sentNs: make([]int64, 1, messages+1)}
	if f.client, err = client.New(o, f); err != nil {
		return err
	}
	f.drive(messages)
	f.print()
	return f.err
}

// drive is the loop: send what the window takes, poll, and close when everything is answered.
func (f *flow) drive(messages int) {
	payload := []byte("as fast as the window takes")
	for !f.client.Closed() {
		nowNs := f.clock.NowNs()
		for f.client.Connected() && len(f.sentNs) <= messages {
			if _, err := f.client.Send(nowNs, service.Echo, levels, payload); err != nil {
				break // ErrWindow: some other time
			}
			f.sentNs = append(f.sentNs, nowNs)
		}
		if len(f.sentNs) > messages && f.client.Open() == 0 {
			f.client.Close(nowNs) // a second time it does nothing
		}
		if f.client.Poll(nowNs) == 0 {
			runtime.Gosched() // there may be something better to do
		}
	}
}

func (f *flow) print() {
	fmt.Fprintf(f.out, "%d messages, %d responses\n", len(f.sentNs)-1, f.responses)
	for level, took := range f.tookNs {
		if len(took) > 0 {
			slices.Sort(took)
			fmt.Fprintf(f.out, "%-10v %d, half of them within %d us\n", wire.Level(level), len(took), took[len(took)/2]/1000)
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
