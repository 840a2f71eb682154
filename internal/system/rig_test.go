package system

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/node"
	"lockstep/replica"
	"lockstep/transport"
	"lockstep/wire"
)

// patience ends what hangs. Nothing is expected to need it.
const patience = 45 * time.Second

// cluster is a lab under test.
type cluster struct {
	t     *testing.T
	lab   *lab.Lab
	ctx   context.Context
	flows []*flow
	down  bool // the nodes are stopped
}

// up brings a cluster up and waits for its leader. At the end of the test it is taken down.
func up(t *testing.T, o lab.Options) *cluster {
	t.Helper()
	if o.Transport == "xdp" || o.Transport == "" {
		needXDP(t)
	} else {
		needNamespaces(t)
	}
	o.Binary = binary
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, lab: l, ctx: t.Context()}
	t.Cleanup(func() {
		if t.Failed() {
			c.printLogs()
		}
		if err := l.Down(); err != nil {
			t.Errorf("taking the lab down: %v", err)
		}
	})
	c.leader()
	for _, n := range l.Nodes() { // the last may come up when the others have elected already
		c.awaitStatus(n.ID, "answers", func(*node.Status) bool { return true })
	}
	return c
}

// printLogs shows how the nodes' output ends.
func (c *cluster) printLogs() {
	for _, n := range c.lab.Nodes() {
		text, _ := os.ReadFile(n.LogFile)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		c.t.Logf("node %d said last:\n%s", n.ID, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// log is what a node has printed so far.
func (c *cluster) log(id int) string {
	text, err := os.ReadFile(c.node(id).LogFile)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func (c *cluster) node(id int) *lab.Node { return c.lab.Nodes()[id-1] }

// leader waits until a majority names the same leader.
func (c *cluster) leader() int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	id, err := c.lab.Leader(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// others are the nodes but one.
func (c *cluster) others(id int) []int {
	var list []int
	for _, n := range c.lab.Nodes() {
		if n.ID != id {
			list = append(list, n.ID)
		}
	}
	return list
}

// pick is the leader, or a follower.
func (c *cluster) pick(role string) int {
	c.t.Helper()
	leader := c.leader()
	if role == "leader" {
		return leader
	}
	return c.others(leader)[0]
}

// stopsSaying does something for which a node is to stop by itself, and to say why in its last line.
func (c *cluster) stopsSaying(id int, why string, do func()) {
	c.t.Helper()
	ended := c.lab.Ended(id)
	do()
	c.await(fmt.Sprintf("node %d stops", id), func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	log := strings.TrimSpace(c.log(id))
	if last := log[strings.LastIndex(log, "\n")+1:]; !strings.Contains(last, why) {
		c.t.Errorf("node %d stopped and says %q", id, last)
	}
}

// do fails the test when an action on the cluster fails.
func (c *cluster) do(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// await waits until something holds.
func (c *cluster) await(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		for _, f := range c.flows {
			f.check()
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %v: %s\n%s", patience, what, c.statuses())
		}
	}
}

// status asks a node; false when it does not answer.
func (c *cluster) status(id int) (node.Status, bool) {
	s, err := c.lab.Status(c.ctx, id)
	return s, err == nil
}

// awaitStatus waits until a node's status is as wanted.
func (c *cluster) awaitStatus(id int, what string, holds func(s *node.Status) bool) {
	c.t.Helper()
	c.await(fmt.Sprintf("node %d %s", id, what), func() bool {
		s, ok := c.status(id)
		return ok && holds(&s)
	})
}

func (c *cluster) statuses() string {
	var b strings.Builder
	for _, n := range c.lab.Nodes() {
		s, err := c.lab.Status(c.ctx, n.ID)
		fmt.Fprintf(&b, "node %d: %s, term %d, leader %d, append %d, durable %d, commit %d, applied %d, recovering %q, "+
			"disk full %v, dropped %v (%v)\n", n.ID, s.Role, s.Term, s.Leader, s.Append, s.Durable, s.Commit, s.Applied,
			s.Recovering, s.DiskFull, s.Dropped, err)
	}
	for i, f := range c.flows {
		fmt.Fprintf(&b, "client %d: %+v\n", i, f.now())
	}
	return b.String()
}

// counter reads a node's counter from its mapped file: that needs no network, and no living process.
func (c *cluster) counter(id int, name string) uint64 {
	c.t.Helper()
	value, found := c.reads(id, name)
	if !found {
		c.t.Fatalf("node %d has no counter %s", id, name)
	}
	return value
}

// reads is counter for one that may not be there yet: those of AF_XDP come with the first second.
func (c *cluster) reads(id int, name string) (value uint64, found bool) {
	v, err := node.OpenCounters(c.node(id).Dir)
	if err != nil {
		return 0, false
	}
	defer v.Close()
	v.Each(func(n, _ string, x uint64) {
		if n == name {
			value, found = x, true
		}
	})
	return value, found
}

// leads says whether a node takes itself for the leader.
func (c *cluster) leads(id int) bool { return c.counter(id, "lockstep_role") == uint64(replica.Leader) }

// flow is a running client process.
type flow struct {
	c       *cluster
	options flowOptions
	stdin   io.WriteCloser
	stderr  bytes.Buffer

	mu    sync.Mutex
	seen  seen
	ended bool
	err   error
	done  chan struct{}
}

// start starts a client process at client place i. What the options leave out is made up.
func (c *cluster) start(i int, o flowOptions) *flow {
	c.t.Helper()
	l := c.lab
	o.Target.Transport, o.Target.Interface, o.Target.XDPMode = l.Options.Transport, l.ClientDevice(), l.Options.XDPMode
	o.Target.Local, o.Target.Cluster = l.ClientAddr(i), l.Cluster
	if o.Target.Nodes == nil {
		o.Target.Nodes = c.addresses()
	}
	if o.Levels == nil {
		o.Levels = []wire.Level{wire.LevelApplied}
	}
	if o.Window == 0 {
		o.Window = 256
	}
	o.Acks = filepath.Join(c.t.TempDir(), "acks")
	o.View = filepath.Join(c.t.TempDir(), "view")
	text, err := json.Marshal(&o)
	c.do(err)
	exe, err := os.Executable()
	c.do(err)
	f := &flow{c: c, options: o, done: make(chan struct{})}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envFlow+"="+string(text))
	cmd.Stderr = &f.stderr
	f.stdin, err = cmd.StdinPipe()
	c.do(err)
	stdout, err := cmd.StdoutPipe()
	c.do(err)
	c.do(l.StartClient(i, cmd))
	c.flows = append(c.flows, f)
	go f.follow(cmd, stdout)
	return f
}

func (c *cluster) addresses() []transport.Addr {
	var list []transport.Addr
	for _, n := range c.lab.Nodes() {
		list = append(list, n.Data)
	}
	return list
}

// follow keeps what the process says last.
func (f *flow) follow(cmd *exec.Cmd, stdout io.Reader) {
	defer close(f.done)
	lines := bufio.NewScanner(stdout)
	var err error
	for lines.Scan() {
		var s seen
		if err = json.Unmarshal(lines.Bytes(), &s); err != nil {
			err = fmt.Errorf("the client says %q: %w", lines.Text(), err)
			break
		}
		f.mu.Lock()
		f.seen = s
		f.mu.Unlock()
	}
	waited := cmd.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	switch {
	case err != nil:
		f.err = err
	case waited != nil:
		f.err = fmt.Errorf("the client ended with %w: %s", waited, bytes.TrimSpace(f.stderr.Bytes()))
	case !f.seen.Done:
		f.err = fmt.Errorf("the client ended without being done")
	}
}

// now is what the client has seen so far.
func (f *flow) now() seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// check fails the test if the client has failed.
func (f *flow) check() {
	f.c.t.Helper()
	f.mu.Lock()
	err := f.err
	f.mu.Unlock()
	if err != nil {
		f.c.t.Fatalf("%v\n%s", err, f.c.statuses())
	}
}

// awaitAcked waits for so many more acknowledgements than there are now.
func (f *flow) awaitAcked(more uint64) {
	f.c.t.Helper()
	target := f.now().Acked + more
	f.c.await(fmt.Sprintf("%d more messages are acknowledged", more), func() bool { return f.now().Acked >= target })
}

// stop has the client settle and end, and holds what it saw against what it must see.
func (f *flow) stop() seen {
	f.c.t.Helper()
	_, _ = f.stdin.Write([]byte("stop\n")) // one that counts may have ended by itself
	select {
	case <-f.done:
	case <-time.After(patience):
		f.c.t.Fatalf("the client does not end\n%s", f.c.statuses())
	}
	f.check()
	s := f.now()
	switch {
	case s.Acked != s.Sent:
		f.c.t.Errorf("%d messages were sent and %d acknowledged", s.Sent, s.Acked)
	case s.Wrong > 0:
		f.c.t.Errorf("%d responses are not what was asked for", s.Wrong)
	case s.Misnumbered > 0:
		f.c.t.Errorf("%d responses came twice, late or not at all", s.Misnumbered)
	case s.Rejected > 0:
		f.c.t.Errorf("%d valid orders were rejected", s.Rejected)
	case s.Regressed > 0:
		f.c.t.Errorf("%d acknowledgements are of an older term than one before", s.Regressed)
	}
	return s
}

// prove stops the clients, waits until all nodes have come to the same end with the same state, stops the nodes, and
// holds every acknowledgement against the journals.
func (c *cluster) prove() {
	c.t.Helper()
	for _, f := range c.flows {
		f.stop()
	}
	c.converge()
	var dirs []string
	for _, n := range c.lab.Nodes() {
		c.do(c.lab.Stop(n.ID))
		dirs = append(dirs, n.Dir)
	}
	c.down = true
	var all []bench.Told
	for i, f := range c.flows {
		told, err := bench.ReadAcks(f.options.Acks)
		c.do(err)
		audit, err := bench.RunAudit(dirs, told...)
		c.do(err)
		if !audit.Holds() || audit.Messages != f.now().Sent {
			c.t.Errorf("client %d sent %d messages; the journals do not hold what it was told: %+v", i, f.now().Sent, audit)
		}
		if len(told) != 1 {
			c.t.Errorf("client %d was told something in %d sessions, want one", i, len(told))
		}
		all = append(all, told...)
	}
	if _, err := bench.CheckHistory(all...); err != nil {
		c.t.Error(err)
	}
}

// converge waits until all nodes have applied the same log, and compares the states that it led to.
func (c *cluster) converge() {
	c.t.Helper()
	c.await("all nodes have applied the same log, with the same state", func() bool {
		var first *node.Status
		for _, n := range c.lab.Nodes() {
			s, ok := c.status(n.ID)
			if !ok || s.Applied != s.Append || s.Commit != s.Append || s.StateAt != s.Applied {
				return false
			}
			if first == nil {
				first = &s
			}
			if s.Append != first.Append || s.StateAt != first.StateAt {
				return false
			}
			if s.StateHash != first.StateHash {
				c.t.Fatalf("the states differ at position %d\n%s", s.StateAt, c.statuses())
			}
		}
		return true
	})
}

// run runs the binary to its end and returns its output and exit code.
func run(t *testing.T, args ...string) (output string, code int) {
	t.Helper()
	return runCmd(t, nil, exec.Command(binary, args...))
}

func runCmd(t *testing.T, start func(*exec.Cmd) error, cmd *exec.Cmd) (output string, code int) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	if !hung.Stop() {
		t.Fatalf("%v does not end; it said\n%s", cmd.Args, out.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}
