package service_test

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockstep/internal/orderflow"
	"lockstep/service"
	"lockstep/wire"
)

// smallLimits are reached all the time.
var smallLimits = service.Limits{Sessions: 4, KeptResponses: 8, KeptBytes: 256, Timers: 6, HashEvery: 2048}

// author appends random records to the log of a rig, which applies them at once.
type author struct {
	*rig
	shelf       *shelf
	flows       [7]*orderflow.Generator
	correlation [7]uint64
	acked       [7]uint32
	timers      []uint64
	led         wire.Position   // where the term record begins under which it leads; 0: not yet
	skips       []wire.SkipAt   //
	egress      []received      // since it leads
	takes       []wire.Position // where digests were taken, and these
	digests     []uint64
}

func newAuthor(t *rapid.T, outer testing.TB) *author {
	a := &author{shelf: newShelf()}
	a.rig = newRig(outer, rigOptions{ringBytes: 128 << 10, egressBytes: 256 << 10,
		limits: smallLimits, rich: true, sink: a.shelf, base: a.shelf.base, batch: rapid.IntRange(1, 5).Draw(t, "batch")})
	for i := range a.flows {
		a.flows[i] = orderflow.New(orderflow.Options{Seed: 7, Client: uint64(i), Instruments: 2, PriceLimit: 80, Open: 4})
	}
	return a
}

// write appends something random and has it applied.
func (a *author) write(t *rapid.T) {
	id := wire.SessionID(rapid.IntRange(1, 6).Draw(t, "session"))
	switch op := rapid.IntRange(0, 19).Draw(t, "op"); op {
	case 0, 1:
		a.open(id)
		a.correlation[id], a.acked[id] = 0, 0
	case 2:
		a.close(id)
	case 3, 4:
		a.acked[id] += uint32(rapid.IntRange(0, 3).Draw(t, "acked"))
		a.acks(id, a.acked[id])
	case 5:
		if len(a.timers) > 0 {
			x := a.timers[rapid.IntRange(0, len(a.timers)-1).Draw(t, "timer")]
			b := make([]byte, wire.TimerRecordSize)
			fire := wire.TimerRecord{ID: x % 10, Deadline: x / 10}
			a.chain.Timestamp = max(a.chain.Timestamp, fire.Deadline)
			a.rig.append(wire.Record{Kind: wire.RecordTimer, Service: alarmID}, b[:fire.Put(b)])
		}
	case 6:
		a.rig.append(wire.Record{Kind: wire.RecordTerm, Term: a.chain.Term + 1}, make([]byte, wire.TermRecordSize))
	case 7:
		a.config(1)
	case 8, 9, 10:
		a.ask(t)
	case 11:
		at := a.chain.Position
		a.send(t, id, scriptedID, poison)
		if a.do(); a.driver.Status().Halt != nil {
			a.skips = append(a.skips, wire.SkipAt{Position: at, End: a.skip(at)})
		}
	default:
		to, payload := a.payload(t, id)
		a.send(t, id, to, payload)
	}
	a.do()
	if got := a.received(); a.led > 0 {
		a.egress = append(a.egress, got...)
	}
}

// ask appends a snapshot record.
func (a *author) ask(t *rapid.T) {
	x := wire.SnapshotRecord{
		Take:   rapid.IntRange(0, 3).Draw(t, "take") > 0,
		Leader: rapid.Bool().Draw(t, "leader"),
	}
	if n := len(a.takes); n > 0 && rapid.Bool().Draw(t, "verified") {
		i := rapid.IntRange(0, n-1).Draw(t, "which")
		x.Verified, x.Digest = a.takes[i], a.digests[i]
	}
	end := a.snapshot(x)
	a.do()
	if at, digest := a.progress.Snapshot(); x.Take {
		if at != end {
			a.t.Fatalf("the newest digest is of position %d, want %d", at, end)
		}
		a.takes, a.digests = append(a.takes, at), append(a.digests, digest)
	}
}

func (a *author) send(t *rapid.T, id wire.SessionID, to uint16, payload []byte) {
	a.correlation[id] += uint64(rapid.IntRange(0, 9).Draw(t, "next")+8) / 9 // at times the one before again
	a.rig.append(wire.Record{
		Kind: wire.RecordMessage, Session: id, Correlation: a.correlation[id], Service: to, Acked: a.acked[id],
	}, payload)
}

func (a *author) payload(t *rapid.T, id wire.SessionID) (uint16, []byte) {
	switch to := uint16(rapid.IntRange(0, 5).Draw(t, "to")); to {
	case service.Echo:
		return to, bytes.Repeat([]byte{byte(id)}, rapid.IntRange(0, 60).Draw(t, "length"))
	case service.OrderBook:
		b, _ := a.flows[id].Next()
		return to, b
	case scriptedID:
		other := wire.SessionID(rapid.IntRange(1, 6).Draw(t, "other"))
		return to, append(respond(id, 3), respond(other, rapid.IntRange(0, 20).Draw(t, "length"), 1)...)
	case alarmID:
		timer := uint64(rapid.IntRange(0, 9).Draw(t, "timer"))
		deadline := a.chain.Timestamp + uint64(rapid.IntRange(0, 50).Draw(t, "in"))
		what := byte(rapid.IntRange(0, 3).Draw(t, "set") / 3)
		a.timers = append(a.timers, deadline*10+timer)
		return to, setting(timer, deadline, 1-what)
	default:
		return to, nil
	}
}

// lead appends a term record and has the driver lead from there on.
func (r *rig) takeOver() (begin wire.Position) {
	begin = r.chain.Position
	at := r.append(wire.Record{Kind: wire.RecordTerm, Term: r.chain.Term + 1}, make([]byte, wire.TermRecordSize))
	r.command(service.Command{Kind: service.CommandLead, Term: r.chain.Term, Position: at})
	r.do()
	return begin
}

// final has a driver lead once more and tell all that it knows: dump, and everything that it keeps.
func (r *rig) final() []received {
	r.command(service.Command{Kind: service.CommandResign})
	r.takeOver()
	for id := range wire.SessionID(7) {
		r.command(service.Command{Kind: service.CommandReplay, Session: id, Response: 1})
		r.run()
	}
	return r.received()
}

// A driver that begins from a snapshot does everything that the one which took it did afterwards: it answers the same, comes
// to the same hashes and digests, writes the same bytes when it takes snapshots, and keeps the same responses.
func TestRestoredDriverGoesOnAsTheOneBefore(t *testing.T) {
	runs, restored := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		a := newAuthor(rt, t)
		n := rapid.IntRange(10, 150).Draw(rt, "records")
		lead := rapid.IntRange(0, n).Draw(rt, "lead")
		for i := range n {
			if i == lead {
				a.led = a.takeOver()
				a.egress = append(a.egress, a.received()...)
			}
			a.write(rt)
		}
		points := a.shelf.positions()
		if len(points) == 0 {
			return
		}
		from := points[rapid.IntRange(0, len(points)-1).Draw(rt, "from")]
		restored++
		b := restart(rt, t, a, from)
		b.compare(rt, a, from)
		again(rt, t, a, points[len(points)-1])
		if x, y := inOrder(withoutPlaces(a.final())), inOrder(withoutPlaces(b.final())); !slices.Equal(x, y) {
			rt.Fatalf("the one that went on says\n%v\nthe restored one\n%v", x, y)
		}
	})
	if restored < runs/2 {
		t.Errorf("only %d times of %d was there a snapshot to restore", restored, runs)
	}
}

// What is kept fills the same room after restoring: a response that just fits does, and one byte more is too much.
func TestRestoredSessionHasTheSameRoom(t *testing.T) {
	for more, want := range []string{`response s=1 c=3 n=3 last=true`, `closed s=1 token=1001 code=slow-consumer`} {
		shelf := newShelf()
		a := newRig(t, rigOptions{limits: smallLimits, sink: shelf})
		a.open(1)
		a.message(1, 1, service.Echo, make([]byte, 50))
		a.message(1, 2, service.Echo, make([]byte, 200))
		a.acks(1, 1)
		a.snapshot(take)
		a.do()
		b := newRig(t, rigOptions{limits: smallLimits, base: shelf.base, log: a})
		b.lead()
		b.message(1, 3, service.Echo, make([]byte, 56+more))
		b.do()
		if got := short(b.received()); !strings.HasPrefix(got, want) {
			t.Errorf("%d bytes: %s", 56+more, got)
		}
	}
}

// A message sent again after a restart from a snapshot is not applied again; its response, and that it was refused, are still
// there to be told.
func TestC1RepeatBehindASnapshotIsAnsweredAlike(t *testing.T) {
	shelf := newShelf()
	a := newRig(t, rigOptions{sink: shelf})
	a.open(1)
	a.message(1, 1, service.Echo, []byte("once"))
	a.message(1, 2, 99, nil)
	a.snapshot(take)
	a.do()
	b := newRig(t, rigOptions{base: shelf.base, log: a})
	b.lead()
	b.message(1, 1, service.Echo, []byte("once"))
	b.message(1, 2, 99, nil)
	b.message(1, 3, service.Echo, []byte("next"))
	b.do()
	expect(t, "live", b.received(), `response s=1 c=3 n=2 last=true "next"`)
	b.command(service.Command{Kind: service.CommandReplay, Session: 1, Response: 1})
	b.run()
	expect(t, "replayed", b.received(), `response s=1 c=1 n=1 last=true "once"`, `response s=1 c=3 n=2 last=true "next"`)
	at := b.append(wire.Record{Kind: wire.RecordTerm, Term: 5}, nil)
	b.command(service.Command{Kind: service.CommandLead, Term: 5, Position: at})
	b.do()
	dump := withoutPlaces(b.received())
	if len(dump) != 3 || dump[1].Kind != service.EgressRefused || dump[1].Correlation != 2 ||
		dump[1].Code != wire.RefusalUnknownService {
		t.Errorf("dump %+v", dump)
	}
}

type successor struct {
	*rig
	shelf  *shelf
	egress []received
}

// restart is a driver that begins from a snapshot of a and applies the rest of its log.
func restart(rt *rapid.T, t testing.TB, a *author, from wire.Position) *successor {
	s := &successor{shelf: a.shelf.upTo(from)}
	s.rig = newRig(t, rigOptions{ringBytes: 128 << 10, egressBytes: 256 << 10,
		limits: smallLimits, rich: true, sink: s.shelf, base: s.shelf.base, log: a.rig,
		batch: rapid.IntRange(1, 5).Draw(rt, "batch again"),
		skips: a.skips[:rapid.IntRange(0, len(a.skips)).Draw(rt, "known")]})
	if at := s.progress.Applied(); at != from {
		rt.Fatalf("it begins at position %d, the snapshot is of %d", at, from)
	}
	if a.led >= from && a.led > 0 {
		s.progress.SetCommit(a.led)
		for s.progress.Applied() < a.led { // a driver that looks ahead may have nothing else to do
			s.run()
		}
		s.command(service.Command{Kind: service.CommandLead, Term: termAt(a.log, a.led), Position: a.led + 88})
	}
	for s.progress.Commit() < s.chain.Position {
		s.progress.SetCommit(min(s.chain.Position, s.progress.Commit()+wire.Position(rapid.IntRange(1, 100).Draw(rt, "more")*8)))
		s.run()
		s.egress = append(s.egress, s.received()...)
	}
	for s.progress.Applied() < s.chain.Position {
		s.run()
		s.egress = append(s.egress, s.received()...)
	}
	return s
}

// again applies the log from position 0, with no snapshot taken on the way to the one at the given place, which must be the
// same: what a node writes does not depend on how it came there.
func again(rt *rapid.T, t testing.TB, a *author, at wire.Position) {
	s := newShelf()
	r := newRig(t, rigOptions{ringBytes: 128 << 10, egressBytes: 256 << 10,
		limits: smallLimits, rich: true, sink: s, log: a.rig, skips: a.skips})
	s.busy = true
	r.progress.SetCommit(at - wire.RecordHeaderSize - wire.SnapshotRecordSize)
	for r.progress.Applied() < r.progress.Commit() {
		r.run()
	}
	s.busy = false
	r.progress.SetCommit(at)
	r.run()
	if !bytes.Equal(s.done[at], a.shelf.done[at]) {
		rt.Fatalf("snapshot at %d: %d bytes, and %d bytes without others before it", at, len(a.shelf.done[at]), len(s.done[at]))
	}
}

// inOrder puts the timers of dumps, which come in any order, in that of their ids.
func inOrder(list []received) []received {
	for i := range list {
		if list[i].Kind != service.EgressReady {
			continue
		}
		from := i
		for from > 0 && list[from-1].Kind == service.EgressTimer {
			from--
		}
		slices.SortFunc(list[from:i], func(a, b received) int { return cmp.Compare(a.Correlation, b.Correlation) })
	}
	return list
}

func termAt(log []byte, at wire.Position) wire.Term {
	var r wire.Record
	wire.DecodeRecord(log[at:], &r)
	return r.Term
}

func (s *successor) compare(t *rapid.T, a *author, from wire.Position) {
	if x, y := a.outcome(), s.outcome(); x != y {
		t.Fatalf("%v, and %v after restoring", x, y)
	}
	if at, _ := a.progress.HashAt(); at > from && a.driver.Status() != s.driver.Status() {
		t.Fatalf("status %+v, and %+v after restoring", a.driver.Status(), s.driver.Status())
	}
	x, xd := a.progress.Snapshot()
	y, yd := s.progress.Snapshot()
	v, vd := a.progress.Verified()
	w, wd := s.progress.Verified()
	if x != y || xd != yd || v != w || vd != wd {
		t.Fatalf("digest %x at %d, verified %x at %d; after restoring %x at %d, %x at %d", xd, x, vd, v, yd, y, wd, w)
	}
	if a.led >= from && a.led > 0 && !slices.Equal(inOrder(withoutPlaces(a.egress)), inOrder(withoutPlaces(s.egress))) {
		t.Fatalf("the one that went on put out\n%s\nthe restored one\n%s", short(a.egress), short(s.egress))
	}
	for at, b := range a.shelf.done {
		if at > from && !bytes.Equal(b, s.shelf.done[at]) {
			t.Fatalf("snapshot at %d: %d bytes, and %d bytes after restoring", at, len(b), len(s.shelf.done[at]))
		}
	}
	if !slices.Equal(a.scripted.sessions, s.scripted.sessions) || !slices.Equal(a.alarm.fired, s.alarm.fired) {
		t.Fatalf("services %+v %+v, after restoring %+v %+v", a.scripted, a.alarm, s.scripted, s.alarm)
	}
}
