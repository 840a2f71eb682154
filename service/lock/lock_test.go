package lock_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/service/lock/fb"
	"lockstep/wire"
)

func name(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }

// want fails the test unless what was sent is this, in words.
func want(t *testing.T, got []sent, words_ ...string) {
	t.Helper()
	if list := words(got); !slices.Equal(list, words_) {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(list, "\n"), strings.Join(words_, "\n"))
	}
}

// The tokens of a lock's holders grow, however it changes hands: what it protects can turn away who held it before.
func TestTokensGrow(t *testing.T) {
	g := newTable(t)
	acquire := func(session wire.SessionID, waitMs uint64) sent {
		return g.apply(t, session, lock.Request{Command: lock.Acquire, Name: name("a"), TTLMs: 10, WaitMs: waitMs})[0]
	}
	var tokens []uint64
	granted := func(x sent) {
		t.Helper()
		if x.Report != lock.Granted {
			t.Fatalf("%s", say(x))
		}
		tokens = append(tokens, x.Token)
	}
	granted(acquire(1, 0))
	acquire(2, 1000)
	acquire(3, 1000)
	out := g.apply(t, 9, lock.Request{Command: lock.Release, Name: name("a"), Token: tokens[0]})
	granted(out[1])
	out = g.pass(t, 20*ms) // runs out, and so does what comes after it
	granted(out[0])
	g.pass(t, 20*ms)
	granted(acquire(4, 0))
	g.end(t, 4)
	granted(acquire(1, 0))
	if !slices.IsSorted(tokens) || len(slices.Compact(slices.Clone(tokens))) != len(tokens) {
		t.Errorf("tokens %d", tokens)
	}
	// Whoever was one before can do nothing with his token.
	for _, c := range []lock.Command{lock.Renew, lock.SetValue, lock.Release} {
		x := g.apply(t, 1, lock.Request{Command: c, Name: name("a"), Token: tokens[0]})[0]
		if x.Reason != fb.ReasonUnknownToken || x.Holder.Token != tokens[4] {
			t.Errorf("%v with an old token: %s", c, say(x))
		}
	}
}

// Whoever is refused is told who holds the lock, and where.
func TestRefusalNamesTheHolder(t *testing.T) {
	g := newTable(t)
	g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: name("leader"), Value: name("10.0.0.1:80"), TTLMs: 5000, Keep: true})
	want(t, g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: name("leader"), Value: name("10.0.0.2:80")}),
		fmt.Sprintf(`2: refused Held "leader" waited 0 [1 of 1, "10.0.0.1:80" until %d, kept true]`, uint64(1e18)+1+5000*ms))
	if out := g.end(t, 1); len(out) != 0 {
		t.Errorf("%s", words(out))
	}
	want(t, g.pass(t, 4998*ms))
	want(t, g.pass(t, 2*ms))
	want(t, g.apply(t, 2, lock.Request{Command: lock.Get, Name: name("leader")}), "2: state nobody waiting 0 announced 0:")
}

// Renewed in time, a lock is held for ever; not renewed, it goes to who waits.
func TestRenewal(t *testing.T) {
	g := newTable(t)
	token := g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: name("a"), TTLMs: 30})[0].Token
	g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: name("a"), WaitMs: lock.MaxTimeMs})
	for range 10 {
		want(t, g.pass(t, 20*ms))
		if x := g.apply(t, 1, lock.Request{Command: lock.Renew, Name: name("a"), Token: token})[0]; x.Expires != g.now+30*ms {
			t.Fatalf("%s, now %d", say(x), g.now)
		}
	}
	if out := g.pass(t, 30*ms); len(out) != 1 || out[0].to != 2 || out[0].Report != lock.Granted {
		t.Errorf("%s", words(out))
	}
}

// What ends a lot at once, with many to be told, is spread over several records, none of which causes more than it may.
func TestManyEndsInSeveralRecords(t *testing.T) {
	const holds = 500
	g := newTable(t)
	for session := wire.SessionID(100); session < 100+256; session++ {
		g.apply(t, session, lock.Request{Command: lock.Subscribe, Prefix: true, On: true})
	}
	for i := range holds {
		g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: name("%d", i), Value: make([]byte, lock.MaxValue)})
		g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: name("%d", i), WaitMs: 1000, TTLMs: 1})
	}
	bounded := func(out []sent) {
		bytes := 0
		for _, x := range out {
			bytes += x.size
		}
		if bytes > service.MaxOutputBytes/2 || len(out) > service.MaxOutputs/2 || g.ctx.Work() > service.MaxWork/2 {
			t.Fatalf("%d responses of %d bytes, %d units of work", len(out), bytes, g.ctx.Work())
		}
	}
	left := map[string]int{}
	count := func(out []sent) {
		bounded(out)
		for _, x := range out {
			if x.Report == lock.Changed && x.Change != fb.ChangeGranted && x.to == 100 {
				left[fmt.Sprintf("%v", x.Change)]++
			}
		}
	}
	count(g.end(t, 1))
	if n := left["SessionEnded"]; n == 0 || n == holds {
		t.Errorf("%d of %d holds ended with the session's record", n, holds)
	}
	// What is still to be released belongs to nobody any more.
	x := g.apply(t, 3, lock.Request{Command: lock.Get, Name: name("%d", holds-1)})[0]
	if x.Holder.Session != 1 {
		t.Fatalf("%s", say(x))
	}
	for _, c := range []lock.Command{lock.Renew, lock.SetValue, lock.Release} {
		if y := g.apply(t, 3, lock.Request{Command: c, Name: name("%d", holds-1), Token: x.Holder.Token})[0]; y.Reason != fb.ReasonUnknownToken {
			t.Errorf("%v: %s", c, say(y))
		}
	}
	g.table = restored(t, g, lock.Options{})
	for g.now += 100 * ms; ; {
		out, fired := g.fire(t)
		if !fired {
			break
		}
		count(out)
		g.now += ms
	}
	if left["SessionEnded"] != holds || left["Expired"] != holds || g.table.Len() != 0 {
		t.Errorf("%v, %d holds left", left, g.table.Len())
	}
}

// Lists that do not fit into a response can be continued without a gap.
func TestListsInPages(t *testing.T) {
	g := newTable(t)
	for i := range 300 {
		g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: name("name %03d", i), Value: make([]byte, lock.MaxValue)})
		g.apply(t, 1, lock.Request{Command: lock.Announce, Name: name("name 000"), Value: make([]byte, i)})
	}
	after, seen, pages := []byte(nil), 0, 0
	for more := true; more; pages++ {
		x := g.apply(t, 1, lock.Request{Command: lock.List, Name: name("name"), After: after})[0]
		for _, n := range x.names {
			if string(n.Name) != string(name("name %03d", seen)) || n.Holder.Session != 1 {
				t.Fatalf("%q behind %d", n.Name, seen)
			}
			seen++
			after = n.Name
		}
		more = x.More
	}
	if seen != 300 || pages < 8 {
		t.Errorf("%d names in %d pages", seen, pages)
	}
	token, announced := uint64(0), 0
	for more := true; more; {
		x := g.apply(t, 1, lock.Request{Command: lock.Get, Name: name("name 000"), Token: token})[0]
		for _, h := range x.list {
			if h.Token <= token || len(h.Value) != announced {
				t.Fatalf("%s behind %d", sayHolder(h), token)
			}
			token = h.Token
			announced++
		}
		more = x.More
	}
	if announced != 300 {
		t.Errorf("%d announcements", announced)
	}
}

// What many subscribers hear of a long value is that it changed.
func TestManySubscribersOfALongValue(t *testing.T) {
	g := newTable(t)
	for session := wire.SessionID(100); session < 100+256; session++ {
		g.apply(t, session, lock.Request{Command: lock.Subscribe, Name: name("a"), On: true})
	}
	for _, n := range []int{0, 200, 300, lock.MaxValue} {
		out := g.apply(t, 1, lock.Request{Command: lock.Announce, Name: name("a"), Value: make([]byte, n)})
		if len(out) != 257 {
			t.Fatalf("%d responses", len(out))
		}
		if x := out[256]; x.LeftOut != (n > 287) || x.Holder.Token != g.sequence || !x.LeftOut && len(x.Holder.Value) != n {
			t.Errorf("%d bytes: left out: %v, %s", n, x.LeftOut, say(x))
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	g := newTable(t)
	for _, payload := range [][]byte{nil, {1, 2, 3}, make([]byte, 64), bytes.Repeat([]byte{255}, 64)} {
		out := g.applyBytes(t, 7, payload)
		if len(out) != 1 || out[0].to != 7 || out[0].Report != lock.Refused || out[0].Reason != fb.ReasonMalformed {
			t.Errorf("%x: %s", payload, words(out))
		}
	}
}

func TestUnusableOptions(t *testing.T) {
	for _, o := range []lock.Options{{MaxHolds: -1}, {MaxHolds: 1<<20 + 1}, {MaxSession: 4097}, {MaxWaiting: -1}, {MaxAnnounced: 4097},
		{MaxSubscriptions: 257}} {
		if _, err := lock.New(o); !errors.Is(err, lock.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// busy is a table with something of every kind.
func busy(t fataler, o lock.Options) *rig {
	g := newRig(t, o)
	for i := range 3 {
		g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: name("%d", i), Value: name("value"), TTLMs: uint64(i) * 1000})
		g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: name("%d", i), WaitMs: 500, TTLMs: 20, Keep: true})
		g.apply(t, 2, lock.Request{Command: lock.Announce, Name: name("%d", i), Keep: true, TTLMs: 3})
		g.apply(t, 3, lock.Request{Command: lock.Subscribe, Name: name("%d", i), On: true})
	}
	return g
}

// TestRestoreRefuses changes every byte of a snapshot, and cuts it everywhere: none of it is restored.
func TestRestoreRefuses(t *testing.T) {
	g := busy(t, lock.Options{MaxHolds: 100})
	good := g.snapshot(t)
	if err := g.table.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	refused := func(b []byte, what string) {
		if err := g.table.Restore(bytes.NewReader(b)); !errors.Is(err, lock.ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		refused(good[:i], fmt.Sprintf("cut at %d", i))
		for _, change := range []byte{1, 2, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[i] ^= change
			refused(b, fmt.Sprintf("byte %d changed by %x", i, change))
		}
	}
	refused(append(bytes.Clone(good), 0), "a byte more")
	other := newRig(t, lock.Options{MaxHolds: 101})
	if err := other.table.Restore(bytes.NewReader(good)); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("a table with other options: %v", err)
	}
}

// flow is a steady flow over some names: acquired at once or waited for, renewed, given new values, released;
// announced; run out by timers now and then.
func flow(g *rig, names int) func() {
	r := &wire.Record{Service: service.Lock}
	text, value := make([]byte, 0, 32), make([]byte, 200)
	tokens := make([]uint64, names)
	var x lock.Response
	var answer []byte
	keep := func(_ wire.SessionID, b []byte) {
		if answer == nil {
			answer = b
		}
	}
	step := 0
	ask := func(session wire.SessionID, q *lock.Request) {
		g.sequence++
		g.now += 1000
		r.Sequence, r.Timestamp, r.Session = g.sequence, g.now, session
		payload := lock.EncodeRequest(g.builder, q)
		g.ctx.Begin(r)
		g.table.Apply(g.ctx, r, payload)
		answer = nil
		g.ctx.Responses(keep)
		lock.DecodeResponse(answer, &x)
	}
	return func() {
		step++
		i := step * 7919 % names
		text = strconv.AppendInt(append(text[:0], "service/"...), int64(i), 10)
		q := lock.Request{Name: text, Value: value[:step%len(value)], Token: tokens[i]}
		switch step % 5 {
		case 0, 1:
			q.Command, q.TTLMs, q.WaitMs = lock.Acquire, uint64(step%3*10), uint64(step%4*10)
		case 2:
			q.Command = lock.Renew
		case 3:
			q.Command = lock.SetValue
		case 4:
			q.Command = lock.Release
		}
		ask(wire.SessionID(step%100+1), &q)
		if x.Report == lock.Granted {
			tokens[i] = x.Token
		}
		if first, ok := g.ctx.Timers().First(); ok && first.Deadline <= g.now {
			g.sequence++
			g.now++
			r.Sequence, r.Timestamp = g.sequence, g.now
			g.ctx.Begin(r)
			g.ctx.CancelTimer(first.ID)
			g.table.OnTimer(g.ctx, first.ID, first.Deadline)
		}
		if step%1000 == 0 {
			r.Session = wire.SessionID(step/1000%100 + 1)
			g.ctx.Begin(r)
			g.table.OnSession(g.ctx, r.Session, false)
		}
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	g := newTable(t)
	g.apply(t, 200, lock.Request{Command: lock.Subscribe, Name: name("service/1"), Prefix: true, On: true})
	next := flow(g, 1000)
	for range 200000 {
		next()
	}
	if n := testing.AllocsPerRun(20000, next); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if g.table.Len() < 100 {
		t.Errorf("only %d holds", g.table.Len())
	}
}

func FuzzApply(f *testing.F) {
	b := flatbuffers.NewBuilder(256)
	for c := lock.Acquire; c <= lock.Subscribe; c++ {
		q := lock.Request{Command: c, Name: []byte("1"), Value: []byte("value"), Token: 5, On: true}
		f.Add(bytes.Clone(lock.EncodeRequest(b, &q)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		g := busy(t, lock.Options{MaxHolds: 100})
		before := g.table.Hash()
		out := g.applyBytes(t, 3, payload)
		if out[0].to != 3 {
			t.Fatal("the first response is not the answer")
		}
		if out[0].Report == lock.Refused && g.table.Hash() != before {
			t.Fatal("refused, and yet it had an effect")
		}
		var x lock.Response
		lock.DecodeResponse(payload, &x)
	})
}

// BenchmarkFlow is the steady flow over 10 000 names, its encoding and decoding included.
func BenchmarkFlow(b *testing.B) {
	g := newTable(b)
	next := flow(g, 10000)
	for range 200000 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

// TestHoldsRunOutWhenATimersRecordIsPassedOver: that timer is over, and the next message sets another, whatever it asks for.
func TestHoldsRunOutWhenATimersRecordIsPassedOver(t *testing.T) {
	g := newTable(t)
	g.apply(t, 1, lock.Request{Command: lock.Acquire, Name: []byte("a"), TTLMs: 5})
	x, _ := g.ctx.Timers().First()
	g.ctx.Timers().Cancel(x.Service, x.ID)
	g.pass(t, 10*ms)
	if out := g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: []byte("a")}); out[0].Reason != lock.ReasonHeld {
		t.Errorf("%q", words(out))
	}
	g.pass(t, 0)
	if out := g.apply(t, 2, lock.Request{Command: lock.Acquire, Name: []byte("a")}); out[0].Report != lock.Granted {
		t.Errorf("%q", words(out))
	}
}
