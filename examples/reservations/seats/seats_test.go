package seats

import (
	"bytes"
	"slices"
	"testing"

	"lockstep/service"
	"lockstep/wire"
)

const second = 1_000_000_000

// theatre is a service, called as the cluster calls it.
type theatre struct {
	*Service
	ctx *service.Context
}

func open() *theatre { return &theatre{New().(*Service), service.NewContext()} }

// at is a record that a session's message makes, so many seconds after the beginning.
func at(seconds uint64, session wire.SessionID) *wire.Record {
	return &wire.Record{Service: Number, Session: session, Timestamp: seconds * second}
}

// answers are the responses since the context was bound to a record.
func (s *theatre) answers() (list []string) {
	s.ctx.Responses(func(_ wire.SessionID, payload []byte) { list = append(list, string(payload)) })
	return list
}

// say has a session send a message.
func (s *theatre) say(seconds uint64, session wire.SessionID, message string) string {
	r := at(seconds, session)
	s.ctx.Begin(r)
	s.Apply(s.ctx, r, []byte(message))
	return s.answers()[0]
}

func TestSeatsAreSoldOnce(t *testing.T) {
	s := open()
	for _, step := range []struct {
		session       wire.SessionID
		message, want string
	}{
		{1, "hold 17 30", "seat 17 is held for 30 seconds"},
		{2, "hold 17 30", "refused: seat 17 is taken"},
		{2, "confirm 17", "refused: seat 17 is not held by you"},
		{1, "hold 17 60", "seat 17 is held for 60 seconds"},
		{2, "hold 3 30", "seat 3 is held for 30 seconds"},
		{1, "confirm 17", "seat 17 is sold"},
		{1, "release 17", "refused: seat 17 is not held by you"},
		{2, "list", "held: 3; sold: 17"},
		{2, "release 3", "seat 3 is free"},
		{1, "hold 3 1", "seat 3 is held for 1 seconds"},
	} {
		if got := s.say(1, step.session, step.message); got != step.want {
			t.Errorf("session %d: %s: %s, want %s", step.session, step.message, got, step.want)
		}
	}
}

func TestHoldsRunOut(t *testing.T) {
	s := open()
	s.say(1, 7, "hold 1 10")
	s.say(2, 7, "hold 2 5")
	s.say(3, 7, "hold 3 5")
	s.say(4, 7, "confirm 3")
	timer, _ := s.ctx.Timers().First()
	if timer.Deadline != 7*second {
		t.Fatalf("the timer stands at %d", timer.Deadline)
	}
	s.ctx.Begin(at(7, 0))
	s.ctx.Timers().Cancel(Number, timer.ID) // it fires
	s.OnTimer(s.ctx, timer.ID, timer.Deadline)
	if got := s.answers(); !slices.Equal(got, []string{"seat 2 is free: the time is over"}) {
		t.Errorf("%q", got)
	}
	if got := s.say(8, 8, "list"); got != "held: 1; sold: 3" {
		t.Errorf("%s", got)
	}
}

func TestAnyMessageIsAnswered(t *testing.T) {
	s := open()
	for _, message := range []string{"", "hold", "hold 0 5", "hold 501 5", "hold 1", "hold 1 0", "hold 1 601", "hold 1 5 5",
		"hold -1 5", "confirm", "confirm 1 1", "list 1", "steal 1", "\x00\xff"} {
		if got := s.say(1, 1, message); got[:8] != "refused:" {
			t.Errorf("%q: %s", message, got)
		}
	}
}

func TestSnapshotBringsTheStateBack(t *testing.T) {
	s := open()
	s.say(1, 1, "hold 5 10")
	s.say(1, 2, "hold 6 10")
	s.say(1, 2, "confirm 6")
	var b bytes.Buffer
	if err := s.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := open()
	if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil || again.Hash() != s.Hash() {
		t.Fatalf("%v, hash %x, want %x", err, again.Hash(), s.Hash())
	}
	if got := again.say(2, 3, "list"); got != "held: 5; sold: 6" {
		t.Error(got)
	}
	for n := range b.Len() {
		if err := New().Restore(bytes.NewReader(b.Bytes()[:n])); err == nil {
			t.Fatalf("a snapshot cut to %d bytes is restored", n)
		}
	}
}

func TestCheckHasNoEffect(t *testing.T) {
	s := open()
	s.say(1, 1, "hold 5 10")
	before := s.Hash()
	r := at(2, 2)
	s.ctx.BeginCheck(r)
	if got := s.Check(s.ctx, r, []byte("hold 5 10")); string(got) != "refused: seat 5 is taken" {
		t.Errorf("%s", got)
	}
	if got := s.Check(s.ctx, r, []byte("hold 6 10")); got != nil || s.Hash() != before {
		t.Errorf("%s, hash %x, before %x", got, s.Hash(), before)
	}
}
