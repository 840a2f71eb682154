package opening

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"lockstep/bench"
	"lockstep/client"
	"lockstep/internal/orderflow"
	"lockstep/journal/snapshot"
	"lockstep/node"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// Plan says what is measured. A node alone, its production agents on one goroutine, takes orders of
// one client, a record each; then it is opened again and again, from a snapshot and from the beginning of its log.
type Plan struct {
	Dir     string // a directory is made below it, and taken away
	Records int    // orders
	Behind  []int  // how many of them follow a snapshot, one or two: a node keeps the two newest
	Rounds  int    // openings of each kind
}

// Check says what is wrong with a plan.
func (p *Plan) Check() error {
	if p.Records < 10 || p.Rounds < 1 || len(p.Behind) < 1 || len(p.Behind) > 2 {
		return errors.New("opening: want 10 orders or more, one round or more, one snapshot or two")
	}
	for i, n := range p.Behind {
		if n < 0 || n >= p.Records || i > 0 && n == p.Behind[0] {
			return fmt.Errorf("opening: %d of %d orders behind a snapshot: want 0 to %d, different ones", n, p.Records, p.Records-1)
		}
	}
	return nil
}

// window is how many orders are under way at once.
const window = 1024

// Row is one kind of opening: one JSON line, with the medians of its rounds.
type Row struct {
	Scenario      string  `json:"scenario"`
	Records       int     `json:"records"`        // orders in the log
	Behind        int     `json:"behind"`         // of them behind the place where the opening starts
	LogBytes      uint64  `json:"log_bytes"`      //
	SnapshotBytes int64   `json:"snapshot_bytes"` // 0: from the beginning of the log
	OpenMs        float64 `json:"open_ms"`        // the directory read, the snapshot restored, the log behind it verified
	ReadyMs       float64 `json:"ready_ms"`       // from the start until it leads and has applied all; an election is in it
	Rounds        int     `json:"rounds"`
	DirFS         string  `json:"dir_fs"`
	Cores         int     `json:"cores"`
	Kernel        string  `json:"kernel"`
	Host          string  `json:"host"`
	Revision      string  `json:"revision"`
}

// Write writes the row as one compact JSON line.
func (r *Row) Write(w io.Writer) error { return json.NewEncoder(w).Encode(r) }

// Resident is the resident size of the process that runs node and client, at some length of the log.
type Resident struct {
	Records  int    `json:"records"`
	LogBytes uint64 `json:"log_bytes"`
	Bytes    int64  `json:"resident_bytes"`
}

// Opening is a log that is grown once and opened many times.
type Opening struct {
	plan     Plan
	dir      string
	config   node.Config
	at       transport.Addr
	network  *transport.Network
	run      *run
	logBytes uint64
}

// New makes the node's directory.
func New(p Plan) (*Opening, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	o := &Opening{plan: p, at: transport.Addr{IP: [4]byte{10, 0, 0, 1}, Port: 7400}}
	o.plan.Behind = slices.Sorted(slices.Values(p.Behind))
	var err error
	if o.dir, err = os.MkdirTemp(p.Dir, "lockstep-bench-opening-"); err != nil {
		return nil, err
	}
	c := node.Defaults()
	c.Node, c.Dir = 1, filepath.Join(o.dir, "node")
	c.Cluster.Nodes = []node.NodeConfig{{ID: 1, Data: o.at.String(), Control: "10.0.0.1:7500"}}
	c.Snapshot.EveryBytes, c.Retention.Bytes = 0, 1<<40
	o.config = c
	machine := node.Real()
	if _, err := machine.Format(c.Dir, 1, 1); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// Close ends what runs and removes what was made.
func (o *Opening) Close() error {
	var err error
	if o.run != nil {
		err = o.run.node.Abandon()
		o.run = nil
	}
	return errors.Join(err, os.RemoveAll(o.dir))
}

// Grow has the node take all orders, with a snapshot wherever the plan wants one. told hears of the process's size at
// every tenth of the way.
func (o *Opening) Grow(told func(Resident)) error {
	if err := o.open(); err != nil {
		return err
	}
	at, err := o.network.Join(transport.Addr{IP: [4]byte{10, 0, 0, 9}, Port: 7600})
	if err != nil {
		return err
	}
	l := &load{}
	l.client, err = client.New(client.Options{Cluster: 1, Nodes: []transport.Addr{o.at}, Name: "opening", Transport: at,
		Window: window, Seed: 1}, l)
	if err != nil {
		return err
	}
	flow := orderflow.New(orderflow.Options{Seed: 1, Client: 1})
	for sent := 0; sent < o.plan.Records; {
		stop := o.nextStop(sent)
		if err := o.send(l, flow, &sent, stop); err != nil {
			return err
		}
		if slices.Contains(o.plan.Behind, o.plan.Records-sent) {
			if err := o.run.snapshot(); err != nil {
				return err
			}
		}
		if step := max(o.plan.Records/10, 1); sent%step == 0 {
			told(Resident{Records: sent, LogBytes: o.run.in.Ring.Append(), Bytes: residentBytes()})
		}
	}
	o.logBytes = o.run.in.Ring.Append()
	return o.end()
}

// nextStop is up to how many orders are sent before something is to be looked at.
func (o *Opening) nextStop(sent int) int {
	step := max(o.plan.Records/10, 1)
	next := min((sent/step+1)*step, o.plan.Records)
	for _, behind := range o.plan.Behind {
		if at := o.plan.Records - behind; at > sent {
			next = min(next, at)
		}
	}
	return next
}

// send sends orders until so many are sent and answered.
func (o *Opening) send(l *load, flow *orderflow.Generator, sent *int, until int) error {
	return o.run.until("orders are answered", func() (bool, error) {
		nowNs := o.run.clock.NowNs()
		for l.client.Open() < window && *sent < until {
			payload, _ := flow.Next()
			if _, err := l.client.Send(nowNs, service.OrderBook, wire.LevelsOf(wire.LevelApplied), payload); err != nil {
				return false, err
			}
			*sent++
		}
		l.client.Poll(nowNs)
		return *sent == until && l.client.Open() == 0, l.err
	})
}

// load is the client's handler.
type load struct {
	client *client.Client
	err    error
}

func (l *load) OnAck(client.Ack)           {}
func (l *load) OnResponse(client.Response) {}

// OnEvent implements client.Handler.
func (l *load) OnEvent(e client.Event) {
	if e.Kind == client.EventClosed {
		l.err = fmt.Errorf("opening: the session is closed: %v", e.Code)
	}
}

// Measure opens the node from the newest snapshot that it has, or from the beginning of its log, and takes that snapshot
// away behind it: call it once for each snapshot and once more.
func (o *Opening) Measure(revision string) (Row, error) {
	host := bench.ThisHost()
	row := Row{Scenario: "opening", Records: o.plan.Records, Behind: o.plan.Records, LogBytes: o.logBytes,
		Rounds: o.plan.Rounds, DirFS: bench.FileSystem(o.dir), Cores: host.Cores, Kernel: host.Kernel, Host: host.Host, Revision: revision}
	if len(o.plan.Behind) > 0 {
		row.Behind, o.plan.Behind = o.plan.Behind[0], o.plan.Behind[1:]
	}
	var opens, readies []float64
	for round := range o.plan.Rounds {
		start := time.Now()
		if err := o.open(); err != nil {
			return row, err
		}
		opens = append(opens, ms(start))
		held := o.run.in.Store.List()
		if err := o.run.applied(o.logBytes); err != nil {
			return row, err
		}
		readies = append(readies, ms(start))
		if err := o.end(); err != nil {
			return row, err
		}
		if len(held) > 0 {
			row.SnapshotBytes = held[len(held)-1].Bytes
		}
		if round == o.plan.Rounds-1 && len(held) > 0 {
			held = held[:len(held)-1]
		}
		if err := o.keepOnly(held); err != nil {
			return row, err
		}
	}
	slices.Sort(opens)
	slices.Sort(readies)
	row.OpenMs, row.ReadyMs = opens[len(opens)/2], readies[len(readies)/2]
	return row, nil
}

// keepOnly removes all other snapshots: a node that comes upon the record of one that it has not takes it anew.
func (o *Opening) keepOnly(held []snapshot.Manifest) error {
	for _, m := range o.run.in.Store.List() {
		keep := slices.ContainsFunc(held, func(k snapshot.Manifest) bool { return k.Position() == m.Position() })
		if keep {
			continue
		}
		if err := o.run.in.Store.Remove(m.Position()); err != nil {
			return err
		}
	}
	return nil
}

func ms(since time.Time) float64 { return math.Round(float64(time.Since(since))/1e4) / 100 }

// residentBytes is the resident size of this process, without what the garbage collector could give back.
func residentBytes() int64 {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
