package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

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
type watchingClient struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr strings.Builder
}

func startWatching(ctx context.Context, l *lab.Lab, p *bench.Plan, sessions int, acks string) (*watchingClient, error) {
	args := []string{"bench", "failover", "client", "--at", l.NodesFlag(), "--cluster", node.ClusterString(l.Cluster),
		"--level", p.Level.String(), "--loop", string(p.Loop), "--rate", fmt.Sprint(p.Rate),
		"--burst", strconv.Itoa(p.Burst), "--payload", strconv.Itoa(p.Payload), "--flow", p.Flow,
		"--window", strconv.Itoa(p.Window), "--sessions", strconv.Itoa(sessions), "--acks", acks}
	w := &watchingClient{cmd: exec.CommandContext(ctx, l.Options.Binary, append(args, clientFlags(l)...)...)}
	w.cmd.Stderr = &w.stderr
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := l.StartClient(0, w.cmd); err != nil {
		return nil, err
	}
	w.out = bufio.NewScanner(out)
	_, err = w.next() // it is connected
	return w, err
}

// next reads one event.
func (w *watchingClient) next() (e bench.WatchEvent, err error) {
	if !w.out.Scan() {
		return e, fmt.Errorf("the client: %w: %s", errors.Join(w.out.Err(), w.cmd.Wait()), strings.TrimSpace(w.stderr.String()))
	}
	return e, json.Unmarshal(w.out.Bytes(), &e)
}

// look is what the client saw since it was last asked.
func (w *watchingClient) look() (bench.Outage, error) { return w.ask(bench.WatchLook) }

// ask has the client do something, and returns what it saw since it was last asked.
func (w *watchingClient) ask(what string) (bench.Outage, error) {
	if _, err := io.WriteString(w.in, what+"\n"); err != nil {
		return bench.Outage{}, err
	}
	e, err := w.next()
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
	if err := w.in.Close(); err != nil {
		return bench.Watched{}, err
	}
	e, err := w.next()
	if err == nil && e.Done == nil {
		err = errors.New("the client does not say how it ended")
	}
	if err != nil {
		return bench.Watched{}, err
	}
	return *e.Done, w.cmd.Wait()
}

// kill ends the client after something else failed.
func (w *watchingClient) kill() error {
	_ = w.cmd.Process.Kill()
	_ = w.cmd.Wait()
	return nil
}
