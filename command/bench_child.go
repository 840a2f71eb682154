package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"lockstep/bench"
	"lockstep/internal/lab"
)

// child is a process of this binary where one of a lab's clients is: it is asked a line at a time, and answers each with a
// line of JSON.
type child struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Scanner
	stderr strings.Builder
	flush  func() // has all of it there, once the process has ended
}

// childLine is the longest line that a child writes.
const childLine = 1 << 20

// startChild starts one where client i is.
func startChild(ctx context.Context, l *lab.Lab, i int, args []string) (*child, error) {
	return startFollowed(ctx, l, i, args, nil)
}

// startFollowed starts one that says how far it is.
func startFollowed(ctx context.Context, l *lab.Lab, i int, args []string, p *liveLine) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, l.Options.Binary, append(args, p.flags()...)...)}
	c.cmd.Stderr, c.flush = p.follow(&c.stderr)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := l.StartClient(i, c.cmd); err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	c.out.Buffer(nil, childLine)
	return c, nil
}

// next reads one answer.
func (c *child) next(into any) error {
	if !c.out.Scan() {
		return fmt.Errorf("the client: %w: %s", errors.Join(c.out.Err(), c.cmd.Wait()), c.said())
	}
	return json.Unmarshal(c.out.Bytes(), into)
}

// asks asks for something and reads the answer.
func (c *child) asks(what string, into any) error {
	if _, err := io.WriteString(c.in, what+"\n"); err != nil {
		return errors.Join(fmt.Errorf("the client: %w", err), c.next(into)) // it may have said why
	}
	return c.next(into)
}

// look asks a crowd how it is.
func (c *child) look() (bench.CrowdState, error) { return c.ask(bench.WatchLook) }

// ask asks a crowd for something.
func (c *child) ask(what string) (s bench.CrowdState, err error) { return s, c.asks(what, &s) }

// end has a process come to its end.
func (c *child) end() error {
	err := c.in.Close()
	if waited := c.cmd.Wait(); waited != nil {
		err = errors.Join(err, fmt.Errorf("the client: %w: %s", waited, c.said()))
	}
	return err
}

// kill ends it after something else failed.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// said is what a process that has ended wrote to its standard error.
func (c *child) said() string {
	c.flush()
	return strings.TrimSpace(c.stderr.String())
}
