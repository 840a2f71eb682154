package lock_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"

	"lockstep/service"
	"lockstep/service/lock"
	"lockstep/wire"
)

const ms = 1e6

// fataler is *testing.T and *rapid.T.
type fataler interface{ Fatalf(string, ...any) }

// rig feeds a table records, one after the other, and fires its timers as a leader does.
type rig struct {
	table    *lock.Table
	ctx      *service.Context
	builder  *flatbuffers.Builder
	sequence uint64
	now      uint64
}

// sent is a response and who gets it.
type sent struct {
	to wire.SessionID
	lock.Response
	list  []lock.Holder
	names []lock.NameState
	size  int
}

func newRig(t fataler, o lock.Options) *rig {
	table, err := lock.New(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return &rig{table: table, ctx: service.NewContext(), builder: flatbuffers.NewBuilder(256), now: 1e18}
}

func (g *rig) record(session wire.SessionID) *wire.Record {
	g.sequence++
	g.now++
	return &wire.Record{Sequence: g.sequence, Timestamp: g.now, Session: session, Service: service.Lock}
}

// apply gives the table a request and returns what it answers, read with the codec.
func (g *rig) apply(t fataler, session wire.SessionID, q lock.Request) []sent {
	return g.applyBytes(t, session, lock.EncodeRequest(g.builder, &q))
}

func (g *rig) applyBytes(t fataler, session wire.SessionID, payload []byte) []sent {
	r := g.record(session)
	g.ctx.Begin(r)
	g.table.Apply(g.ctx, r, payload)
	return g.responses(t)
}

func (g *rig) responses(t fataler) (out []sent) {
	g.ctx.Responses(func(to wire.SessionID, b []byte) {
		x := sent{to: to, size: len(b)}
		if !lock.DecodeResponse(slices.Clone(b), &x.Response) {
			t.Fatalf("not a response: %x", b)
		}
		for i := range x.Count {
			if x.Report == lock.State {
				x.list = append(x.list, x.AnnouncementAt(i))
			} else {
				x.names = append(x.names, x.NameAt(i))
			}
		}
		out = append(out, x)
	})
	return out
}

// check asks what Check says, before the record comes.
func (g *rig) check(session wire.SessionID, q lock.Request) []byte {
	r := g.record(session)
	g.sequence--
	g.now--
	g.ctx.BeginCheck(r)
	return slices.Clone(g.table.Check(g.ctx, r, lock.EncodeRequest(g.builder, &q)))
}

func (g *rig) end(t fataler, session wire.SessionID) []sent {
	g.ctx.Begin(g.record(session))
	g.table.OnSession(g.ctx, session, false)
	return g.responses(t)
}

// fire fires the timer that is due, if one is.
func (g *rig) fire(t fataler) (out []sent, fired bool) {
	x, ok := g.ctx.Timers().First()
	if !ok || x.Deadline > g.now {
		return nil, false
	}
	r := g.record(0)
	r.Service = x.Service
	g.ctx.Begin(r)
	g.ctx.CancelTimer(x.ID)
	g.ctx.Begin(r)
	g.table.OnTimer(g.ctx, x.ID, x.Deadline)
	return g.responses(t), true
}

// pass lets time go by and fires all that falls due.
func (g *rig) pass(t fataler, ns uint64) (out []sent) {
	g.now += ns
	for {
		more, fired := g.fire(t)
		if !fired {
			return out
		}
		out = append(out, more...)
	}
}

func (g *rig) snapshot(t fataler) []byte {
	var b bytes.Buffer
	if err := g.table.Snapshot(&b); err != nil {
		t.Fatalf("%v", err)
	}
	return b.Bytes()
}

func sayHolder(h lock.Holder) string {
	if h.Token == 0 {
		return "nobody"
	}
	return fmt.Sprintf("[%d of %d, %q until %d, kept %v]", h.Token, h.Session, h.Value, h.Expires, h.Keep)
}

// say puts a response into words, those of the model.
func say(x sent) string {
	text := ""
	switch x.Report {
	case lock.Granted:
		text = fmt.Sprintf("granted %q %d until %d waited %d", x.Name, x.Token, x.Expires, x.Waited)
	case lock.Waiting:
		text = fmt.Sprintf("waiting %d behind %d for %s", x.Token, x.Ahead, sayHolder(x.Holder))
	case lock.Renewed:
		text = fmt.Sprintf("renewed until %d", x.Expires)
	case lock.Done:
		text = "done"
	case lock.State:
		text = fmt.Sprintf("state %s waiting %d announced %d:", sayHolder(x.Holder), x.Waiting, x.Announced)
		for _, h := range x.list {
			text += " " + sayHolder(h)
		}
	case lock.Names:
		text = "names"
		for _, n := range x.names {
			text += fmt.Sprintf(" %q %s waiting %d announced %d;", n.Name, sayHolder(n.Holder), n.Waiting, n.Announced)
		}
		if x.More {
			text += " more"
		}
	case lock.Subscribed:
		text = fmt.Sprintf("subscribed %v from %d", x.On, x.Sequence)
	case lock.Refused:
		text = fmt.Sprintf("refused %v %q waited %d %s", x.Reason, x.Name, x.Waited, sayHolder(x.Holder))
	case lock.Changed:
		text = fmt.Sprintf("changed %q %v announcement %v %s", x.Name, x.Change, x.Announcement, sayHolder(x.Holder))
	}
	return fmt.Sprintf("%d: %s", x.to, text)
}

func words(out []sent) (list []string) {
	for _, x := range out {
		list = append(list, say(x))
	}
	return list
}

func newTable(t testing.TB) *rig { return newRig(t, lock.Options{}) }
