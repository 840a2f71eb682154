package command

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lockstep/service"
	"lockstep/wire"
)

// hasBrittle in the environment gives the binary a service that breaks when it is told to.
const hasBrittle = "LOCKSTEP_TEST_HAS_BRITTLE"

// brittleHangs names the file for which that service waits when it is told to hang.
const brittleHangs = "LOCKSTEP_TEST_BRITTLE_HANGS"

// ownOfTests are the binary's own services.
func ownOfTests() []Own {
	if os.Getenv(hasBrittle) == "" {
		return nil
	}
	return []Own{{Number: service.FirstOwn, New: func() service.Service { return &brittle{} }}}
}

// brittle answers how many messages it has had, unless one says how it is to break.
type brittle struct{ had uint64 }

func (s *brittle) Name() string { return "brittle" }

func (s *brittle) Apply(ctx *service.Context, r *wire.Record, payload []byte) {
	s.had++
	switch string(payload) {
	case "panic":
		panic("told to break")
	case "work":
		ctx.Count(service.MaxWork + 1)
	case "responses":
		for range service.MaxOutputs + 1 {
			ctx.Respond(r.Session, nil)
		}
	case "hang":
		for _, err := os.Stat(os.Getenv(brittleHangs)); err != nil; _, err = os.Stat(os.Getenv(brittleHangs)) {
			time.Sleep(10 * time.Millisecond)
		}
	case "later":
		if err := ctx.SetTimer(1, ctx.Timestamp()+1); err != nil {
			panic(err)
		}
	}
	ctx.Respond(r.Session, fmt.Appendf(nil, "had %d", s.had))
}

func (s *brittle) OnTimer(*service.Context, uint64, uint64)         { panic("told to break later") }
func (s *brittle) OnSession(*service.Context, wire.SessionID, bool) {}
func (s *brittle) Hash() uint64                                     { return s.had }
func (s *brittle) Snapshot(w io.Writer) error                       { _, err := fmt.Fprintf(w, "%20d", s.had); return err }
func (s *brittle) Restore(r io.Reader) error                        { _, err := fmt.Fscan(r, &s.had); return err }

// TestServiceThatPanicsIsFoundReplayedAndSkipped is what an operator does about a record that a service cannot bear, whatever it
// breaks by: status names service, position and record; journal replay halts at that position, offline; leader skip has every node
// go on without it; and a replay of every journal comes to the same state.
func TestServiceThatPanicsIsFoundReplayedAndSkipped(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	t.Setenv(hasBrittle, "1")
	runtime, dir := upLab(t, "--nodes", "3", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inLab := func(args ...string) []string {
		return append([]string{"lab", "exec", "--runtime", runtime, "--", self}, args...)
	}
	config, journal := filepath.Join(dir, "node1.toml"), filepath.Join(dir, "node1")
	say := func(message string, more ...string) []string {
		return inLab(append([]string{"client", "connect", message, "--service", "brittle"}, more...)...)
	}
	lockstep(t, say("one")...).want(t, 0, "had 1")
	had := 1
	for _, c := range []struct{ message, kind, says string }{
		{"panic", "message", "told to break"},
		{"work", "message", "more than MaxWork"},
		{"responses", "message", "more than MaxOutputs"},
		{"later", "timer", "told to break later"},
	} {
		lockstep(t, say(c.message, "--levels", "durable")...).want(t, 0, "durable")
		at, sequence := awaitHalt(t, inLab("status", "--config", config), c.kind, c.says)
		var r struct{ Position, Sequence uint64 }
		dump := lockstep(t, "journal", "dump", journal, "--from", at, "--count", "1", "--kind", c.kind)
		if err := json.Unmarshal([]byte(dump.out), &r); err != nil || fmt.Sprint(r.Position) != at || fmt.Sprint(r.Sequence) != sequence {
			t.Errorf("%s: status says position %s, sequence %s; the journal has %s there (%v)", c.message, at, sequence, dump.out, err)
		}
		replay := lockstep(t, "journal", "replay", journal)
		replay.want(t, exitFailed, "before it: position "+at, "halted at position "+at+": service brittle panicked on a record of kind "+
			c.kind+", sequence "+sequence, c.says)
		if !strings.Contains(replay.errors, "(*brittle).") {
			t.Errorf("%s: the replay does not show where it broke:\n%s", c.message, replay.errors)
		}
		lockstep(t, inLab("leader", "skip", at, "--config", config)...).want(t, 0)
		if had++; c.message == "later" { // that message was good, and is not passed over
			had++
		}
		lockstep(t, say("on")...).want(t, 0, fmt.Sprintf("had %d", had))
		awaitQuiet(t, inLab("status", "--config", config))
	}
	lockstep(t, "lab", "down", "--runtime", runtime).want(t, 0)
	states := map[string]bool{}
	for n := 1; n <= 3; n++ {
		r := lockstep(t, "journal", "replay", filepath.Join(dir, fmt.Sprint("node", n)))
		r.want(t, 0)
		states[regexp.MustCompile(`state [0-9a-f]+`).FindString(r.out)] = true
	}
	if len(states) != 1 {
		t.Errorf("the journals come to different states: %v", states)
	}
}

// awaitHalt asks until every node says where apply has halted, and returns where.
func awaitHalt(t *testing.T, status []string, kind, says string) (position, sequence string) {
	t.Helper()
	alarm := regexp.MustCompile(`ALARM node [123]: apply halted at position (\d+): service brittle panicked on a record of kind ` +
		kind + `, sequence (\d+), .*` + regexp.QuoteMeta(says))
	for range 100 {
		r := lockstep(t, status...)
		if found := alarm.FindAllStringSubmatch(r.out, -1); len(found) == 3 {
			return found[0][1], found[0][2]
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not every node says that apply has halted:\n%s", lockstep(t, status...).out)
	return "", ""
}

// awaitQuiet asks until no node has an alarm of a halt.
func awaitQuiet(t *testing.T, status []string) {
	t.Helper()
	for range 100 {
		if r := lockstep(t, status...); r.code == 0 && !strings.Contains(r.out, "halted") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("a node is halted still:\n%s", lockstep(t, status...).out)
}
