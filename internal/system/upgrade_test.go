package system

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"lockstep/internal/lab"
)

// TestShouldUpgradeNodeByNodeUnderLoad has deploy/upgrade restart every node of a lab while messages flow. The lab's nodes are
// stopped and started by this test: the script's command asks for it through two files.
func TestShouldUpgradeNodeByNodeUnderLoad(t *testing.T) {
	needNamespaces(t)
	c := up(t, lab.Options{Transport: "xdp", XDPMode: "generic", Rule: "replicated"})
	f := c.start(0, flowOptions{Payload: 500, Window: 64})
	f.awaitAcked(200)
	leader := c.leader()

	dir := t.TempDir()
	ask, answer := filepath.Join(dir, "ask"), filepath.Join(dir, "answer")
	restart := filepath.Join(dir, "restart")
	text := "#!/bin/sh\nset -e\nread -r done < " + answer + " & echo $1 > " + ask + "; wait $!\n"
	c.do(os.WriteFile(restart, []byte(text), 0o755))
	for _, pipe := range []string{ask, answer} {
		if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
			t.Fatalf("mkfifo: %v: %s", err, out)
		}
	}
	var order []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			b, err := os.ReadFile(ask)
			id := strings.TrimSpace(string(b))
			if err != nil || id == "" {
				return
			}
			order = append(order, id)
			n := int(id[0] - '0')
			if err := c.lab.Stop(n); err != nil {
				t.Errorf("stop node %d: %v", n, err)
			}
			if err := c.lab.Start(n); err != nil {
				t.Errorf("start node %d: %v", n, err)
			}
			_ = os.WriteFile(answer, []byte("done\n"), 0) // it reads
		}
	}()
	upgrade := exec.Command(filepath.Join("..", "..", "deploy", "upgrade"), c.node(1).Config, restart)
	upgrade.Env = append(os.Environ(), "LOCKSTEP="+binary)
	out, code := runCmd(t, func(cmd *exec.Cmd) error { return c.lab.StartNode(1, cmd) }, upgrade)
	c.do(os.WriteFile(ask, nil, 0)) // ends who waits
	<-ended
	if code != 0 || strings.Count(out, ": back\n") != 3 {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if len(order) != 3 || order[2] != string(rune('0'+leader)) {
		t.Errorf("restarted %v, node %d led", order, leader)
	}
	f.awaitAcked(200)
	c.prove()
}
