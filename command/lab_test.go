package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/internal/lab"
)

// upLab brings up a lab of real nodes, to be taken down at the end of the test.
func upLab(t *testing.T, args ...string) (runtime, dir string) {
	t.Helper()
	runtime, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	lockstep(t, append([]string{"lab", "up", "--runtime", runtime, "--dir", dir}, args...)...).
		want(t, 0, "node1", "try next")
	t.Cleanup(func() {
		if _, err := lab.Attach(runtime); err == nil {
			lockstep(t, "lab", "down", "--runtime", runtime).want(t, 0)
		}
		os.RemoveAll(runtime)
	})
	return runtime, dir
}

// untilDone runs the binary again for a while as long as it says that it failed.
func untilDone(t *testing.T, args ...string) (r ran) {
	t.Helper()
	for range 50 {
		if r = lockstep(t, args...); r.code != exitFailed {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return r
}

// TestLabFromTheShell is what a user does with a lab: orders in a session, a killed node, the journals.
func TestLabFromTheShell(t *testing.T) {
	runtime, dir := upLab(t, "--nodes", "3", "--transport", "udp")
	inLab := func(args ...string) []string {
		return append([]string{"lab", args[0], "--runtime", runtime}, args[1:]...)
	}
	lockstep(t, inLab("up")...).want(t, exitUsage, "a lab is up already", dir)
	lockstep(t, inLab("status")...).want(t, 0, "leader", "follower")

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lockstepWith(t, "buy 100 5\nsell 100 2\n\ncancel 1\n", inLab("exec", "--", self, "order", "session")...).want(t, 0,
		"order 1 accepted as 1, 5 lots rest", "order 2 executed: 2 lots at 100, 0 left",
		"order 1 executed: 2 lots at 100, 3 left", "order 1 canceled: 3 lots")
	for _, level := range []string{"received", "sequenced", "replicated", "durable"} {
		lockstep(t, inLab("exec", self, "order", "new", "--side", "sell", "--price", "7", "--quantity", "1",
			"--level", level)...).want(t, 0, "is "+level, "order 1 accepted")
	}
	lockstep(t, inLab("exec", self, "order", "cancel")...).want(t, exitRefused, "order 1 rejected: UnknownOrder")
	lockstep(t, inLab("exec", "sh", "-c", "exit 7")...).want(t, 7)
	lockstep(t, inLab("exec", "--client", "2", "true")...).want(t, exitUsage, "clients 1 to 1")

	// On a busy machine a node may be away for a moment, or an election under way.
	leader := []string{"exec", "--", self, "leader", "--config", filepath.Join(dir, "node1.toml")}
	untilDone(t, inLab(leader...)...).want(t, 0, "leads term", "nodes say so")
	transfer := []string{"exec", "--", self, "leader", "transfer", "--config", filepath.Join(dir, "node3.toml")}
	untilDone(t, inLab(transfer...)...).want(t, 0, "handed over", "from the request to hearing the new leader")
	lockstep(t, inLab(append(transfer, "--to", "9")...)...).want(t, exitUsage, "--to 9")

	lockstep(t, inLab("kill", "2")...).want(t, 0)
	lockstep(t, inLab("status")...).want(t, 0, "node 2 does not answer")
	lockstep(t, inLab("start", "2")...).want(t, 0)
	lockstep(t, inLab("kill", "4")...).want(t, exitUsage, "nodes 1 to 3")
	lockstep(t, inLab("down")...).want(t, 0)
	lockstep(t, inLab("down")...).want(t, exitUsage, "no lab is up")
	checkJournals(t, filepath.Join(dir, "node1"), filepath.Join(dir, "node3"))
}

// checkJournals reads the journals that nodes have left.
func checkJournals(t *testing.T, one, three string) {
	t.Helper()
	lockstep(t, "journal", "verify", one).want(t, 0, "intact", "cluster")
	lockstep(t, "journal", "verify", filepath.Join(one, "journal")).want(t, 0, "intact")
	lockstep(t, "journal", "diff", one, three).want(t, 0, "the same up to position")

	dump := lockstep(t, "journal", "dump", one)
	dump.want(t, 0)
	type record struct {
		Position uint64
		Kind     string
	}
	var messages []record
	for line := range strings.Lines(dump.out) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if r.Kind == "message" {
			messages = append(messages, r)
		}
	}
	if len(messages) != 8 {
		t.Fatalf("%d messages are in the log, 8 orders and cancels were sent", len(messages))
	}

	damageJournal(t, one, int64(messages[3].Position)+70)
	lockstep(t, "journal", "verify", one).want(t, exitFailed, "damaged from position")
	lockstep(t, "journal", "dump", one).want(t, exitFailed, "damaged")
	lockstep(t, "journal", "diff", one, three).want(t, 0, "is a prefix of")
}

// damageJournal changes the byte at a position of the stream.
func damageJournal(t *testing.T, dir string, position int64) {
	t.Helper()
	const headerBytes = 4096 // of a segment
	segment, err := os.OpenFile(filepath.Join(dir, "journal", "00000000000000000000.seg"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer segment.Close()
	b := make([]byte, 1)
	if _, err := segment.ReadAt(b, headerBytes+position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := segment.WriteAt(b, headerBytes+position); err != nil {
		t.Fatal(err)
	}
}
