package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"lockstep/internal/vfs"
	"lockstep/wire"
)

// childDir in the environment makes this test binary a process that writes a journal there until it is killed.
const childDir = "LOCKSTEP_JOURNAL_TEST_DIR"

func TestMain(m *testing.M) {
	if root := os.Getenv(childDir); root != "" {
		writeForEver(root)
	}
	if root := os.Getenv(imageDir); root != "" && os.Getenv(imageSnapshots) != "" {
		snapshotAndTell(root)
	} else if root != "" {
		writeAndTell(root)
	}
	os.Exit(m.Run())
}

// writeForEver prints every position that the journal reported as durable.
func writeForEver(root string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fs := &vfs.Below{Root: root}
	_, err := Lock(fs, testDir)
	fail(err)
	var t testing.B
	c := startCore(&t, fs)
	for i := 0; ; i++ {
		for k := range i % 9 {
			c.append((i*37 + k*511) % 2500)
		}
		c.append(i % 100)
		c.await(c.chain.Position)
		fmt.Println(uint64(c.durable))
	}
}

// TestKilledProcess kills a writing process again and again: what it had reported as durable is there each time, and
// the lock is free.
func TestKilledProcess(t *testing.T) {
	root := t.TempDir()
	fs := &vfs.Below{Root: root}
	if err := Format(fs, testDir, testIdentity); err != nil {
		t.Fatal(err)
	}
	var before wire.Position
	for round := range 4 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+root)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(2*patience, func() { child.Process.Kill() })
		durable := before
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			at, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			durable = wire.Position(at)
			if n == 40+round*37 {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = child.Wait() // it was killed
		watchdog.Stop()
		held, err := Lock(fs, testDir)
		if err != nil {
			t.Fatal(err)
		}
		j, rec, err := Open(testOptions(fs))
		if err != nil {
			t.Fatal(err)
		}
		if rec.Outcome.Forgot() || rec.Chain.Position < durable || durable <= before {
			t.Fatalf("round %d: %v; durable was %d, before %d", round, rec, durable, before)
		}
		before = rec.Chain.Position
		if err := errors.Join(j.Close(), held.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := Verify(vfs.FS(fs), testDir); err != nil || sum.Chain.Position != before {
		t.Fatalf("%+v, %v", sum, err)
	}
}
