package sequencer

import (
	"testing"

	"lockstep/service"
	"lockstep/transport"
	"lockstep/wire"
)

// CONNECT costs the leader nothing: no record, no session.
func TestConnectMakesNoState(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	for token := range uint64(50) {
		l.connect(addr(2), wire.Connect{Token: token + 1, Protocol: wire.Protocol, Name: []byte("x")})
		l.received(addr(2))
	}
	if len(l.s.table.byID) != 0 || len(l.records()) != 1 {
		t.Errorf("%d sessions, %d records", len(l.s.table.byID), len(l.records()))
	}
}

// What is wrong with CONNECT or PROVE is said by name.
func TestConnectIsRefusedByName(t *testing.T) {
	good := wire.Connect{Token: 5, Protocol: wire.Protocol, Name: []byte("x")}
	for code, change := range map[wire.Refusal]func(c *wire.Connect){
		wire.RefusalProtocolVersion: func(c *wire.Connect) { c.Protocol++ },
		wire.RefusalMalformed:       func(c *wire.Connect) { c.Token = 0 },
		wire.RefusalBadName:         func(c *wire.Connect) { c.Name = nil },
	} {
		l := newLeader(t, Limits{}, 0)
		c := good
		change(&c)
		l.connect(addr(2), c)
		if g := l.one(addr(2)); g.kind != wire.DatagramReject || g.reject.Code != code || g.reject.Token != c.Token {
			t.Errorf("CONNECT: %+v, want %v", g, code)
		}
		p := l.proof(addr(2), c.Token, 0)
		p.Protocol, p.Name = c.Protocol, c.Name
		l.prove(addr(2), p)
		if g := l.one(addr(2)); g.kind != wire.DatagramReject || g.reject.Code != code {
			t.Errorf("PROVE: %+v, want %v", g, code)
		}
		if l.count(`lockstep_sequencer_refused_total{reason="`+code.Name()+`"}`) != 2 {
			t.Errorf("%v is not counted", code)
		}
	}
}

func TestMalformedDatagramsAreDroppedAndCounted(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 7)
	short := make([]byte, wire.ConnectSize)
	short[30] = 9 // a name that is not there
	l.tell(addr(2), wire.Header{Kind: wire.DatagramConnect}, short)
	l.tell(addr(2), wire.Header{Kind: wire.DatagramProve}, make([]byte, 8))
	body := make([]byte, wire.MessagesHeaderSize+wire.MessageHeaderSize)
	l.tell(addr(2), wire.Header{Kind: wire.DatagramMessages, Sender: uint64(id)}, body)
	l.bare(wire.DatagramKeepalive, addr(2), id, 99) // responses that were never given
	l.cycle()
	l.nothing(addr(2))
	if n := l.count(`lockstep_client_datagrams_dropped_total{reason="body"}`); n != 4 {
		t.Errorf("%d counted, want 4", n)
	}
}

// Only the nonce made for this address and token, not long ago, opens a session.
func TestNonceProvesTheAddress(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	p := l.proof(addr(2), 7, 0)
	attempts := map[string]func(){
		"another address": func() { l.prove(addr(3), p) },
		"another token":   func() { q := p; q.Token++; l.prove(addr(3), q) },
		"a guess":         func() { q := p; q.Nonce++; l.prove(addr(3), q) },
	}
	for name, attempt := range attempts {
		attempt()
		if g := l.one(addr(3)); g.reject.Code != wire.RefusalBadNonce {
			t.Errorf("%s: %+v", name, g)
		}
	}
	l.nowNs += 2 * challengeSlotNs
	l.prove(addr(2), p)
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalBadNonce {
		t.Errorf("too late: %+v", g)
	}
	p = l.proof(addr(2), 7, 0)
	l.nowNs += challengeSlotNs
	l.prove(addr(2), p)
	l.cycle()
	if g := l.one(addr(2)); g.kind != wire.DatagramAccept {
		t.Errorf("within its time: %+v", g)
	}
}

// The reference vector of SipHash-2-4 for its 24-byte prefix input 00 01 02 ...
func TestSipHash(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	c := newChallenger(key)
	from := transport.Addr{IP: [4]byte{16, 17, 18, 19}, Port: 0x1514}
	got := c.hash(0x0706050403020100, from, 0x0f0e0d0c0b0a0908)
	if want := reference(key, []byte{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 0x14, 0x15, 0, 0,
	}); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	if got := reference(key, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}); got != 0xa129ca6149be45e5 {
		t.Errorf("the reference itself gives %x for the published vector", got)
	}
}

// reference is SipHash-2-4 of any message, on the same rounds.
func reference(key [16]byte, m []byte) uint64 {
	c := newChallenger(key)
	s := sip{c.k0 ^ 0x736f6d6570736575, c.k1 ^ 0x646f72616e646f6d, c.k0 ^ 0x6c7967656e657261, c.k1 ^ 0x7465646279746573}
	word := func(b []byte) (v uint64) {
		for i := range b {
			v |= uint64(b[i]) << (8 * i)
		}
		return v
	}
	n := len(m)
	for ; len(m) >= 8; m = m[8:] {
		s.word(word(m[:8]))
	}
	s.word(word(m) | uint64(n)<<56)
	s[2] ^= 0xff
	for range 4 {
		s.round()
	}
	return s[0] ^ s[1] ^ s[2] ^ s[3]
}

// ACCEPT leaves only when the session-open record is committed and applied; the same token finds its session at every
// stage, without a second record.
func TestAcceptAfterTheRecordIsApplied(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	before := l.s.Chain().Position
	l.prove(addr(2), l.proof(addr(2), 7, 0))
	l.part(before, before, before)
	l.prove(addr(2), l.proof(addr(2), 7, 0))
	l.part(l.s.Chain().Position, before, before)
	l.part(l.s.Chain().Position, l.s.Chain().Position, l.s.Chain().Position)
	l.nothing(addr(2))
	l.cycle()
	first := l.one(addr(2))
	if first.kind != wire.DatagramAccept || first.accept.Term != 1 || first.accept.Leader != 1 ||
		first.accept.Window != 32 || first.accept.MaxMessage != testMaxMessage || first.accept.Correlation != 0 ||
		first.accept.SilenceMs != 10_000 {
		t.Fatalf("%+v", first)
	}
	l.prove(addr(2), l.proof(addr(2), 7, 0))
	if again := l.one(addr(2)); again.accept != first.accept {
		t.Errorf("again: %+v", again)
	}
	if n := l.kinds(wire.RecordSessionOpen); n != 1 {
		t.Errorf("%d session-open records", n)
	}
}

func TestWindowIsBounded(t *testing.T) {
	l := newLeader(t, Limits{Window: 16}, 0)
	for token, want := range map[uint64]uint32{0: 1, 5: 5, 100: 16} {
		p := l.proof(addr(2), token+1, 0)
		p.Window = uint32(token)
		l.prove(addr(2), p)
		l.cycle()
		if g := l.one(addr(2)); g.accept.Window != want {
			t.Errorf("asked for %d: %+v", token, g.accept)
		}
	}
}

// The last slot is taken by a session that is open; a closed one gives way.
func TestSessionsAreBounded(t *testing.T) {
	l := newLeader(t, Limits{Sessions: 2}, 0)
	id := l.open(addr(2), 1)
	l.open(addr(3), 2)
	l.prove(addr(4), l.proof(addr(4), 3, 0))
	if g := l.one(addr(4)); g.reject.Code != wire.RefusalBusySessions {
		t.Errorf("%+v", g)
	}
	l.bare(wire.DatagramDisconnect, addr(2), id, 0)
	l.cycle()
	l.open(addr(4), 3)
}

// Nobody opens a session while the log has no room for clients.
func TestNoSessionWhileTheLogIsBusy(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	p := l.proof(addr(2), 1, 0)
	p.Window = 4096
	l.prove(addr(2), p)
	l.cycle()
	id := l.one(addr(2)).accept.Session
	l.messages(addr(2), id, 0, data(1, 0)) // what its messages cause is known then
	l.cycle()
	l.received(addr(2))
	for c := uint64(2); l.s.log.Admits(wire.SessionOpenSize+len(p.Name)) == wire.RefusalNone; c++ {
		l.messages(addr(2), id, 0, data(c, 0))
	}
	l.prove(addr(3), l.proof(addr(3), 2, 0))
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalBusyLog {
		t.Errorf("%+v", g)
	}
}

// A session listens to the address that was proven last, and to no other.
func TestSessionHasOneAddress(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	l.messages(addr(3), id, 0, data(1, wire.LevelsOf(wire.LevelReceived)))
	l.cycle()
	l.nothing(addr(3))
	l.nothing(addr(2))
	if n := l.count(`lockstep_client_datagrams_dropped_total{reason="address"}`); n != 1 {
		t.Errorf("%d counted", n)
	}
	l.prove(addr(3), l.proof(addr(3), 1, id))
	if g := l.one(addr(3)); g.kind != wire.DatagramAccept || g.accept.Session != id {
		t.Fatalf("%+v", g)
	}
	l.messages(addr(2), id, 0, data(1, 0))
	l.messages(addr(3), id, 0, data(1, wire.LevelsOf(wire.LevelReceived)))
	l.cycle()
	if g := l.one(addr(3)); len(g.answers) != 1 {
		t.Errorf("%+v", g)
	}
	if len(l.talker.order) != 1 {
		t.Errorf("applied %v", l.talker.order)
	}
}

// Sessions at one address do not disturb each other: each is served, and what it is sent names it.
func TestAddressHasSeveralSessions(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	first, second := l.open(addr(2), 1), l.open(addr(2), 2)
	applied := wire.LevelsOf(wire.LevelApplied)
	l.messages(addr(2), first, 0, data(1, applied))
	l.messages(addr(2), second, 0, data(1, applied), data(2, applied))
	l.cycle()
	answers := map[wire.SessionID]int{}
	for _, g := range l.received(addr(2)) {
		answers[g.session] += len(g.answers)
	}
	if answers[first] != 1 || answers[second] != 2 {
		t.Errorf("%v, want 1 for %x and 2 for %x", answers, first, second)
	}
	l.prove(addr(2), l.proof(addr(2), 2, second))
	l.received(addr(2))
	l.messages(addr(2), first, 0, data(2, applied))
	l.cycle()
	if g := l.one(addr(2)); g.session != first || len(g.answers) != 1 {
		t.Errorf("after the other was resumed: %+v", g)
	}
}

// Without the token nobody resumes a session.
func TestResumeNeedsTheToken(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	for _, p := range []wire.Prove{l.proof(addr(3), 2, id), l.proof(addr(3), 1, id+1)} {
		l.prove(addr(3), p)
		if g := l.one(addr(3)); g.reject.Code != wire.RefusalUnknownSession {
			t.Errorf("%+v", g)
		}
	}
	p := l.proof(addr(3), 1, id)
	p.Received = 1 // there was no response
	l.prove(addr(3), p)
	if g := l.one(addr(3)); g.reject.Code != wire.RefusalMalformed {
		t.Errorf("%+v", g)
	}
}

// A client that has seen a later term knows that this node leads no more.
func TestC4LaterTermIsNotServed(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	for _, kind := range []wire.DatagramKind{wire.DatagramMessages, wire.DatagramKeepalive} {
		l.tell(addr(2), wire.Header{Kind: kind, Sender: uint64(id), Term: 2}, make([]byte, 8))
		if g := l.one(addr(2)); g.reject.Code != wire.RefusalNotLeader {
			t.Errorf("%v: %+v", kind, g)
		}
	}
	b := make([]byte, 64)
	c := wire.Connect{Token: 1, Protocol: wire.Protocol, Name: []byte("x")}
	l.tell(addr(2), wire.Header{Kind: wire.DatagramConnect, Term: 2}, b[:c.Put(b)])
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalNotLeader {
		t.Errorf("CONNECT: %+v", g)
	}
}

// Between Lead and EgressReady nothing is taken; after Resign nothing is answered.
func TestOnlyAReadyLeaderTakesMessages(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	id := l.open(addr(2), 1)
	chain := l.s.Resign()
	l.messages(addr(2), id, 0, data(1, 0))
	l.nothing(addr(2))
	if n := l.count(`lockstep_client_datagrams_dropped_total{reason="role"}`); n != 1 {
		t.Errorf("%d counted", n)
	}
	l.lead(2, chain)
	l.messages(addr(2), id, 0, data(1, 0))
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalBusyStarting || g.term != 2 {
		t.Errorf("%+v", g)
	}
	l.prove(addr(2), l.proof(addr(2), 1, id))
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalBusyStarting {
		t.Errorf("%+v", g)
	}
	l.cycle()
	l.cycle()
	l.messages(addr(2), id, 0, data(1, 0))
	if g := l.one(addr(2)); g.reject.Code != wire.RefusalBadNonce {
		t.Errorf("a session that was not proven to this leader: %+v", g)
	}
	l.prove(addr(2), l.proof(addr(2), 1, id))
	if g := l.one(addr(2)); g.kind != wire.DatagramAccept || g.term != 2 {
		t.Errorf("%+v", g)
	}
	if n := len(l.records()); n != 3 {
		t.Errorf("%d records, want two of terms and one of the session", n)
	}
}

// Egress of an earlier leadership is dropped, also the dump of one that ended before it was read.
func TestStaleEgressIsDropped(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	l.open(addr(2), 1)
	l.lead(2, l.s.Resign())
	l.apply(l.s.Chain().Position)
	l.apply(l.s.Chain().Position) // the dump of term 2 is written, and not read
	l.lead(3, l.s.Resign())
	l.cycle()
	l.cycle()
	if !l.s.Ready() || len(l.s.table.byID) != 1 {
		t.Errorf("ready %v, %d sessions", l.s.Ready(), len(l.s.table.byID))
	}
	if l.count("lockstep_sequencer_egress_stale_total") == 0 {
		t.Error("not counted")
	}
}

// A follower sends clients to the leader, whatever they ask, and keeps nothing.
func TestRedirect(t *testing.T) {
	l := newLeader(t, Limits{}, 0)
	end := l.join(addr(2))
	r := NewRedirector(l.s.o.Identity, l.sender)
	b := make([]byte, 64)
	c := wire.Connect{Token: 3, Protocol: wire.Protocol, Name: []byte("x")}
	p := wire.Prove{Token: 4}
	for _, x := range []struct {
		kind   wire.DatagramKind
		body   []byte
		leader wire.NodeID
		want   wire.Redirect
	}{
		{wire.DatagramConnect, b[:c.Put(b)], 3, wire.Redirect{Token: 3, Leader: 3, IP: addr(9).IP, Port: 9000, Term: 8}},
		{wire.DatagramProve, append([]byte(nil), make([]byte, p.Put(make([]byte, 64)))...), 0, wire.Redirect{Term: 8}},
		{wire.DatagramMessages, make([]byte, 8), 3, wire.Redirect{Leader: 3, IP: addr(9).IP, Port: 9000, Term: 8}},
		{wire.DatagramDisconnect, make([]byte, 8), 0, wire.Redirect{Term: 8}},
	} {
		r.Redirect(&wire.Header{Kind: x.kind}, x.body, addr(2), x.leader, addr(9), 8)
		l.sender.Flush()
		var rx [2]transport.Received
		if n := end.Receive(rx[:]); n != 1 {
			t.Fatalf("%v: %d datagrams", x.kind, n)
		}
		var h wire.Header
		v := wire.Validator{Cluster: testCluster}
		body, drop := v.Validate(rx[0].Payload, &h)
		var got wire.Redirect
		if drop != wire.DropNone || h.Kind != wire.DatagramRedirect || !got.Decode(body) || got != x.want {
			t.Errorf("%v: %v %+v, want %+v", x.kind, drop, got, x.want)
		}
		end.Release()
	}
	r.Redirect(&wire.Header{Kind: wire.DatagramStatus}, nil, addr(2), 1, addr(9), 8)
	l.nothing(addr(2))
}

func TestOptionsAreChecked(t *testing.T) {
	good := newLeader(t, Limits{}, 0).s.o
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *Options){
		"ring":        func(o *Options) { o.Ring = nil },
		"clock":       func(o *Options) { o.WallNs = nil },
		"random":      func(o *Options) { o.Random = nil },
		"node":        func(o *Options) { o.Identity.Node = 8 },
		"incarnation": func(o *Options) { o.Identity.Incarnation = 0 },
		"payload":     func(o *Options) { o.MaxPayload = 100 },
		"message":     func(o *Options) { o.MaxMessage = 0 },
		"service 0":   func(o *Options) { o.Services[service.None] = true },
		"window":      func(o *Options) { o.Limits.Window = maxWindow + 1 },
		"acks":        func(o *Options) { o.Limits.Acks = 3 },
		"negative":    func(o *Options) { o.Limits.GapNs = -1 },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
