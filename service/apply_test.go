package service_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/service/orderbook"
	"lockstep/wire"
)

func TestUnknownRecordsHaltApply(t *testing.T) {
	for name, rec := range map[string]wire.Record{
		"snapshot": {Kind: wire.RecordSnapshot},
		"newer":    {Kind: 200},
		"flags":    {Kind: wire.RecordMessage, Flags: 1, Session: 1, Correlation: 2, Service: service.Echo},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{})
			r.lead()
			r.open(1)
			r.message(1, 1, service.Echo, []byte("x"))
			stop := r.chain.Position
			r.append(rec, nil)
			r.message(1, 2, service.Echo, []byte("never"))
			r.do()
			r.run()
			expect(t, "egress", r.received(),
				`opened s=1 token=1001 window=16 "client"`, `response s=1 c=1 n=1 last=true "x"`)
			s := r.driver.Status()
			if s.Halt == nil || s.Halt.Reason != service.HaltUnknownKind || s.Halt.Position() != stop ||
				s.Halt.Record.Kind != rec.Kind || s.Applied != stop {
				t.Fatalf("status %+v, halt %+v", s, s.Halt)
			}
			if text := s.Halt.String(); !strings.Contains(text, "run the version that wrote it") {
				t.Errorf("it says %q", text)
			}
		})
	}
}

// A panic of a service halts apply before the record, with nothing of it seen outside; what came before stands, what
// is kept can still be asked for, and the agent does not fail.
func TestPanicInAServiceHaltsApply(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.lead()
	r.open(1)
	r.message(1, 1, service.Echo, []byte("x"))
	stop := r.chain.Position
	r.message(1, 2, scriptedID, []byte{0xff})
	r.message(1, 3, service.Echo, []byte("never"))
	r.do()
	expect(t, "egress", r.received(),
		`opened s=1 token=1001 window=16 "client"`, `response s=1 c=1 n=1 last=true "x"`)
	s := r.driver.Status()
	if s.Halt == nil || s.Halt.Reason != service.HaltPanic || s.Halt.Position() != stop || s.Applied != stop {
		t.Fatalf("status %+v, halt %+v", s, s.Halt)
	}
	if s.Halt.Service != "scripted" || s.Halt.Message != "told to" || !strings.Contains(s.Halt.Stack, "scripted") {
		t.Errorf("halt %+v", s.Halt)
	}
	r.command(service.Command{Kind: service.CommandReplay, Session: 1, Response: 1})
	r.run()
	expect(t, "replay", r.received(), `response s=1 c=1 n=1 last=true "x"`)
}

// What goes over the limits on outputs is a fault of the service, like any other panic.
func TestTooMuchOutputHaltsApply(t *testing.T) {
	for name, test := range map[string]struct {
		payload []byte
		halts   bool
	}{
		"longest":        {respond(1, service.MaxResponse), false},
		"too long":       {respond(1, service.MaxResponse+1), true},
		"most bytes":     {respond(1, slices.Repeat([]int{service.MaxOutputBytes / 32}, 32)...), false},
		"too many bytes": {respond(1, slices.Repeat([]int{service.MaxOutputBytes/32 + 1}, 32)...), true},
		"most":           {[]byte{0xfe, 0}, false},
		"too many":       {[]byte{0xfe, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{limits: service.Limits{KeptResponses: 1 << 14, KeptBytes: 1 << 20}})
			r.open(1)
			r.message(1, 1, scriptedID, test.payload)
			r.do()
			if h := r.driver.Status().Halt; (h != nil) != test.halts {
				t.Errorf("halt %+v", h)
			}
		})
	}
}

// When the ring has moved past the applied position, the driver reads the journal until it has caught up with the
// ring, in pieces of any size, with the same outcome.
func TestJournalServesWhatTheRingHasLost(t *testing.T) {
	for _, step := range []int{0, 4096, 70000} {
		source := &memorySource{step: step}
		r := newRig(t, rigOptions{ringBytes: 128 << 10, source: source})
		source.log = &r.log
		inRing := newRig(t, rigOptions{ringBytes: 8 << 20})
		for _, x := range []*rig{r, inRing} {
			writeTraffic(x, 6000)
			x.do()
		}
		if source.reads == 0 {
			t.Fatal("the journal was never read: the test shows nothing")
		}
		reads := source.reads
		compareDrivers(t, r, inRing)
		writeTraffic(r, 100)
		r.do()
		if source.reads != reads {
			t.Errorf("step %d: the journal is still read after catching up with the ring", step)
		}
	}
}

// What is committed may not be on disk yet: then there is nothing to do, until it is.
func TestJournalThatIsBehindIsWaitedFor(t *testing.T) {
	var disk []byte
	source := &memorySource{log: &disk}
	r := newRig(t, rigOptions{ringBytes: 128 << 10, source: source})
	writeTraffic(r, 4000)
	r.do()
	if got := r.progress.Applied(); got != 0 {
		t.Fatalf("applied %d without the bytes", got)
	}
	disk = r.log[:len(r.log)/2+3]
	r.run()
	if got := r.progress.Applied(); got == 0 || int(got) > len(disk) {
		t.Fatalf("applied %d with %d bytes on disk", got, len(disk))
	}
	disk = r.log
	r.run()
	if r.progress.Applied() != r.chain.Position {
		t.Errorf("applied %d of %d", r.progress.Applied(), r.chain.Position)
	}
}

func TestBrokenLogStopsTheNode(t *testing.T) {
	fail := errors.New("read error")
	tests := map[string]struct {
		source func(r *rig) *memorySource
		want   error
	}{
		"the journal cannot be read": {func(r *rig) *memorySource {
			return &memorySource{log: &r.log, err: fail}
		}, fail},
		"a flipped bit in the journal": {func(r *rig) *memorySource {
			broken := slices.Clone(r.log)
			broken[1000] ^= 4
			return &memorySource{log: &broken}
		}, service.ErrLog},
		"an impossible length in the journal": {func(r *rig) *memorySource {
			broken := slices.Clone(r.log)
			broken[3] = 0xff
			return &memorySource{log: &broken}
		}, service.ErrLog},
		"no journal": {nil, service.ErrLog},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var source memorySource
			o := rigOptions{ringBytes: 128 << 10}
			if test.source != nil {
				o.source = &source
			}
			r := newRig(t, o)
			writeTraffic(r, 4000)
			if test.source != nil {
				source = *test.source(r)
			}
			r.commit()
			var err error
			for range 100 {
				if _, err = r.driver.DoWork(0); err != nil {
					break
				}
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	t.Run("a ring that holds something else", func(t *testing.T) {
		r := newRig(t, rigOptions{})
		r.open(1)
		r.chain.Sequence++ // the next record leaves a number out
		r.open(2)
		r.commit()
		if _, err := r.driver.DoWork(0); !errors.Is(err, service.ErrLog) {
			t.Errorf("got %v", err)
		}
	})
}

// writeTraffic appends a seeded mix of everything that a log has: order flow of several sessions, echoes, duplicates,
// acknowledgements, sessions that come and go. It is the same for the same number of records before.
func writeTraffic(r *rig, records int) {
	const sessions = 5
	var flows [sessions + 1]*orderflow.Generator
	var correlation [sessions + 1]uint64
	base := wire.SessionID(r.chain.Sequence * 100)
	for i := 1; i <= sessions; i++ {
		flows[i] = orderflow.New(orderflow.Options{Seed: 1, Client: uint64(i), Open: 50})
		r.open(base + wire.SessionID(i))
	}
	for n := range records {
		i := 1 + n%sessions
		id := base + wire.SessionID(i)
		correlation[i]++
		switch {
		case n%50 == 49:
			r.message(id, correlation[i]-1, service.OrderBook, []byte("a repeat"))
			correlation[i]--
		case n%7 == 0:
			r.message(id, correlation[i], service.Echo, slices.Repeat([]byte{byte(n)}, n%1500))
		default:
			payload, _ := flows[i].Next()
			r.message(id, correlation[i], service.OrderBook, payload)
		}
		if n%10 == 9 { // session 5 acknowledges nothing
			r.append(wire.Record{
				Kind: wire.RecordAcks, Session: base + wire.SessionID(1+n/10%4), Acked: uint32(correlation[1] / 2),
			}, nil)
		}
	}
}

func newBook(t testing.TB) *orderbook.Book {
	t.Helper()
	book, err := orderbook.New(orderbook.Options{MaxOrders: 1 << 12, PriceLimit: 65535})
	if err != nil {
		t.Fatal(err)
	}
	return book
}

func compareDrivers(t *testing.T, a, b *rig) {
	t.Helper()
	x, y := a.driver.Status(), b.driver.Status()
	if x != y {
		t.Errorf("two drivers of the same log:\n%+v\n%+v", x, y)
	}
	if x.Applied != a.chain.Position || x.HashPosition == 0 || x.StatePosition != x.Applied {
		t.Errorf("status %+v at log end %d", x, a.chain.Position)
	}
}

// Batch size, leading or not, a ring that is full most of the time: none of it shows in hashes or in the book.
func TestSameLogSameHash(t *testing.T) {
	limits := service.Limits{KeptResponses: 512, KeptBytes: 32 << 10}
	plain := newRig(t, rigOptions{ringBytes: 8 << 20, orderbook: newBook(t), limits: limits})
	writeTraffic(plain, 12000)
	plain.do()
	for name, test := range map[string]struct {
		batch, commitEvery int
		lead               bool
	}{
		"one at a time":       {batch: 1},
		"batches of 17":       {batch: 17, commitEvery: 100},
		"leading":             {lead: true},
		"leading, one by one": {batch: 1, commitEvery: 10, lead: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, rigOptions{
				ringBytes: 8 << 20, egressBytes: 256 << 10, batch: test.batch, orderbook: newBook(t), limits: limits,
			})
			if test.lead {
				r.command(service.Command{Kind: service.CommandLead, Term: 1})
			}
			writeTraffic(r, 12000)
			every := wire.Position(test.commitEvery) * 64
			for every > 0 && r.progress.Commit()+every < r.chain.Position {
				// A commit position is the end of a record; any that is reached is one.
				at := r.progress.Commit()
				for at < r.progress.Commit()+every {
					var rec wire.Record
					wire.DecodeRecord(r.log[at:], &rec)
					at = rec.End()
				}
				r.progress.SetCommit(at)
				r.run()
				r.received()
			}
			r.commit()
			for r.progress.Applied() < r.chain.Position {
				if _, err := r.driver.DoWork(0); err != nil {
					t.Fatal(err)
				}
				r.received()
			}
			compareDrivers(t, r, plain)
		})
	}
}

// One byte of one response differs: the reported hash does.
func TestHashShowsADifferentOutput(t *testing.T) {
	a, b := newRig(t, rigOptions{ringBytes: 4 << 20}), newRig(t, rigOptions{ringBytes: 4 << 20})
	for i, r := range []*rig{a, b} {
		r.open(1)
		r.message(1, 1, service.Echo, []byte{byte(i)})
		for n := range uint64(1000) {
			r.message(1, n+2, scriptedID, slices.Repeat([]byte{0}, 1000))
		}
		r.do()
	}
	x, y := a.driver.Status(), b.driver.Status()
	const until = service.HashEvery + 2000
	if x.HashPosition != y.HashPosition || x.HashPosition < service.HashEvery || x.HashPosition > until {
		t.Errorf("hashes reported at %d and %d, want the first record end at or past %d",
			x.HashPosition, y.HashPosition, service.HashEvery)
	}
	if x.Hash == y.Hash {
		t.Error("the hash does not show a different output")
	}
}

// The driver on a thread of its own, a writer that overtakes it again and again, a reader of its status: what comes
// out is what comes out of one thread.
func TestDriverBesideItsWriter(t *testing.T) {
	source := &lockedSource{}
	r := newRig(t, rigOptions{ringBytes: 128 << 10, source: source, orderbook: newBook(t)})
	alone := newRig(t, rigOptions{ringBytes: 8 << 20, orderbook: newBook(t)})
	writeTraffic(alone, 8000)
	alone.do()

	stop := make(chan struct{})
	var threads sync.WaitGroup
	threads.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := r.driver.DoWork(0); err != nil {
				t.Error(err)
				return
			}
		}
	})
	threads.Go(func() {
		seen := map[wire.Position]uint64{}
		for {
			select {
			case <-stop:
				return
			default:
			}
			s := r.driver.Status()
			if h, ok := seen[s.StatePosition]; ok && h != s.StateHash {
				t.Errorf("two state hashes at %d", s.StatePosition)
				return
			}
			seen[s.StatePosition] = s.StateHash
		}
	})
	log := alone.log
	for at := 0; at < len(log); {
		end := at
		for end < len(log) && end < at+5000 {
			var rec wire.Record
			wire.DecodeRecord(log[end:], &rec)
			end = int(rec.End())
		}
		r.ring.Prepare(uint64(end))
		copy(r.ring.View(uint64(at), uint64(end)), log[at:end])
		r.ring.Publish(uint64(end))
		source.set(log[:end])
		r.progress.SetCommit(wire.Position(end))
		at = end
	}
	for r.progress.Applied() < wire.Position(len(log)) && !t.Failed() {
	}
	close(stop)
	threads.Wait()
	r.chain = alone.chain
	compareDrivers(t, r, alone)
}

type lockedSource struct {
	mu  sync.Mutex
	log []byte
}

func (s *lockedSource) set(log []byte) {
	s.mu.Lock()
	s.log = log
	s.mu.Unlock()
}

func (s *lockedSource) ReadRange(from wire.Position, buf []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(buf, s.log[from:]), nil
}
