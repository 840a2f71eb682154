package command

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"

	"lockstep/bench"
	"lockstep/client"
	"lockstep/node"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/transport"
	"lockstep/wire"
	"lockstep/wire/fb"
)

// orderFlags say where the cluster is and what is asked of it.
type orderFlags struct {
	nodes     []string
	cluster   string
	transport string
	device    string
	xdpMode   string
	name      string
	level     string
	timeout   time.Duration
	hold      time.Duration
}

func orderCommand() *cobra.Command {
	var f orderFlags
	parent := &cobra.Command{
		Use:   "order",
		Short: "Send an order to the order book from the shell",
		Long: `Send an order to the order book from the shell, and print the acknowledgement and every report. Each call opens
a session of its own and closes it at its end. An order belongs to its session: when that is closed, what rests of the
order is taken off the book. --hold keeps the session open; order session sends several orders in one.`,
		Example: `  lockstep order new --side buy --price 100 --quantity 5 \
      --nodes 10.0.0.1:7400,10.0.0.2:7400 --cluster 5f0c4b1e8d2a9673
  lockstep lab exec -- lockstep order new --side sell --price 100 --quantity 5 --hold 1m`,
	}
	group(parent)
	p := parent.PersistentFlags()
	f.registerReach(p)
	p.StringVar(&f.name, "name", "lockstep order", "what operators see the session as")
	p.StringVar(&f.level, "level", "applied",
		"acknowledgement to wait for: received, sequenced, replicated, durable or applied")
	p.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for the session and for every answer")
	p.DurationVar(&f.hold, "hold", 0, "keep the session open for so long afterwards, and print what is reported meanwhile")
	parent.AddCommand(orderNewCommand(&f), orderCancelCommand(&f), orderSessionCommand(&f))
	return parent
}

// registerReach has the flags that say where the cluster is.
func (f *orderFlags) registerReach(p interface {
	StringVar(p *string, name, value, usage string)
	StringSliceVar(p *[]string, name string, value []string, usage string)
}) {
	p.StringSliceVar(&f.nodes, "nodes", splitList(os.Getenv(envNodes)), "data addresses of the nodes (also "+envNodes+")")
	p.StringVar(&f.cluster, "cluster", os.Getenv(envCluster), "the cluster's id (also "+envCluster+")")
	p.StringVar(&f.transport, "transport", "udp", "udp (kernel sockets) or xdp (AF_XDP)")
	p.StringVar(&f.device, "interface", "", "own interface, for xdp")
	p.StringVar(&f.xdpMode, "xdp-mode", "auto", "native, generic, zero-copy, or auto")
}

// splitList takes a list with commas apart; an empty one has no members.
func splitList(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func orderNewCommand(f *orderFlags) *cobra.Command {
	var side string
	q := orderbook.Request{}
	c := &cobra.Command{
		Use:   "new",
		Short: "Send a new limit order",
		Example: `  lockstep order new --side buy --price 100 --quantity 5 --level durable \
      --nodes 10.0.0.1:7400 --cluster 5f0c4b1e8d2a9673`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if q.Side, err = parseSide(side); err != nil {
				return err
			}
			if q.Price == 0 || q.Quantity == 0 {
				return fmt.Errorf("%w: --price and --quantity are wanted, 1 or more each", errUsage)
			}
			return f.run(c.Context(), c.OutOrStdout(), func(s *orderSession) error { return s.send(c.Context(), &q) })
		},
	}
	c.Flags().StringVar(&side, "side", "", "buy or sell")
	c.Flags().Uint64Var(&q.Price, "price", 0, "ticks")
	c.Flags().Uint64Var(&q.Quantity, "quantity", 0, "lots")
	c.Flags().Uint32Var(&q.Instrument, "instrument", 1, "number of the instrument, from 1")
	c.Flags().Uint64Var(&q.ClientOrder, "client-order", 1, "your own number for the order")
	return c
}

func orderCancelCommand(f *orderFlags) *cobra.Command {
	q := orderbook.Request{Cancel: true}
	c := &cobra.Command{
		Use:   "cancel",
		Short: "Send a cancel",
		Long: `Send a cancel, in a session of its own: there it finds no order, and the book says so. To cancel an order that
rests, send both in one session: lockstep order session.`,
		Example: "  lockstep order cancel --client-order 1 --nodes 10.0.0.1:7400 --cluster 5f0c4b1e8d2a9673",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.OutOrStdout(), func(s *orderSession) error { return s.send(c.Context(), &q) })
		},
	}
	c.Flags().Uint64Var(&q.ClientOrder, "client-order", 1, "your own number of the order")
	c.Flags().Uint32Var(&q.Instrument, "instrument", 1, "number of the instrument, from 1")
	return c
}

func orderSessionCommand(f *orderFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "session",
		Short: "Send the orders on standard input, one a line, in one session",
		Long: `Send the orders on standard input, one a line, in one session:

  buy PRICE QUANTITY [INSTRUMENT]       sell PRICE QUANTITY [INSTRUMENT]       cancel ORDER [INSTRUMENT]

Orders are numbered from 1 in the order of their lines; cancel takes that number.`,
		Example: `  printf 'buy 100 5\nsell 100 2\ncancel 1\n' | lockstep lab exec -- lockstep order session`,
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.OutOrStdout(), func(s *orderSession) error {
				return s.sendLines(c.Context(), c.InOrStdin())
			})
		},
	}
}

func parseSide(s string) (fb.Side, error) {
	switch s {
	case "buy":
		return fb.SideBuy, nil
	case "sell":
		return fb.SideSell, nil
	}
	return 0, fmt.Errorf("%w: --side %q: want buy or sell", errUsage, s)
}

// run opens a session, has send use it, waits for what is still to come, and closes it.
func (f *orderFlags) run(ctx context.Context, w io.Writer, send func(*orderSession) error) (err error) {
	s := &orderSession{timeout: f.timeout, out: w, builder: flatbuffers.NewBuilder(128),
		last: map[uint64]chan struct{}{}}
	if s.level, err = parseLevel(f.level); err != nil {
		return err
	}
	o, tr, err := f.options()
	if err != nil {
		return err
	}
	o.OnResponse, o.OnEvent, o.SubmitTimeoutNs = s.onResponse, s.onEvent, f.timeout.Nanoseconds()
	if tr != nil {
		o.Transport = tr
		defer func() { err = errors.Join(err, tr.Close()) }()
	}
	dialing, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	done := progress(os.Stderr, "looking for the leader")
	s.conn, err = client.Dial(dialing, o)
	done()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.conn.Close()) }()
	leader, term := s.conn.Leader()
	s.print("session %016x, leader node %d, term %d", uint64(s.conn.Session()), leader, term)
	if err := send(s); err != nil {
		return err
	}
	return s.linger(ctx, f.hold)
}

func parseLevel(s string) (wire.Level, error) {
	for level := wire.LevelReceived; level <= wire.LevelApplied; level++ {
		if level.String() == s {
			return level, nil
		}
	}
	return 0, fmt.Errorf("%w: --level %q: want received, sequenced, replicated, durable or applied", errUsage, s)
}

// options are the client's, and the transport if it is not the client's own.
func (f *orderFlags) options() (o client.Options, tr transport.Transport, err error) {
	if len(f.nodes) == 0 || f.cluster == "" {
		return o, nil, fmt.Errorf("%w: give --nodes ADDRESS,... and --cluster ID (lab exec sets both)", errUsage)
	}
	o.Name = f.name
	if o.Cluster, err = node.ParseCluster(f.cluster); err != nil {
		return o, nil, err
	}
	for _, text := range f.nodes {
		addr, err := transport.ParseAddr(text)
		if err != nil {
			return o, nil, fmt.Errorf("%w: --nodes: %w", errUsage, err)
		}
		o.Nodes = append(o.Nodes, addr)
	}
	var seed [8]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand)
	o.Seed = binary.LittleEndian.Uint64(seed[:]) | 1
	switch f.transport {
	case "udp":
		return o, nil, nil
	case "xdp":
	default:
		return o, nil, fmt.Errorf("%w: --transport %q: want udp or xdp", errUsage, f.transport)
	}
	target := bench.Target{Transport: "xdp", Interface: f.device, XDPMode: f.xdpMode, Nodes: o.Nodes, Cluster: o.Cluster}
	if target.Local.IP, err = transport.LocalFor(o.Nodes[0]); err != nil {
		return o, nil, err
	}
	tr, _, err = target.OpenTransport()
	if err != nil {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return o, tr, err
}

// orderSession sends orders and prints what comes back. Its callbacks run on the connection's goroutine.
type orderSession struct {
	conn    *client.Conn
	level   wire.Level
	timeout time.Duration
	builder *flatbuffers.Builder
	newest  uint64 // correlation of the message sent last

	mu   sync.Mutex
	out  io.Writer
	last map[uint64]chan struct{} // by correlation: closed when the last report on a message is there
}

func (s *orderSession) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// send submits one order and prints its acknowledgement, and its reports as far as they come with it.
func (s *orderSession) send(ctx context.Context, q *orderbook.Request) error {
	payload := orderbook.CancelOrderRequest(s.builder, q.ClientOrder, q.Instrument)
	if !q.Cancel {
		payload = orderbook.NewOrderRequest(s.builder, q.ClientOrder, q.Instrument, q.Side, q.Price, q.Quantity)
	}
	started := time.Now()
	result, err := s.conn.Submit(ctx, service.OrderBook, s.level, payload)
	if err != nil {
		return err
	}
	s.newest = result.Correlation
	s.print("message %d is %s after %v: position %d, sequence %d, term %d, time %s", result.Correlation, s.level,
		time.Since(started).Round(time.Microsecond), result.Position, result.Sequence, result.Term,
		time.Unix(0, int64(result.Timestamp)).UTC().Format("2006-01-02T15:04:05.000000000Z"))
	if s.level != wire.LevelApplied {
		return nil
	}
	if result.Response != nil {
		s.printReport(result.Correlation, result.Response)
	}
	for _, report := range result.More {
		s.printReport(result.Correlation, report)
	}
	s.settle(result.Correlation)
	return nil
}

// sendLines submits the orders that a text describes, one a line.
func (s *orderSession) sendLines(ctx context.Context, r io.Reader) error {
	lines := bufio.NewScanner(r)
	orders := uint64(0)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		q, err := parseOrder(fields)
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if !q.Cancel {
			orders++
			q.ClientOrder = orders
		}
		if err := s.send(ctx, &q); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// parseOrder reads "buy PRICE QUANTITY [INSTRUMENT]", "sell ..." or "cancel ORDER [INSTRUMENT]".
func parseOrder(fields []string) (q orderbook.Request, err error) {
	q.Instrument = 1
	wanted := []*uint64{&q.Price, &q.Quantity}
	switch fields[0] {
	case "buy":
		q.Side = fb.SideBuy
	case "sell":
		q.Side = fb.SideSell
	case "cancel":
		q.Cancel, wanted = true, []*uint64{&q.ClientOrder}
	default:
		return q, fmt.Errorf("%w: %q: want buy, sell or cancel", errUsage, fields[0])
	}
	if n := len(fields) - 1; n < len(wanted) || n > len(wanted)+1 {
		return q, fmt.Errorf("%w: %s: want %d numbers, and perhaps an instrument", errUsage, fields[0], len(wanted))
	}
	for i, field := range fields[1:] {
		value, err := strconv.ParseUint(field, 10, 64)
		switch {
		case err != nil || i == len(wanted) && value > 1<<32-1:
			return q, fmt.Errorf("%w: %q is not a number that fits", errUsage, field)
		case i == len(wanted):
			q.Instrument = uint32(value)
		default:
			*wanted[i] = value
		}
	}
	return q, nil
}

// linger waits until the reports on every message are there, and then as long as it is told to.
func (s *orderSession) linger(ctx context.Context, hold time.Duration) error {
	if hold > 0 {
		s.print("the session stays open for %v", hold)
	}
	limit := time.NewTimer(s.timeout)
	defer limit.Stop()
	for correlation := uint64(1); correlation <= s.newest; correlation++ {
		select {
		case <-s.lastOf(correlation):
		case <-limit.C:
			return fmt.Errorf("message %d: no report within %v", correlation, s.timeout)
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-time.After(hold):
	case <-ctx.Done(): // enough
	}
	return nil
}

// lastOf is closed when the last report on a message is there.
func (s *orderSession) lastOf(correlation uint64) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.last[correlation]
	if c == nil {
		c = make(chan struct{})
		s.last[correlation] = c
	}
	return c
}

func (s *orderSession) settle(correlation uint64) { close(s.lastOf(correlation)) }

// onResponse is given reports that no Submit waits for.
func (s *orderSession) onResponse(r client.Response) {
	s.printReport(r.Correlation, r.Payload)
	if r.Last && r.Correlation != 0 {
		s.settle(r.Correlation)
	}
}

func (s *orderSession) onEvent(e client.Event) {
	switch e.Kind {
	case client.EventDisconnected:
		s.print("the leader is silent; looking for another")
	case client.EventLeaderChanged:
		s.print("node %d leads now, term %d", e.Leader, e.Term)
	}
}

// printReport prints one report of the order book; those on no message of this session are on resting orders of it.
func (s *orderSession) printReport(correlation uint64, payload []byte) {
	var e orderbook.Event
	if !orderbook.DecodeEvent(payload, &e) {
		s.print("message %d: a report of %d bytes that is none of the order book's", correlation, len(payload))
		return
	}
	switch e.Kind {
	case orderbook.Accepted:
		s.print("order %d accepted as %d, %d lots rest", e.ClientOrder, e.Order, e.Quantity)
	case orderbook.Rejected:
		s.print("order %d rejected: %s", e.ClientOrder, e.Reason)
	case orderbook.Executed:
		s.print("order %d executed: %d lots at %d, %d left, execution %d", e.ClientOrder, e.Quantity, e.Price, e.Left,
			e.Execution)
	case orderbook.Canceled:
		s.print("order %d canceled: %d lots taken off the book", e.ClientOrder, e.Quantity)
	}
}
