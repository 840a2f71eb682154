package kv_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/kv"
	"lockstep/service/kv/fb"
	"lockstep/wire"
)

func key(format string, args ...any) []byte { return fmt.Appendf(nil, format, args...) }

// What watches cause at most fits beside what others cause with the same record.
func TestManyWatchersOfALongValue(t *testing.T) {
	g := newRig(t, kv.Options{})
	for session := wire.SessionID(1); session <= 256; session++ {
		g.apply(t, session, kv.Request{Command: kv.Watch, On: true})
	}
	if x := g.apply(t, 300, kv.Request{Command: kv.Watch, On: true}); x[0].Reason != fb.ReasonTooManyWatches {
		t.Errorf("one watch more: %s", say(x[0]))
	}
	long := bytes.Repeat([]byte("k"), kv.MaxKey)
	for _, n := range []int{0, 1, 63, 64, 65, kv.MaxValue} {
		out := g.apply(t, 300, kv.Request{Command: kv.Put, Key: long, Value: make([]byte, n)})
		if len(out) != 257 {
			t.Fatalf("%d responses", len(out))
		}
		for _, x := range out[1:] {
			if x.LeftOut != (n > 64) || !x.LeftOut && len(x.Value) != n || !bytes.Equal(x.Key, long) {
				t.Fatalf("%d bytes: %d, left out: %v", n, len(x.Value), x.LeftOut)
			}
		}
	}
}

// A list of long values ends before it is longer than a response may be, and can be continued without a gap.
func TestRangeInPages(t *testing.T) {
	g := newRig(t, kv.Options{})
	for i := range 30 {
		g.apply(t, 1, kv.Request{Command: kv.Put, Key: key("%02d", i), Value: make([]byte, i*1100)})
	}
	after, seen, pages := []byte(nil), 0, 0
	for more := true; more; pages++ {
		x := g.apply(t, 1, kv.Request{Command: kv.Range, After: after})[0]
		if x.Report != kv.Entries || len(x.list) == 0 {
			t.Fatalf("page %d: %s", pages, say(x))
		}
		for _, e := range x.list {
			if string(e.Key) != string(key("%02d", seen)) || len(e.Value) != seen*1100 {
				t.Fatalf("key %q behind %d", e.Key, seen)
			}
			seen++
			after = e.Key
		}
		more = x.More
	}
	if seen != 30 || pages < 10 {
		t.Errorf("%d keys in %d pages", seen, pages)
	}
}

func TestMalformedRequests(t *testing.T) {
	g := newRig(t, kv.Options{})
	for _, payload := range [][]byte{nil, {1, 2, 3}, bytes.Repeat([]byte{0}, 64), bytes.Repeat([]byte{255}, 64)} {
		out := g.applyBytes(t, 7, payload)
		if len(out) != 1 || out[0].to != 7 || out[0].Report != kv.Refused || out[0].Reason != fb.ReasonMalformed {
			t.Errorf("%x: %v", payload, out)
		}
	}
}

func TestUnusableOptions(t *testing.T) {
	for _, o := range []kv.Options{{MaxKeys: -1}, {MaxKeys: 1<<28 + 1}, {MaxWatches: -1}, {MaxWatches: 257}} {
		if _, err := kv.New(o); !errors.Is(err, kv.ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// filled is a store with a few hundred keys and a watch.
func filled(t testing.TB) *rig {
	g := newRig(t, kv.Options{MaxKeys: 1000})
	for i := range 300 {
		g.apply(t.(interface{ Fatalf(string, ...any) }), 1, kv.Request{Command: kv.Put, Key: key("%d", i*7), Value: key("value %d", i)})
	}
	g.apply(t, 9, kv.Request{Command: kv.Watch, Key: key("nothing"), On: true})
	return g
}

// TestRestoreRefuses changes every byte of a snapshot, and cuts it everywhere: none of it is restored.
func TestRestoreRefuses(t *testing.T) {
	g := newRig(t, kv.Options{MaxKeys: 100})
	for i := range 5 {
		g.apply(t, 1, kv.Request{Command: kv.Put, Key: key("key %d", i), Value: key("value %d", i)})
		g.apply(t, 9, kv.Request{Command: kv.Watch, Key: key("key %d", i), On: true})
	}
	good := g.snapshot(t)
	s := g.store
	if err := s.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	refused := func(b []byte, what string) {
		if err := s.Restore(bytes.NewReader(b)); !errors.Is(err, kv.ErrSnapshot) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		refused(good[:i], fmt.Sprintf("cut at %d", i))
		for _, change := range []byte{1, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[i] ^= change
			refused(b, fmt.Sprintf("byte %d changed by %x", i, change))
		}
	}
	refused(append(bytes.Clone(good), 0), "a byte more")
	other, err := kv.New(kv.Options{MaxKeys: 101})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Restore(bytes.NewReader(good)); !errors.Is(err, service.ErrUnsuited) {
		t.Errorf("a store with other options: %v", err)
	}
}

// mix is a steady flow: puts of many lengths, deletes, compare-and-sets, gets and ranges over a few thousand keys.
func mix(g *rig, keys int) func() {
	random := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 2000)
	name := make([]byte, 0, 32)
	r := &wire.Record{Session: 1, Service: service.KV}
	step := 0
	return func() {
		step++
		g.sequence++
		r.Sequence, r.Timestamp = g.sequence, g.sequence
		name = strconv.AppendInt(append(name[:0], "some/key/"...), int64(random.IntN(keys)), 10)
		q := kv.Request{Key: name, Value: value[:random.IntN(200)]}
		switch n := step % 20; {
		case n < 9:
			q.Command = kv.Put
		case n < 14:
			q.Command = kv.Get
		case n < 18:
			q.Command = kv.Delete
		case n < 19:
			q.Command = kv.CompareAndSet
		default:
			q.Command, q.From, q.Limit = kv.Range, name, 10
		}
		payload := kv.EncodeRequest(g.builder, &q)
		g.ctx.Begin(r)
		g.store.Apply(g.ctx, r, payload)
	}
}

func TestApplyDoesNotAllocate(t *testing.T) {
	g := newRig(t, kv.Options{})
	g.apply(t, 2, kv.Request{Command: kv.Watch, On: true})
	next := mix(g, 5000)
	for range 300000 {
		next()
	}
	if n := testing.AllocsPerRun(20000, next); n != 0 {
		t.Errorf("%v allocations a message", n)
	}
	if g.store.Len() < 1000 {
		t.Errorf("only %d keys", g.store.Len())
	}
}

func FuzzApply(f *testing.F) {
	b := flatbuffers.NewBuilder(256)
	for c := kv.Get; c <= kv.Watch; c++ {
		f.Add(bytes.Clone(kv.EncodeRequest(b, &kv.Request{Command: c, Key: []byte("key"), Value: []byte("value"), On: true})))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		g := filled(t)
		before := g.store.Hash()
		out := g.applyBytes(t, 3, payload)
		if out[0].to != 3 {
			t.Fatal("the first response is not the answer")
		}
		if out[0].Report == kv.Refused && g.store.Hash() != before {
			t.Fatal("refused, and yet it had an effect")
		}
		var x kv.Response
		kv.DecodeResponse(payload, &x)
	})
}

// BenchmarkMix is the steady flow over 100 000 keys, its encoding included.
func BenchmarkMix(b *testing.B) {
	g := newRig(b, kv.Options{})
	next := mix(g, 100000)
	for range 400000 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}

func benchmarkOne(b *testing.B, command kv.Command, valueLen int) {
	g := newRig(b, kv.Options{})
	var requests [][]byte
	for i := range 100000 {
		q := kv.Request{Command: kv.Put, Key: key("some/key/%06d", i*7919%100000), Value: make([]byte, valueLen)}
		g.apply(b, 1, q)
		q.Command = command
		requests = append(requests, bytes.Clone(kv.EncodeRequest(g.builder, &q)))
	}
	r := &wire.Record{Session: 1, Service: service.KV}
	at := 0
	b.ReportAllocs()
	for b.Loop() {
		at = (at + 7919) % len(requests)
		g.sequence++
		r.Sequence = g.sequence
		g.ctx.Begin(r)
		g.store.Apply(g.ctx, r, requests[at])
	}
}

func BenchmarkPut(b *testing.B) { benchmarkOne(b, kv.Put, 100) }
func BenchmarkGet(b *testing.B) { benchmarkOne(b, kv.Get, 100) }
