package node

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"lockstep/internal/vfs"
	"lockstep/journal"
)

// However a reseed is interrupted, what it leaves is no node, or one that knows that it may have forgotten.
func TestReseedIsMarkedBeforeItIsANode(t *testing.T) {
	made := false
	for skip := 0; !made; skip++ {
		mem := vfs.NewMem()
		machine := Real()
		machine.FS = vfs.NewFailing(mem, vfs.Fault{Ops: vfs.OpAll, Skip: skip, Times: -1, Err: syscall.EIO})
		_, err := machine.Reseed("dir", 2, 77)
		made = err == nil
		id, err := journal.LoadIdentity(mem, "dir")
		if err != nil {
			continue
		}
		if _, marked, err := journal.IsRecovering(mem, "dir"); !marked || err != nil || id.Cluster != 77 {
			t.Fatalf("interrupted at operation %d: %+v, marked %v, %v", skip, id, marked, err)
		}
		if skip > 1000 {
			t.Fatal("never made")
		}
	}
}

// A directory that is a node's is not touched: it has not forgotten anything.
func TestReseedLeavesANodeAlone(t *testing.T) {
	machine := Real()
	machine.FS = vfs.NewMem()
	if _, err := machine.Format("dir", 2, 77); err != nil {
		t.Fatal(err)
	}
	if _, err := machine.Reseed("dir", 2, 77); !errors.Is(err, journal.ErrFormatted) {
		t.Errorf("a node's directory is made anew: %v", err)
	}
	if _, marked, err := journal.IsRecovering(machine.FS, "dir"); marked || err != nil {
		t.Errorf("marked as recovering: %v", err)
	}
}

// A new node whose file differs from the cluster's takes nothing, and says why.
func TestOtherConfigIsSaid(t *testing.T) {
	c := newClusterOn(t, 3, "durable", t.TempDir(), func(i int, m *Machine) {
		if i == 2 {
			m.Limits.Service.KeptBytes = 1 << 18
		}
	})
	c.until("a session", 100_000, 50_000, func() bool { return c.client.Connected() })
	c.run(200e6)
	if s := c.nodes[2].Status(); s.Append != 0 || strings.Count(c.logs[2].String(), "says otherwise than this node's file") != 1 {
		t.Errorf("append %d; it says\n%s", s.Append, c.logs[2])
	}
}
