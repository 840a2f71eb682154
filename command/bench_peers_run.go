package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/agent"
	"lockstep/bench"
	"lockstep/internal/lab"
	"lockstep/internal/testnet"
)

// peersRun is one comparison.
type peersRun struct {
	benchRun
	f      *peersFlags
	plans  []bench.Plan
	binary string
	rows   []bench.Row
	failed []error // of systems; the others go on
}

func runPeers(ctx context.Context, f *peersFlags, plans []bench.Plan) error {
	run, done, err := newBenchRun(&f.benchFlags)
	if err != nil {
		return err
	}
	defer done()
	r := &peersRun{benchRun: *run, f: f, plans: plans}
	if slices.ContainsFunc(f.systems, func(s string) bool { return s != peersOurs && s != peersOursUDP }) {
		if r.binary, err = f.build(ctx, r.text); err != nil {
			return err
		}
	}
	where := "network namespaces on one bridge, all of them"
	if missing := testnet.Available(); missing != "" {
		where = "loopback, all of them (" + missing + ")"
	}
	fmt.Fprintf(r.text, "three processes a system and a client: %s\n", where)
	for round := range f.rounds {
		for _, commit := range f.commits {
			for _, system := range f.systems {
				if commit == "durable" && system == peersMemory {
					continue
				}
				fmt.Fprintf(r.text, "round %d of %d, %s, %s\n", round+1, f.rounds, commit, system)
				if err := r.measure(ctx, system, commit); err != nil {
					if ctx.Err() != nil {
						return err
					}
					fmt.Fprintf(r.text, "%s: %v\n", system, err)
					r.failed = append(r.failed, fmt.Errorf("%s, %s: %w", system, commit, err))
				}
			}
		}
	}
	if err := printPeers(r.text, r.rows); err != nil {
		return err
	}
	return errors.Join(r.failed...)
}

// measure measures every series once on a new cluster.
func (r *peersRun) measure(ctx context.Context, system, commit string) error {
	dir := r.f.dir
	switch {
	case commit == "replicated" && bench.FileSystem(tmpfs) == "tmpfs":
		dir = tmpfs
	case dir == "":
		dir = os.TempDir()
	}
	r.flags.lab = lab.Options{Nodes: 3, Rule: commit, MTU: 1500}
	switch system {
	case peersOurs, peersOursUDP:
		if system == peersOursUDP {
			r.flags.lab.Transport = "udp"
		}
		rows, err := r.round(ctx, dir, r.plans)
		if err != nil {
			return err
		}
		for i := range rows {
			rows[i].Scenario, rows[i].System = "peers", system
			if err := r.keep(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return r.peer(ctx, system, commit, dir)
}

// keep prints a row for people, writes its JSON line, and keeps it for the table.
func (r *peersRun) keep(row *bench.Row) error {
	r.rows = append(r.rows, *row)
	fmt.Fprintf(r.text, "%-18s %-10s %-9s p50 %8.1f  p90 %8.1f  p99 %8.1f  p99.9 %8.1f  max %9.1f us  %8.0f/s",
		row.System, row.Commit, seriesName(row), row.P50Us, row.P90Us, row.P99Us, row.P999Us, row.MaxUs, row.PerSec)
	if row.Lost > 0 {
		fmt.Fprintf(r.text, "  %d of %d not taken", row.Lost, row.Sent)
	}
	fmt.Fprintln(r.text)
	if r.json == nil {
		return nil
	}
	return row.Write(r.json)
}

// peerCluster is a cluster of another system.
type peerCluster struct {
	lab     *lab.Lab
	dir     string
	members string
	args    []string
	nodes   []*exec.Cmd
}

// peer measures every series on a cluster of another system, on the lab's network.
func (r *peersRun) peer(ctx context.Context, system, commit, dir string) (err error) {
	o := r.flags.lab
	o.Bare, o.Log = true, r.text
	if o.Dir, err = os.MkdirTemp(dir, "lockstep-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	jitter := bench.JitterP99Us(jitterTime, agent.System{}.NowNs)
	c := &peerCluster{dir: o.Dir, args: []string{"--system", system}}
	if commit == "durable" {
		c.args = append(c.args, "--fsync")
	}
	if c.lab, err = lab.Up(ctx, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.down()) }()
	if err := c.start(r.binary); err != nil {
		return err
	}
	for i := range r.plans {
		row, err := c.load(ctx, r.binary, &r.plans[i])
		if err != nil {
			return fmt.Errorf("%s: %w%s", seriesOf(&r.plans[i]), err, c.lastWords())
		}
		row.JitterP99Us = jitter
		c.conditions(&row)
		if err := r.keep(&row); err != nil {
			return err
		}
	}
	return nil
}

// start starts the members.
func (c *peerCluster) start(binary string) error {
	var all []string
	for _, n := range c.lab.Nodes() {
		addr := n.Data.String()
		if c.lab.ClientDevice() == "" {
			var err error
			if addr, err = freeTCPPorts(); err != nil {
				return err
			}
		}
		all = append(all, addr)
	}
	c.members = strings.Join(all, ",")
	for _, n := range c.lab.Nodes() {
		dir := filepath.Join(c.dir, fmt.Sprintf("member%d", n.ID))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		log, err := os.Create(c.logFile(n.ID))
		if err != nil {
			return err
		}
		defer log.Close()
		cmd := exec.Command(binary, append([]string{"node", "--members", c.members, "--id", strconv.Itoa(n.ID), "--dir", dir},
			c.args...)...)
		cmd.Stdout, cmd.Stderr = log, log
		if err := c.lab.StartNode(n.ID, cmd); err != nil {
			return err
		}
		c.nodes = append(c.nodes, cmd)
	}
	return nil
}

func (c *peerCluster) logFile(id int) string {
	return filepath.Join(c.dir, fmt.Sprintf("member%d.log", id))
}

// freeTCPPorts finds two on loopback, one after the other.
func freeTCPPorts() (string, error) {
	for range 100 {
		first, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := netip.MustParseAddrPort(first.Addr().String())
		second, err := net.Listen("tcp4", netip.AddrPortFrom(addr.Addr(), addr.Port()+1).String())
		first.Close()
		if err != nil {
			continue
		}
		second.Close()
		return addr.String(), nil
	}
	return "", errors.New("bench peers: no two free ports in a row on loopback")
}

// loadLimit is how long a client may take beyond what it measures: to find a leader, and to wait for the last answers.
const loadLimit = time.Minute

// load measures one series from where the lab's client is.
func (c *peerCluster) load(ctx context.Context, binary string, p *bench.Plan) (row bench.Row, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.Warmup+p.Measure+p.Behind+loadLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"load", "--members", c.members, "--loop", string(p.Loop),
		"--rate", fmt.Sprint(p.Rate), "--burst", strconv.Itoa(p.Burst), "--payload", strconv.Itoa(p.Payload),
		"--seconds", fmt.Sprint(p.Measure.Seconds()), "--warmup", fmt.Sprint(p.Warmup.Seconds()),
		"--behind", fmt.Sprint(p.Behind.Seconds()), "--window", strconv.Itoa(p.Window)}, c.args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := c.lab.StartClient(0, cmd); err != nil {
		return row, err
	}
	if err := cmd.Wait(); err != nil {
		return row, fmt.Errorf("measuring client: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return row, json.Unmarshal(stdout.Bytes(), &row)
}

// conditions fills in what the client does not know.
func (c *peerCluster) conditions(row *bench.Row) {
	o := &c.lab.Options
	row.MTU, row.DirFS = o.MTU, bench.FileSystem(c.dir)
	row.NIC, row.Disk = "veth", row.DirFS
	if c.lab.ClientDevice() == "" {
		row.NIC = "loopback"
	}
	row.SetNIC(row.NIC)
	row.WriteCache = bench.WriteCache(c.dir)
}

// lastWords is the end of what the members wrote.
func (c *peerCluster) lastWords() string {
	var b strings.Builder
	for i := range c.nodes {
		text, err := os.ReadFile(c.logFile(i + 1))
		if err != nil || len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&b, "\n  member %d: %s", i+1, lines[len(lines)-1])
	}
	return b.String()
}

// down ends everything.
func (c *peerCluster) down() error {
	for _, cmd := range c.nodes {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return c.lab.Down()
}
