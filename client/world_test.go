package client_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"lockstep/client"
	"lockstep/ringbuf"
	"lockstep/sequencer"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

const (
	clusterID = 0x10c5
	stepNs    = 50_000
	// sink is a test service: it records what it applies, and answers message n with n%3 responses.
	sink uint16 = 3
)

// world is one log with its service driver, and the nodes in front of it, of which one leads, on an in-process network
// under virtual time.
type world struct {
	t       testing.TB
	net     *transport.Network
	nowNs   int64
	wallNs  int64
	ring    *ringbuf.LogRing
	nodes   []*node
	leader  *node // nil: nobody leads
	term    wire.Term
	driver  *service.Driver
	sink    *sinkService
	clients []*tester
	polled  []*client.Mux

	progress service.Progress
	egress   *ringbuf.MessageRing
	commands *ringbuf.SPSC[service.Command]
	chain    wire.Chain
	marks    []wire.Chain // every end that was published, ascending

	// What is held back: positions that a majority has not got yet, and an idle driver.
	holdReplicated, holdDurable, holdDriver bool
	replicated, durable, commit             wire.Position
}

// node is one end point of the cluster.
type node struct {
	id        wire.NodeID
	transport transport.Transport
	sender    *transport.Sender
	validator wire.Validator
	seq       *sequencer.Sequencer
	redirect  *sequencer.Redirector
	dead      bool

	rx     [64]transport.Received
	header wire.Header
}

type config struct {
	ringBytes  int
	maxMessage uint32
	nodes      int
	net        transport.MemoryOptions
	limits     sequencer.Limits
	service    service.Limits
}

func addrOf(host byte) transport.Addr { return transport.Addr{IP: [4]byte{10, 0, 0, host}, Port: 7400} }

func newWorld(t testing.TB, cfg config) *world {
	if cfg.ringBytes == 0 {
		cfg.ringBytes = 1 << 20
	}
	if cfg.maxMessage == 0 {
		cfg.maxMessage = 1024
	}
	if cfg.service.Sessions == 0 {
		cfg.service.Sessions = 16
	}
	if cfg.limits.Sessions == 0 {
		cfg.limits.Sessions = 16
	}
	w := &world{
		t: t, net: transport.NewMemory(cfg.net), nowNs: 1e9, wallNs: 1_700_000_000e9,
		ring:     ringbuf.NewLogRing(make([]byte, 2*cfg.ringBytes), cfg.ringBytes, false),
		egress:   ringbuf.NewMessageRing(make([]byte, 1<<20)),
		commands: ringbuf.NewSPSC(make([]service.Command, 64)),
		sink:     &sinkService{applied: map[wire.SessionID][]uint64{}},
		marks:    []wire.Chain{{}},
	}
	o := service.Options{
		Ring: w.ring, Progress: &w.progress, Commands: w.commands, Egress: w.egress, Limits: cfg.service,
	}
	o.Services[service.Echo], o.Services[sink] = &echo{}, w.sink
	var err error
	if w.driver, err = service.NewDriver(o); err != nil {
		t.Fatal(err)
	}
	for i := range max(cfg.nodes, 1) {
		w.nodes = append(w.nodes, w.newNode(wire.NodeID(i+1), cfg.limits, cfg.maxMessage))
	}
	return w
}

func (w *world) newNode(id wire.NodeID, limits sequencer.Limits, maxMessage uint32) *node {
	return w.newNodeOver(id, w.join(addrOf(byte(id))), limits, maxMessage)
}

func (w *world) newNodeOver(id wire.NodeID, tr transport.Transport, limits sequencer.Limits, maxMessage uint32) *node {
	n := &node{id: id, transport: tr}
	n.validator = wire.Validator{Cluster: clusterID, Self: id}
	n.sender = transport.NewSender(n.transport, 64)
	identity := sequencer.Identity{Cluster: clusterID, Node: id, Incarnation: 77, Run: 1}
	o := sequencer.Options{
		Identity: identity, Ring: w.ring, Sender: n.sender, MaxPayload: n.transport.MaxPayload(),
		Egress: w.egress, Commands: w.commands, MaxMessage: maxMessage,
		WallNs: func() int64 { return w.wallNs }, Random: rand.New(rand.NewPCG(uint64(id), 1)),
		Key: [16]byte{byte(id)}, Limits: limits,
	}
	o.Services[service.Echo], o.Services[sink] = true, true
	var err error
	if n.seq, err = sequencer.New(o); err != nil {
		w.t.Fatal(err)
	}
	n.redirect = sequencer.NewRedirector(identity, n.sender)
	return n
}

func (w *world) join(a transport.Addr) transport.Transport {
	tr, err := w.net.Join(a)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { tr.Close() })
	return tr
}

// lead makes a node the leader of the next term, behind everything that the log holds.
func (w *world) lead(id wire.NodeID) {
	w.t.Helper()
	w.resign()
	w.term++
	n := w.nodes[id-1]
	w.leader = n
	n.seq.Lead(w.nowNs, w.wallNs, w.term, w.chain)
	if !n.seq.AppendTerm(w.nowNs, wire.TermRecord{Leader: id, Version: 1, Incarnation: 77, Run: 1}) {
		w.t.Fatal("no room for the term record")
	}
	w.publish()
	c := service.Command{Kind: service.CommandLead, Term: w.term, Position: w.chain.Position}
	if !w.commands.Offer(&c) {
		w.t.Fatal("no room for the lead command")
	}
	w.commands.Publish()
}

// resign ends the leadership that there is. The log stays as it is.
func (w *world) resign() {
	if w.leader == nil {
		return
	}
	w.publish()
	w.leader.seq.Resign()
	w.leader = nil
}

// crash ends the leadership and loses what was not committed.
func (w *world) crash() {
	w.resign()
	for w.marks[len(w.marks)-1].Position > w.commit {
		w.marks = w.marks[:len(w.marks)-1]
	}
	w.chain = w.marks[len(w.marks)-1]
	w.ring.Reset(uint64(w.chain.Position))
	w.replicated = min(w.replicated, w.chain.Position)
	w.durable = min(w.durable, w.chain.Position)
}

func (w *world) publish() {
	w.chain = w.leader.seq.Publish()
	if w.chain.Position != w.marks[len(w.marks)-1].Position {
		w.marks = append(w.marks, w.chain)
	}
}

// step is one duty cycle of everything.
func (w *world) step() {
	w.nowNs += stepNs
	w.wallNs += stepNs
	w.net.SetNow(w.nowNs)
	for _, n := range w.nodes {
		w.receive(n)
	}
	if w.leader != nil {
		w.publish()
		if !w.holdReplicated {
			w.replicated = w.chain.Position
		}
		if !w.holdDurable {
			w.durable = min(w.chain.Position, w.replicated)
		}
		w.commit = max(w.commit, w.durable)
		w.leader.seq.OnProgress(w.nowNs, w.replicated, w.durable, w.commit)
		w.progress.SetCommit(w.commit)
	}
	if !w.holdDriver {
		if _, err := w.driver.DoWork(w.nowNs); err != nil {
			w.t.Fatal(err)
		}
	}
	if w.leader != nil {
		w.leader.seq.DoWork(w.nowNs)
	}
	for _, n := range w.nodes {
		n.sender.Flush()
	}
	for _, c := range w.clients {
		c.client.Poll(w.nowNs)
	}
	for _, m := range w.polled {
		m.Poll(w.nowNs)
	}
}

func (w *world) receive(n *node) {
	got := n.transport.Receive(n.rx[:])
	for i := range got {
		h, rx := &n.header, &n.rx[i]
		body, drop := n.validator.Validate(rx.Payload, h)
		switch {
		case n.dead:
		case drop != wire.DropNone:
			w.t.Fatalf("node %d got a datagram that is dropped for %v", n.id, drop)
		case n == w.leader:
			n.seq.OnClient(w.nowNs, h, body, rx.From)
		case w.leader != nil:
			n.redirect.Redirect(h, body, rx.From, w.leader.id, addrOf(byte(w.leader.id)), w.term)
		default:
			n.redirect.Redirect(h, body, rx.From, 0, transport.Addr{}, w.term)
		}
	}
	n.transport.Release()
}

// until steps until the condition holds, for 20 virtual seconds at most.
func (w *world) until(what string, condition func() bool) {
	w.t.Helper()
	for range int(20e9 / stepNs) {
		if condition() {
			return
		}
		w.step()
	}
	for _, c := range w.clients {
		w.t.Logf("client: open %d, connected %v, %+v", c.client.Open(), c.client.Connected(), c.client.Stats())
	}
	w.t.Fatalf("waited in vain until %s", what)
}

func (w *world) run(ns int64) {
	for end := w.nowNs + ns; w.nowNs < end; {
		w.step()
	}
}

// sinkService records the numbers in the payloads it applies.
type sinkService struct{ applied map[wire.SessionID][]uint64 }

func (s *sinkService) Name() string { return "sink" }

func (s *sinkService) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	n := binary.LittleEndian.Uint64(payload)
	s.applied[r.Session] = append(s.applied[r.Session], n)
	for i := range n % 3 {
		ctx.Respond(r.Session, binary.LittleEndian.AppendUint64(nil, n*10+i))
	}
}

func (s *sinkService) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *sinkService) Hash() uint64                                     { return 0 }
func (s *sinkService) Snapshot(io.Writer) error                         { return nil }
func (s *sinkService) Restore(io.Reader) error                          { return nil }

// echo answers with the payload.
type echo struct{ sinkService }

func (*echo) Name() string { return "echo" }

func (*echo) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	ctx.Respond(r.Session, payload)
}

// tester is a client and what its handler was told; it checks what must always hold.
type tester struct {
	w         *world
	client    *client.Client
	acks      map[uint64][]client.Ack // by correlation
	responses []client.Response
	payloads  []string
	events    []client.Event
}

func (w *world) newTester(host byte, o client.Options) *tester {
	w.t.Helper()
	c := &tester{w: w, acks: map[uint64][]client.Ack{}}
	o.Transport = w.join(addrOf(host))
	o.Cluster = clusterID
	if o.Name == "" {
		o.Name = fmt.Sprint("client-", host)
	}
	if o.Seed == 0 {
		o.Seed = uint64(host)
	}
	if o.Nodes == nil {
		for _, n := range w.nodes {
			o.Nodes = append(o.Nodes, addrOf(byte(n.id)))
		}
	}
	var err error
	if c.client, err = client.New(o, c); err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

// connected is a client that is.
func (w *world) connected(host byte, o client.Options) *tester {
	w.t.Helper()
	c := w.newTester(host, o)
	w.until("the client is connected", c.client.Connected)
	return c
}

func (c *tester) OnAck(a client.Ack) {
	for _, b := range c.acks[a.Correlation] {
		if a.Level <= b.Level {
			c.w.t.Errorf("message %d acknowledged at %v after %v", a.Correlation, a.Level, b.Level)
		}
	}
	c.acks[a.Correlation] = append(c.acks[a.Correlation], a)
}

func (c *tester) OnResponse(r client.Response) {
	if r.Number != uint64(len(c.responses))+1 {
		c.w.t.Errorf("response %d handed out after %d", r.Number, len(c.responses))
	}
	c.payloads = append(c.payloads, string(r.Payload))
	r.Payload = nil
	c.responses = append(c.responses, r)
}

func (c *tester) OnEvent(e client.Event) { c.events = append(c.events, e) }

// send sends and fails the test if that is refused.
func (c *tester) send(to uint16, levels wire.Levels, payload []byte) uint64 {
	c.w.t.Helper()
	n, err := c.client.Send(c.w.nowNs, to, levels, payload)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return n
}

// number is a payload of the sink.
func number(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

func (c *tester) acked(correlation uint64, level wire.Level) bool {
	for _, a := range c.acks[correlation] {
		if a.Level == level {
			return true
		}
	}
	return false
}

func (c *tester) idle() bool { return c.client.Open() == 0 }

func (c *tester) count(kind client.EventKind) (n int) {
	for _, e := range c.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
