package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
)

// failoverClientCommand is the client; the bench starts it.
func failoverClientCommand() *cobra.Command {
	sessions := 1
	c := clientCommand("client", func(ctx context.Context, f *benchFlags, target bench.Target, acks string) error {
		plan, err := f.plan()
		if err != nil {
			return err
		}
		w := bench.Watch{Target: target, Plan: plan, Sessions: sessions, AcksFile: acks}
		return w.Run(ctx, os.Stdin, os.Stdout)
	})
	c.Flags().IntVar(&sessions, "sessions", 1, "sessions")
	return c
}

// watchingClient is the process that keeps the lab busy.
type watchingClient struct{ child *child }

func startWatching(ctx context.Context, l *lab.Lab, p *bench.Plan, sessions int, acks string) (*watchingClient, error) {
	args := []string{"bench", "failover", "client", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster),
		"--level", p.Level.String(), "--loop", string(p.Loop), "--rate", fmt.Sprint(p.Rate),
		"--burst", strconv.Itoa(p.Burst), "--payload", strconv.Itoa(p.Payload),
		"--window", strconv.Itoa(p.Window), "--sessions", strconv.Itoa(sessions), "--acks", acks}
	args = append(args, flowArgs(p)...)
	c, err := startChild(ctx, l, 0, append(args, clientFlags(l)...))
	if err != nil {
		return nil, err
	}
	var e bench.WatchEvent
	return &watchingClient{c}, c.next(&e) // it is connected
}

// look is what the client saw since it was last asked.
func (w *watchingClient) look() (bench.Outage, error) { return w.ask(bench.WatchLook) }

// ask has the client do something, and returns what it saw since it was last asked.
func (w *watchingClient) ask(what string) (bench.Outage, error) {
	var e bench.WatchEvent
	err := w.child.asks(what, &e)
	if err == nil && e.Outage == nil {
		err = errors.New("the client has ended")
	}
	if err != nil {
		return bench.Outage{}, err
	}
	return *e.Outage, nil
}

// end has the client come to its end.
func (w *watchingClient) end() (bench.Watched, error) {
	var e bench.WatchEvent
	err := w.child.in.Close()
	if err == nil {
		err = w.child.next(&e)
	}
	if err == nil && e.Done == nil {
		err = errors.New("the client does not say how it ended")
	}
	if err != nil {
		return bench.Watched{}, err
	}
	return *e.Done, w.child.cmd.Wait()
}

// kill ends the client after something else failed.
func (w *watchingClient) kill() error {
	w.child.kill()
	return nil
}
