package service_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/internal/counters"
	"lockstep/internal/flattest"
	"lockstep/service"
	"lockstep/service/fb"
	"lockstep/wire"
)

// jar is a service that takes part in transactions: a message says how many marbles to put in (a byte), and how it goes
// about that (another).
type jar struct {
	name    string
	marbles int
	answer  []byte
}

const jarHolds = 100

// How a jar goes about it.
const (
	plainly   = iota
	withTimer // one more timer than there is
	effective // its check has an effect
	panicking // Apply does
	loudly    // so many responses as one record may have
	working   // as much work as one record may cost
)

func (j *jar) Name() string { return j.name }

func (j *jar) Check(ctx *service.Context, r *wire.Record, payload []byte) []byte {
	switch {
	case r.Service != service.Transaction:
		panic("checked outside of a transaction")
	case j.marbles+int(payload[0]) > jarHolds:
		return []byte("full")
	case payload[1] == withTimer && !ctx.ReserveTimer():
		return []byte("no timer")
	case payload[1] == effective:
		ctx.Respond(r.Session, []byte("checked"))
	case payload[1] == working:
		ctx.Count(service.MaxWork)
	}
	return nil
}

func (j *jar) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	if j.marbles+int(payload[0]) > jarHolds {
		ctx.Respond(r.Session, []byte("full"))
		return
	}
	j.marbles += int(payload[0])
	switch payload[1] {
	case withTimer:
		if err := ctx.SetTimer(uint64(j.marbles), ctx.Timestamp()+1000); err != nil {
			panic(err)
		}
	case panicking:
		panic("told to")
	case loudly:
		for range service.MaxOutputs - 1 {
			ctx.Respond(77, nil)
		}
	case working:
		ctx.Count(service.MaxWork)
	}
	j.answer = append(j.answer[:0], j.name...)
	j.answer = append(j.answer, ' ', '0'+byte(j.marbles/10), '0'+byte(j.marbles%10))
	ctx.Respond(r.Session, j.answer)
}

func (j *jar) OnTimer(*service.Context, uint64, uint64)         {}
func (j *jar) OnSession(*service.Context, wire.SessionID, bool) {}
func (j *jar) Hash() uint64                                     { return uint64(j.marbles) }
func (j *jar) Snapshot(w io.Writer) error {
	return binary.Write(w, binary.LittleEndian, uint64(j.marbles))
}
func (j *jar) Restore(io.Reader) error { return nil }
func part(of uint16, marbles, how byte) service.Part {
	return service.Part{Service: of, Payload: []byte{marbles, how}}
}
func request(parts ...service.Part) []byte {
	return service.TransactionRequest(flatbuffers.NewBuilder(64), parts)
}
func (r *jars) transact(session wire.SessionID, parts ...service.Part) {
	r.send(session, request(parts...))
}

// Numbers of the jars; the scripted service of a rig takes no part in transactions.
const (
	redID  = service.FirstOwn
	blueID = service.FirstOwn + 1
)

// jars is a driver with two of them.
type jars struct {
	*rig
	red, blue *jar
	sent      map[wire.SessionID]uint64
	got       uint32 // responses, of session 1
}

func newJars(t testing.TB, o rigOptions) *jars {
	j := &jars{sent: map[wire.SessionID]uint64{}}
	o.more = func(list *[service.MaxServices]service.Service) {
		j.red, j.blue = &jar{name: "red"}, &jar{name: "blue"}
		list[redID], list[blueID] = j.red, j.blue
	}
	j.rig = newRig(t, o)
	j.lead()
	j.open(1)
	j.do()
	j.received()
	return j
}

func (r *jars) send(session wire.SessionID, payload []byte) {
	r.sent[session]++
	r.append(wire.Record{Kind: wire.RecordMessage, Session: session, Correlation: r.sent[session], Service: service.Transaction,
		Acked: r.got}, payload)
}

// answers are what one record caused, a line each: service, session, and what it says.
func (r *jars) answers() (lines []string) {
	r.do()
	for _, e := range r.received() {
		if e.Kind != service.EgressResponse {
			continue
		}
		r.got++
		text := e.payload
		if e.Service == service.Transaction {
			var o service.Outcome
			if !service.DecodeOutcome([]byte(e.payload), &o) {
				r.t.Fatalf("no outcome: %q", e.payload)
			}
			text = fmt.Sprintf("%d done", o.Count)
			if !o.Committed {
				text = strings.TrimSpace(fmt.Sprintf("%d of %d %v %s", o.Index, o.Service, o.Reason, o.Refusal))
			}
		}
		if e.Last {
			text += "."
		}
		lines = append(lines, fmt.Sprintf("%d: %s", e.Service, text))
	}
	return lines
}

func (r *jars) want(t *testing.T, lines ...string) {
	t.Helper()
	if got := r.answers(); !slices.Equal(got, lines) {
		t.Fatalf("%q, want %q", got, lines)
	}
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	r := newJars(t, rigOptions{})
	r.transact(1, part(blueID, 7, 0), part(redID, 5, 0))
	r.want(t, "7: 2 done", "9: blue 07", "8: red 05.")
	r.transact(1, part(redID, 90, 0), part(blueID, 94, 0))
	r.want(t, "7: 1 of 9 Refused full.")
	r.transact(1, part(redID, 96, 0), part(blueID, 94, 0))
	r.want(t, "7: 0 of 8 Refused full.")
	r.transact(1, part(redID, 95, 0))
	r.want(t, "7: 1 done", "8: red :0.")
	if r.red.marbles != 100 || r.blue.marbles != 7 {
		t.Errorf("%d and %d marbles", r.red.marbles, r.blue.marbles)
	}
}

func TestTransactionsThatAreNone(t *testing.T) {
	nine := make([]service.Part, 9)
	b := flatbuffers.NewBuilder(256)
	for range nine { // what TransactionRequest cannot make
		fb.CommandStart(b)
		at := fb.CommandEnd(b)
		nine[0].Payload = binary.LittleEndian.AppendUint32(nine[0].Payload, uint32(at))
	}
	fb.TransactionRequestStartCommandsVector(b, 9)
	for i := range nine {
		b.PrependUOffsetT(flatbuffers.UOffsetT(binary.LittleEndian.Uint32(nine[0].Payload[4*i:])))
	}
	commands := b.EndVector(9)
	fb.TransactionRequestStart(b)
	fb.TransactionRequestAddCommands(b, commands)
	b.Finish(fb.TransactionRequestEnd(b))

	r := newJars(t, rigOptions{})
	for _, c := range []struct {
		payload []byte
		want    string
	}{
		{nil, "0 of 0 Malformed"},
		{[]byte("no table at all"), "0 of 0 Malformed"},
		{request(), "0 of 0 Malformed"},
		{b.FinishedBytes(), "8 of 0 TooMany"},
		{request(part(redID, 1, 0), part(6, 1, 0)), "1 of 6 UnknownService"},
		{request(part(redID, 1, 0), part(0, 1, 0)), "1 of 0 UnknownService"},
		{request(part(redID, 1, 0), part(65535, 1, 0)), "1 of 65535 UnknownService"},
		{request(part(redID, 1, 0), part(redID, 1, 0)), "1 of 8 Repeated"},
		{request(part(scriptedID, 1, 0), part(redID, 1, 0)), "0 of 3 NotTransactional"},
		{request(part(redID, 1, 0), part(service.Transaction, 1, 0)), "1 of 7 NotTransactional"},
	} {
		r.send(1, c.payload)
		r.want(t, "7: "+c.want+".")
	}
	if r.red.marbles != 0 {
		t.Errorf("%d marbles", r.red.marbles)
	}
}

// TestTransactionsAgainstAModel has messages of one command and of two, and of some that are refused.
func TestTransactionsAgainstAModel(t *testing.T) {
	r := newJars(t, rigOptions{})
	rng := rand.New(rand.NewPCG(3, 4))
	var model [2]int
	done, refused := 0, 0
	for range 2000 {
		var parts []service.Part
		whole := true
		for _, i := range rng.Perm(2)[:1+rng.IntN(2)] {
			n := rng.IntN(5)
			parts = append(parts, part(redID+uint16(i), byte(n), 0))
			whole = whole && model[i]+n <= jarHolds
		}
		if whole {
			done++
			for _, p := range parts {
				model[p.Service-redID] += int(p.Payload[0])
			}
		} else {
			refused++
		}
		r.transact(1, parts...)
		if got := len(r.answers()); got > 1 != whole {
			t.Fatalf("%d answers to %v with %v in the jars", got, parts, model)
		}
		if r.red.marbles != model[0] || r.blue.marbles != model[1] {
			t.Fatalf("%d and %d marbles, want %v", r.red.marbles, r.blue.marbles, model)
		}
		if rng.IntN(10) == 0 {
			i := rng.IntN(2)
			model[i] /= 2
			[]*jar{r.red, r.blue}[i].marbles = model[i]
		}
	}
	if done < 100 || refused < 100 {
		t.Errorf("%d were done, %d refused", done, refused)
	}
}

func TestCheckReservesTimers(t *testing.T) {
	r := newJars(t, rigOptions{limits: service.Limits{Timers: 3}})
	for n, want := range []string{"7: 2 done", "7: 1 of 9 Refused no timer."} {
		r.transact(1, part(redID, 1, withTimer), part(blueID, 1, withTimer))
		if got := r.answers()[0]; got != want {
			t.Fatalf("transaction %d: %s, want %s", n, got, want)
		}
	}
	r.transact(1, part(redID, 1, withTimer), part(blueID, 1, plainly)) // what was reserved before is free again
	r.want(t, "7: 2 done", "8: red 02", "9: blue 02.")
}

func TestCheckWithAnEffectHaltsApply(t *testing.T) {
	r := newJars(t, rigOptions{})
	r.transact(1, part(redID, 1, 0), part(blueID, 1, effective))
	r.do()
	if h := r.driver.Status().Halt; h == nil || h.Service != "blue" || !strings.Contains(h.Message, "effect") {
		t.Fatalf("halted: %v", h)
	}
}

// TestTransactionIsPassedOverAsAWhole has the second service panic when the first has applied its command.
func TestTransactionIsPassedOverAsAWhole(t *testing.T) {
	r := newJars(t, rigOptions{source: nil, ringBytes: 1 << 20})
	r.transact(1, part(redID, 5, 0), part(blueID, 6, 0))
	r.do()
	at := r.chain.Position
	r.transact(1, part(redID, 1, 0), part(blueID, 1, panicking))
	r.do()
	h := r.driver.Status().Halt
	if h == nil || h.Service != "blue" || h.Position() != at {
		t.Fatalf("halted: %v, want at %d", h, at)
	}
	r.skip(at)
	r.transact(1, part(redID, 1, 0), part(blueID, 1, 0))
	r.do()
	if h := r.driver.Status().Halt; h != nil || r.red.marbles != 6 || r.blue.marbles != 7 {
		t.Errorf("%d and %d marbles, halted: %v", r.red.marbles, r.blue.marbles, h)
	}
}

// TestCommandsHaveLimitsEach has each command cause and cost as much as a record may.
func TestCommandsHaveLimitsEach(t *testing.T) {
	file, err := counters.Create("", 128)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r := newJars(t, rigOptions{counters: file})
	r.transact(1, part(redID, 1, loudly), part(blueID, 2, loudly))
	r.want(t, "7: 2 done", "8: red 01", "9: blue 02.")
	r.transact(1, part(redID, 1, working), part(blueID, 2, working))
	r.want(t, "7: 2 done", "8: red 02", "9: blue 04.")
	for name, want := range map[string]uint64{"lockstep_record_work_max": service.MaxWork, "lockstep_records_heavy_total": 4,
		"lockstep_transactions_committed_total": 2, "lockstep_record_outputs_max": service.MaxOutputs} {
		if got := file.Counter(name, "").Load(); got != want {
			t.Errorf("%s %d, want %d", name, got, want)
		}
	}
}

func TestTransactionsDoNotAllocate(t *testing.T) {
	r := newJars(t, rigOptions{ringBytes: 1 << 22, egressBytes: 1 << 22})
	both, one := request(part(redID, 0, 0), part(blueID, 0, 0)), request(part(redID, 0, 0), part(blueID, 200, 0))
	const records = 3000
	ends := make([]wire.Position, records)
	for i := range ends {
		payload := both
		if i%2 == 1 {
			payload = one
		}
		r.sent[1]++
		ends[i] = r.append(wire.Record{Kind: wire.RecordMessage, Session: 1, Correlation: r.sent[1], Service: service.Transaction,
			Acked: uint32(i * 3 / 2)}, payload)
	}
	at := 0
	next := func() {
		r.progress.SetCommit(ends[at])
		for r.progress.Applied() < ends[at] {
			if _, err := r.driver.DoWork(0); err != nil {
				t.Fatal(err)
			}
		}
		for r.egress.Next() != nil {
		}
		r.egress.Release()
		at++
	}
	for range 500 {
		next()
	}
	if n := testing.AllocsPerRun(2000, next); n != 0 {
		t.Errorf("%v allocations a transaction", n)
	}
}

func TestTransactionTablesAreThoseOfTheSchema(t *testing.T) {
	flattest.Check(t, "transaction.fbs", service.TransactionTables())
}

// FuzzTransaction reads whatever verifies, of what a client sends and of what it gets.
func FuzzTransaction(f *testing.F) {
	f.Add(request(part(redID, 1, 2), part(blueID, 3, 4)))
	f.Add([]byte{})
	for _, o := range []service.Outcome{{Committed: true, Count: 3}, {Index: 2, Service: 3, Reason: fb.AbortReasonRefused,
		Refusal: []byte("no")}} {
		f.Add(slices.Clone(service.EncodeOutcome(flatbuffers.NewBuilder(64), &o)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var parts [service.MaxCommands]service.Part
		if n, ok := service.DecodeTransaction(b, &parts); ok && n <= service.MaxCommands {
			var again [service.MaxCommands]service.Part
			m, ok := service.DecodeTransaction(request(parts[:n]...), &again)
			if !ok || m != n {
				t.Fatalf("%d parts, made anew %d", n, m)
			}
			for i := range n {
				if again[i].Service != parts[i].Service || string(again[i].Payload) != string(parts[i].Payload) {
					t.Fatalf("part %d: %v, made anew %v", i, parts[i], again[i])
				}
			}
		}
		var o service.Outcome
		_ = service.DecodeOutcome(b, &o)
	})
}
