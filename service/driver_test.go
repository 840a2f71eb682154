package service_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/ringbuf"
	"lockstep/service"
	"lockstep/wire"
)

// brief quotes a payload; a long one it shortens to its beginning and a hash.
func brief(payload string) string {
	if len(payload) <= 20 {
		return strconv.Quote(payload)
	}
	return fmt.Sprintf("%.3q and %d bytes more, hash %x", payload, len(payload)-3, service.MixBytes(0, []byte(payload)))
}

// short describes egress in a line each, for comparing.
func short(list []received) string {
	var b strings.Builder
	for _, e := range list {
		switch e.Kind {
		case service.EgressResponse:
			fmt.Fprintf(&b, "response s=%d c=%d n=%d last=%v %s\n",
				e.Session, e.Correlation, e.Response, e.Last, brief(e.payload))
		case service.EgressApplied:
			fmt.Fprintf(&b, "applied s=%d c=%d code=%v\n", e.Session, e.Correlation, e.Code)
		case service.EgressOpened:
			fmt.Fprintf(&b, "opened s=%d token=%d window=%d %q\n", e.Session, e.Token, e.Window, e.payload)
		case service.EgressClosed:
			fmt.Fprintf(&b, "closed s=%d token=%d code=%v c=%d n=%d\n",
				e.Session, e.Token, e.Code, e.Correlation, e.Response)
		case service.EgressSession:
			fmt.Fprintf(&b, "session s=%d token=%d window=%d c=%d n=%d acked=%d %q\n",
				e.Session, e.Token, e.Window, e.Correlation, e.Response, e.Acked, e.payload)
		case service.EgressEnded:
			fmt.Fprintf(&b, "ended s=%d token=%d code=%v c=%d n=%d at=%d\n",
				e.Session, e.Token, e.Code, e.Correlation, e.Response, e.Timestamp)
		case service.EgressPlace:
			fmt.Fprintf(&b, "place s=%d c=%d at=%d\n", e.Session, e.Correlation, e.Sequence)
		case service.EgressReady:
			fmt.Fprintf(&b, "ready term=%d at=%d\n", e.Term, e.Position)
		}
	}
	return b.String()
}

func expect(t *testing.T, what string, got []received, want ...string) {
	t.Helper()
	w := strings.Join(want, "\n")
	if w != "" {
		w += "\n"
	}
	if g := short(got); g != w {
		t.Errorf("%s:\ngot\n%swant\n%s", what, g, w)
	}
}

func TestC1MessagesAreAppliedInOrderOnce(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(5)
	r.message(5, 1, service.Echo, []byte("one"))
	r.message(5, 1, service.Echo, []byte("one again"))
	r.message(5, 3, service.Echo, []byte("too early"))
	r.message(5, 2, service.Echo, []byte("two"))
	r.message(6, 1, service.Echo, []byte("of nobody"))
	r.message(5, 0, service.Echo, []byte("zero"))
	r.do()
	expect(t, "egress", r.received(),
		`opened s=5 token=1005 window=16 "client"`,
		`response s=5 c=1 n=1 last=true "one"`,
		`response s=5 c=2 n=2 last=true "two"`)
	if got := r.progress.Applied(); got != r.chain.Position {
		t.Errorf("applied %d, the log ends at %d", got, r.chain.Position)
	}
}

// The stamps of a response are those of the record that caused it.
func TestResponsesCarryTheRecordsStamps(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(5)
	before := r.chain
	r.message(5, 1, service.Echo, nil)
	r.do()
	got := r.received()[1]
	if got.Position != before.Position || got.Sequence != before.Sequence+1 || got.Timestamp != before.Timestamp+1 ||
		got.Term != r.chain.Term || got.Service != service.Echo {
		t.Errorf("%+v after %+v", got.Egress, before)
	}
}

func TestResponsesToOthersCarryTheirOwnNumbers(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.open(2)
	r.do()
	r.received()
	r.message(2, 1, service.Echo, []byte("x"))
	r.message(1, 1, scriptedID, append(append(respond(1, 1, 2), respond(2, 1)...), respond(3, 1)...))
	r.message(1, 2, scriptedID, respond(2, 2))
	r.do()
	expect(t, "egress", r.received(),
		`response s=2 c=1 n=1 last=true "x"`,
		`response s=1 c=1 n=1 last=false "a"`,
		`response s=1 c=1 n=2 last=true "bb"`,
		`response s=2 c=0 n=2 last=false "a"`,
		`response s=2 c=0 n=3 last=false "aa"`,
		`applied s=1 c=2 code=none`)
}

func TestMessagesThatNoServiceTakes(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.do()
	r.received()
	why := wire.Reason{Code: wire.RefusalTooLong}
	b := make([]byte, wire.ReasonSize)
	r.message(1, 1, service.MaxServices-1, []byte("x"))
	r.message(1, 2, 60000, []byte("x"))
	r.message(1, 3, service.None, nil)
	r.message(1, 4, service.None, b[:why.Put(b)])
	r.message(1, 5, service.Echo, []byte("goes on"))
	r.do()
	expect(t, "egress", r.received(),
		`applied s=1 c=1 code=unknown-service`,
		`applied s=1 c=2 code=unknown-service`,
		`applied s=1 c=3 code=voided`,
		`applied s=1 c=4 code=too-long`,
		`response s=1 c=5 n=1 last=true "goes on"`)
}

func TestC3SessionLife(t *testing.T) {
	r := newRig(t, rigOptions{limits: service.Limits{Sessions: 2}})
	r.lead()
	r.open(1)
	r.open(1) // open already
	r.append(wire.Record{Kind: wire.RecordSessionOpen, Session: 9}, []byte("short"))
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: 77}, nil)
	r.open(2)
	r.open(3) // one too many
	r.message(1, 1, service.Echo, []byte("x"))
	why := wire.Reason{Code: wire.RefusalExpired}
	b := make([]byte, wire.ReasonSize)
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: 1}, b[:why.Put(b)])
	r.message(1, 2, service.Echo, []byte("after the end"))
	r.open(4) // has room now
	r.message(4, 1, service.Echo, []byte("fresh"))
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: 4}, nil)
	r.do()
	expect(t, "egress", r.received(),
		`opened s=1 token=1001 window=16 "client"`,
		`closed s=9 token=0 code=malformed c=0 n=0`,
		`opened s=2 token=1002 window=16 "client"`,
		`closed s=3 token=1003 code=busy-sessions c=0 n=0`,
		`response s=1 c=1 n=1 last=true "x"`,
		`closed s=1 token=1001 code=expired c=1 n=1`,
		`opened s=4 token=1004 window=16 "client"`,
		`response s=4 c=1 n=1 last=true "fresh"`,
		`closed s=4 token=1004 code=none c=1 n=1`)
	if got, want := fmt.Sprint(r.scripted.sessions), "[1 2 -1 4 -4]"; got != want {
		t.Errorf("services heard of %s, want %s", got, want)
	}
}

// Nothing leaves before the node's own term record is applied, nor between that and the dump; the dump has every
// session as it stands then, ascending; everything after it comes live.
func TestDumpAfterTheOwnTermRecord(t *testing.T) {
	r := newRig(t, rigOptions{batch: 2})
	for _, id := range []wire.SessionID{30, 10, 20, 40} {
		r.open(id)
	}
	r.message(10, 1, service.Echo, []byte("x"))
	r.message(10, 2, service.Echo, []byte("y"))
	r.append(wire.Record{Kind: wire.RecordAcks, Session: 10, Acked: 1}, nil)
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: 40}, nil)
	inherited := r.chain.Position
	own := r.append(wire.Record{Kind: wire.RecordTerm, Term: 7}, nil)
	r.message(20, 1, service.Echo, []byte("after"))
	r.command(service.Command{Kind: service.CommandLead, Term: 7, Position: own})
	r.progress.SetCommit(inherited)
	r.run()
	expect(t, "before the term record", r.received())
	r.do()
	expect(t, "egress", r.received(),
		`session s=10 token=1010 window=16 c=2 n=2 acked=1 "client"`,
		`session s=20 token=1020 window=16 c=0 n=0 acked=0 "client"`,
		`session s=30 token=1030 window=16 c=0 n=0 acked=0 "client"`,
		`ended s=40 token=1040 code=none c=0 n=0 at=8`,
		`place s=10 c=1 at=5`,
		`place s=10 c=2 at=6`,
		fmt.Sprintf(`ready term=7 at=%d`, own),
		`response s=20 c=1 n=1 last=true "after"`)
}

func TestResigningEndsTheEgress(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.do()
	r.received()
	r.command(service.Command{Kind: service.CommandResign})
	r.message(1, 1, service.Echo, []byte("x"))
	r.command(service.Command{Kind: service.CommandReplay, Session: 1, Response: 1})
	r.do()
	expect(t, "after resigning", r.received())
	if r.progress.Applied() != r.chain.Position {
		t.Error("apply does not go on after resigning")
	}
	// It leads again: the dump shows what was applied meanwhile.
	own := r.append(wire.Record{Kind: wire.RecordTerm, Term: 9}, nil)
	r.command(service.Command{Kind: service.CommandLead, Term: 9, Position: own})
	r.do()
	expect(t, "after leading again", r.received(),
		`session s=1 token=1001 window=16 c=1 n=1 acked=0 "client"`,
		`place s=1 c=1 at=3`,
		fmt.Sprintf(`ready term=9 at=%d`, own))
}

// The dump says where the newest messages stand, of sessions that are open, and no more than so many: each of them is
// time that clients wait for their leader.
func TestDumpHasTheNewestPlaces(t *testing.T) {
	r := newRig(t, rigOptions{ringBytes: 4 << 20})
	r.open(1)
	r.open(2)
	for i := range uint64(2000) {
		r.message(1, i+1, service.Echo, nil)
		r.append(wire.Record{Kind: wire.RecordAcks, Session: 1, Acked: uint32(i + 1)}, nil)
	}
	r.message(2, 1, service.Echo, nil)
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: 2}, nil)
	own := r.append(wire.Record{Kind: wire.RecordTerm, Term: 9}, nil)
	r.command(service.Command{Kind: service.CommandLead, Term: 9, Position: own})
	r.do()
	list := places(r.received())
	if len(list) != 1023 {
		t.Fatalf("%d places, want those of the newest 1024 messages but the one of a session that is closed", len(list))
	}
	for i, e := range list {
		want := uint64(2000 - 1022 + i)
		if e.Session != 1 || e.Correlation != want || e.Sequence != 2*want+1 || e.Timestamp == 0 || e.Position == 0 {
			t.Fatalf("place %d is %+v, want the one of message %d", i, e, want)
		}
	}
}

// places are those of a dump that say where a message stands.
func places(list []received) []received {
	return slices.DeleteFunc(slices.Clone(list), func(e received) bool { return e.Kind != service.EgressPlace })
}

// withoutPlaces is what else a dump says. A driver that began from a snapshot knows less places than one that applied
// all.
func withoutPlaces(list []received) []received {
	return slices.DeleteFunc(slices.Clone(list), func(e received) bool { return e.Kind == service.EgressPlace })
}

func TestReplay(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.open(2)
	r.message(1, 1, scriptedID, respond(1, 1, 2))
	r.message(2, 1, scriptedID, respond(1, 3))
	r.message(1, 2, scriptedID, nil)
	r.message(1, 3, service.Echo, []byte("x"))
	r.append(wire.Record{Kind: wire.RecordAcks, Session: 1, Acked: 1}, nil)
	r.do()
	r.received()
	replay := func(c service.Command) []received {
		c.Kind = service.CommandReplay
		r.command(c)
		r.run()
		return r.received()
	}
	kept := []string{
		`response s=1 c=1 n=2 last=true "bb"`,
		`response s=1 c=0 n=3 last=false "aaa"`,
		`response s=1 c=3 n=4 last=true "x"`,
	}
	expect(t, "all", replay(service.Command{Session: 1}), kept...)
	expect(t, "from what is long acknowledged", replay(service.Command{Session: 1, Response: 1}), kept...)
	expect(t, "from 4", replay(service.Command{Session: 1, Response: 4}), kept[2])
	expect(t, "from 5", replay(service.Command{Session: 1, Response: 5}))
	expect(t, "an unknown session", replay(service.Command{Session: 8, Response: 1}),
		`closed s=8 token=0 code=unknown-session c=0 n=0`)
	// What is acknowledged is gone.
	r.append(wire.Record{Kind: wire.RecordMessage, Session: 1, Correlation: 4, Service: scriptedID, Acked: 4}, nil)
	r.do()
	r.received()
	expect(t, "after acknowledging", replay(service.Command{Session: 1, Response: 1}))
}

// A client that acknowledges nothing is closed when its limit is reached, with the record that went over it, by count
// or by bytes; what it was sent before that stays sent, the services hear of it, and others are not touched.
func TestSlowConsumerIsClosed(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits service.Limits
		length int
		fit    int
	}{
		{"by count", service.Limits{KeptResponses: 4}, 1, 4},
		{"by bytes", service.Limits{KeptBytes: 64}, 20, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, rigOptions{limits: test.limits})
			r.scripted.onClose = 2
			r.lead()
			r.open(1)
			r.open(2)
			r.do()
			r.received()
			for i := range test.fit {
				r.message(2, uint64(i+1), scriptedID, respond(1, test.length))
			}
			r.do()
			if got := r.received(); len(got) != 2*test.fit {
				t.Fatalf("%d egress messages, want %d responses, and as many applied", len(got), test.fit)
			}
			r.message(2, uint64(test.fit+1), scriptedID, append(respond(1, test.length), respond(2, 1)...))
			r.message(1, 1, service.Echo, []byte("too late"))
			r.do()
			expect(t, "egress", r.received(),
				fmt.Sprintf(`response s=2 c=%d n=1 last=true "a"`, test.fit+1),
				fmt.Sprintf(`closed s=1 token=1001 code=slow-consumer c=0 n=%d`, test.fit),
				`response s=2 c=0 n=2 last=false "closed"`)
		})
	}
}

// Acknowledgements count modulo 2^32 and only forwards; nonsense changes nothing.
func TestAcknowledgementsOutOfRangeChangeNothing(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	for i := range uint64(4) {
		r.message(1, i+1, service.Echo, []byte{byte('a' + i)})
	}
	for _, acked := range []uint32{2, 1, 5, 1 << 31, ^uint32(0), 0} {
		r.append(wire.Record{Kind: wire.RecordAcks, Session: 1, Acked: acked}, nil)
	}
	r.append(wire.Record{Kind: wire.RecordAcks, Session: 2, Acked: 1}, nil)
	r.do()
	r.received()
	r.command(service.Command{Kind: service.CommandReplay, Session: 1})
	r.run()
	expect(t, "kept", r.received(),
		`response s=1 c=3 n=3 last=true "c"`,
		`response s=1 c=4 n=4 last=true "d"`)
}

// With a ring that holds only a few messages, the driver stops when it is full and goes on when there is room: the
// ingress sees the same as with a large one, of dump, live egress and replay.
func TestEgressBackPressure(t *testing.T) {
	large := newRig(t, rigOptions{ringBytes: 4 << 20})
	small := newRig(t, rigOptions{ringBytes: 4 << 20, egressBytes: 256 << 10})
	step := func(r *rig, change func()) string {
		change()
		r.run()
		return short(r.received())
	}
	stalls := 0
	trickle := func(r *rig, change func()) (got string) {
		change()
		for n, idle := 0, 0; idle < 2; {
			var err error
			if n, err = r.driver.DoWork(0); err != nil {
				t.Fatal(err)
			}
			if n == 0 && r.progress.Applied() < r.progress.Commit() {
				t.Fatal("nothing is done although there is room and something to apply")
			}
			if r.egress.Claim(r.egress.MaxMessage()) == nil {
				stalls++
			}
			got += short(r.received())
			if idle++; n > 0 {
				idle = 0
			}
		}
		return got
	}
	changes := map[string]func(r *rig){
		"dump and live": func(r *rig) {
			for id := range wire.SessionID(40) {
				r.open(id + 1)
			}
			own := r.append(wire.Record{Kind: wire.RecordTerm, Term: 2}, nil)
			r.command(service.Command{Kind: service.CommandLead, Term: 2, Position: own})
			for i := range uint64(20) {
				r.message(1, i+1, scriptedID, append(respond(1, 60000, 10), respond(2, 3000, 3000, 3000)...))
				r.append(wire.Record{Kind: wire.RecordAcks, Session: 1, Acked: uint32(2 * i)}, nil)
			}
			r.commit()
		},
		"replays": func(r *rig) {
			for range 4 {
				r.command(service.Command{Kind: service.CommandReplay, Session: 2, Response: 1})
				r.command(service.Command{Kind: service.CommandReplay, Session: 3, Response: 1})
				r.command(service.Command{Kind: service.CommandReplay, Session: 99, Response: 1})
			}
		},
	}
	for _, name := range []string{"dump and live", "replays"} {
		want := step(large, func() { changes[name](large) })
		got := trickle(small, func() { changes[name](small) })
		if got != want {
			t.Errorf("%s: with a small egress ring\n%s\nwith a large one\n%s", name, got, want)
		}
	}
	if stalls == 0 {
		t.Error("the ring was never full: the test shows nothing")
	}
	if small.progress.Applied() != small.chain.Position {
		t.Errorf("applied %d of %d", small.progress.Applied(), small.chain.Position)
	}
}

// A record whose outputs are only partly written does not count as applied, and nothing after it is.
func TestAppliedWaitsForTheEgress(t *testing.T) {
	r := newRig(t, rigOptions{egressBytes: 256 << 10, limits: service.Limits{KeptBytes: 1 << 20}})
	r.lead()
	r.open(1)
	before := r.chain.Position
	r.message(1, 1, scriptedID, respond(1, 60000, 60000, 60000, 60000, 60000))
	r.message(1, 2, service.Echo, []byte("x"))
	r.do()
	if got := r.progress.Applied(); got != before {
		t.Errorf("applied %d with the egress ring full, want %d", got, before)
	}
	first := len(r.received())
	r.run()
	if rest := len(r.received()); first+rest != 7 || first == 7 {
		t.Errorf("%d messages, then %d: want 7 together", first, rest)
	}
	if got := r.progress.Applied(); got != r.chain.Position {
		t.Errorf("applied %d of %d", got, r.chain.Position)
	}
}

func TestEgressHeaderRoundTrip(t *testing.T) {
	in := service.Egress{
		Kind: service.EgressResponse, Last: true, Code: 3, Service: 4, Window: 5, Term: 6, Session: 7, Token: 8,
		Correlation: 9, Sequence: 10, Position: 11, Timestamp: 12, Response: 13, Acked: 14, Kept: 15,
		Largest: 16, Most: 17,
	}
	b := append(bytes.Repeat([]byte{0xee}, service.EgressHeaderSize), "payload"...)
	if n := in.Put(b); n != service.EgressHeaderSize {
		t.Errorf("a header of %d bytes", n)
	}
	var out service.Egress
	payload, ok := out.Decode(b)
	if !ok || string(payload) != "payload" || out != in {
		t.Errorf("%+v, %q, %v", out, payload, ok)
	}
	if _, ok := out.Decode(b[:service.EgressHeaderSize-1]); ok {
		t.Error("a header that is too short decodes")
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := service.Options{
		Ring:     ringbuf.NewLogRing(make([]byte, 8192), 4096, false),
		Progress: &service.Progress{},
		Commands: ringbuf.NewSPSC(make([]service.Command, 2)),
		Egress:   ringbuf.NewMessageRing(make([]byte, 1<<18)),
	}
	for name, change := range map[string]func(o *service.Options){
		"no ring":           func(o *service.Options) { o.Ring = nil },
		"no egress":         func(o *service.Options) { o.Egress = nil },
		"a service 0":       func(o *service.Options) { o.Services[0] = &scripted{} },
		"a small egress":    func(o *service.Options) { o.Egress = ringbuf.NewMessageRing(make([]byte, 1<<17)) },
		"an odd kept limit": func(o *service.Options) { o.Limits.KeptResponses = 5 },
	} {
		o := good
		change(&o)
		if _, err := service.NewDriver(o); !errors.Is(err, service.ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := service.NewDriver(good); err != nil {
		t.Error(err)
	}
}
