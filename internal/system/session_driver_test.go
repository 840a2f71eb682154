package system

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/client"
	"lockstep/wire"
)

// The session test's client in Go. What its lines of input and output mean stands in testdata/session.c, which is the
// same in C.

// driver does what the lines say. It is the client's handler.
type driver struct {
	client  *client.Client
	clock   agent.System
	out     *bufio.Writer
	lengths []int // of the payloads, by correlation
	job     driverJob
	late    uint64 // to be voided when it is sequenced; 0: none
	reached bool   // it is
	closing bool
	closed  bool
}

// driverJob is the line that is being worked on.
type driverJob struct {
	service         uint16
	levels          wire.Levels
	count, length   int
	voided, lateOne bool
}

// runDriver is the client process: it ends when the session is closed.
func runDriver(text string) error {
	var target bench.Target
	if err := json.Unmarshal([]byte(text), &target); err != nil {
		return err
	}
	tr, _, err := target.OpenTransport()
	if err != nil {
		return err
	}
	defer tr.Close()
	d := &driver{out: bufio.NewWriter(os.Stdout), lengths: []int{0}}
	d.client, err = target.Connect(context.Background(), tr, "session test", 0, d, d.clock, agent.Yield{})
	if err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			lines <- in.Text()
		}
		close(lines)
	}()
	for !d.closed {
		if err := d.step(lines); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) step(lines <-chan string) error {
	nowNs := d.clock.NowNs()
	if d.job.count == 0 && d.late == 0 {
		select {
		case line, ok := <-lines:
			if !ok {
				return errors.New("the test is gone")
			}
			if err := d.parse(line); err != nil {
				return err
			}
		default:
		}
	}
	if err := d.work(nowNs); err != nil {
		return err
	}
	agent.Yield{}.Idle(d.client.Poll(nowNs))
	if d.reached {
		_ = d.client.Void(d.late) // it may be settled by now
		d.late, d.reached = 0, false
	}
	if d.closing && d.client.Open() == 0 {
		d.client.Close(nowNs)
		d.closing = false
	}
	return d.out.Flush()
}

func (d *driver) parse(line string) error {
	j := driverJob{count: 1}
	words, err := strings.Fields(line), error(nil)
	switch words[0] {
	case "send":
		_, err = fmt.Sscan(line[4:], &j.service, &j.count, &j.levels, &j.length)
	case "void":
		j.voided = true
		_, err = fmt.Sscan(line[4:], &j.service, &j.levels, &j.length)
	case "late":
		j.lateOne = true
		_, err = fmt.Sscan(line[4:], &j.service, &j.levels, &j.length)
	case "close":
		d.closing = true
		return nil
	default:
		err = errors.New("no such command")
	}
	if err != nil {
		return fmt.Errorf("%q: %w", line, err)
	}
	d.job = j
	return nil
}

// work sends as much of the job as the window takes.
func (d *driver) work(nowNs int64) error {
	for j := &d.job; j.count > 0; j.count-- {
		payload := echoPayload(make([]byte, j.length), uint64(len(d.lengths)))
		correlation, err := d.client.Send(nowNs, j.service, j.levels, payload)
		if errors.Is(err, client.ErrWindow) {
			return nil
		}
		if err != nil {
			return err
		}
		d.lengths = append(d.lengths, j.length)
		if j.voided {
			if err := d.client.Void(correlation); err != nil {
				return err
			}
		}
		if j.lateOne {
			d.late = correlation
		}
	}
	return nil
}

// OnAck implements client.Handler.
func (d *driver) OnAck(a client.Ack) {
	if a.Correlation == d.late && a.Level >= wire.LevelSequenced {
		d.reached = true
	}
	switch {
	case a.Code == wire.RefusalNone:
		fmt.Fprintln(d.out, "ack", a.Correlation, uint8(a.Level), a.Sequence, uint64(a.Position), uint32(a.Term))
	case a.Level == wire.LevelNone || a.Level == wire.LevelApplied: // for good, where it stands
		fmt.Fprintln(d.out, "refused", a.Correlation, uint16(a.Code))
	}
}

// OnResponse implements client.Handler.
func (d *driver) OnResponse(x client.Response) {
	verdict := "other"
	if x.Correlation < uint64(len(d.lengths)) &&
		bytes.Equal(x.Payload, echoPayload(make([]byte, d.lengths[x.Correlation]), x.Correlation)) {
		verdict = "same"
	}
	fmt.Fprintln(d.out, "response", x.Number, x.Correlation, verdict)
}

// OnEvent implements client.Handler.
func (d *driver) OnEvent(e client.Event) {
	switch e.Kind {
	case client.EventConnected:
		fmt.Fprintln(d.out, "connected", uint64(e.Session), uint32(e.Term), uint8(e.Leader))
	case client.EventClosed:
		fmt.Fprintln(d.out, "closed", uint16(e.Code))
		d.closed = true
	}
}

// goDriver is this binary again, as a client.
func goDriver(c *cluster) *exec.Cmd {
	l := c.lab
	text, err := json.Marshal(&bench.Target{Transport: l.Options.Transport, Interface: l.ClientDevice(),
		XDPMode: l.Options.XDPMode, Local: l.ClientAddr(0), Cluster: l.Cluster, Nodes: c.addresses()})
	c.do(err)
	exe, err := os.Executable()
	c.do(err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envDriver+"="+string(text))
	return cmd
}

// cDriver compiles the client in C, with the sanitizers where the compiler has them: they end it at the first fault.
func cDriver(c *cluster) *exec.Cmd {
	exe := compile(c.t, "session.c")
	var args []string
	for _, n := range c.lab.Nodes() {
		args = append(args, n.Data.String())
	}
	return exec.Command(exe, append([]string{fmt.Sprintf("%016x", c.lab.Cluster)}, args...)...)
}

// compile makes a program of a file in testdata and the client in examples/c.
func compile(t *testing.T, source string) string {
	t.Helper()
	cc := needCompiler(t)
	from, exe := filepath.Join("..", "..", "examples", "c"), filepath.Join(t.TempDir(), "client")
	args := []string{"-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-I", from, "-o", exe,
		filepath.Join("testdata", source), filepath.Join(from, "lockstep.c"), filepath.Join(from, "wire.c")}
	strict := append([]string{"-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, args...)
	if exec.Command(cc, strict...).Run() == nil {
		return exe
	}
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cc, err, out)
	}
	return exe
}

// needCompiler skips where there is none.
func needCompiler(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no C compiler (cc, gcc, clang): the client in C is not tested")
	return ""
}
