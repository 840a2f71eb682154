package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"lockstep/internal/testnet"
	"lockstep/node"
	"lockstep/transport"
)

// Lab is a running cluster.
type Lab struct {
	Options Options
	Cluster uint64
	Group   transport.Addr

	mu        sync.Mutex
	temporary bool
	net       *testnet.Net    // nil on loopback
	keeper    *testnet.Keeper // on loopback
	nodes     []*Node
}

// Node is one node of the lab.
type Node struct {
	ID      int
	Dir     string
	Config  string // path of its config file
	LogFile string // where its output goes
	Data    transport.Addr
	Control string

	member *testnet.Member // nil on loopback
	cmd    *exec.Cmd       // nil while it does not run
	ended  chan struct{}   // closed when cmd has ended
}

// Up builds the cluster and starts every node. On an error nothing is left.
func Up(ctx context.Context, o Options) (*Lab, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	temporary, err := o.makeDir()
	if err != nil {
		return nil, fmt.Errorf("lab: directory: %w", err)
	}
	l := &Lab{Options: o, temporary: temporary}
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Down())
	}
	return l, nil
}

func (l *Lab) build(ctx context.Context) error {
	var id [8]byte
	_, _ = rand.Read(id[:])
	l.Cluster = binary.LittleEndian.Uint64(id[:]) | 1
	if err := l.network(); err != nil {
		return err
	}
	if l.Options.Bare {
		return nil
	}
	text, err := l.configText()
	if err != nil {
		return err
	}
	for _, n := range l.nodes {
		if err := l.format(ctx, n, text); err != nil {
			return err
		}
	}
	for _, n := range l.nodes {
		if err := l.start(n); err != nil {
			return err
		}
	}
	return nil
}

// network makes namespaces for nodes and clients, or takes free ports on loopback.
func (l *Lab) network() error {
	for i := range l.Options.Nodes {
		l.nodes = append(l.nodes, &Node{ID: i + 1})
	}
	if testnet.Available() != "" {
		return l.loopback()
	}
	n, err := testnet.New(testnet.Options{Members: l.Options.Nodes + l.Options.Clients, MTU: l.Options.MTU,
		Pair: l.Options.Pair})
	if err != nil {
		return err
	}
	l.net = n
	l.Group = transport.Addr{IP: [4]byte{239, 77, 0, 1}, Port: 7401}
	for i, node := range l.nodes {
		node.member = n.Member(i + 1)
		node.Data = transport.Addr{IP: node.member.Addr().As4(), Port: 7400}
		node.Control = fmt.Sprintf("%s:7500", node.member.Addr())
	}
	return nil
}

// loopback finds free ports. The group's last bytes and port are taken from the cluster id, so that two labs on one
// machine do not hear each other; what they would hear carries another cluster id anyway.
func (l *Lab) loopback() error {
	l.keeper = testnet.NewKeeper()
	for _, n := range l.nodes {
		port, err := freeUDPPort()
		if err != nil {
			return err
		}
		n.Data = transport.Addr{IP: [4]byte{127, 0, 0, 1}, Port: port}
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("lab: a free port: %w", err)
		}
		n.Control = listener.Addr().String()
		listener.Close()
	}
	port, err := freeUDPPort()
	l.Group = transport.Addr{IP: [4]byte{239, 77, byte(l.Cluster >> 16), byte(l.Cluster >> 8)}, Port: port}
	return err
}

func freeUDPPort() (uint16, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return 0, fmt.Errorf("lab: a free port: %w", err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port), nil
}

// configText is the config of all nodes, without what differs between them.
func (l *Lab) configText() (node.Config, error) {
	c := node.Defaults()
	c.Cluster.Rule = l.Options.Rule
	c.Cluster.Group = l.Group.String()
	for _, n := range l.nodes {
		c.Cluster.Nodes = append(c.Cluster.Nodes, node.NodeConfig{ID: n.ID, Data: n.Data.String(), Control: n.Control,
			Learner: n.ID > len(l.nodes)-l.Options.Learners})
	}
	c.Transport.Kind = l.Options.Transport
	c.Transport.XDPMode = l.Options.XDPMode
	if l.net != nil {
		c.Transport.Interface = testnet.DeviceName
	}
	if l.Options.MTU > 1700 {
		c.Transport.FrameBytes = 4096
	}
	c.Threads.Layout, c.Threads.Idle = l.Options.Layout, l.Options.Idle
	c.Journal.SegmentBytes = 16 << 20
	if l.Options.Override != "" {
		return c, node.Merge(&c, l.Options.Override)
	}
	return c, nil
}

// format makes a node's directory and writes its config.
func (l *Lab) format(ctx context.Context, n *Node, c node.Config) error {
	n.Dir = filepath.Join(l.Options.Dir, fmt.Sprintf("node%d", n.ID))
	n.Config = filepath.Join(l.Options.Dir, fmt.Sprintf("node%d.toml", n.ID))
	n.LogFile = filepath.Join(l.Options.Dir, fmt.Sprintf("node%d.log", n.ID))
	c.Node, c.Dir = n.ID, n.Dir
	text, err := c.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.Config, []byte(text), 0o644); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	_, err = node.Format(ctx, n.Dir, n.ID, l.Cluster, nil)
	return err
}

// start starts a node's process; its output is appended to its log file.
func (l *Lab) start(n *Node) error {
	if n.cmd != nil {
		select {
		case <-n.ended: // by itself
		default:
			return fmt.Errorf("lab: node %d runs already", n.ID)
		}
	}
	out, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(l.Options.Binary, "node", "--config", n.Config)
	cmd.Stdout, cmd.Stderr = out, out
	if err := l.startIn(n.member, cmd); err != nil {
		return err
	}
	n.cmd, n.ended = cmd, make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(cmd, n.ended)
	return nil
}

func (l *Lab) startIn(m *testnet.Member, cmd *exec.Cmd) error {
	if m == nil {
		return l.keeper.Start(cmd)
	}
	return m.Start(cmd)
}

// Nodes returns the nodes.
func (l *Lab) Nodes() []*Node { return l.nodes }

// NodesFlag is the list of data addresses as client commands take it.
func (l *Lab) NodesFlag() string {
	var b bytes.Buffer
	for i, n := range l.nodes {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(n.Data.String())
	}
	return b.String()
}

// client returns the i-th client's member, from 0; nil on loopback.
func (l *Lab) client(i int) *testnet.Member {
	if l.net == nil {
		return nil
	}
	return l.net.Member(l.Options.Nodes + 1 + i)
}

// StartClient starts a process where client i is: in its namespace, or on this host's loopback.
func (l *Lab) StartClient(i int, cmd *exec.Cmd) error { return l.startIn(l.client(i), cmd) }

// StartNode starts a process where node id is: for what stands in for a node.
func (l *Lab) StartNode(id int, cmd *exec.Cmd) error {
	n, err := l.node(id)
	if err != nil {
		return err
	}
	return l.startIn(n.member, cmd)
}

// ClientDevice is the interface of a client: "" on loopback.
func (l *Lab) ClientDevice() string {
	if l.net == nil {
		return ""
	}
	return testnet.DeviceName
}

// ClientAddr is an end point for client i: on loopback with port 0, any.
func (l *Lab) ClientAddr(i int) transport.Addr {
	if m := l.client(i); m != nil {
		return transport.Addr{IP: m.Addr().As4(), Port: 7600}
	}
	return transport.Addr{IP: [4]byte{127, 0, 0, 1}}
}

func (l *Lab) node(id int) (*Node, error) {
	if id < 1 || id > len(l.nodes) {
		return nil, fmt.Errorf("%w: node %d: the lab has nodes 1 to %d", ErrOptions, id, len(l.nodes))
	}
	return l.nodes[id-1], nil
}

// Kill ends a node with SIGKILL and waits for it.
func (l *Lab) Kill(id int) error { return l.end(id, syscall.SIGKILL) }

// Stop ends a node gracefully and waits for it.
func (l *Lab) Stop(id int) error { return l.end(id, syscall.SIGTERM) }

// Signal sends a node a signal and does not wait.
func (l *Lab) Signal(id int, s syscall.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.node(id)
	if err != nil {
		return err
	}
	if n.cmd == nil {
		return fmt.Errorf("lab: node %d does not run", id)
	}
	return n.cmd.Process.Signal(s)
}

// Start starts a node that was killed or stopped.
func (l *Lab) Start(id int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.node(id)
	if err != nil {
		return err
	}
	return l.start(n)
}

func (l *Lab) end(id int, s syscall.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.node(id)
	if err != nil {
		return err
	}
	return n.end(s)
}

// end signals the process and waits; one that ignores a gentle signal for ten seconds is killed, and said so.
func (n *Node) end(s syscall.Signal) error {
	if n.cmd == nil {
		return nil
	}
	_ = n.cmd.Process.Signal(s) // it may have ended by itself
	var err error
	select {
	case <-n.ended:
	case <-time.After(10 * time.Second):
		err = fmt.Errorf("lab: node %d did not end within 10 s of %v and was killed (%s)", n.ID, s, n.LogFile)
		_ = n.cmd.Process.Kill()
		<-n.ended
	}
	n.cmd = nil
	return err
}

// Ended is closed when the node's process has ended; nil while it does not run.
func (l *Lab) Ended(id int) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, err := l.node(id); err == nil && n.cmd != nil {
		return n.ended
	}
	return nil
}

// PID is a node's process, 0 while it has none.
func (l *Lab) PID(id int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n, err := l.node(id); err == nil && n.running() {
		return n.cmd.Process.Pid
	}
	return 0
}

// Cut takes a node off the network, Heal puts it back. Not on loopback.
func (l *Lab) Cut(id int) error { return l.cutOrHeal(id, (*testnet.Member).Cut) }

// CutSend has nothing that a node sends arrive anywhere; CutReceive has nothing arrive at it. Not on loopback.
func (l *Lab) CutSend(id int) error { return l.cutOrHeal(id, (*testnet.Member).CutSend) }

// CutReceive is the other direction of CutSend.
func (l *Lab) CutReceive(id int) error { return l.cutOrHeal(id, (*testnet.Member).CutReceive) }

// Inside runs f in a node's network namespace. Not on loopback.
func (l *Lab) Inside(id int, f func() error) error {
	return l.cutOrHeal(id, func(m *testnet.Member) error { return m.Do(f) })
}

// Disturb brings weather over the whole network, clients too, until it is stopped. Not on loopback.
func (l *Lab) Disturb(w testnet.Weather) (*testnet.Disturbed, error) {
	if l.net == nil {
		return nil, fmt.Errorf("%w: weather needs namespaces: %s", ErrOptions, testnet.Available())
	}
	return l.net.Disturb(w)
}

// Heal undoes every cut of a node.
func (l *Lab) Heal(id int) error { return l.cutOrHeal(id, (*testnet.Member).Heal) }

func (l *Lab) cutOrHeal(id int, do func(*testnet.Member) error) error {
	n, err := l.node(id)
	if err != nil {
		return err
	}
	if n.member == nil {
		return fmt.Errorf("%w: cutting the network needs namespaces: %s", ErrOptions, testnet.Available())
	}
	return do(n.member)
}

// Down ends every node gracefully and takes the network and a temporary directory away.
func (l *Lab) Down() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, n := range l.nodes {
		if n.cmd != nil {
			_ = n.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	for _, n := range l.nodes {
		errs = append(errs, n.end(syscall.SIGTERM))
	}
	if l.net != nil {
		errs = append(errs, l.net.Close())
	}
	if l.keeper != nil {
		l.keeper.Stop()
	}
	dropCounters(l.Options.Dir)
	if l.temporary {
		errs = append(errs, os.RemoveAll(l.Options.Dir))
	}
	return errors.Join(errs...)
}

// dropCounters removes what killed nodes have left in memory.
func dropCounters(dir string) {
	nodes, _ := filepath.Glob(filepath.Join(dir, "node*"))
	for _, n := range nodes {
		node.DropCounters(n)
	}
}

// Status asks a node's control plane.
func (l *Lab) Status(ctx context.Context, id int) (node.Status, error) {
	var s node.Status
	n, err := l.node(id)
	if err != nil {
		return s, err
	}
	return node.FetchStatusBy(ctx, l.HTTPClient(), n.Control)
}

// HTTPClient reaches control planes, from where the first client is.
func (l *Lab) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: l.dial, DisableKeepAlives: true}}
}

// AwaitStatus asks a node until it answers: one that was just started does not yet. It gives up when ctx ends, or when
// a node that was started has ended by itself.
func (l *Lab) AwaitStatus(ctx context.Context, id int) (node.Status, error) {
	for {
		s, err := l.Status(ctx, id)
		if err == nil || errors.Is(err, ErrOptions) {
			return s, err
		}
		if dead, why := l.dead(); dead != 0 {
			return s, fmt.Errorf("lab: node %d has ended: %s (%s)", dead, why, l.Options.Dir)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return s, fmt.Errorf("lab: node %d does not answer: %w: %w", id, context.Cause(ctx), err)
		}
	}
}

// dial connects from where the first client is.
func (l *Lab) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	var d net.Dialer
	m := l.client(0)
	if m == nil {
		return d.DialContext(ctx, network, address)
	}
	err = m.Do(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// dead returns a node whose process has ended by itself, and why by its log.
func (l *Lab) dead() (id int, why string) {
	for _, n := range l.nodes {
		select {
		case <-l.Ended(n.ID):
			text, _ := os.ReadFile(n.LogFile)
			return n.ID, lastWords(string(text))
		default:
		}
	}
	return 0, ""
}

// crash is how the Go runtime begins to say why it ends a process.
var crash = regexp.MustCompile(`(?m)^(panic: |fatal error: |unexpected fault address |runtime: |SIG[A-Z]+: )`)

// crashLines is how many lines of a crash are quoted: what it was, and the innermost calls of the goroutine it was in.
const crashLines = 16

// lastWords is what a process that has ended said of why: the beginning of its crash, or else its last line.
func lastWords(log string) string {
	log = strings.TrimSpace(log)
	at := strings.LastIndexByte(log, '\n') + 1
	if found := crash.FindStringIndex(log); found != nil {
		at = found[0]
	}
	lines := strings.Split(log[at:], "\n")
	return strings.Join(lines[:min(len(lines), crashLines)], "\n")
}

// Leader waits until a majority names the same living leader, and returns it. It gives up when ctx ends, or when a node
// that was started has ended by itself.
func (l *Lab) Leader(ctx context.Context) (int, error) {
	for {
		if id, why := l.dead(); id != 0 {
			return 0, fmt.Errorf("lab: node %d has ended: %s (%s)", id, why, l.Options.Dir)
		}
		votes := map[int]int{}
		for _, n := range l.nodes {
			if s, err := l.Status(ctx, n.ID); err == nil && s.Leader != 0 {
				votes[s.Leader]++
				if votes[s.Leader] > len(l.nodes)/2 && l.Ended(s.Leader) != nil {
					return s.Leader, nil
				}
			}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("lab: no leader: %w (the nodes' output is in %s/node*.log)", ctx.Err(), l.Options.Dir)
		}
	}
}
