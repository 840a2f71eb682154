package bench

import (
	"bufio"
	"encoding/json"
	"io"
	"path/filepath"
	"testing"
	"time"

	"lockstep/client"
	"lockstep/transport"
	"lockstep/wire"
)

// order is a line that a watch is told, again and again until it has seen what is wanted; nil: once.
type order struct {
	what string
	want func(Outage) bool
}

// watchLive runs a watch of sessions against a node, has it do what is asked, and returns the answers and the end.
func watchLive(t *testing.T, l *live, w *Watch, asked ...order) (seen []Outage, done Watched) {
	t.Helper()
	next := byte(9)
	w.Target = l.target
	w.Target.open = func() (transport.Transport, error) {
		next++
		return l.network.Join(transport.Addr{IP: [4]byte{10, 0, 0, next}, Port: 7600})
	}
	w.AcksFile = filepath.Join(t.TempDir(), "acks")
	in, tell := io.Pipe()
	hear, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(t.Context(), in, out); out.Close() }()
	lines := bufio.NewScanner(hear)
	event := func() (e WatchEvent) {
		if !lines.Scan() {
			t.Fatalf("the watch has ended: %v", <-ended)
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	event()
	for _, o := range asked {
		deadline := time.Now().Add(time.Minute)
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
			time.Sleep(pause)
			if _, err := io.WriteString(tell, o.what+"\n"); err != nil {
				t.Fatal(err)
			}
			saw := *event().Outage
			if o.want == nil || o.want(saw) || time.Now().After(deadline) {
				seen = append(seen, saw)
				break
			}
		}
	}
	tell.Close()
	done = *event().Done
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return seen, done
}

// Sessions that are kept full have their windows under way, those that are eased keep to the schedule; what all of them
// were told stands in the journal, each in its order, and every echo is that of its message.
func TestWatchKeepsSessionsFullAndTellsAllOfThem(t *testing.T) {
	l := startLive(t)
	w := &Watch{Sessions: 3, Plan: Plan{Level: wire.LevelApplied, Loop: Open, Rate: 1, Burst: 1, Flow: FlowEcho,
		Payload: 32, Window: 16}}
	isFull := func(o Outage) bool { return o.Open == 48 && o.Answers >= 32 && o.Total >= 3*o.Answers }
	isEased := func(o Outage) bool { return o.Open < 48 && o.Total <= 10 }
	seen, done := watchLive(t, l, w, order{what: WatchLook}, order{what: WatchFill}, order{WatchLook, isFull},
		order{what: WatchEase}, order{WatchLook, isEased})
	l.end()
	if !isFull(seen[2]) {
		t.Errorf("with full windows: %+v, want 48 under way and more answers than two windows to each", seen[2])
	}
	if !isEased(seen[4]) {
		t.Errorf("on a schedule of one message a second: %+v", seen[4])
	}
	if done.Sent != done.Acked || done.Duplicated+done.Reordered+done.Wrong != 0 || done.Sent < 100 {
		t.Errorf("%+v", done)
	}
	told, err := ReadAcks(w.AcksFile)
	if err != nil || len(told) != 3 {
		t.Fatalf("told in %d sessions, want 3 (%v)", len(told), err)
	}
	audit, err := RunAudit([]string{l.dir}, told...)
	if err != nil || !audit.Holds() || audit.Messages != done.Sent {
		t.Errorf("%d messages sent, the journal says %+v (%v)", done.Sent, audit, err)
	}
	if n, err := CheckHistory(told...); err != nil || uint64(n) != done.Acked {
		t.Errorf("%d of %d operations were looked at: %v", n, done.Acked, err)
	}
	told[0].Session, told[1].Session = told[1].Session, told[0].Session
	if audit, err := RunAudit([]string{l.dir}, told...); err != nil || audit.Holds() {
		t.Errorf("what one session was told passes for another's: %+v (%v)", audit, err)
	}
}

func TestFleetNoticesAnswersThatAreNot(t *testing.T) {
	p := &Plan{Flow: FlowEcho, Payload: fleetHead, Level: wire.LevelApplied}
	f := &fleet{plan: p}
	s := &fleetSession{f: f, index: 1, buffer: make([]byte, fleetHead), want: make([]byte, fleetHead)}
	echo := func(number, correlation, says uint64) {
		s.head(s.buffer, says)
		s.OnResponse(client.Response{Number: number, Correlation: correlation, Payload: s.buffer})
	}
	echo(1, 1, 1)
	echo(2, 2, 2)
	if s.duplicated+s.wrong != 0 {
		t.Fatalf("good echoes count as %d twice and %d wrong", s.duplicated, s.wrong)
	}
	if echo(2, 2, 2); s.duplicated != 1 {
		t.Errorf("a response that comes again counts %d times", s.duplicated)
	}
	if echo(3, 3, 2); s.wrong != 1 {
		t.Errorf("another message's echo counts %d times", s.wrong)
	}
	if echo(4, 3, 4); s.wrong != 2 {
		t.Errorf("a response for another message counts %d times", s.wrong-1)
	}
}

func TestWatchRefusesWhatItCannotTell(t *testing.T) {
	good := Watch{Sessions: 4, Plan: Plan{Level: wire.LevelApplied, Flow: FlowEcho, Payload: 64, Rate: 1000}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(w *Watch){
		"no session":       func(w *Watch) { w.Sessions = 0 },
		"a short payload":  func(w *Watch) { w.Plan.Payload = 8 },
		"a slow schedule":  func(w *Watch) { w.Plan.Rate = 100 },
		"no level to hear": func(w *Watch) { w.Plan.Level = wire.LevelNone },
	} {
		w := good
		if spoil(&w); w.Check() == nil {
			t.Errorf("%s passes", what)
		}
	}
}
