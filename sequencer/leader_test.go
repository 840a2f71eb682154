package sequencer

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"testing"

	"lockstep/internal/counters"
	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

const (
	testCluster    = 0xc1
	testMaxMessage = 8192
	// talker answers a message with as many responses as its payload's first byte says, of as many bytes each as the
	// next four say.
	talker uint16 = 4
)

// leader is a sequencer that leads a cluster of one, with a real service driver, and the datagrams it sends.
type leader struct {
	t        testing.TB
	s        *Sequencer
	driver   *service.Driver
	talker   *talkerService
	progress service.Progress
	commands *ringbuf.SPSC[service.Command]
	ring     *ringbuf.LogRing
	sender   *transport.Sender
	counters *counters.File
	nowNs    int64
	wallNs   int64
	net      *transport.Network
	ends     map[transport.Addr]transport.Transport
}

func addr(host byte) transport.Addr { return transport.Addr{IP: [4]byte{10, 1, 0, host}, Port: 9000} }

// newLeader makes a leader of term 1 that is ready.
func newLeader(t testing.TB, limits Limits, slots int) *leader {
	return newLeaderOver(t, limits, slots, 1<<18, testMaxMessage)
}

// newLeaderOver makes one with a ring of so many bytes, and messages of so many.
func newLeaderOver(t testing.TB, limits Limits, slots, ringBytes int, maxMessage uint32) *leader {
	l := &leader{
		t: t, nowNs: 1e9, wallNs: 1_700_000_000e9, ends: map[transport.Addr]transport.Transport{},
		talker:   &talkerService{},
		ring:     ringbuf.NewLogRing(make([]byte, 2*ringBytes), ringBytes, false),
		commands: ringbuf.NewSPSC(make([]service.Command, 64)),
	}
	l.net = transport.NewMemory(transport.MemoryOptions{Slots: max(slots, 256)})
	egress := ringbuf.NewMessageRing(make([]byte, 1<<20))
	if limits.Sessions == 0 {
		limits.Sessions = 8
	}
	var err error
	if l.counters, err = counters.Create("", 128); err != nil {
		t.Fatal(err)
	}
	do := service.Options{
		Ring: l.ring, Progress: &l.progress, Commands: l.commands, Egress: egress,
		Limits: service.Limits{Sessions: limits.Sessions},
	}
	do.Services[talker] = l.talker
	do.Fresh = func() (s [service.MaxServices]service.Service, err error) {
		l.talker = &talkerService{}
		s[talker] = l.talker
		return s, nil
	}
	if l.driver, err = service.NewDriver(do); err != nil {
		t.Fatal(err)
	}
	tr := l.join(addr(1))
	l.sender = transport.NewSender(tr, 16)
	o := Options{
		Identity: Identity{Cluster: testCluster, Node: 1, Incarnation: 9, Run: 2},
		Ring:     l.ring, Sender: l.sender, MaxPayload: tr.MaxPayload(), Egress: egress, Commands: l.commands,
		Progress: &l.progress, MaxMessage: maxMessage, WallNs: func() int64 { return l.wallNs }, Random: rand.New(rand.NewPCG(1, 2)),
		Limits: limits, Counters: l.counters,
	}
	o.Services[talker] = true
	if l.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	l.lead(1, wire.Chain{})
	l.cycle()
	l.cycle()
	if !l.s.Ready() {
		t.Fatal("the leader is not ready")
	}
	return l
}

func (l *leader) lead(term wire.Term, chain wire.Chain) {
	l.s.Lead(l.nowNs, l.wallNs, term, chain)
	if !l.s.AppendTerm(l.nowNs, wire.TermRecord{Leader: 1, Incarnation: 9}) {
		l.t.Fatal("no room for the term record")
	}
	c := service.Command{Kind: service.CommandLead, Term: term, Position: l.s.Publish().Position}
	l.commands.Offer(&c)
	l.commands.Publish()
}

func (l *leader) join(a transport.Addr) transport.Transport {
	tr, err := l.net.Join(a)
	if err != nil {
		l.t.Fatal(err)
	}
	l.ends[a] = tr
	return tr
}

// cycle is a duty cycle in which everything appended becomes replicated, durable, committed and applied.
func (l *leader) cycle() {
	l.nowNs += 10_000
	l.wallNs += 10_000
	at := l.s.Publish().Position
	l.s.OnProgress(l.nowNs, at, at, at)
	l.apply(at)
	l.s.DoWork(l.nowNs)
	l.sender.Flush()
}

func (l *leader) apply(at wire.Position) {
	l.progress.SetCommit(at)
	if _, err := l.driver.DoWork(l.nowNs); err != nil {
		l.t.Fatal(err)
	}
}

// part is a cycle in which nothing but the given positions moves, and nothing is applied.
func (l *leader) part(replicated, durable, commit wire.Position) {
	l.nowNs += 10_000
	l.s.Publish()
	l.s.OnProgress(l.nowNs, replicated, durable, commit)
	l.s.DoWork(l.nowNs)
	l.sender.Flush()
}

// count is a counter's value.
func (l *leader) count(name string) uint64 { return l.counters.Counter(name, "").Load() }

// got is a datagram that a client received, taken apart.
type got struct {
	kind      wire.DatagramKind
	term      wire.Term
	challenge wire.Challenge
	accept    wire.Accept
	reject    wire.Reject
	redirect  wire.Redirect
	session   wire.SessionID
	committed uint64
	answers   []wire.Answer
	payloads  []string
}

// received is what has arrived at an address since it was last asked.
func (l *leader) received(a transport.Addr) (all []got) {
	l.t.Helper()
	l.sender.Flush()
	if l.ends[a] == nil {
		l.join(a)
	}
	v := wire.Validator{Cluster: testCluster}
	var rx [64]transport.Received
	for {
		n := l.ends[a].Receive(rx[:])
		for i := range n {
			var h wire.Header
			body, drop := v.Validate(rx[i].Payload, &h)
			if drop != wire.DropNone {
				l.t.Fatalf("a datagram that is dropped for %v", drop)
			}
			g := got{kind: h.Kind, term: h.Term}
			g.decode(l.t, body)
			all = append(all, g)
		}
		l.ends[a].Release()
		if n == 0 {
			return all
		}
	}
}

func (g *got) decode(t testing.TB, body []byte) {
	ok := true
	switch g.kind {
	case wire.DatagramChallenge:
		ok = g.challenge.Decode(body)
	case wire.DatagramAccept:
		ok = g.accept.Decode(body)
	case wire.DatagramReject:
		ok = g.reject.Decode(body)
	case wire.DatagramRedirect:
		ok = g.redirect.Decode(body)
	case wire.DatagramAnswers:
		var head wire.Answers
		ok = head.Decode(body)
		g.session, g.committed = head.Session, head.Committed
		for rest := body[wire.AnswersHeaderSize:]; len(rest) > 0 && ok; {
			var a wire.Answer
			var payload []byte
			payload, rest, ok = wire.NextAnswer(rest, &a)
			g.answers = append(g.answers, a)
			g.payloads = append(g.payloads, string(payload))
		}
	}
	if !ok {
		t.Fatalf("a malformed %v", g.kind)
	}
}

// one is the only datagram that has arrived at an address.
func (l *leader) one(a transport.Addr) got {
	l.t.Helper()
	all := l.received(a)
	if len(all) != 1 {
		l.t.Fatalf("%d datagrams at %v, want 1: %+v", len(all), a, all)
	}
	return all[0]
}

// nothing fails unless nothing has arrived at an address.
func (l *leader) nothing(a transport.Addr) {
	l.t.Helper()
	if all := l.received(a); len(all) != 0 {
		l.t.Fatalf("datagrams at %v, want none: %+v", a, all)
	}
}

// tell gives the sequencer a datagram from an address.
func (l *leader) tell(from transport.Addr, h wire.Header, body []byte) {
	if l.ends[from] == nil {
		l.join(from)
	}
	l.s.OnClient(l.nowNs, &h, body, from)
}

func (l *leader) connect(from transport.Addr, c wire.Connect) {
	b := make([]byte, 256)
	l.tell(from, wire.Header{Kind: wire.DatagramConnect}, b[:c.Put(b)])
}

func (l *leader) prove(from transport.Addr, p wire.Prove) {
	b := make([]byte, 256)
	l.tell(from, wire.Header{Kind: wire.DatagramProve, Sender: uint64(p.Session)}, b[:p.Put(b)])
}

// proof is a PROVE that would be taken.
func (l *leader) proof(from transport.Addr, token uint64, session wire.SessionID) wire.Prove {
	return wire.Prove{
		Token: token, Nonce: l.s.challenger.nonce(l.nowNs, from, token), Session: session, Window: 32,
		Protocol: wire.Protocol, Name: []byte("raw"),
	}
}

// open opens a session the whole way and returns its id.
func (l *leader) open(from transport.Addr, token uint64) wire.SessionID {
	l.t.Helper()
	l.connect(from, wire.Connect{Token: token, Window: 32, Protocol: wire.Protocol, Name: []byte("raw")})
	g := l.one(from)
	if g.kind != wire.DatagramChallenge || g.challenge.Token != token {
		l.t.Fatalf("CONNECT was answered with %+v", g)
	}
	l.prove(from, wire.Prove{
		Token: token, Nonce: g.challenge.Nonce, Window: 32, Protocol: wire.Protocol, Name: []byte("raw"),
	})
	l.cycle()
	if g = l.one(from); g.kind != wire.DatagramAccept || g.accept.Session == 0 {
		l.t.Fatalf("PROVE was answered with %+v", g)
	}
	return g.accept.Session
}

// takeAllFrames leaves the transmit side without room until the function it returns is called.
func (l *leader) takeAllFrames() (giveBack func()) {
	frames := make([]transport.Frame, 1<<12)
	n := l.ends[addr(1)].Acquire(frames)
	return func() { l.ends[addr(1)].Submit(frames[:n]) }
}

// message is one packed message.
type message struct {
	wire.Message
	payload []byte
}

func data(correlation uint64, levels wire.Levels, payload ...byte) message {
	m := wire.Message{Correlation: correlation, Kind: wire.MessageData, Levels: levels, Service: talker}
	return message{m, payload}
}

func void(correlation uint64, levels wire.Levels) message {
	return message{wire.Message{Correlation: correlation, Kind: wire.MessageVoid, Levels: levels}, nil}
}

func (l *leader) messages(from transport.Addr, session wire.SessionID, receivedUpTo uint64, list ...message) {
	b := make([]byte, 1<<14)
	n := (&wire.Messages{Received: receivedUpTo}).Put(b)
	for i := range list {
		n += wire.PutMessage(b[n:], &list[i].Message, list[i].payload)
	}
	l.tell(from, wire.Header{Kind: wire.DatagramMessages, Sender: uint64(session)}, b[:n])
}

func (l *leader) bare(kind wire.DatagramKind, from transport.Addr, session wire.SessionID, receivedUpTo uint64) {
	b := make([]byte, wire.MessagesHeaderSize)
	(&wire.Messages{Received: receivedUpTo}).Put(b)
	l.tell(from, wire.Header{Kind: kind, Sender: uint64(session)}, b)
}

// records decodes the log as appended so far.
func (l *leader) records() (all []wire.Record) {
	l.t.Helper()
	end := l.s.Publish().Position
	var c wire.Chain
	for c.Position < end {
		var r wire.Record
		if _, v := c.Verify(l.ring.View(uint64(c.Position), uint64(end)), &r); v != wire.VerdictOK {
			l.t.Fatalf("record at %d: %v", c.Position, v)
		}
		all = append(all, r)
	}
	return all
}

// kinds counts the records of a kind.
func (l *leader) kinds(kind wire.RecordKind) (n int) {
	for _, r := range l.records() {
		if r.Kind == kind {
			n++
		}
	}
	return n
}

// poison is what the talker cannot bear.
var poison = []byte("poison")

type talkerService struct {
	order    []uint64
	fired    []uint64
	scratch  []byte      // for responses; nil: made anew each time
	deadline [256]uint64 // of timers, by id
}

func (s *talkerService) Name() string { return "talker" }

func (s *talkerService) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.order = append(s.order, r.Correlation)
	if bytes.Equal(payload, poison) {
		panic("told to")
	}
	if len(payload) == 10 && payload[0] == 't' {
		id := payload[1]
		s.deadline[id] = ctx.Timestamp() + binary.LittleEndian.Uint64(payload[2:])
		_ = ctx.SetTimer(uint64(id), s.deadline[id])
		return
	}
	if len(payload) < 5 {
		return
	}
	size := binary.LittleEndian.Uint32(payload[1:])
	b := s.scratch
	if b == nil {
		b = make([]byte, size)
	}
	b = b[:size]
	for i := range payload[0] {
		if len(b) > 0 {
			b[0] = i
		}
		ctx.Respond(r.Session, b)
	}
}

func (s *talkerService) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *talkerService) Hash() uint64                                     { return 0 }
func (s *talkerService) Snapshot(io.Writer) error                         { return nil }
func (s *talkerService) Restore(io.Reader) error                          { return nil }

// talk is a payload that has the talker answer n times with size bytes.
func talk(n byte, size uint32) []byte { return binary.LittleEndian.AppendUint32([]byte{n}, size) }
