package service_test

import (
	"fmt"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

// openAs appends a record that opens a session with a token.
func (r *rig) openAs(id wire.SessionID, token uint64) {
	b := make([]byte, 64)
	o := wire.SessionOpen{Token: token, Window: 16, Name: []byte("client")}
	r.append(wire.Record{Kind: wire.RecordSessionOpen, Session: id}, b[:o.Put(b)])
}

func (r *rig) end(id wire.SessionID, code wire.Refusal) {
	b := make([]byte, wire.ReasonSize)
	why := wire.Reason{Code: code}
	r.append(wire.Record{Kind: wire.RecordSessionClose, Session: id}, b[:why.Put(b)])
}

// dump has the driver lead a new term, and returns what it dumps.
func (r *rig) dump() []received {
	at := r.append(wire.Record{Kind: wire.RecordTerm, Term: r.chain.Term + 1}, nil)
	r.command(service.Command{Kind: service.CommandLead, Term: r.chain.Term, Position: at})
	r.do()
	return withoutPlaces(r.received())
}

// C3: a record that opens a session which is over comes late. It is not carried out, by the driver that saw it end or by
// one that began from a snapshot since, and whoever leads next is told how it ended.
func TestC3OpeningASessionThatIsOver(t *testing.T) {
	shelf := newShelf()
	a := newRig(t, rigOptions{sink: shelf})
	a.open(1)
	a.message(1, 1, service.Echo, []byte("x"))
	a.end(1, wire.RefusalExpired)
	a.open(2)
	a.end(2, wire.RefusalNone)
	a.snapshot(take)
	a.do()
	b := newRig(t, rigOptions{base: shelf.base, log: a})
	for name, r := range map[string]*rig{"as it was": a, "from a snapshot": b} {
		expect(t, name, r.dump()[:2], `ended s=1 token=1001 code=expired c=1 n=1 at=3`, `ended s=2 token=1002 code=none c=0 n=0 at=5`)
		r.openAs(11, 1001)
		r.openAs(12, 1002)
		r.message(11, 1, service.Echo, []byte("again"))
		r.do()
		expect(t, name, r.received(), `closed s=11 token=1001 code=expired c=0 n=0`, `closed s=12 token=1002 code=session-closed c=0 n=0`)
	}
}

// So many sessions that are over are remembered, the newest, and the same ones behind a snapshot.
func TestClosedSessionsAreBounded(t *testing.T) {
	shelf := newShelf()
	a := newRig(t, rigOptions{ringBytes: 8 << 20, healthy: true, sink: shelf})
	const more = 3
	for id := wire.SessionID(1); id <= service.ClosedSessions+more; id++ {
		a.open(id)
		a.end(id, wire.RefusalNone)
	}
	a.snapshot(take)
	a.do()
	b := newRig(t, rigOptions{ringBytes: 8 << 20, healthy: true, base: shelf.base, log: a})
	for name, r := range map[string]*rig{"as it was": a, "from a snapshot": b} {
		list := r.dump()
		if len(list) != service.ClosedSessions+1 || list[0].Session != more+1 {
			t.Errorf("%s: %d dumped, the first of session %d", name, len(list), list[0].Session)
		}
		r.openAs(1e6, 1000+more) // forgotten
		r.openAs(2e6, 1000+more+1)
		r.end(1e6, wire.RefusalNone) // and the oldest goes for it
		r.openAs(3e6, 1000+more+1)
		r.do()
		expect(t, name, r.received(), fmt.Sprintf(`opened s=1000000 token=%d window=16 "client"`, 1000+more),
			fmt.Sprintf(`closed s=2000000 token=%d code=session-closed c=0 n=0`, 1000+more+1),
			fmt.Sprintf(`closed s=1000000 token=%d code=none c=0 n=0`, 1000+more),
			fmt.Sprintf(`opened s=3000000 token=%d window=16 "client"`, 1000+more+1))
	}
}
