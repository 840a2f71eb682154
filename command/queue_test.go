package command

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestQueueWork: a message is deleted when its command has done it, and else it is given back, at last as a dead
// letter. The lease holds while the command runs; a command whose lease is lost does not run on, nor one whose worker
// is interrupted.
func TestQueueWork(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster of real processes for seconds")
	}
	runtime, _ := upLab(t, "--nodes", "1", "--transport", "udp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inLab := func(args ...string) []string {
		return append([]string{"lab", "exec", "--runtime", runtime, "--", self, "queue"}, args...)
	}
	queue := func(args ...string) ran { return lockstep(t, inLab(args...)...) }

	queue("configure", "bad", "--max-attempts", "2", "--dead-letter", "dead").want(t, 0)
	queue("put", "bad", "never").want(t, 0)
	queue("work", "bad", "--until-empty", "--retry-delay", "0s", "--", "false").want(t, 0, "exit status 1")
	queue("stats", "bad").want(t, 0, "delivered 2", "given back 2", "dead 1")
	queue("peek", "dead").want(t, 0, "died in bad: never")

	queue("put", "slow", "a\nb").want(t, 0)
	script := `sleep 3; cat; echo " $LOCKSTEP_QUEUE $LOCKSTEP_ATTEMPT"`
	queue("work", "slow", "--lease", "2s", "--count", "1", "--", "sh", "-c", script).want(t, 0, "a\nb slow 1",
		": done")
	queue("stats", "slow").want(t, 0, "ready 0", "deleted 1", "leases over 0")

	queue("put", "lost", "x").want(t, 0)
	script = self + ` queue delete lost $LOCKSTEP_MESSAGE $LOCKSTEP_TOKEN; sleep 60; echo it ran on`
	r := queue("work", "lost", "--lease", "2s", "--count", "1", "--", "sh", "-c", script)
	r.want(t, 0, errLeaseLost.Error(), "UnknownMessage")
	if strings.Contains(r.out, "it ran on") {
		t.Error("a command runs on though its lease is lost")
	}
	queue("work", "lost", "--level", "durable", "--", "true").want(t, exitUsage, "--level")
	queue("work", "lost").want(t, exitUsage)
	queue("work", "lost", "--", "/nowhere/at/all").want(t, exitUsage, "/nowhere/at/all")

	queue("put", "stopped", "x").want(t, 0)
	interruptWorker(t, inLab("work", "stopped", "--", "sh", "-c", "echo begun; sleep 60"))
	queue("stats", "stopped").want(t, 0, "ready 1", "leased 0", "given back 1")
}

// interruptWorker interrupts a worker whose command has begun, and waits for its end.
func interruptWorker(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asLockstep+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var errs bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &errs, time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	begun := make([]byte, len("begun"))
	if _, err := out.Read(begun); err != nil || string(begun) != "begun" {
		t.Errorf("%q, %v", begun, err)
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, errs.String())
	}
}

// TestWordsOfQueuesAndTimers: what cannot be a request is a mistake of usage, and is not sent.
func TestWordsOfQueuesAndTimers(t *testing.T) {
	for _, c := range []struct {
		service *shellService
		words   string
		good    bool
	}{
		{queueShell(), "put q hello --delay 1s --key k", true},
		{queueShell(), "put q", false},
		{queueShell(), "put q hello --file x", false},
		{queueShell(), "put q --file /nowhere/at/all", false},
		{queueShell(), "put q hello --delay -1s", false},
		{queueShell(), "lease q --at-most-once --drop-late --max 3 --wait 5s", true},
		{queueShell(), "lease q --wait -5s", false},
		{queueShell(), "delete q 1 2", true},
		{queueShell(), "delete q one 2", false},
		{queueShell(), "delete q 1", false},
		{queueShell(), "work q", false},
		{timerShell(), "start a --at 2026-01-31T15:04:05Z --every 1h --times 3", true},
		{timerShell(), "start a --at yesterday", false},
		{timerShell(), "start a --every -1h", false},
		{timerShell(), "watch", true},
		{timerShell(), "list a b", false},
	} {
		if payload, err := c.service.encode(strings.Fields(c.words)); (err == nil) != c.good ||
			c.good != (len(payload) > 0) {
			t.Errorf("%s %s: %v", c.service.name, c.words, err)
		}
	}
}
