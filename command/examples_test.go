package command

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestExamplesDoWhatTheySay builds the example programs and has each of them talk to a lab.
func TestExamplesDoWhatTheySay(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "lockstep/examples/call", "lockstep/examples/poll",
		"lockstep/examples/many")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	runtime, _ := upLab(t, "--nodes", "3", "--transport", "udp")
	inLab := func(name string, args ...string) ran {
		return lockstep(t, append([]string{"lab", "exec", "--runtime", runtime, "--", filepath.Join(bin, name)}, args...)...)
	}
	inLab("call", "hello", "world").want(t, 0, "connected: leader", `message 1: record`, `answered "hello"`,
		`message 2: record`, `answered "world"`)
	inLab("poll", "-messages", "2000").want(t, 0, "2000 messages, 2000 responses", "sequenced  2000,", "applied    2000,")
	inLab("many", "-sessions", "200").want(t, 0, "200 sessions open, 200 messages answered", "200 sessions closed")
}
