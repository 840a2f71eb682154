// Command call sends its arguments to the echo service, a message each, and prints what became of them. It is how a program
// begins that wants an answer before it goes on.
//
//	lockstep lab up
//	lockstep lab exec -- go run ./examples/call hello world
//
// Elsewhere the environment says where the cluster is: LOCKSTEP_NODES (addresses, with commas between) and
// LOCKSTEP_CLUSTER (its id, as `lockstep status` prints it).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"lockstep/client"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, lines []string) (err error) {
	o, err := cluster()
	if err != nil {
		return err
	}
	o.Name = "example call"
	o.OnEvent = func(e client.Event) { // a failover is nothing to act upon, but good to know of
		fmt.Fprintf(out, "%v: leader %d, term %d\n", e.Kind, e.Leader, e.Term)
	}
	dialing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := client.Dial(dialing, o) // over kernel UDP, as no transport is given
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	for _, line := range lines {
		if err := call(ctx, out, conn, line); err != nil {
			return err
		}
	}
	return nil
}

// call submits one message and waits until it is applied. Any number of goroutines may do so at once.
func call(ctx context.Context, out io.Writer, conn *client.Conn, line string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := conn.Submit(ctx, service.Echo, wire.LevelApplied, []byte(line))
	var refused *client.RefusedError
	switch {
	case errors.As(err, &refused): // it is certain that it took no effect
		fmt.Fprintf(out, "message %d: %s\n", r.Correlation, refused.Code.Sentence())
	case errors.Is(err, client.ErrUnknown): // it may take effect yet, or have done so
		fmt.Fprintf(out, "message %d: nobody can tell\n", r.Correlation)
	case err != nil: // it was not sent
		return err
	default:
		fmt.Fprintf(out, "message %d: record %d answered %q\n", r.Correlation, r.Sequence, r.Response)
	}
	return nil
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
