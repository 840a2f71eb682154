package node

import (
	"bytes"
	"strings"
	"testing"
)

// TestRecoveringIsToldOnceBeforeItIsOver: a cluster may admit a node faster than the goroutine runs that tells of it.
func TestRecoveringIsToldOnceBeforeItIsOver(t *testing.T) {
	var log bytes.Buffer
	n := &Node{machine: Real(), out: &log, recovering: "it was killed"}
	n.config.Dir = t.TempDir()
	n.tellRecovering(true) // at the start
	n.mayHaveForgotten.Store(false)
	n.markRecovering() // of the beginning, late
	n.markRecovering() // of the end
	text := log.String()
	begun, over := strings.Index(text, "recovering: it was killed"), strings.Index(text, "admitted by the cluster")
	if begun < 0 || over < begun || strings.Count(text, "\n") != 2 {
		t.Errorf("operators are told:\n%s", text)
	}
}
