package command

import (
	"os"
	"path/filepath"
	"testing"
)

// Nodes that do not answer are shown, and make an order impossible: a failure, not a usage error.
func TestRecoverNeedsAMajorityThatAnswers(t *testing.T) {
	config := filepath.Join(t.TempDir(), "node.toml")
	text := "node = 1\ndir = \"/nowhere\"\n"
	for _, id := range []string{"1", "2", "3"} {
		text += "[[cluster.nodes]]\nid = " + id + "\ndata = \"127.0.0.1:1" + id + "\"\ncontrol = \"127.0.0.1:" + id + "\"\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"recover", "--config", config}, {"recover", "--config", config, "--accept-loss"}} {
		lockstep(t, args...).want(t, exitFailed, "RECOVERING", "no answer", "0 of 3 voters answer", "lockstep reseed")
	}
}
