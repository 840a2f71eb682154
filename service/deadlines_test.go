package service_test

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

const deadlinesOf = service.FirstOwn

// at binds a context to a record of that stamp.
func at(ctx *service.Context, stamp uint64) *service.Context {
	ctx.Begin(&wire.Record{Service: deadlinesOf, Timestamp: stamp})
	return ctx
}

// armed fails the test unless the one timer of the driver's stands at the earliest of the deadlines.
func armed(t *testing.T, ctx *service.Context, d *service.Deadlines) {
	t.Helper()
	_, first, some := d.First()
	timer, pending := ctx.Timers().First()
	if pending != some || some && (timer.Deadline != first || timer.Service != deadlinesOf || !d.Owns(timer.ID)) ||
		ctx.Timers().Len() > 1 {
		t.Fatalf("the driver has %+v (%v) pending, the earliest deadline is %d (%v)", timer, pending, first, some)
	}
}

// TestDeadlinesAgainstAMap sets, cancels and fires at random.
func TestDeadlinesAgainstAMap(t *testing.T) {
	const limit, most = 30, 3
	rng := rand.New(rand.NewPCG(8, 9))
	ctx, d, model := service.NewContext(), service.NewDeadlines(1, limit, most), map[uint64]uint64{}
	now := uint64(1000)
	for step := range 20000 {
		now += rng.Uint64N(4)
		id := rng.Uint64N(40) << 58 // ids of any size
		_, known := model[id]
		switch rng.IntN(4) {
		case 0, 1:
			deadline := now - 5 + rng.Uint64N(50)
			want := known || len(model) < limit
			if d.Room() != (len(model) < limit) || d.Set(at(ctx, now), id, deadline) != want {
				t.Fatalf("step %d: room for %d of %d, Set should say %v", step, len(model), limit, want)
			}
			if want {
				model[id] = deadline
			}
		case 2:
			if d.Cancel(at(ctx, now), id) != known {
				t.Fatalf("step %d: Cancel should say %v", step, known)
			}
			delete(model, id)
		case 3:
			fire(t, at(ctx, now), d, model, most)
		}
		armed(t, ctx, d)
		if d.Len() != len(model) {
			t.Fatalf("step %d: %d deadlines, want %d", step, d.Len(), len(model))
		}
	}
	again := service.NewDeadlines(1, limit, most)
	for _, id := range slices.Sorted(maps.Keys(model)) {
		again.Put(id, model[id])
	}
	if again.Hash() != d.Hash() {
		t.Error("equal sets have different hashes")
	}
	var a, b bytes.Buffer
	if err := errors.Join(d.Snapshot(&a), again.Snapshot(&b)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("equal sets write different snapshots (%v)", err)
	}
}

// fire takes out what is due, and compares it with the model.
func fire(t *testing.T, ctx *service.Context, d *service.Deadlines, model map[uint64]uint64, most int) {
	t.Helper()
	ids := slices.SortedFunc(maps.Keys(model), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(model[a], model[b]), cmp.Compare(a, b))
	})
	taken := 0
	for id, deadline, ok := d.Next(ctx); ok; id, deadline, ok = d.Next(ctx) {
		if id != ids[taken] || deadline != model[id] || deadline > ctx.Timestamp() {
			t.Fatalf("%d at %d is out at %d, want %d at %d", id, deadline, ctx.Timestamp(), ids[taken], model[ids[taken]])
		}
		delete(model, id)
		taken++
	}
	if taken < most && len(ids) > taken && model[ids[taken]] <= ctx.Timestamp() {
		t.Fatalf("%d are out, and %d at %d is due at %d", taken, ids[taken], model[ids[taken]], ctx.Timestamp())
	}
	if taken > most || ctx.Work() != taken {
		t.Fatalf("%d are out, and %d may be; %d units of work", taken, most, ctx.Work())
	}
	d.Rearm(ctx)
}

func TestDeadlinesAreRestored(t *testing.T) {
	ctx, d := service.NewContext(), service.NewDeadlines(0, 10, 1)
	for id := range uint64(5) {
		d.Set(at(ctx, 1), id, 100-id)
	}
	var b bytes.Buffer
	if err := d.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := service.NewDeadlines(0, 10, 1)
	again.Put(77, 1)
	if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil || again.Hash() != d.Hash() || again.Len() != 5 {
		t.Fatalf("restored: %v, %d deadlines", err, again.Len())
	}
	for n := range b.Len() {
		if err := again.Restore(bytes.NewReader(b.Bytes()[:n])); !errors.Is(err, service.ErrSnapshot) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if err := service.NewDeadlines(0, 4, 1).Restore(bytes.NewReader(b.Bytes())); !errors.Is(err, service.ErrSnapshot) {
		t.Errorf("more than there may be: %v", err)
	}
	for name, damage := range map[string]func([]byte){
		"not in order": func(b []byte) { b[4+8] = 255 },
		"an id twice":  func(b []byte) { b[4] = b[4+16] },
	} {
		bad := bytes.Clone(b.Bytes())
		damage(bad)
		if err := again.Restore(bytes.NewReader(bad)); !errors.Is(err, service.ErrSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDeadlinesHaveRoomBesideOtherTimers fills the driver's timers: the deadlines of all services find room.
func TestDeadlinesHaveRoomBesideOtherTimers(t *testing.T) {
	ctx := service.NewContext()
	n := 0
	for at(ctx, 1).SetTimer(uint64(n), 50) == nil {
		n++
	}
	for s := uint16(1); s < service.MaxServices; s++ {
		for number := range service.MaxDeadlines {
			ctx.Begin(&wire.Record{Service: s, Timestamp: 1})
			d := service.NewDeadlines(number, 1, 1)
			if !d.Set(ctx, 1, 10) {
				t.Fatalf("service %d, deadlines %d: no room", s, number)
			}
		}
	}
	if want := n + (service.MaxServices-1)*service.MaxDeadlines; ctx.Timers().Len() != want {
		t.Errorf("%d timers are pending, want %d", ctx.Timers().Len(), want)
	}
	if err := at(ctx, 1).SetTimer(1<<62, 5); !errors.Is(err, service.ErrTimers) {
		t.Errorf("one timer more than there may be: %v", err)
	}
}

func TestDeadlinesAllocateNothing(t *testing.T) {
	ctx, d := service.NewContext(), service.NewDeadlines(0, 1000, 10)
	r := wire.Record{Service: deadlinesOf, Timestamp: 1}
	id := uint64(0)
	if n := testing.AllocsPerRun(2000, func() {
		r.Timestamp++
		ctx.Begin(&r)
		id++
		d.Set(ctx, id, r.Timestamp+id*7%100)
		d.Cancel(ctx, id-3)
		for _, _, ok := d.Next(ctx); ok; _, _, ok = d.Next(ctx) {
		}
		d.Rearm(ctx)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWorkIsBounded counts to the limit, and one further.
func TestWorkIsBounded(t *testing.T) {
	ctx := at(service.NewContext(), 1)
	ctx.Count(service.MaxWork)
	if ctx.Work() != service.MaxWork {
		t.Fatalf("%d units, want %d", ctx.Work(), service.MaxWork)
	}
	defer func() {
		if recover() == nil {
			t.Error("a record may cost more than MaxWork")
		}
	}()
	ctx.Count(1)
}
