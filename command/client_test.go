package command

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/node"
	"lockstep/wire"
)

// typing is a client that somebody types lines into.
type typing struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	said *bufio.Scanner
}

func startTyping(t *testing.T, args ...string) *typing {
	t.Helper()
	c := &typing{t: t, cmd: exec.Command("/proc/self/exe", args...)}
	c.cmd.Env = append(os.Environ(), asLockstep+"=1")
	in, err1 := c.cmd.StdinPipe()
	out, err2 := c.cmd.StdoutPipe()
	said, err3 := c.cmd.StderrPipe()
	for _, err := range []error{err1, err2, err3, c.cmd.Start()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c.in, c.out, c.said = in, bufio.NewScanner(out), bufio.NewScanner(said)
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	return c
}

// line types a line.
func (c *typing) line(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, text+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// hears reads lines until one has the text, and returns it.
func (c *typing) hears(s *bufio.Scanner, text string) string {
	c.t.Helper()
	for s.Scan() {
		if strings.Contains(s.Text(), text) {
			return s.Text()
		}
	}
	c.t.Fatalf("the client ended without %q", text)
	return ""
}

// untilLed asks for sessions until a leader answers: while there is none, or it is too busy to answer, another node does.
func untilLed(t *testing.T, args ...string) (r ran) {
	t.Helper()
	for range 50 {
		if r = untilDone(t, args...); !strings.Contains(r.errors, "does not lead") {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r
}

// TestClientFromTheShell is what a person does with the client commands: send lines, watch levels, look at sessions; a
// refusal and an unknown outcome have exit codes of their own.
func TestClientFromTheShell(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, dir := upLab(t, "--nodes", "3", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inLab := func(args ...string) []string {
		return append([]string{"lab", "exec", "--runtime", runtime, "--", self, "client"}, args...)
	}
	config := filepath.Join(dir, "node1.toml")
	greeted := lockstepWith(t, "hello\nworld\n", inLab("connect", "--config", config)...)
	over := strings.TrimSuffix(strings.Fields(greeted.errors)[2], ",")
	greeted.want(t, 0, "connected: session", "message 1 applied after", "response 1 to message 1: hello", "response 2 to message 2: world", "closed: session")
	r := lockstep(t, inLab("connect", "--hex", "--json", "--levels", "durable,received", "6869", "")...)
	r.want(t, 0, `"kind":"ack","message":1,"level":"durable"`, `"payload":"6869"`)
	for line := range strings.Lines(r.out) {
		var record clientRecord
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	lockstep(t, inLab("levels", "one", "two", "three")...).want(t, 0, "APPLIED_US", "medians")
	lockstep(t, inLab("connect", "--service", "9", "x", "--", "y")...).want(t, exitRefused, "message 1 refused: unknown-service", "2 messages")
	lockstep(t, inLab("connect", "--hex", "xyz")...).want(t, exitUsage, "xyz")

	c := startTyping(t, inLab("connect", "--name", "somebody", "--timeout", "6s")...)
	id := strings.TrimSuffix(strings.Fields(c.hears(c.said, "connected: session"))[2], ",")
	c.line("first")
	c.hears(c.out, "response 1 to message 1: first")
	untilLed(t, inLab("session", id, "--config", config)...).want(t, 0, "(somebody), open", "sequenced 1, committed 1", "applied 1")
	untilLed(t, inLab("sessions", "--config", config)...).want(t, 0, id, "somebody", "HEARD")
	listed := untilDone(t, inLab("sessions", "--config", config, "--json")...)
	var s node.Sessions
	if err := json.Unmarshal([]byte(listed.out), &s); err != nil || len(s.Sessions) == 0 {
		t.Errorf("%s: %v", listed.out, err)
	}
	lockstep(t, inLab("session", over, "--config", config)...).want(t, 0, "closed, as node", "session-closed; the last message applied was 2")
	lockstep(t, inLab("session", "77", "--config", config)...).want(t, exitFailed, "no such session")

	for _, n := range []string{"1", "2"} {
		lockstep(t, "lab", "kill", "--runtime", runtime, n).want(t, 0)
	}
	c.line("second")
	c.hears(c.said, "outcome unknown: 1 messages, 2 to 2")
	_ = c.cmd.Wait()
	if code := c.cmd.ProcessState.ExitCode(); code != exitUnknown {
		t.Errorf("an unknown outcome ends with exit code %d, want %d", code, exitUnknown)
	}
	untilDone(t, inLab("sessions", "--config", filepath.Join(dir, "node3.toml"))...).want(t, 0, "somebody", "does not lead")
}

func TestClientFlags(t *testing.T) {
	for args, names := range map[string]string{
		"client connect":                               "--nodes",
		"client connect --levels often":                "often",
		"client connect --service mail":                "mail",
		"client connect --window 0":                    "--window",
		"client connect --config /nonexistent.toml":    "/nonexistent.toml",
		"client session xyz":                           "xyz",
		"client session":                               "1 arg",
		"client sessions":                              "--config",
		"client sessions --config /nonexistent.toml":   "/nonexistent.toml",
		"client levels --nodes here --cluster 1 hello": "here",
		"client frob":                                  "frob",
	} {
		lockstep(t, strings.Fields(args)...).want(t, exitUsage, names)
	}
	if levels, err := parseLevels([]string{"none"}); err != nil || levels != 0 {
		t.Errorf("none is %v, %v", levels, err)
	}
	if levels, err := parseLevels([]string{"received", "durable"}); err != nil || levels != wire.LevelsOf(wire.LevelReceived, wire.LevelDurable) {
		t.Errorf("%v, %v", levels, err)
	}
}
